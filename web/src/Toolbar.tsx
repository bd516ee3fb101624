// SPDX-License-Identifier: Apache-2.0
//
// Toolbar.tsx - above the graph: its facts (how much, from how many samples, what is missing), the
// views, the search, and the path of the zoom.
import { computed } from '@preact/signals';

import { format_count, format_percent, format_value } from './format';
import type { Diff } from './flame/diff';
import { zoom_to } from './flame/Flame';
import { type Layout, node_library, node_name, node_path } from './flame/layout';
import { next_match } from './flame/search';
import { flame, found, search_error, selected, set_view, view, words, zoomed } from './state';
import { Swatch } from './Swatch';

// `fixed`: there is nobody to ask for more.
export function Facts({ fixed = false }: { fixed?: boolean }) {
	const l = flame.value.data;
	if (!l) return null;
	const { total, unit, samples, lost, partial, folded, records_from, hidden } = l.json;
	const losses = Object.entries(lost).filter(([, n]) => n > 0);
	return (
		<p class="facts">
			{words.value.noun === 'samples' ? (
				<><strong>{format_count(total)}</strong> {words.value.label}</>
			) : (
				<>
					<strong>{format_value(total, unit, words.value.noun)}</strong> {words.value.label}, from{' '}
					{samples.toLocaleString('en')} samples
				</>
			)}
			{losses.map(([reason, n]) => (
				<span key={reason} class="warn">lost: {format_count(n)} samples ({reason})</span>
			))}
			{partial && <span class="warn">partial: the query reached its time limit; choose a shorter range</span>}
			{folded && (
				<span class="warn">small stacks of some hours stand at [other]: the store had no room for them</span>
			)}
			{records_from !== undefined && (
				<span class="warn">
					without what came before {new Date(records_from / 1e6).toISOString().slice(0, 19)}Z: records of that time,
					which have labels, are gone
				</span>
			)}
			{hidden.nodes > 0 && (
				<span class="tag">
					hidden: {format_percent(hidden.value, total)} in {hidden.nodes.toLocaleString('en')} small frames{' '}
					{!fixed && <button type="button" class="link" onClick={() => set_view({ nodes: 'all' })}>show all</button>}
				</span>
			)}
			{view.value.nodes === 'all' && (
				<span class="tag">
					every frame is drawn{' '}
					<button type="button" class="link" onClick={() => set_view({ nodes: 'few' })}>hide small ones</button>
				</span>
			)}
		</p>
	);
}

// What is missing of a side.
function Missing({ what, of }: { what: string; of: Pick<Diff['json'], 'lost' | 'partial' | 'folded'> }) {
	return (
		<>
			{Object.entries(of.lost).filter(([, n]) => n > 0).map(([reason, n]) => (
				<span key={reason} class="warn">{what}, lost: {format_count(n)} samples ({reason})</span>
			))}
			{of.partial && <span class="warn">{what}, partial: the query reached its time limit</span>}
			{of.folded && <span class="warn">{what}: small stacks of some hours stand at [other]</span>}
		</>
	);
}

export function DiffFacts({ diff }: { diff: Diff }) {
	const { total, base_total, unit, samples, base, hidden } = diff.json;
	const value = (v: number) => format_value(v, unit, words.value.noun);
	return (
		<p class="facts">
			{words.value.label}: base <strong>{value(base_total)}</strong> from {base.samples.toLocaleString('en')} samples,
			new <strong>{value(total)}</strong> from {samples.toLocaleString('en')} samples
			<Missing what="base" of={base} />
			<Missing what="new" of={diff.json} />
			{hidden.nodes > 0 && <span class="tag">hidden: {hidden.nodes.toLocaleString('en')} small frames</span>}
			<span class="tag grew">grew</span>
			<span class="tag shrank">shrank</span>
			<span class="tag">within two standard errors</span>
		</p>
	);
}

function Segments<T extends string>({ label, value, choices, onChoose }: {
	label: string; value: T; choices: [T, string][]; onChoose: (value: T) => void;
}) {
	return (
		<div class="segments" role="group" aria-label={label}>
			{choices.map(([key, title]) => (
				<button key={key} type="button" aria-pressed={key === value} onClick={() => onChoose(key)}>{title}</button>
			))}
		</div>
	);
}

function Search() {
	const l = flame.value.data;
	const matches = found.value;
	const go = (step: 1 | -1) => {
		if (matches?.nodes.length) selected.value = next_match(matches, selected.peek(), step);
	};
	return (
		<div class="search">
			<input
				id="search" type="search" value={view.value.search} autocomplete="off" spellcheck={false}
				placeholder="Search: name, /regex/, lib:…" aria-label="Search frames"
				aria-invalid={search_error.value !== ''} title={search_error.value}
				onInput={(e) => set_view({ search: e.currentTarget.value }, 'replace')}
				onKeyDown={(e) => {
					if (e.key === 'Enter') go(e.shiftKey ? -1 : 1);
					if (e.key === 'Escape') set_view({ search: '' });
				}}
			/>
			<span class={`matched ${search_error.value ? 'warn' : ''}`} role="status">
				{search_error.value ? 'not a pattern'
					: matches && l ? `${format_percent(matches.value, l.json.total)} in ${matches.nodes.length.toLocaleString('en')} frames` : ''}
			</span>
			{matches && (
				<>
					<button type="button" class="button icon" aria-label="Previous match" title="Previous match (N)" onClick={() => go(-1)}>‹</button>
					<button type="button" class="button icon" aria-label="Next match" title="Next match (n)" onClick={() => go(1)}>›</button>
				</>
			)}
		</div>
	);
}

function Crumbs({ layout }: { layout: Layout }) {
	const at = zoomed.value;
	if (!at) return null;
	const path = node_path(layout, at);
	const shown = path.length > 6 ? [path[0], -1, ...path.slice(-4)] : path;
	return (
		<nav class="crumbs" aria-label="Zoom">
			<button type="button" class="button" onClick={() => zoom_to(layout, 0)}>Reset zoom</button>
			<ol>
				{shown.map((i) => (
					<li key={i}>
						{i < 0 ? <span>…</span> : i === at ? <span aria-current="true" title={node_name(layout, i)}>{node_name(layout, i)}</span> : (
							<button type="button" class="link" title={node_name(layout, i)} onClick={() => zoom_to(layout, i)}>
								{node_name(layout, i)}
							</button>
						)}
					</li>
				))}
			</ol>
		</nav>
	);
}

const LEGEND_MAX = 5;

// The libraries with the most self value; a click searches for one.
const legend = computed(() => {
	const l = flame.value.data;
	const sums = new Map<string, number>();
	for (let i = 1; l && i < l.count; i++) {
		const library = node_library(l, i);
		if (library) sums.set(library, (sums.get(library) ?? 0) + l.self[i]);
	}
	return [...sums].sort((a, b) => b[1] - a[1]);
});

function Legend() {
	const all = legend.value;
	if (!all.length) return null;
	return (
		<div class="legend" role="group" aria-label="Colours by library">
			{all.slice(0, LEGEND_MAX).map(([library]) => {
				const query = `lib:"${library}"`;
				const on = view.value.search === query;
				return (
					<button
						key={library} type="button" class="chip" aria-pressed={on}
						title={`Highlight ${library}`} onClick={() => set_view({ search: on ? '' : query })}
					>
						<Swatch library={library} />{library}
					</button>
				);
			})}
			{all.length > LEGEND_MAX && <span class="more">{all.length - LEGEND_MAX} more</span>}
		</div>
	);
}

export function Toolbar() {
	const l = flame.value.data;
	const { show, shape } = view.value;
	return (
		<div class="toolbar">
			<Segments
				label="View" value={show} onChoose={(value) => set_view({ show: value })}
				choices={[['flame', 'Flame graph'], ['both', 'Both'], ['table', 'Table']]}
			/>
			{show !== 'table' && (
				<Segments
					label="Orientation" value={shape} onChoose={(value) => set_view({ shape: value })}
					choices={[['icicle', 'Root on top'], ['flame', 'Root below']]}
				/>
			)}
			<Search />
			{show !== 'table' && !l?.diff && <Legend />}
			{l && show !== 'table' && <Crumbs layout={l} />}
		</div>
	);
}
