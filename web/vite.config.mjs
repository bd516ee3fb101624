// SPDX-License-Identifier: Apache-2.0
// One bundle and one style sheet, with names that change with their content.  The agent serves them
// under a strict policy, so nothing is inlined and no preload helper is added.
import { defineConfig } from 'vite';

export default defineConfig({
	base: '/',
	publicDir: false,
	esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
	build: {
		target: 'es2022',
		outDir: process.env.HEARTH_WEB_OUT || 'dist',
		emptyOutDir: true,
		assetsInlineLimit: 0,
		cssCodeSplit: false,
		modulePreload: false,
		reportCompressedSize: false,
	},
	test: { include: ['test/*.test.ts'], environment: 'node', reporters: ['./reporter.mjs'] },
});
