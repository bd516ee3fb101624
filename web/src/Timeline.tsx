// SPDX-License-Identifier: Apache-2.0
//
// Timeline.tsx - how much there was, over time (uPlot).  Dragging over it chooses a range.
//
// Sums become rates (nanoseconds per second are cores); a gauge is shown as it is.  The last step
// may be cut by the end of the range, so its rate is taken over the part that it covers.
import { effect, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

import type { TimelineJson } from './api';
import { format_range, format_rate, format_value } from './format';
import { set_view, theme, timeline, type, view, words } from './state';
import { widen } from './view';

const HEIGHT = 96;
const HEADROOM = 1.08;

export interface Series {
	seconds: number[]; // start of each step
	values: number[];
}

export function timeline_series(t: TimelineJson, gauge: boolean): Series {
	const values = t.groups[0]?.values ?? [];
	const seconds = values.map((_, k) => (t.start + k * t.step) / 1e9);
	if (gauge) return { seconds, values };
	const rates = values.map((v, k) => {
		const from = t.start + k * t.step;
		const covered = Math.min(t.step, t.until - from);
		return covered > 0 ? v / (covered / 1e9) : 0;
	});
	return { seconds, values: rates };
}

function options(width: number, value: (v: number) => string, bars: number, most: number, tokens: (name: string) => string): uPlot.Options {
	const axis = { stroke: tokens('--muted'), font: `11px ${tokens('--sans')}`, grid: { stroke: tokens('--line'), width: 1 }, ticks: { show: false } };
	const wide = Math.max(...[0, most / 2, most].map((v) => value(v).length));
	const width_each = Math.max(1, (width - 80) / Math.max(1, bars));
	return {
		width,
		height: HEIGHT,
		padding: [6, 8, 0, 0],
		legend: { show: false },
		cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 4 } },
		scales: { y: { range: (_u, _min, max) => [0, max > 0 ? max * HEADROOM : 1] } },
		axes: [
			{ ...axis, size: 22, space: 80, values: uPlot_times },
			{ ...axis, size: 16 + 6.4 * wide, space: 26, splits: () => (most > 0 ? [0, most / 2, most] : [0]), values: (_u, splits) => splits.map(value) },
		],
		series: [
			{},
			{
				fill: tokens('--accent'),
				width: 0,
				points: { show: false },
				paths: uPlot.paths.bars!({ size: [width_each > 6 ? 0.86 : 1, Infinity], align: 1 }),
			},
		],
	};
}

function uPlot_times(_u: uPlot, splits: number[], _axis: number, _space: number, step: number): string[] {
	return splits.map((s) => {
		const d = new Date(s * 1e3);
		const clock = `${String(d.getHours()).padStart(2, '0')}:${String(d.getMinutes()).padStart(2, '0')}`;
		if (step >= 86400) return d.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
		return step < 60 ? `${clock}:${String(d.getSeconds()).padStart(2, '0')}` : clock;
	});
}

export function Timeline() {
	const box = useRef<HTMLDivElement>(null);
	const line = useSignal('');

	useEffect(() => {
		const element = box.current!;
		let plot: uPlot | null = null;
		let drawn: TimelineJson | null = null;
		const tokens = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();

		const paint = (t: TimelineJson) => {
			const gauge = type.peek()?.kind === 'gauge';
			const { seconds, values } = timeline_series(t, gauge);
			const { noun, lanes } = words.peek();
			const say = (v: number) => (gauge ? format_value(v, t.unit, noun) : format_rate(v, t.unit, noun, lanes));
			plot?.destroy();
			const o = options(element.clientWidth, say, values.length, Math.max(0, ...values), tokens);
			o.scales!.x = { time: true, range: () => [t.start / 1e9, t.until / 1e9] };
			o.hooks = {
				setSelect: [(u) => {
					if (u.select.width < 4) return;
					const at = (px: number) => String(Math.round(u.posToVal(px, 'x') * 1e3));
					const [from, until] = [at(u.select.left), at(u.select.left + u.select.width)];
					u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
					set_view({ from, until, live: false });
				}],
				setCursor: [(u) => {
					const k = u.cursor.left !== undefined && u.cursor.left >= 0
						? Math.floor((u.posToVal(u.cursor.left, 'x') - t.start / 1e9) / (t.step / 1e9)) : -1;
					line.value = k >= 0 && k < values.length
						? `${format_range(t.start + k * t.step, Math.min(t.start + (k + 1) * t.step, t.until))}: ${say(values[k])}`
						: '';
				}],
			};
			plot = new uPlot(o, [seconds, values], element);
			drawn = t;
		};
		const stop = effect(() => {
			theme.value;
			const t = timeline.value.data;
			if (t) paint(t);
		});
		const observer = new ResizeObserver(() => {
			if (plot && drawn && Math.abs(plot.width - element.clientWidth) > 1) paint(drawn);
		});
		observer.observe(element);
		return () => {
			stop();
			observer.disconnect();
			plot?.destroy();
		};
	}, []);

	const t = timeline.value.data;
	return (
		<section class="timeline" aria-label="Over time">
			<div class="timeline-head">
				<h2>{words.value.label}</h2>
				<span class="timeline-line">{line.value || (t ? format_range(t.from, t.until) : '')}</span>
				{t && <span class="hint">drag to select</span>}
				{t && (
					<button type="button" class="quiet" onClick={() => set_view({ ...widen(t.from, t.until, Date.now()), live: false })}>
						Zoom out
					</button>
				)}
				{view.value.until !== 'now' && (
					<button type="button" class="quiet" onClick={() => set_view({ from: 'now-1h', until: 'now' })}>
						Back to now
					</button>
				)}
			</div>
			<div class="timeline-plot" ref={box} />
		</section>
	);
}
