// SPDX-License-Identifier: Apache-2.0
//
// DiffTable.tsx - the functions that changed most, before and now, in points with their standard errors.
import { computed, signal } from '@preact/signals';

import { type DiffRow, type DiffTop, diff_rows_sort, format_points, is_news } from './flame/diff';
import { format_percent } from './format';
import { matcher, set_view, view, words } from './state';

export const diff_top = signal<DiffTop | null>(null);

const COLUMNS: { key: string; title: string; sorts: boolean }[] = [
	{ key: 'name', title: 'Function', sorts: true },
	{ key: 'before', title: 'Before', sorts: false },
	{ key: 'now', title: 'Now', sorts: false },
	{ key: 'self', title: 'Self', sorts: true },
	{ key: 'total', title: 'Total', sorts: true },
];

const shown = computed<DiffRow[]>(() => {
	const sorted = diff_rows_sort(diff_top.value?.rows ?? [], view.value.sort);
	const { test } = matcher.value;
	if (!test) return sorted;
	return sorted.filter((r) => test.test(test.field === 'library' ? r.library : test.field === 'file' ? r.file : r.name));
});

function Heading({ column }: { column: (typeof COLUMNS)[number] }) {
	const { sort } = view.value;
	const { key, title, sorts } = column;
	const order = sort === key ? 'ascending' : sort === `-${key}` ? 'descending' : undefined;
	const next = order ? (order === 'descending' ? key : `-${key}`) : key === 'name' ? key : `-${key}`;
	const style = key === 'name' ? 'name' : sorts ? 'number change' : 'number';
	if (!sorts) return <th scope="col" class={style}>{title}</th>;
	return (
		<th scope="col" class={style} aria-sort={order ?? 'none'}>
			<button type="button" onClick={() => set_view({ sort: next })}>
				{title}
				<span class="order" aria-hidden="true">{order ? (order === 'ascending' ? '\u25b2' : '\u25bc') : ''}</span>
			</button>
		</th>
	);
}

function Change({ points, se }: { points: number; se: number }) {
	const kind = !is_news(points, se) ? 'dull' : points > 0 ? 'grew' : 'shrank';
	return <td class={`number ${kind}`}>{format_points(points, se).replace(/ points$/, '')}</td>;
}

export function DiffTable() {
	const data = diff_top.value;
	if (!data) return <div class="table diff" />;
	const exact = (name: string) => `"${name}"`;
	return (
		<div class="table diff">
			<table>
				<caption class="visually-hidden">Functions: their own share of {words.value.label} before and now, and the change of self and total in points</caption>
				<thead>
					<tr>{COLUMNS.map((c) => <Heading key={c.key} column={c} />)}</tr>
				</thead>
				<tbody>
					{shown.value.map((row) => (
						<tr key={`${row.name}\0${row.library}\0${row.file}\0${row.line}`} class={view.value.search === exact(row.name) ? 'chosen' : ''}>
							<th scope="row" class="name">
								<button
									type="button" title={`${row.name}\n${row.file}${row.line ? `:${row.line}` : ''}`}
									onClick={() => set_view({ search: view.value.search === exact(row.name) ? '' : exact(row.name) })}
								>
									{row.name}
								</button>
							</th>
							<td class="number">{format_percent(row.base_self, data.base_total)}</td>
							<td class="number">{format_percent(row.self, data.total)}</td>
							<Change points={row.self_delta} se={row.self_se} />
							<Change points={row.total_delta} se={row.total_se} />
						</tr>
					))}
				</tbody>
			</table>
			{!shown.value.length && <p class="note">No function matches.</p>}
			{data.hidden.rows > 0 && (
				<p class="note">The {data.rows.length} that changed most are listed; {data.hidden.rows} more are not.</p>
			)}
		</div>
	);
}
