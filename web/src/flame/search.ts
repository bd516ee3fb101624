// SPDX-License-Identifier: Apache-2.0
//
// flame/search.ts - what the search box means, and what it finds in a layout.
//
// text: substring, any case; "text": exactly this name; /re/ or /re/i: regular expression;
// lib:text and file:text look there instead of at the name.  No DOM.
import { type Layout, node_library, node_name, node_place } from './layout';

export interface Matcher {
	field: 'name' | 'library' | 'file';
	test: (text: string) => boolean;
}

export interface Found {
	mask: Uint8Array; // by node
	nodes: number[]; // in preorder, which is top left first
	value: number; // covered by matches, a match within a match counted once
}

// null for an empty query; throws SyntaxError for a regular expression that is none.
export function matcher_parse(query: string): Matcher | null {
	let text = query.trim();
	let field: Matcher['field'] = 'name';
	if (/^lib:/i.test(text)) {
		field = 'library';
		text = text.slice(4);
	} else if (/^file:/i.test(text)) {
		field = 'file';
		text = text.slice(5);
	}
	if (!text) return null;
	const pattern = /^\/(.+)\/(i?)$/s.exec(text);
	if (pattern) {
		const re = new RegExp(pattern[1], `u${pattern[2]}`);
		return { field, test: (t) => re.test(t) };
	}
	if (text.length > 2 && text.startsWith('"') && text.endsWith('"')) {
		const exact = text.slice(1, -1);
		return { field, test: (t) => t === exact };
	}
	const lower = text.toLowerCase();
	return { field, test: (t) => t.toLowerCase().includes(lower) };
}

export function search(l: Layout, matcher: Matcher): Found {
	const found: Found = { mask: new Uint8Array(l.count), nodes: [], value: 0 };
	const text = { name: node_name, library: node_library, file: node_place }[matcher.field];
	const known = new Map<string, boolean>();
	let covered = 0;
	for (let i = 1; i < l.count; i++) {
		if (l.source[i] < 0) continue;
		const of = text(l, i);
		let hit = known.get(of);
		if (hit === undefined) known.set(of, (hit = matcher.test(of)));
		if (!hit) continue;
		found.mask[i] = 1;
		found.nodes.push(i);
		if (i < covered) continue;
		found.value += l.total[i];
		covered = l.end[i];
	}
	return found;
}

// The match behind or before `at`, around the ends; -1 when there is none.
export function next_match(found: Found, at: number, step: 1 | -1): number {
	const { nodes } = found;
	if (!nodes.length) return -1;
	if (step > 0) return nodes.find((i) => i > at) ?? nodes[0];
	for (let k = nodes.length - 1; k >= 0; k--) if (nodes[k] < at) return nodes[k];
	return nodes[nodes.length - 1];
}
