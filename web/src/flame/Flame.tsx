// SPDX-License-Identifier: Apache-2.0
//
// flame/Flame.tsx - the flame graph: a canvas as large as its viewport in a scroller as tall as the
// graph, moved by pointer and keyboard.  Keyboard moves are spoken through a live region.
import { effect, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

import { format_percent, format_samples, format_value } from '../format';
import { painted } from '../hook';
import { flame, found, selected, set_view, theme, view, words, zoomed } from '../state';
import { type Scene, depth_at, draw, level_top, scene_height, value_of, x_of } from './draw';
import { type Diff, format_points, is_news } from './diff';
import { type Layout, node_at, node_children, node_name, node_neighbour, path_key } from './layout';
import { next_match } from './search';
import { Tooltip, type Tip } from './Tooltip';

const ROW = 21;
const ROW_TOUCH = 28;
const ZOOM_MS = 140;

export function zoom_to(l: Layout, i: number): void {
	set_view({ zoom: path_key(l, i) });
}

function diff_line(l: Layout, i: number, d: Diff): string {
	const { unit, total, base_total } = d.json;
	const value = (v: number, whole: number) => `${format_value(v, unit, words.peek().noun)} (${format_percent(v, whole)})`;
	const change = format_points(d.points[i], d.se[i]);
	const news = l.source[i] < 0 ? ', in frames too small to be sent' : is_news(d.points[i], d.se[i]) ? '' : ', which is no news';
	return `${node_name(l, i)}: base ${value(d.base[i], base_total)}, new ${value(d.now[i], total)}, ${change}${news}`;
}

// One line about a node, for the status bar and the live region.
export function node_line(l: Layout, i: number): string {
	if (l.diff) return diff_line(l, i, l.diff);
	const { unit, total, samples } = l.json;
	const value = (v: number) => format_value(v, unit, words.peek().noun);
	const name = node_name(l, i);
	const share = `${value(l.total[i])} (${format_percent(l.total[i], total)})`;
	if (l.source[i] < 0) return `${name}: ${share} in frames too small to be sent`;
	const self = `${value(l.self[i])} (${format_percent(l.self[i], total)})`;
	const counted = format_samples(l.samples[i], samples, l.concealed[i] > 0);
	return `${name}: total ${share}, self ${self}, ${counted}`;
}

function spoken(l: Layout, i: number): string {
	return `${node_line(l, i)}, depth ${l.depth[i]}, ${node_children(l, i).length} callees`;
}

function hatch_make(c: CanvasRenderingContext2D, ink: string, paper: string): CanvasPattern | string {
	const tile = document.createElement('canvas');
	tile.width = tile.height = 8;
	const t = tile.getContext('2d');
	if (!t) return paper;
	t.fillStyle = paper;
	t.fillRect(0, 0, 8, 8);
	t.strokeStyle = ink;
	t.beginPath();
	for (const at of [-8, 0, 8]) {
		t.moveTo(at, 8);
		t.lineTo(at + 8, 0);
	}
	t.stroke();
	return c.createPattern(tile, 'repeat') ?? paper;
}

// Everything about one mounted graph that is not a signal.
class Stage {
	scene: Scene | null = null;
	private context: CanvasRenderingContext2D;
	private frame = 0;
	private from = { left: 0, right: 0, at: 0 };
	private goal = { left: 0, right: 0 };

	constructor(
		readonly scroller: HTMLElement, readonly sizer: HTMLElement, readonly canvas: HTMLCanvasElement,
	) {
		this.context = canvas.getContext('2d', { alpha: false })!;
	}

	// Take over what the signals say; a new zoom is reached in a short movement.
	update(l: Layout): void {
		const old = this.scene;
		const fresh = !old || old.layout !== l;
		const style = getComputedStyle(this.scroller);
		const token = (name: string) => style.getPropertyValue(name).trim();
		const font = `12px ${token('--mono')}`;
		const i = zoomed.value;
		this.context.font = font;
		this.scene = {
			layout: l,
			theme: theme.value,
			width: 0, height: 0, row: matchMedia('(pointer: coarse)').matches ? ROW_TOUCH : ROW,
			scroll: 0,
			flipped: view.value.shape === 'flame',
			left: old?.left ?? 0, right: old?.right ?? 0,
			zoomed: i,
			selected: selected.value,
			hovered: fresh ? -1 : old.hovered,
			mask: found.value?.mask ?? null,
			accent: token('--accent'), surface: token('--surface'),
			hatch: hatch_make(this.context, token('--line'), token('--raised')),
			char: this.context.measureText('0').width,
		};
		const turned = !old || old.flipped !== this.scene.flipped;
		const goal = { left: l.x[i] ?? 0, right: (l.x[i] ?? 0) + (l.total[i] ?? 0) };
		const moved = goal.left !== this.goal.left || goal.right !== this.goal.right;
		const still = fresh || matchMedia('(prefers-reduced-motion: reduce)').matches;
		this.goal = goal;
		if (moved && !still) this.from = { left: this.scene.left, right: this.scene.right, at: performance.now() };
		else if (moved || fresh) this.from = { ...goal, at: 0 };
		this.measure();
		if (turned) this.scroller.scrollTop = this.scene.flipped ? this.scroller.scrollHeight : 0;
		else if (moved && !fresh) this.reveal(i);
		else if (!fresh && old.selected !== this.scene.selected) this.reveal(this.scene.selected);
		this.paint();
	}

	measure(): void {
		if (!this.scene) return;
		const { clientWidth: width, clientHeight: height } = this.scroller;
		const ratio = Math.min(devicePixelRatio || 1, 2);
		const full = Math.max(scene_height(this.scene), height);
		this.sizer.style.height = `${full}px`;
		this.canvas.style.width = `${width}px`;
		this.canvas.style.height = `${height}px`;
		if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
			this.canvas.width = Math.round(width * ratio);
			this.canvas.height = Math.round(height * ratio);
		}
		const font = `12px ${getComputedStyle(this.scroller).getPropertyValue('--mono').trim()}`;
		this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
		this.context.font = font;
		this.scene.width = width;
		this.scene.height = height;
	}

	paint(): void {
		if (!this.frame) this.frame = requestAnimationFrame(() => this.now());
	}

	private now(): void {
		const s = this.scene;
		this.frame = 0;
		if (!s) return;
		const started = performance.now();
		const t = this.from.at ? Math.min(1, (started - this.from.at) / ZOOM_MS) : 1;
		const ease = 1 - (1 - t) ** 3;
		s.left = this.from.left + (this.goal.left - this.from.left) * ease;
		s.right = this.from.right + (this.goal.right - this.from.right) * ease;
		s.scroll = this.scroller.scrollTop;
		draw(this.context, s);
		painted.draws++;
		painted.milliseconds = performance.now() - started;
		if (t < 1) this.paint();
		else this.from.at = 0;
	}

	// Scroll so that a node's level is in sight.
	reveal(i: number): void {
		const s = this.scene;
		if (!s || i < 0) return;
		s.scroll = this.scroller.scrollTop;
		const top = level_top(s, s.layout.depth[i]);
		if (top < 0) this.scroller.scrollTop += top - s.row;
		else if (top + s.row > s.height) this.scroller.scrollTop += top + 2 * s.row - s.height;
	}

	hit(event: MouseEvent): number {
		const s = this.scene;
		if (!s?.layout.count) return -1;
		const box = this.canvas.getBoundingClientRect();
		s.scroll = this.scroller.scrollTop;
		const depth = depth_at(s, event.clientY - box.top);
		return node_at(s.layout, depth, value_of(s, event.clientX - box.left));
	}

	place(i: number): { x: number; y: number } | null {
		const s = this.scene;
		if (!s || i < 0 || i >= s.layout.count) return null;
		const box = this.canvas.getBoundingClientRect();
		const left = Math.max(0, x_of(s, s.layout.x[i]));
		const right = Math.min(s.width, x_of(s, s.layout.x[i] + s.layout.total[i]));
		if (right <= left) return null;
		s.scroll = this.scroller.scrollTop;
		return { x: box.left + (left + right) / 2, y: box.top + level_top(s, s.layout.depth[i]) + s.row / 2 };
	}

	end(): void {
		cancelAnimationFrame(this.frame);
	}
}

// Where a key leads from a node; the node itself when nowhere.
function step(l: Layout, at: number, key: string, flipped: boolean): number {
	const towards = flipped ? { ArrowUp: 'child', ArrowDown: 'parent' } : { ArrowDown: 'child', ArrowUp: 'parent' };
	const move = (towards as Record<string, string>)[key];
	const within = zoomed.peek();
	if (move === 'parent') return l.parent[at] >= 0 ? l.parent[at] : at;
	if (move === 'child') {
		const children = node_children(l, at).filter((i) => l.total[i] > 0);
		return children.length ? children.reduce((a, b) => (l.total[b] > l.total[a] ? b : a)) : at;
	}
	if (key === 'Home') return within;
	const next = node_neighbour(l, at, key === 'ArrowLeft' ? -1 : 1, at < within ? 0 : within);
	return next >= 0 ? next : at;
}

export function Flame() {
	const scroller = useRef<HTMLDivElement>(null);
	const sizer = useRef<HTMLDivElement>(null);
	const canvas = useRef<HTMLCanvasElement>(null);
	const stage = useRef<Stage | null>(null);
	const tip = useSignal<Tip | null>(null);
	const line = useSignal('');
	const voice = useSignal('');

	useEffect(() => {
		const s = new Stage(scroller.current!, sizer.current!, canvas.current!);
		stage.current = s;
		painted.place = (i) => s.place(i);
		const observer = new ResizeObserver(() => {
			s.measure();
			s.paint();
		});
		observer.observe(scroller.current!);
		const stop = effect(() => {
			const l = flame.value.data;
			if (l) s.update(l);
		});
		return () => {
			stop();
			observer.disconnect();
			s.end();
			painted.place = () => null;
		};
	}, []);

	const hover = (event: MouseEvent | null) => {
		const s = stage.current?.scene;
		if (!s) return;
		const i = event ? stage.current!.hit(event) : -1;
		tip.value = i >= 0 ? { layout: s.layout, node: i, x: event!.clientX, y: event!.clientY } : null;
		if (s.hovered === i) return;
		s.hovered = i;
		line.value = i >= 0 ? node_line(s.layout, i) : '';
		stage.current!.paint();
	};
	const click = (event: MouseEvent) => {
		const s = stage.current?.scene;
		const i = stage.current?.hit(event) ?? -1;
		if (!s || i < 0) return;
		selected.value = i;
		zoom_to(s.layout, s.layout.source[i] < 0 ? s.layout.parent[i] : i);
	};
	const choose = (l: Layout, i: number) => {
		selected.value = i;
		line.value = node_line(l, i);
		voice.value = spoken(l, i);
		stage.current?.reveal(i);
	};
	const key = (event: KeyboardEvent) => {
		const s = stage.current?.scene;
		if (!s?.layout.count || event.ctrlKey || event.metaKey || event.altKey) return;
		const l = s.layout;
		const at = selected.peek() >= 0 ? selected.peek() : zoomed.peek();
		const matches = found.peek();
		if (event.key.startsWith('Arrow') || event.key === 'Home')
			choose(l, selected.peek() >= 0 ? step(l, at, event.key, s.flipped) : at);
		else if (event.key === 'Enter' || event.key === ' ') zoom_to(l, l.source[at] < 0 ? l.parent[at] : at);
		else if (event.key === 'Backspace') zoom_to(l, Math.max(0, l.parent[zoomed.peek()]));
		else if (event.key === 'Escape') {
			selected.value = -1;
			zoom_to(l, 0);
		} else if ((event.key === 'n' || event.key === 'N') && matches?.nodes.length)
			choose(l, next_match(matches, selected.peek(), event.key === 'n' ? 1 : -1));
		else return;
		event.preventDefault();
	};

	return (
		<div class="flame">
			<div
				class="flame-scroller" ref={scroller} tabIndex={0} role="application"
				aria-label="Flame graph" aria-describedby="flame-keys"
				onScroll={() => stage.current?.paint()} onKeyDown={key}
			>
				<div class="flame-sizer" ref={sizer}>
					<canvas
						ref={canvas} onClick={click} onMouseMove={hover} onMouseLeave={() => hover(null)}
					/>
				</div>
			</div>
			<p id="flame-keys" class="visually-hidden">
				Arrow keys go to callers, callees and neighbours, Enter zooms in, Backspace zooms out, Escape
				resets, n and N go through matches. The table holds the same numbers.
			</p>
			<p class="flame-line" title={line.value}>
				{line.value || 'Point at a frame for its numbers; click it to zoom in.'}
			</p>
			<div class="visually-hidden" role="status" aria-live="polite">{voice.value}</div>
			<Tooltip tip={tip} />
		</div>
	);
}
