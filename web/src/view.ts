// SPDX-License-Identifier: Apache-2.0
//
// view.ts - everything that a link can say, and its spelling in the query string.
//
// The query string is the only place where the view is kept.  What equals its default is left out,
// relative times stay relative, and unknown parameters are dropped.  No DOM.

export interface View {
	service: string; // "" : the one seen last, "*": all
	type: string; // alias or id
	query: string; // further matchers, without braces
	from: string; // as the API takes it
	until: string;
	show: 'flame' | 'both' | 'table';
	shape: 'icicle' | 'flame'; // root at the top or at the bottom
	search: string;
	zoom: string; // path_key of the zoomed node
	sort: string; // of the table: "self", "-self" …; minus: largest first
	nodes: 'few' | 'all';
	live: boolean;
}

export const DEFAULTS: View = {
	service: '',
	type: '',
	query: '',
	from: 'now-1h',
	until: 'now',
	show: 'both',
	shape: 'icicle',
	search: '',
	zoom: '',
	sort: '-self',
	nodes: 'few',
	live: false,
};

const CHOICES: Partial<Record<keyof View, string[]>> = {
	show: ['flame', 'both', 'table'],
	shape: ['icicle', 'flame'],
	sort: ['self', '-self', 'total', '-total', 'name', '-name', 'library', '-library'],
	nodes: ['few', 'all'],
};

const KEYS = Object.keys(DEFAULTS) as (keyof View)[];

export function view_parse(search: string): View {
	const given = new URLSearchParams(search);
	const view = { ...DEFAULTS } as Record<keyof View, string | boolean>;
	for (const key of KEYS) {
		const text = given.get(key);
		if (text === null) continue;
		if (key === 'live') view.live = text === '1';
		else if (!CHOICES[key] || CHOICES[key]!.includes(text)) view[key] = text;
	}
	if (!view.from) view.from = DEFAULTS.from;
	if (!view.until) view.until = DEFAULTS.until;
	return view as unknown as View;
}

// "?service=a&from=now-5m", or "" when everything is at its default.
export function view_format(view: View): string {
	const said = new URLSearchParams();
	for (const key of KEYS) {
		if (view[key] === DEFAULTS[key]) continue;
		said.set(key, key === 'live' ? '1' : String(view[key]));
	}
	const text = said.toString();
	return text && `?${text}`;
}

export function is_live_range(view: Pick<View, 'until'>): boolean {
	return view.until === 'now';
}

function quote(text: string): string {
	return `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}

// The label selector of a service and further matchers, with or without braces.
export function selector(service: string, query: string): string {
	const more = query.trim().replace(/^\{/, '').replace(/\}$/, '').replace(/,\s*$/, '').trim();
	const matchers = service && service !== '*' ? [`service=${quote(service)}`] : [];
	if (more) matchers.push(more);
	return matchers.length ? `{${matchers.join(',')}}` : '';
}

// A range twice as long around the same middle, ending no later than now; times in ns.
export function widen(fromNs: number, untilNs: number, nowMs: number): { from: string; until: string } {
	const [from, until] = [fromNs / 1e6, untilNs / 1e6];
	const width = until - from;
	let [left, right] = [from - width / 2, until + width / 2];
	if (right > nowMs) [left, right] = [nowMs - 2 * width, nowMs];
	return { from: String(Math.round(left)), until: String(Math.round(right)) };
}
