// SPDX-License-Identifier: Apache-2.0
//
// sample.ts - answers in the agent's format, made from folded stacks.
import type { FlameJson } from '../src/flame/layout';

interface Node {
	name: string;
	self: number;
	hidden: number;
	samples: number;
	children: Map<string, Node>;
}

function node(name: string): Node {
	return { name, self: 0, hidden: 0, samples: 0, children: new Map() };
}

// "a;b 3" adds 3 to b's self; "a;b ~3" hides 3 below b.
export function flame_json(folded: string[], library = ''): FlameJson {
	const root = node('total');
	let total = 0;
	for (const line of folded) {
		const cut = line.lastIndexOf(' ');
		const hidden = line[cut + 1] === '~';
		const value = Number(line.slice(cut + (hidden ? 2 : 1)));
		let at = root;
		for (const name of line.slice(0, cut).split(';')) {
			if (!at.children.has(name)) at.children.set(name, node(name));
			at = at.children.get(name)!;
		}
		if (hidden) at.hidden += value;
		else {
			at.self += value;
			at.samples += value;
		}
		total += value;
	}
	const names = [''];
	const numbers = new Map<string, number>();
	const json: FlameJson = {
		type: 'process_cpu:samples:count:cpu:nanoseconds', unit: 'count', total, names,
		libraries: ['', library], files: ['', 'a.c'],
		node: { name: [], library: [], file: [], line: [], depth: [], self: [], hidden: [], samples: [] },
		hidden: { nodes: 0, value: 0 }, from: 0, until: 1e9, samples: total, lost: {}, partial: false,
	};
	const write = (n: Node, depth: number) => {
		if (!numbers.has(n.name)) numbers.set(n.name, names.push(n.name) - 1);
		json.node.name.push(numbers.get(n.name)!);
		json.node.library.push(depth && library ? 1 : 0);
		json.node.file.push(depth ? 1 : 0);
		json.node.line.push(depth);
		json.node.depth.push(depth);
		json.node.self.push(n.self);
		json.node.hidden.push(n.hidden);
		json.node.samples.push(n.samples);
		for (const child of n.children.values()) write(child, depth + 1);
	};
	write(root, 0);
	return json;
}
