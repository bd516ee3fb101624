// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import { DEFAULTS, type View, selector, view_format, view_parse, widen } from '../src/view';

test('defaults are not written', () => {
	expect(view_format(DEFAULTS)).toBe('');
	expect(view_parse('')).toEqual(DEFAULTS);
});

test('every field survives the way through a link', () => {
	const view: View = {
		service: 'a&b="c" ü', type: 'alloc_space', query: 'env="p",version=~"1\\..*"', from: '1795349111215', until: '1795349125503',
		show: 'table', shape: 'flame', search: '/a+b/i', zoom: '7.abc', sort: '-total', nodes: 'all', live: true,
	};
	for (const key of Object.keys(DEFAULTS) as (keyof View)[]) expect(view[key]).not.toBe(DEFAULTS[key]);
	expect(view_parse(view_format(view))).toEqual(view);
});

test('relative times stay relative', () => {
	expect(view_format({ ...DEFAULTS, from: 'now-5m' })).toBe('?from=now-5m');
});

test('what is not understood falls back', () => {
	expect(view_parse('?show=hologram&shape=&live=yes&sort=evil&from=&other=1')).toEqual(DEFAULTS);
});

test('a selector quotes the service and takes matchers with or without braces', () => {
	expect(selector('shop', '')).toBe('{service="shop"}');
	expect(selector('a"b\\', '{env="x"}')).toBe('{service="a\\"b\\\\",env="x"}');
	expect(selector('*', 'env="x",')).toBe('{env="x"}');
	expect(selector('*', '')).toBe('');
});

test('zooming out doubles the range and stops at now', () => {
	expect(widen(100e9, 200e9, 1e9)).toEqual({ from: '50000', until: '250000' });
	expect(widen(100e9, 200e9, 210e3)).toEqual({ from: '10000', until: '210000' });
});
