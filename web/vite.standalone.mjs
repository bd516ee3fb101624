// SPDX-License-Identifier: Apache-2.0
// The script and the style of a flame graph in one file (format=html), which query/format_html.c writes.
import { defineConfig } from 'vite';

import page from './vite.config.mjs';

export default defineConfig({
	...page,
	build: {
		...page.build,
		outDir: 'dist-standalone',
		rollupOptions: {
			input: 'src/standalone.tsx',
			output: {
				format: 'iife', inlineDynamicImports: true, entryFileNames: 'standalone.js',
				assetFileNames: 'standalone[extname]',
			},
		},
	},
});
