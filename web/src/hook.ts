// SPDX-License-Identifier: Apache-2.0
//
// hook.ts - window.__hearth: what is drawn, for tests and for the curious.  Read only.
import { node_name, node_path } from './flame/layout';
import { flame, found, loading, question, selected, view, zoomed } from './state';

export interface Painted {
	draws: number;
	milliseconds: number; // of the last draw
	place: (node: number) => { x: number; y: number } | null; // in the window's coordinates
}

export const painted: Painted = { draws: 0, milliseconds: 0, place: () => null };

function find(name: string): number {
	const l = flame.peek().data;
	for (let i = 0; l && i < l.count; i++) if (node_name(l, i) === name) return i;
	return -1;
}

export function hook_install(): void {
	const l = () => flame.peek().data;
	Object.defineProperty(window, '__hearth', {
		value: Object.freeze({
			view: () => view.peek(),
			question: () => question.peek(),
			loading: () => loading.peek(),
			nodes: () => l()?.count ?? 0,
			total: () => (l()?.count ? l()!.total[0] : 0),
			type: () => l()?.json.type ?? '',
			names: () => Array.from({ length: l()?.count ?? 0 }, (_, i) => node_name(l()!, i)),
			zoomed: () => (l()?.count ? node_path(l()!, zoomed.peek()).map((i) => node_name(l()!, i)) : []),
			selected: () => (l() && selected.peek() >= 0 ? node_name(l()!, selected.peek()) : ''),
			matched: () => found.peek()?.value ?? 0,
			place: (name: string) => painted.place(find(name)),
			draws: () => painted.draws,
			milliseconds: () => painted.milliseconds,
		}),
	});
}
