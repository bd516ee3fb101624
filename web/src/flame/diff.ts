// SPDX-License-Identifier: Apache-2.0
//
// flame/diff.ts - hearth.diff/1 as a layout: a frame is as wide as its share of both sides together, each side
// counting half, so that what vanished is seen too.  No DOM.
import { type FlameJson, type Layout, layout_build } from './layout';

export interface DiffJson extends FlameJson {
	base_total: number;
	base_from: number;
	base_until: number;
	base: { samples: number; lost: Record<string, number>; partial: boolean };
	node: FlameJson['node'] & {
		base_self: number[];
		base_hidden: number[];
		base_samples: number[];
		delta: number[]; // of the total, in points
		se: number[];
	};
}

// By node of the layout.
export interface Diff {
	json: DiffJson;
	base: Float64Array; // totals
	now: Float64Array;
	points: Float64Array; // new - base
	se: Float64Array; // NaN of what the agent hid: nobody knows
}

export function is_diff(json: FlameJson): json is DiffJson {
	return 'base_total' in json;
}

// Weights of a unit of each side; what both sides' widths add up to.
function weights(json: DiffJson): { now: number; base: number; whole: number } {
	const { total, base_total } = json;
	const half = total && base_total ? 0.5 : 1;
	return {
		now: total ? half / total : 0, base: base_total ? half / base_total : 0,
		whole: total || base_total ? 1 : 0,
	};
}

function side(l: Layout, self: number[], hidden: number[]): Float64Array {
	const totals = new Float64Array(l.count);
	for (let i = l.count - 1; i >= 0; i--) {
		const at = l.source[i];
		totals[i] += at < 0 ? hidden[l.source[l.parent[i]]] : self[at];
		if (i) totals[l.parent[i]] += totals[i];
	}
	return totals;
}

export function diff_layout(json: DiffJson): Layout {
	const { node } = json;
	const weight = weights(json);
	const width = (now: number[], base: number[]) => now.map((v, i) => v * weight.now + base[i] * weight.base);
	const l = layout_build({
		...json, total: weight.whole,
		node: { ...node, self: width(node.self, node.base_self), hidden: width(node.hidden, node.base_hidden) },
	});
	const now = side(l, node.self, node.hidden);
	const base = side(l, node.base_self, node.base_hidden);
	const share = (v: number, whole: number) => (whole ? (100 * v) / whole : 0);
	const points = now.map((v, i) =>
		l.source[i] < 0 ? share(v, json.total) - share(base[i], json.base_total) : node.delta[l.source[i]]);
	const se = now.map((_, i) => (l.source[i] < 0 ? NaN : node.se[l.source[i]]));
	l.diff = { json, base, now, points, se };
	return l;
}

// What is within two standard errors is no news.
export function is_news(points: number, se: number): boolean {
	return Math.abs(points) > 2 * se;
}

export function format_points(points: number, se: number): string {
	const sign = points > 0 ? '+' : points < 0 ? '\u2212' : '';
	const error = Number.isNaN(se) ? '' : ` \u00b1 ${se.toFixed(2)}`;
	return `${sign}${Math.abs(points).toFixed(2)}${error} points`;
}

// ---- rows: hearth.diff_top/1 ----

export interface DiffRow {
	name: string;
	library: string;
	file: string;
	line: number;
	self: number;
	base_self: number;
	self_delta: number;
	self_se: number;
	total_delta: number;
	total_se: number;
}

export interface DiffTop {
	total: number;
	base_total: number;
	rows: DiffRow[];
	hidden: { rows: number };
}

// What grew most comes first, or what shrank most.
export function diff_rows_sort(rows: readonly DiffRow[], sort: string): DiffRow[] {
	const down = sort.startsWith('-');
	const key = down ? sort.slice(1) : sort;
	const compare = (a: DiffRow, b: DiffRow) => {
		const order = key === 'total' ? a.total_delta - b.total_delta
			: key === 'name' ? (a.name < b.name ? -1 : +(a.name > b.name)) : a.self_delta - b.self_delta;
		return (down ? -order : order) || Math.abs(b.total_delta) - Math.abs(a.total_delta);
	};
	return [...rows].sort(compare);
}
