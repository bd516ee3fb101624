// SPDX-License-Identifier: Apache-2.0
//
// api.ts - the agent's HTTP API: shapes of its answers, and one function that asks.
import type { FlameJson } from './flame/layout';
import type { TypeEntry } from './types';

export interface Facts {
	samples: number;
	lost: Record<string, number>;
	partial: boolean;
	folded?: boolean; /* small stacks stand at [other] */
	records_from?: number; /* ns: a restriction by label reaches no further back */
}

export interface Row {
	name: string;
	file: string;
	line: number;
	library: string;
	self: number;
	total: number;
	samples: number;
	samples_total: number;
}

export interface TopJson extends Facts {
	type: string;
	unit: string;
	total: number;
	rows: Row[];
	hidden: { rows: number };
}

export interface TimelineJson extends Facts {
	unit: string;
	start: number;
	step: number;
	groups: { group: string; values: number[]; samples: number[] }[];
	from: number;
	until: number;
}

export interface ServiceEntry {
	name: string;
	series: number;
	first: number;
	last: number;
	types: string[];
}

export interface TypeListed extends TypeEntry {
	first: number;
	last: number;
}

export interface StatusJson {
	version: string;
	host: string;
	processes?: unknown[];
	storage: { bytes: number; trouble: string };
	symbols: { queued: number; trouble: string };
	native?: { attached: number };
}

export interface Answers {
	flamegraph: FlameJson;
	top: TopJson;
	timeline: TimelineJson;
	services: { services: ServiceEntry[] };
	types: { types: TypeListed[] };
	labels: { labels: string[] };
	status: StatusJson;
}

// A problem document, or a request that got no answer (status 0).
export class Problem extends Error {
	constructor(readonly status: number, message: string) {
		super(message);
	}
}

export function api_url(name: string, parameters: Record<string, string>): string {
	const said = new URLSearchParams();
	for (const [key, value] of Object.entries(parameters)) if (value !== '') said.set(key, value);
	const text = said.toString();
	return `/api/v1/${name}${text && `?${text}`}`;
}

async function problem_of(answer: Response): Promise<Problem> {
	let detail = '';
	try {
		const body = await answer.json();
		detail = String(body.detail ?? body.title ?? '');
	} catch {
		// not a problem document: the status says what there is to say
	}
	return new Problem(answer.status, detail || `the agent answered ${answer.status}`);
}

export async function ask<Name extends keyof Answers>(
	name: Name, parameters: Record<string, string> = {}, signal?: AbortSignal,
): Promise<Answers[Name]> {
	let answer: Response;
	try {
		answer = await fetch(api_url(name, parameters), {
			signal,
			credentials: 'same-origin',
			headers: { Accept: 'application/json' },
		});
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new Problem(0, 'the agent does not answer; is hearthd still running?');
	}
	if (!answer.ok) throw await problem_of(answer);
	return answer.json();
}
