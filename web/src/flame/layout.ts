// SPDX-License-Identifier: Apache-2.0
//
// flame/layout.ts - hearth.flamegraph/1 (columns in preorder) into typed arrays that can be drawn.
//
// Totals and positions are derived here: a node's total is its self, what is hidden below it, and
// its children's totals.  What the server hid becomes a node of its own, so widths stay true.
// Positions are in the profile's unit, 0 at the left.  No DOM.

import type { Diff } from './diff';

export interface FlameJson {
	type: string;
	unit: string;
	total: number;
	names: string[];
	libraries: string[];
	files: string[];
	node: {
		name: number[];
		library: number[];
		file: number[];
		line: number[];
		depth: number[];
		self: number[];
		hidden: number[];
		samples: number[];
	};
	hidden: { nodes: number; value: number };
	from: number;
	until: number;
	samples: number;
	lost: Record<string, number>;
	partial: boolean;
	folded?: boolean; /* small stacks stand at [other] */
	records_from?: number; /* ns: a restriction by label reaches no further back */
}

export interface Layout {
	json: FlameJson;
	count: number;
	source: Int32Array; // the node's place in the answer's columns; -1 for a hidden block
	parent: Int32Array; // -1 for the root
	end: Int32Array; // the subtree of i is [i, end[i])
	depth: Int32Array;
	self: Float64Array; // 0 for a hidden block, whose total is the hidden value
	total: Float64Array;
	samples: Float64Array; // of the subtree, without what is hidden
	concealed: Uint8Array; // whether something below is hidden
	x: Float64Array;
	levels: Int32Array[]; // nodes by depth, left to right
	diff?: Diff; // of two selections: values above are widths
}

export const HIDDEN_NAME = '(hidden)';

function allocate(json: FlameJson, capacity: number): Layout {
	return {
		json,
		count: 0,
		source: new Int32Array(capacity),
		parent: new Int32Array(capacity),
		end: new Int32Array(capacity),
		depth: new Int32Array(capacity),
		self: new Float64Array(capacity),
		total: new Float64Array(capacity),
		samples: new Float64Array(capacity),
		concealed: new Uint8Array(capacity),
		x: new Float64Array(capacity),
		levels: [],
	};
}

function append(l: Layout, source: number, parent: number, depth: number): number {
	const at = l.count++;
	l.source[at] = source;
	l.parent[at] = parent;
	l.depth[at] = depth;
	l.end[at] = at + 1;
	return at;
}

// Nodes in preorder, each hidden block behind the last child of its parent.
function arrange(l: Layout): void {
	const { depth, self, hidden, samples } = l.json.node;
	const open: number[] = [];
	const close = () => {
		const at = open.pop()!;
		const value = hidden[l.source[at]];
		if (value > 0) {
			const block = append(l, -1, at, l.depth[at] + 1);
			l.total[block] = value;
			l.concealed[block] = 1;
		}
		l.end[at] = l.count;
	};
	for (let i = 0; i < depth.length; i++) {
		if (depth[i] > (i ? depth[i - 1] + 1 : 0)) throw new Error(`node ${i} has no parent`);
		while (open.length > depth[i]) close();
		if (!open.length && i) throw new Error(`node ${i} is a second root`);
		const at = append(l, i, open.length ? open[open.length - 1] : -1, depth[i]);
		l.self[at] = self[i];
		l.total[at] = self[i];
		l.samples[at] = samples[i];
		open.push(at);
	}
	while (open.length) close();
}

function add_up(l: Layout): void {
	for (let i = l.count - 1; i > 0; i--) {
		const parent = l.parent[i];
		l.total[parent] += l.total[i];
		l.samples[parent] += l.samples[i];
		l.concealed[parent] |= l.concealed[i];
	}
	const next = new Float64Array(l.count);
	for (let i = 1; i < l.count; i++) {
		const parent = l.parent[i];
		l.x[i] = next[parent];
		next[i] = next[parent];
		next[parent] += l.total[i];
	}
}

function sort_levels(l: Layout): void {
	const counts: number[] = [];
	for (let i = 0; i < l.count; i++) counts[l.depth[i]] = (counts[l.depth[i]] ?? 0) + 1;
	l.levels = counts.map((n) => new Int32Array(n));
	const fill = new Int32Array(counts.length);
	for (let i = 0; i < l.count; i++) l.levels[l.depth[i]][fill[l.depth[i]]++] = i;
}

export function layout_build(json: FlameJson): Layout {
	const blocks = json.node.hidden.reduce((n, v) => n + (v > 0 ? 1 : 0), 0);
	const l = allocate(json, json.node.depth.length + blocks);
	arrange(l);
	if (l.count) add_up(l);
	sort_levels(l);
	return l;
}

// The first place in a level whose node ends behind `x`; the level's length when there is none.
export function level_find(l: Layout, level: Int32Array, x: number): number {
	let low = 0;
	let high = level.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		const i = level[middle];
		if (l.x[i] + l.total[i] > x) high = middle;
		else low = middle + 1;
	}
	return low;
}

// The node at a depth that covers position `x`, or -1.
export function node_at(l: Layout, depth: number, x: number): number {
	const level = l.levels[depth];
	if (!level) return -1;
	const place = level_find(l, level, x);
	const i = place < level.length ? level[place] : -1;
	return i >= 0 && l.x[i] <= x ? i : -1;
}

export function node_name(l: Layout, i: number): string {
	const source = l.source[i];
	return source < 0 ? HIDDEN_NAME : l.json.names[l.json.node.name[source]];
}

export function node_library(l: Layout, i: number): string {
	const source = l.source[i];
	return source < 0 ? '' : l.json.libraries[l.json.node.library[source]];
}

// "file:line", "file", or "".
export function node_place(l: Layout, i: number): string {
	const source = l.source[i];
	if (source < 0) return '';
	const file = l.json.files[l.json.node.file[source]];
	const line = l.json.node.line[source];
	return file && line ? `${file}:${line}` : file;
}

export function node_path(l: Layout, i: number): number[] {
	const path: number[] = [];
	for (let at = i; at >= 0; at = l.parent[at]) path.unshift(at);
	return path;
}

// The children of a node, left to right.
export function node_children(l: Layout, i: number): number[] {
	const children: number[] = [];
	for (let at = i + 1; at < l.end[i]; at = l.end[at]) children.push(at);
	return children;
}

// The neighbour on the same level, within the subtree of `within`; -1 at its border.
export function node_neighbour(l: Layout, i: number, step: 1 | -1, within: number): number {
	const level = l.levels[l.depth[i]];
	for (let place = level.indexOf(i) + step; place >= 0 && place < level.length; place += step) {
		const at = level[place];
		if (at < within || at >= l.end[within]) return -1;
		if (l.total[at] > 0) return at;
	}
	return -1;
}

function mix(hash: number, text: string): number {
	let h = Math.imul(hash ^ 0x2f, 16777619);
	for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
	return h >>> 0;
}

// A node's address in links: its depth and a hash of the names on its path, so that it survives new
// data.  "" is the root.
export function path_key(l: Layout, i: number): string {
	if (i <= 0) return '';
	const hash = node_path(l, i).reduce((h, at) => mix(h, node_name(l, at)), 2166136261);
	return `${l.depth[i]}.${hash.toString(36)}`;
}

// The node of a key: the root for "" and for a path that is not in this graph.
export function path_find(l: Layout, key: string): number {
	const depth = Number.parseInt(key, 10);
	if (!key || !(depth > 0)) return 0;
	const hashes = new Uint32Array(l.count);
	for (let i = 0; i < l.count; i++) {
		hashes[i] = mix(i ? hashes[l.parent[i]] : 2166136261, node_name(l, i));
		if (l.depth[i] === depth && key === `${depth}.${hashes[i].toString(36)}`) return i;
	}
	return 0;
}
