// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import {
	HIDDEN_NAME, layout_build, level_find, node_at, node_children, node_name, node_neighbour, node_path, node_place,
	path_find, path_key,
} from '../src/flame/layout';
import { flame_json } from './sample';

const build = (...folded: string[]) => layout_build(flame_json(folded));
const named = (l: ReturnType<typeof build>, name: string) =>
	Array.from({ length: l.count }, (_, i) => i).filter((i) => node_name(l, i) === name);

test('a total is self, hidden and the children', () => {
	const l = build('main;a 3', 'main;b;c 4', 'main 2', 'main;b ~5');
	expect(l.total[0]).toBe(14);
	expect(l.total[named(l, 'b')[0]]).toBe(9);
	expect(l.self[named(l, 'main')[0]]).toBe(2);
	expect(l.samples[named(l, 'main')[0]]).toBe(9);
});

test('what is hidden stands as a block behind the last child', () => {
	const l = build('main;b ~5', 'main;b;c 4', 'main;d 1');
	const [block] = named(l, HIDDEN_NAME);
	const [c] = named(l, 'c');
	expect(l.total[block]).toBe(5);
	expect(l.self[block]).toBe(0);
	expect(l.depth[block]).toBe(l.depth[c]);
	expect(l.x[block]).toBe(l.x[c] + 4);
	expect(node_name(l, l.parent[block])).toBe('b');
	expect(l.concealed[named(l, 'main')[0]]).toBe(1);
	expect(l.concealed[named(l, 'd')[0]]).toBe(0);
});

test('siblings stand side by side within their parent, on every level', () => {
	const folded: string[] = [];
	let seed = 7;
	const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
	for (let i = 0; i < 400; i++)
		folded.push(`${Array.from({ length: 1 + random(12) }, () => `f${random(5)}`).join(';')} ${random(9) ? '' : '~'}${1 + random(20)}`);
	const l = build(...folded);
	expect(l.total[0]).toBe(l.json.total);
	for (let i = 1; i < l.count; i++) {
		const p = l.parent[i];
		expect(l.x[i]).toBeGreaterThanOrEqual(l.x[p]);
		expect(l.x[i] + l.total[i]).toBeLessThanOrEqual(l.x[p] + l.total[p]);
		expect(l.end[i]).toBeLessThanOrEqual(l.end[p]);
	}
	for (const level of l.levels)
		for (let k = 1; k < level.length; k++)
			expect(l.x[level[k]]).toBeGreaterThanOrEqual(l.x[level[k - 1]] + l.total[level[k - 1]]);
});

test('a position finds its node, and none where there is a gap', () => {
	const l = build('a;x 2', 'a 3', 'b;y 4');
	expect(node_name(l, node_at(l, 1, 4.9))).toBe('a');
	expect(node_name(l, node_at(l, 1, 5))).toBe('b');
	expect(node_at(l, 2, 3)).toBe(-1);
	expect(node_name(l, node_at(l, 2, 6))).toBe('y');
	expect(node_at(l, 1, 99)).toBe(-1);
	expect(node_at(l, 7, 0)).toBe(-1);
	expect(level_find(l, l.levels[1], 99)).toBe(2);
});

test('callees and neighbours', () => {
	const l = build('a;x 2', 'a;y 3', 'b;z 4');
	const [a, z, y] = [named(l, 'a')[0], named(l, 'z')[0], named(l, 'y')[0]];
	expect(node_children(l, a).map((i) => node_name(l, i))).toEqual(['x', 'y']);
	expect(node_neighbour(l, y, 1, 0)).toBe(z);
	expect(node_neighbour(l, y, 1, a)).toBe(-1);
	expect(node_neighbour(l, z, 1, 0)).toBe(-1);
	expect(node_path(l, z).map((i) => node_name(l, i))).toEqual(['total', 'b', 'z']);
	expect(node_place(l, z)).toBe('a.c:2');
});

test('a zoom key finds its path again in other data, and the root when it is gone', () => {
	const l = build('a;x 2', 'b;x 4', 'b;x;q 1');
	const second = named(l, 'x')[1];
	const key = path_key(l, second);
	expect(path_find(l, key)).toBe(second);
	const later = build('n;m 3', 'b;o 9', 'b;x 4');
	expect(node_path(later, path_find(later, key)).map((i) => node_name(later, i))).toEqual(['total', 'b', 'x']);
	expect(path_find(build('a;x 1'), key)).toBe(0);
	expect(path_key(l, 0)).toBe('');
	for (const wild of ['', '0.x', '-3.a', 'zzz', '99999.1', '2.']) expect(path_find(l, wild)).toBe(0);
});

test('an empty answer is a lone root', () => {
	const l = layout_build(flame_json([]));
	expect(l.count).toBe(1);
	expect(l.total[0]).toBe(0);
});

test('columns that are no tree are refused', () => {
	const json = flame_json(['a;b 1']);
	json.node.depth = [0, 2, 1];
	expect(() => layout_build(json)).toThrow('no parent');
	json.node.depth = [0, 0, 1];
	expect(() => layout_build(json)).toThrow('second root');
});

test('two thousand levels are no trouble', () => {
	const l = build(`${Array.from({ length: 2000 }, (_, i) => `f${i}`).join(';')} 1`);
	expect(l.levels.length).toBe(2001);
	expect(l.total[0]).toBe(1);
	expect(path_find(l, path_key(l, 2000))).toBe(2000);
});
