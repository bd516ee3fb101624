// SPDX-License-Identifier: Apache-2.0
//
// Empty.tsx - what stands in place of a graph: how to begin, what is wrong, or where the data are.
import { useSignal } from '@preact/signals';

import type { Problem } from './api';
import { format_ago } from './format';
import { refresh, service, services, set_view, status, words } from './state';

function Command({ text }: { text: string }) {
	const copied = useSignal(false);
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
			copied.value = true;
		} catch {
			copied.value = false; // not over plain HTTP from afar: the text can be selected
		}
	};
	return (
		<div class="command">
			<code>{text}</code>
			{navigator.clipboard && (
				<button type="button" class="quiet" onClick={copy}>{copied.value ? 'copied' : 'copy'}</button>
			)}
		</div>
	);
}

export function Begin() {
	const s = status.value.data;
	const attached = s?.processes?.length;
	return (
		<section class="empty">
			<h1>No profiles yet</h1>
			<p>This agent runs. Start a program under it, and its flame graph shows here within seconds:</p>
			<ol>
				<li><span>The agent{s ? `, on ${s.host}: running` : ''}</span><Command text="hearthd" /></li>
				<li><span>Your program, unchanged</span><Command text="hearth run -- ./your-program" /></li>
			</ol>
			<p class="waiting" role="status">
				<i class="dot on" aria-hidden="true" />waiting for data…
				{attached !== undefined && ` ${attached} ${attached === 1 ? 'process is' : 'processes are'} attached`}
			</p>
			{s?.storage.trouble && <p class="warn">The store reports: {s.storage.trouble}</p>}
		</section>
	);
}

export function Wrong({ problem }: { problem: Problem }) {
	if (problem.status === 401)
		return (
			<section class="empty" role="alert">
				<h1>This browser may not read yet</h1>
				<p>Profiles are shown to whoever can run commands on this host. Print a link there and open it here:</p>
				<Command text="hearth ui" />
				<p class="note">The link works once, within ten minutes; the browser then stays admitted for 30 days.</p>
			</section>
		);
	return (
		<section class="empty" role="alert">
			<h1>{problem.status === 0 ? 'The agent does not answer' : problem.status === 400 ? 'The question was not understood' : 'That did not work'}</h1>
			<p class="detail">{problem.message}</p>
			<button type="button" class="primary" onClick={refresh}>Try again</button>
		</section>
	);
}

// The service is known, but there is nothing of it in this range.
export function Nothing() {
	const entry = services.value.data?.find((s) => s.name === service.value);
	const around = () => {
		const last = Math.ceil(entry!.last / 1e6);
		set_view({ from: String(last - 900_000), until: String(last + 1000), live: false });
	};
	return (
		<section class="empty">
			<h1>Nothing here</h1>
			<p>No {words.value.label} of {service.value === '*' ? 'any service' : service.value} matches in this range.</p>
			{entry && (
				<p>
					The last data are from {format_ago(entry.last, Date.now())}.{' '}
					<button type="button" class="primary" onClick={around}>Show its last 15 minutes</button>
				</p>
			)}
		</section>
	);
}
