// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import { type DiffJson, diff_layout, diff_rows_sort, format_points, is_diff, is_news } from '../src/flame/diff';
import { node_name } from '../src/flame/layout';
import { flame_json } from './sample';

// main: 60 of 100 before, 150 of 200 now, below it fast (50, 0) and slow (10, 150); rest: 40, 50.
function diff_json(patch: Partial<DiffJson> = {}): DiffJson {
	const json = flame_json(['main;fast 0', 'main;slow 150', 'rest 50']);
	const base = { total: 0, main: 0, fast: 50, slow: 10, rest: 40 } as Record<string, number>;
	const names = json.node.name.map((n) => json.names[n]);
	return {
		...json, base_total: 100, base_from: 0, base_until: 1e9, base: { samples: 100, lost: {}, partial: false }, ...patch,
		node: {
			...json.node, base_self: names.map((n) => base[n]), base_hidden: names.map(() => 0), base_samples: names.map((n) => base[n]),
			delta: [0, 15, -50, 65, -15], se: [0, 1, 2, 3, 9],
		},
	};
}

test('a frame is as wide as its share of both sides together', () => {
	const json = diff_json();
	expect(is_diff(json)).toBe(true);
	expect(is_diff(flame_json(['a 1']))).toBe(false);
	const l = diff_layout(json);
	expect(Array.from({ length: l.count }, (_, i) => node_name(l, i))).toEqual(['total', 'main', 'fast', 'slow', 'rest']);
	const close = (values: Float64Array, to: number[]) => values.forEach((v, i) => expect(v).toBeCloseTo(to[i]));
	close(l.total, [1, 0.675, 0.25, 0.425, 0.325]);
	expect(l.json.total).toBe(1);
	close(l.diff!.base, [100, 60, 50, 10, 40]);
	close(l.diff!.now, [200, 150, 0, 150, 50]);
	close(l.diff!.points, [0, 15, -50, 65, -15]);
});

test('a side that has nothing leaves the other its whole width', () => {
	const l = diff_layout(diff_json({ base_total: 0 }));
	expect(l.json.total).toBe(1);
	expect(l.total[1]).toBeCloseTo(0.75);
});

test('what is hidden keeps its width and has no error', () => {
	const json = diff_json();
	json.node.hidden[1] = 20;
	json.node.base_hidden[1] = 5;
	const l = diff_layout(json);
	const i = l.source.indexOf(-1);
	expect(node_name(l, i)).toBe('(hidden)');
	expect(l.total[i]).toBeCloseTo(0.5 * 20 / 200 + 0.5 * 5 / 100);
	expect(l.diff!.points[i]).toBeCloseTo(10 - 5);
	expect(l.diff!.se[i]).toBeNaN();
	expect(l.diff!.now[1]).toBe(170);
});

test('a change is news beyond two standard errors', () => {
	expect(is_news(3.1, 1.5)).toBe(true);
	expect(is_news(-3, 1.5)).toBe(false);
	expect(is_news(0, 0)).toBe(false);
	expect(format_points(3.1, 0.8)).toBe('+3.10 \u00b1 0.80 points');
	expect(format_points(-3.1, NaN)).toBe('\u22123.10 points');
});

test('rows are sorted by their signed change', () => {
	const row = (name: string, self_delta: number, total_delta: number) =>
		({ name, library: '', file: '', line: 0, self: 0, base_self: 0, self_delta, self_se: 0, total_delta, total_se: 0 });
	const rows = [row('a', 1, -9), row('b', -5, 2), row('c', 4, 3)];
	const order = (sort: string) => diff_rows_sort(rows, sort).map((r) => r.name).join('');
	expect([order('-self'), order('self'), order('-total'), order('name')]).toEqual(['cab', 'bac', 'cba', 'abc']);
});
