// SPDX-License-Identifier: Apache-2.0
//
// standalone.tsx - one flame graph, or the diff of two, in a file of its own (format=html): the page's graph, table
// and search on a profile that stands in the document.  Nothing is asked of anybody.
import './style.css';

import { render } from 'preact';

import type { Row } from './api';
import { diff_top, DiffTable } from './DiffTable';
import { diff_layout, is_diff } from './flame/diff';
import { Flame } from './flame/Flame';
import { type FlameJson, type Layout, layout_build, node_library, node_name } from './flame/layout';
import { hook_install } from './hook';
import { flame, loading_ends, services, top, types, view } from './state';
import { Table } from './Table';
import { DiffFacts, Facts, Toolbar } from './Toolbar';

// Functions, as the agent sums them: recursion counts once in a total.
export function rows_of(l: Layout): Row[] {
	const rows = new Map<string, Row>();
	const open: string[] = [];
	for (let i = 1; i < l.count; i++) {
		if (l.source[i] < 0) continue;
		const [name, library] = [node_name(l, i), node_library(l, i)];
		const key = `${name}\0${library}`;
		open.length = l.depth[i];
		const row = rows.get(key) ?? { name, library, file: '', line: 0, self: 0, total: 0, samples: 0, samples_total: 0 };
		row.self += l.self[i];
		if (!open.includes(key)) row.total += l.total[i];
		open[l.depth[i]] = key;
		rows.set(key, row);
	}
	return [...rows.values()];
}

function start(): void {
	const element = document.getElementById('profile')!;
	const json: FlameJson = JSON.parse(element.textContent!);
	const alias = element.dataset.alias || null;
	const layout = is_diff(json) ? diff_layout(json) : layout_build(json);
	const [, type = ''] = json.type.split(':');
	const { from, until } = json;
	services.value = { data: [{ name: '', series: 1, first: from, last: until, types: [json.type] }], loading: false, problem: null };
	types.value = {
		data: [{ id: json.type, alias, type, unit: json.unit, kind: '', first: from, last: until }], loading: false, problem: null,
	};
	if (layout.diff) diff_top.value = JSON.parse(document.getElementById('rows')!.textContent!);
	else top.value = { data: { ...json, rows: rows_of(layout), hidden: { rows: 0 } }, loading: false, problem: null };
	flame.value = { data: layout, loading: false, problem: null };
	loading_ends();
}

function Graph() {
	const { show } = view.value;
	const diff = flame.value.data?.diff;
	return (
		<main>
			<section class="panel" aria-label="Profile">
				{diff ? <DiffFacts diff={diff} /> : <Facts fixed />}
				<Toolbar />
				<div class={`views show-${show}`}>
					{show !== 'flame' && (diff ? <DiffTable /> : <Table />)}
					{show !== 'table' && <Flame />}
				</div>
			</section>
		</main>
	);
}

start();
hook_install();
render(<Graph />, document.getElementById('page')!);
