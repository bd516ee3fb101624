// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import { layout_build, node_name } from '../src/flame/layout';
import { matcher_parse, next_match, search } from '../src/flame/search';
import { flame_json } from './sample';

const l = layout_build(flame_json(['main;Work;work 3', 'main;worker 4', 'main;idle 5', 'main;idle ~6'], 'libshop.so'));
const find = (query: string) => {
	const found = search(l, matcher_parse(query)!);
	return { value: found.value, names: found.nodes.map((i) => node_name(l, i)) };
};

test('a substring in any case; a match within a match counts once', () => {
	expect(find('work')).toEqual({ value: 7, names: ['Work', 'work', 'worker'] });
});

test('quotes mean exactly this name', () => {
	expect(find('"work"')).toEqual({ value: 3, names: ['work'] });
	expect(find('"Work"').value).toBe(3);
});

test('slashes mean a regular expression', () => {
	expect(find('/^wor/').names).toEqual(['work', 'worker']);
	expect(find('/^wor/i').names).toEqual(['Work', 'work', 'worker']);
	expect(() => matcher_parse('/(/')).toThrow(SyntaxError);
});

test('lib: and file: look elsewhere', () => {
	expect(find('lib:shop').value).toBe(18);
	expect(find('lib:"libshop.so"').value).toBe(18);
	expect(find('lib:"libshop"').value).toBe(0);
	expect(find('file:a.c:3').names).toEqual(['work']);
});

test('nothing asked is no search, and the root and hidden blocks never match', () => {
	for (const query of ['', '  ', 'lib:']) expect(matcher_parse(query)).toBeNull();
	expect(find('total').names).toEqual([]);
	expect(find('hidden').names).toEqual([]);
});

test('matches are walked in order and around the ends', () => {
	const found = search(l, matcher_parse('work')!);
	const [first, second, third] = found.nodes;
	expect(next_match(found, -1, 1)).toBe(first);
	expect(next_match(found, first, 1)).toBe(second);
	expect(next_match(found, third, 1)).toBe(first);
	expect(next_match(found, first, -1)).toBe(third);
	expect(next_match({ mask: new Uint8Array(0), nodes: [], value: 0 }, 3, 1)).toBe(-1);
});
