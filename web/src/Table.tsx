// SPDX-License-Identifier: Apache-2.0
//
// Table.tsx - the functions behind the graph, sorted by any column: the same numbers for whoever
// does not see a canvas.  A row's name searches for it in the graph.
import { computed } from '@preact/signals';

import type { Row } from './api';
import { format_count, format_percent, format_value } from './format';
import { matcher, set_view, top, view, words } from './state';
import { Swatch } from './Swatch';

type Column = 'name' | 'library' | 'self' | 'total';

const COLUMNS: { key: Column; title: string; numeric: boolean }[] = [
	{ key: 'name', title: 'Function', numeric: false },
	{ key: 'library', title: 'Library', numeric: false },
	{ key: 'self', title: 'Self', numeric: true },
	{ key: 'total', title: 'Total', numeric: true },
];

export function rows_sort(rows: readonly Row[], sort: string): Row[] {
	const down = sort.startsWith('-');
	const key = (down ? sort.slice(1) : sort) as Column;
	const compare = (a: Row, b: Row) => {
		const order = key === 'self' || key === 'total' ? a[key] - b[key] : a[key] < b[key] ? -1 : +(a[key] > b[key]);
		return (down ? -order : order) || b.self - a.self || b.total - a.total;
	};
	return [...rows].sort(compare);
}

const shown = computed<Row[]>(() => {
	const rows = top.value.data?.rows ?? [];
	const sorted = rows_sort(rows, view.value.sort);
	const { test } = matcher.value;
	if (!test) return sorted;
	const text = (r: Row) => (test.field === 'library' ? r.library : test.field === 'file' ? r.file : r.name);
	return sorted.filter((r) => test.test(text(r)));
});

// Counts bear their unit in the heading, times and sizes in every cell.
function unit_word(unit: string): string {
	return unit === 'count' ? words.value.noun || 'times' : '';
}

function Heading({ column, unit }: { column: (typeof COLUMNS)[number]; unit: string }) {
	const { sort } = view.value;
	const { key, title, numeric } = column;
	const order = sort === key ? 'ascending' : sort === `-${key}` ? 'descending' : undefined;
	const next = order ? (order === 'descending' ? key : `-${key}`) : numeric ? `-${key}` : key;
	return (
		<th scope="col" class={`${key} ${numeric ? 'number' : ''}`} aria-sort={order ?? 'none'}>
			<button type="button" onClick={() => set_view({ sort: next })}>
				{title}
				{numeric && unit && <span class="unit">{unit}</span>}
				<span class="order" aria-hidden="true">{order ? (order === 'ascending' ? '▲' : '▼') : ''}</span>
			</button>
		</th>
	);
}

function Value({ value, whole, unit }: { value: number; whole: number; unit: string }) {
	return (
		<td class="number">
			<span class="value">{unit === 'count' ? format_count(value) : format_value(value, unit)}</span>{' '}
			<span class="percent">{format_percent(value, whole)}</span>
			<progress class="share" max={whole || 1} value={value} aria-hidden="true" />
		</td>
	);
}

export function Table() {
	const data = top.value.data;
	if (!data) return <div class="table" />;
	const rows = shown.value;
	const exact = (name: string) => `"${name}"`;
	const libraries = data.rows.some((row) => row.library);
	const columns = COLUMNS.filter((c) => c.key !== 'library' || libraries);
	return (
		<div class="table">
			<table>
				<caption class="visually-hidden">Functions by self and total {words.value.label}</caption>
				<thead>
					<tr>{columns.map((c) => <Heading key={c.key} column={c} unit={unit_word(data.unit)} />)}</tr>
				</thead>
				<tbody>
					{rows.map((row) => (
						<tr key={`${row.name}\0${row.library}\0${row.file}`} class={view.value.search === exact(row.name) ? 'chosen' : ''}>
							<th scope="row" class="name">
								<button
									type="button" title={`${row.name}\n${row.file}${row.line ? `:${row.line}` : ''}`}
									onClick={() => set_view({ search: view.value.search === exact(row.name) ? '' : exact(row.name) })}
								>
									{libraries && <Swatch library={row.library} />}
									{row.name}
								</button>
							</th>
							{libraries && (
								<td class="library" title={row.library}>
									{row.library || '–'}
								</td>
							)}
							<Value value={row.self} whole={data.total} unit={data.unit} />
							<Value value={row.total} whole={data.total} unit={data.unit} />
						</tr>
					))}
				</tbody>
			</table>
			{!rows.length && <p class="note">No function matches.</p>}
			{data.hidden.rows > 0 && (
				<p class="note">The {data.rows.length} largest by self are listed; {data.hidden.rows} more are not.</p>
			)}
		</div>
	);
}

