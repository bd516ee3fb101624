// SPDX-License-Identifier: Apache-2.0
//
// state.ts - the page's signals: the view (which is the address bar), what the agent answered, and
// the few things that are not in a link (theme, what the pointer is on).
import { batch, computed, effect, signal } from '@preact/signals';

import { type Answers, Problem, type ServiceEntry, type TypeListed, ask } from './api';
import { layout_build, type Layout, path_find, path_key } from './flame/layout';
import { type Found, type Matcher, matcher_parse, search } from './flame/search';
import { type TypeWords, type_key, type_words, types_by_group } from './types';
import { type View, is_live_range, selector, view_format, view_parse } from './view';

export const LIVE_MS = 5000;

// ---- the view ----

export const view = signal<View>(view_parse(location.search));

// push: a step that Back undoes; replace: while typing or dragging.
export function set_view(patch: Partial<View>, how: 'push' | 'replace' = 'push'): void {
	const next = { ...view.peek(), ...patch };
	const text = view_format(next);
	if (text === view_format(view.peek())) return;
	const url = `${location.pathname}${text}`;
	try {
		if (how === 'push') history.pushState(null, '', url);
		else history.replaceState(null, '', url);
	} catch {
		// a file, or a sandbox: its address stays
	}
	view.value = next;
}

addEventListener('popstate', () => {
	view.value = view_parse(location.search);
});

// ---- what the agent answered ----

export interface Loaded<T> {
	data: T | null; // stays while newer data are on their way
	loading: boolean;
	problem: Problem | null;
}

function loaded<T>() {
	return signal<Loaded<T>>({ data: null, loading: true, problem: null });
}

export const services = loaded<ServiceEntry[]>();
export const types = loaded<TypeListed[]>();
export const labels = loaded<string[]>();
export const flame = loaded<Layout>();
export const top = loaded<Answers['top']>();
export const timeline = loaded<Answers['timeline']>();
export const status = loaded<Answers['status']>();

async function load<Name extends keyof Answers, T>(
	into: ReturnType<typeof loaded<T>>, name: Name, parameters: Record<string, string>,
	take: (answer: Answers[Name]) => T, abort?: AbortSignal,
): Promise<void> {
	into.value = { ...into.peek(), loading: true };
	try {
		const data = take(await ask(name, parameters, abort));
		if (!abort?.aborted) into.value = { data, loading: false, problem: null };
	} catch (error) {
		if (abort?.aborted) return;
		const problem = error instanceof Problem ? error : new Problem(-1, String(error));
		into.value = { data: null, loading: false, problem };
	}
}

// ---- what follows from both ----

export const service = computed(() => {
	const wanted = view.value.service;
	if (wanted) return wanted;
	const known = services.value.data ?? [];
	return known.reduce((best, s) => (s.last > best.last ? s : best), known[0] ?? { name: '', last: 0 }).name;
});

export const offered_types = computed<TypeListed[]>(() => {
	const all = types.value.data ?? [];
	const entry = services.value.data?.find((s) => s.name === service.value);
	return entry ? all.filter((t) => entry.types.includes(t.id)) : all;
});

// The type of the view, else CPU time, else whatever there is.
export const type = computed<TypeListed | undefined>(() => {
	const offered = offered_types.value;
	const wanted = view.value.type;
	const named = offered.find((t) => t.alias === wanted || t.id === wanted);
	return named ?? offered.find((t) => t.alias === 'cpu') ?? types_by_group(offered)[0];
});

export const words = computed<TypeWords>(() => type_words(type.value));

// What the API is asked, but for the format; null while nothing can be asked.
export const question = computed<Record<string, string> | null>(() => {
	const v = view.value;
	const asked = v.type || (type.value ? type_key(type.value) : '');
	if (!service.value || !asked || !services.value.data) return null;
	const known = type.value ? type_key(type.value) : asked;
	return { type: known, query: selector(service.value, v.query), from: v.from, until: v.until };
});

const question_text = computed(() => question.value && JSON.stringify([question.value, view.value.nodes]));

export const zoomed = computed(() => {
	const l = flame.value.data;
	return l?.count ? path_find(l, view.value.zoom) : 0;
});

export const matcher = computed<{ test: Matcher | null; error: string }>(() => {
	try {
		return { test: matcher_parse(view.value.search), error: '' };
	} catch (error) {
		return { test: null, error: error instanceof Error ? error.message : String(error) };
	}
});

export const search_error = computed(() => matcher.value.error);

export const found = computed<Found | null>(() => {
	const l = flame.value.data;
	const { test } = matcher.value;
	return test && l ? search(l, test) : null;
});

export const problem = computed(
	() => services.value.problem ?? types.value.problem ?? flame.value.problem ?? timeline.value.problem,
);

export const loading = computed(() => {
	if (services.value.loading || types.value.loading) return true;
	return question.value !== null && (flame.value.loading || top.value.loading || timeline.value.loading);
});

export const selected = signal(-1); // a node of flame

// Where nothing is asked, nothing is on its way.
export function loading_ends(): void {
	timeline.value = { ...timeline.peek(), loading: false };
	status.value = { ...status.peek(), loading: false };
	labels.value = { ...labels.peek(), loading: false };
}

// ---- asking ----

const ticks = signal(0);
let asked: AbortController | null = null;

export function refresh(): void {
	ticks.value++;
}

async function load_catalogue(): Promise<void> {
	await Promise.all([
		load(services, 'services', { from: 'now-60d' }, (a) => a.services),
		load(types, 'types', { from: 'now-60d' }, (a) => a.types),
		load(labels, 'labels', { from: 'now-60d' }, (a) => a.labels),
		load(status, 'status', {}, (a) => a),
	]);
}

function load_data(): void {
	const parameters = question.peek();
	asked?.abort();
	if (!parameters) return;
	asked = new AbortController();
	const { signal: abort } = asked;
	const nodes: Record<string, string> = view.peek().nodes === 'all' ? { max_nodes: '0' } : {};
	void load(flame, 'flamegraph', { ...parameters, ...nodes }, layout_build, abort);
	void load(timeline, 'timeline', parameters, (a) => a, abort);
	void load(top, 'top', { ...parameters, limit: '500' }, (a) => a, abort);
}

export function state_start(): void {
	effect(() => {
		ticks.value;
		void load_catalogue();
	});
	effect(() => {
		ticks.value;
		question_text.value;
		load_data();
	});
	let before: Layout | null = null;
	effect(() => {
		const l = flame.value.data;
		const at = selected.peek();
		if (l === before) return;
		selected.value = before && l && at > 0 ? path_find(l, path_key(before, at)) || -1 : -1;
		before = l;
	});
	setInterval(() => {
		const waiting = services.peek().data?.length === 0;
		const live = view.peek().live && is_live_range(view.peek());
		if (!document.hidden && (live || waiting)) refresh();
	}, LIVE_MS);
}

// ---- theme ----

export type ThemeChoice = 'auto' | 'light' | 'dark';
const THEME_KEY = 'hearth-theme';
const dark_query = matchMedia('(prefers-color-scheme: dark)');
const system_dark = signal(dark_query.matches);
dark_query.addEventListener('change', () => (system_dark.value = dark_query.matches));

function theme_read(): ThemeChoice {
	try {
		const kept = localStorage.getItem(THEME_KEY);
		return kept === 'light' || kept === 'dark' ? kept : 'auto';
	} catch {
		return 'auto';
	}
}

export const theme_choice = signal<ThemeChoice>(theme_read());
export const theme = computed(() =>
	theme_choice.value === 'auto' ? (system_dark.value ? 'dark' : 'light') : theme_choice.value,
);

export function set_theme(choice: ThemeChoice): void {
	batch(() => (theme_choice.value = choice));
	try {
		localStorage.setItem(THEME_KEY, choice);
	} catch {
		// private browsing: the choice lasts as long as the page
	}
}

effect(() => {
	document.documentElement.dataset.theme = theme.value;
});
