// SPDX-License-Identifier: Apache-2.0
//
// flame/Tooltip.tsx - what the pointer is on.  Names are text, never markup.
import type { Signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';

import { format_percent, format_samples, format_value } from '../format';
import { words } from '../state';
import { type Diff, format_points, is_news } from './diff';
import { type Layout, node_library, node_name, node_place } from './layout';

export interface Tip {
	layout: Layout;
	node: number;
	x: number;
	y: number;
}

const GAP = 14;

function Values({ l, i }: { l: Layout; i: number }) {
	const { unit, total, samples } = l.json;
	const value = (v: number) => format_value(v, unit, words.value.noun);
	const hidden = l.source[i] < 0;
	return (
		<>
			<dl>
				<dt>total</dt>
				<dd>{value(l.total[i])}</dd>
				<dd>{format_percent(l.total[i], total)}</dd>
				{!hidden && <><dt>self</dt><dd>{value(l.self[i])}</dd><dd>{format_percent(l.self[i], total)}</dd></>}
			</dl>
			<span class="tip-note">
				{hidden ? 'frames too small to be sent' : format_samples(l.samples[i], samples, l.concealed[i] > 0)}
			</span>
		</>
	);
}

function Sides({ d, i }: { d: Diff; i: number }) {
	const { unit, total, base_total } = d.json;
	const value = (v: number) => format_value(v, unit, words.value.noun);
	const dull = !Number.isNaN(d.se[i]) && !is_news(d.points[i], d.se[i]);
	return (
		<>
			<dl>
				<dt>base</dt>
				<dd>{value(d.base[i])}</dd>
				<dd>{format_percent(d.base[i], base_total)}</dd>
				<dt>new</dt>
				<dd>{value(d.now[i])}</dd>
				<dd>{format_percent(d.now[i], total)}</dd>
			</dl>
			<span class="tip-note">{format_points(d.points[i], d.se[i])}{dull && ', within two standard errors'}</span>
		</>
	);
}

export function Tooltip({ tip }: { tip: Signal<Tip | null> }) {
	const box = useRef<HTMLDivElement>(null);
	const shown = tip.value;

	useLayoutEffect(() => {
		const element = box.current;
		if (!element || !shown) return;
		const { width, height } = element.getBoundingClientRect();
		const x = Math.min(shown.x + GAP, innerWidth - width - 8);
		const below = shown.y + GAP + height < innerHeight;
		const y = below ? shown.y + GAP : shown.y - GAP - height;
		element.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`;
	}, [shown]);

	if (!shown) return null;
	const { layout: l, node: i } = shown;
	return (
		<div class="tip" ref={box} aria-hidden="true">
			<strong>{node_name(l, i)}</strong>
			{node_place(l, i) && <span class="tip-place">{node_place(l, i)}</span>}
			{node_library(l, i) && <span class="tip-place">{node_library(l, i)}</span>}
			{l.diff ? <Sides d={l.diff} i={i} /> : <Values l={l} i={i} />}
		</div>
	);
}
