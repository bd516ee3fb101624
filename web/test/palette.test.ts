// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import { TEXT, all_fills, frame_colour, library_colour, oklch } from '../src/flame/palette';

function luminance(hex: string): number {
	const [r, g, b] = [1, 3, 5].map((at) => {
		const c = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
		return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	});
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
	const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
	return (light + 0.05) / (dark + 0.05);
}

test('OKLCH becomes sRGB', () => {
	expect(oklch(1, 0, 0)).toBe('#ffffff');
	expect(oklch(0, 0, 0)).toBe('#000000');
	expect(oklch(0.62796, 0.25768, 29.234)).toBe('#ff0000');
});

test('every fill has 4.5:1 against its text', () => {
	for (const theme of ['light', 'dark'] as const)
		for (const fill of all_fills(theme)) expect(contrast(fill, TEXT[theme]), `${fill} (${theme})`).toBeGreaterThanOrEqual(4.5);
});

test('a frame keeps its colour, and libraries differ', () => {
	expect(frame_colour('liba.so', 'f', 'light')).toBe(frame_colour('liba.so', 'f', 'light'));
	expect(all_fills('light')).toContain(frame_colour('liba.so', 'f', 'light'));
	expect(all_fills('dark')).toContain(frame_colour('', 'f', 'dark'));
	expect(library_colour('libc.so.6', 'light')).toBe(library_colour('libm.so.6', 'light'));
	expect(library_colour('libc.so.6', 'light')).not.toBe(library_colour('[vdso]', 'light'));
});
