// SPDX-License-Identifier: Apache-2.0
//
// Controls.tsx - the bar on top: which service, what of it, when, and what to do with it.
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

import { api_url } from './api';
import {
	type ThemeChoice, labels, loading, offered_types, question, refresh, service, services, set_theme, set_view,
	theme_choice, type, view,
} from './state';
import { GROUPS, type_key, type_words } from './types';
import { is_live_range } from './view';

const PRESETS = ['5m', '15m', '1h', '6h', '24h'];

function ServiceSelect() {
	const known = services.value.data ?? [];
	const listed = known.some((s) => s.name === service.value) || service.value === '*';
	return (
		<label class="field">
			<span>Service</span>
			<select
				id="service" value={service.value}
				onChange={(e) => set_view({ service: e.currentTarget.value, zoom: '' })}
			>
				{!listed && <option value={service.value}>{service.value || '–'}</option>}
				{known.map((s) => <option key={s.name} value={s.name}>{s.name || '(no name)'}</option>)}
				{known.length > 1 && <option value="*">All services</option>}
			</select>
		</label>
	);
}

function TypeSelect() {
	const offered = offered_types.value;
	return (
		<label class="field">
			<span>Profile</span>
			<select
				id="type" value={type.value ? type_key(type.value) : ''}
				onChange={(e) => set_view({ type: e.currentTarget.value, zoom: '' })}
			>
				{!offered.length && <option value="">–</option>}
				{GROUPS.map((group) => {
					const members = offered.filter((t) => type_words(t).group === group);
					if (!members.length) return null;
					return (
						<optgroup key={group} label={group}>
							{members.map((t) => (
								<option key={t.id} value={type_key(t)}>{type_words(t).label}</option>
							))}
						</optgroup>
					);
				})}
			</select>
		</label>
	);
}

function LabelBox() {
	const known = labels.value.data ?? [];
	return (
		<form
			class="field grow" role="search"
			onSubmit={(e) => {
				e.preventDefault();
				set_view({ query: new FormData(e.currentTarget).get('query') as string, zoom: '' });
			}}
		>
			<label for="query">Labels</label>
			<input
				id="query" name="query" type="text" autocomplete="off" spellcheck={false}
				placeholder={`${known.find((k) => k !== 'service') ?? 'host'}="…"`} defaultValue={view.value.query}
				key={view.value.query} list="label-names"
				onBlur={(e) => set_view({ query: e.currentTarget.value })}
			/>
			<datalist id="label-names">
				{known.filter((k) => k !== 'service').map((k) => <option key={k} value={`${k}="`} />)}
			</datalist>
		</form>
	);
}

function Range() {
	const open = useSignal(false);
	const { from, until } = view.value;
	const preset = until === 'now' && from.startsWith('now-') ? from.slice(4) : '';
	const custom = !PRESETS.includes(preset);
	const apply = (event: Event) => {
		event.preventDefault();
		const given = new FormData(event.currentTarget as HTMLFormElement);
		open.value = false;
		set_view({ from: (given.get('from') as string) || 'now-1h', until: (given.get('until') as string) || 'now' });
	};
	return (
		<div class="field range">
			<span id="range-label">Time</span>
			<div class="segments" role="group" aria-labelledby="range-label">
				{PRESETS.map((p) => (
					<button
						key={p} type="button" aria-pressed={p === preset}
						onClick={() => set_view({ from: `now-${p}`, until: 'now' })}
					>
						{p}
					</button>
				))}
				<button type="button" aria-pressed={custom} aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
					custom
				</button>
			</div>
			{open.value && (
				<form class="popover" onSubmit={apply} onKeyDown={(e) => e.key === 'Escape' && (open.value = false)}>
					<label>From <input name="from" defaultValue={from} autoFocus /></label>
					<label>Until <input name="until" defaultValue={until} /></label>
					<p>RFC 3339, Unix time, or relative: <code>now-90m</code></p>
					<button type="submit" class="primary">Apply</button>
				</form>
			)}
		</div>
	);
}

function Export() {
	const q = question.value;
	if (!q) return null;
	const link = (format: string) => api_url('flamegraph', { ...q, format, max_nodes: '0' });
	return (
		<details class="menu">
			<summary class="button">Export</summary>
			<ul>
				<li><a href={link('svg')} target="_blank" rel="noopener">SVG picture</a></li>
				<li><a href={link('folded')} download="profile.folded">Folded stacks</a></li>
				<li><a href={link('json')} download="profile.json">JSON, every node</a></li>
				<li><a href={link('flamebearer')} download="profile.flamebearer.json">Flamebearer</a></li>
			</ul>
		</details>
	);
}

function Theme() {
	const next: Record<ThemeChoice, ThemeChoice> = { auto: 'light', light: 'dark', dark: 'auto' };
	const icon: Record<ThemeChoice, string> = { auto: '◐', light: '☀', dark: '☾' };
	const choice = theme_choice.value;
	return (
		<button
			type="button" class="button icon" title={`Colours: ${choice}; click for ${next[choice]}`}
			aria-label={`Colours: ${choice}`} onClick={() => set_theme(next[choice])}
		>
			{icon[choice]}
		</button>
	);
}

// A menu closes when something else is clicked, or by Escape.
function use_menus_closing(): void {
	useEffect(() => {
		const close = (event: Event) => {
			if (event instanceof KeyboardEvent && event.key !== 'Escape') return;
			for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.menu[open]'))
				if (event instanceof KeyboardEvent || !menu.contains(event.target as Node)) menu.open = false;
		};
		addEventListener('click', close);
		addEventListener('keydown', close);
		return () => {
			removeEventListener('click', close);
			removeEventListener('keydown', close);
		};
	}, []);
}

export function Controls() {
	const can_live = is_live_range(view.value);
	use_menus_closing();
	return (
		<header class="bar">
			<a class="brand" href="/" aria-label="hearth, start page">
				<svg viewBox="0 0 32 32" aria-hidden="true">
					<rect x="3" y="24" width="26" height="5" rx="1.5" class="ember-1" />
					<rect x="3" y="17.5" width="17" height="5" rx="1.5" class="ember-2" />
					<rect x="21.5" y="17.5" width="7.5" height="5" rx="1.5" class="ember-1" />
					<rect x="6" y="11" width="12" height="5" rx="1.5" class="ember-3" />
					<rect x="6" y="4.5" width="7" height="5" rx="1.5" class="ember-4" />
				</svg>
				<span>hearth</span>
			</a>
			<ServiceSelect />
			<TypeSelect />
			<LabelBox />
			<Range />
			<div class="actions">
				<button
					type="button" class="button" aria-pressed={view.value.live && can_live} disabled={!can_live}
					title={can_live ? 'Ask again every 5 seconds' : 'Live needs a range that ends now'}
					onClick={() => set_view({ live: !view.value.live })}
				>
					<i class={`dot ${view.value.live && can_live ? 'on' : ''}`} aria-hidden="true" />Live
				</button>
				<button type="button" class="button icon" aria-label="Refresh" title="Refresh" onClick={refresh}>
					<span class={loading.value ? 'turning' : ''} aria-hidden="true">↻</span>
				</button>
				<Export />
				<Theme />
			</div>
		</header>
	);
}
