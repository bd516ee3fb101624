// SPDX-License-Identifier: Apache-2.0
//
// App.tsx - the page's parts and which of them show.
import { useEffect } from 'preact/hooks';

import { Controls } from './Controls';
import { Begin, Nothing, Wrong } from './Empty';
import { Flame } from './flame/Flame';
import { flame, loading, problem, services, set_view, status, view } from './state';
import { Table } from './Table';
import { Timeline } from './Timeline';
import { Facts, Toolbar } from './Toolbar';

function is_typing(target: EventTarget | null): boolean {
	return target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
}

// "/" goes to the search from everywhere, "t" turns the graph.
function use_shortcuts(): void {
	useEffect(() => {
		const key = (event: KeyboardEvent) => {
			if (is_typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
			if (event.key === '/') document.getElementById('search')?.focus();
			else if (event.key === 't') set_view({ shape: view.peek().shape === 'icicle' ? 'flame' : 'icicle' });
			else return;
			event.preventDefault();
		};
		addEventListener('keydown', key);
		return () => removeEventListener('keydown', key);
	}, []);
}

function Main() {
	if (problem.value) return <Wrong problem={problem.value} />;
	if (services.value.data?.length === 0) return <Begin />;
	const l = flame.value.data;
	if (!l) return <section class="empty quiet-empty" role="status"><p>Loading…</p></section>;
	const { show } = view.value;
	const nothing = l.json.total === 0;
	return (
		<>
			<Timeline />
			{nothing ? <Nothing /> : (
				<section class={`panel ${loading.value ? 'stale' : ''}`} aria-label="Profile">
					<Facts />
					<Toolbar />
					<div class={`views show-${show}`}>
						{show !== 'flame' && <Table />}
						{show !== 'table' && <Flame />}
					</div>
				</section>
			)}
		</>
	);
}

function Foot() {
	const s = status.value.data;
	return (
		<footer class="foot">
			{s && <span>hearthd {s.version} on {s.host}</span>}
			{s && s.symbols.queued > 0 && <span>{s.symbols.queued} binaries wait for their names</span>}
			{s?.storage.trouble && <span class="warn">store: {s.storage.trouble}</span>}
			<span class="keys"><kbd>/</kbd> search <kbd>↑↓←→</kbd> move <kbd>Enter</kbd> zoom <kbd>⌫</kbd> out <kbd>n</kbd> next match <kbd>t</kbd> turn</span>
		</footer>
	);
}

export function App() {
	use_shortcuts();
	return (
		<>
			<Controls />
			<main>
				<Main />
			</main>
			<Foot />
		</>
	);
}
