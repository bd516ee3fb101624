// SPDX-License-Identifier: Apache-2.0
//
// Swatch.tsx - a library's colour.  An SVG attribute, as the policy allows no style attribute.
import { library_colour } from './flame/palette';
import { theme } from './state';

export function Swatch({ library }: { library: string }) {
	return (
		<svg class="swatch" viewBox="0 0 8 8" aria-hidden="true">
			<rect width="8" height="8" rx="2" fill={library_colour(library, theme.value)} />
		</svg>
	);
}
