// SPDX-License-Identifier: Apache-2.0
//
// flame/draw.ts - paints the part of a layout that a viewport shows.
//
// Per level: binary search to the first visible node, then rightwards; whatever is narrower than a
// pixel is merged into one run.  The cost is bounded by the pixels, not by the nodes.
import { type Layout, level_find, node_library, node_name } from './layout';
import { is_news } from './diff';
import { type Theme, TEXT, diff_colour, frame_colour, root_colour } from './palette';

export const TEXT_MIN_PX = 24;
const PADDING = 5;

export interface Scene {
	layout: Layout;
	theme: Theme;
	width: number; // CSS pixels
	height: number;
	row: number; // height of a level
	scroll: number;
	flipped: boolean; // the root at the bottom
	left: number; // what of the profile is shown, in its unit
	right: number;
	zoomed: number; // its ancestors are drawn faint
	selected: number;
	hovered: number;
	mask: Uint8Array | null; // what matches the search; the rest is drawn faint
	accent: string;
	surface: string;
	hatch: CanvasPattern | string;
	char: number; // width of a character
}

export function scene_height(s: Pick<Scene, 'layout' | 'row'>): number {
	return s.layout.levels.length * s.row;
}

// The top of a level, in the canvas.
export function level_top(s: Scene, depth: number): number {
	const full = Math.max(scene_height(s), s.height);
	return (s.flipped ? full - (depth + 1) * s.row : depth * s.row) - s.scroll;
}

export function depth_at(s: Scene, y: number): number {
	const full = Math.max(scene_height(s), s.height);
	return Math.floor((s.flipped ? full - (y + s.scroll) : y + s.scroll) / s.row);
}

export function x_of(s: Scene, value: number): number {
	return ((value - s.left) / (s.right - s.left)) * s.width;
}

export function value_of(s: Scene, x: number): number {
	return s.left + (x / s.width) * (s.right - s.left);
}

function label(text: string, room: number, char: number): string {
	const fits = Math.floor(room / char);
	if (text.length <= fits) return text;
	return fits < 2 ? '' : `${text.slice(0, fits - 1)}…`;
}

function is_faint(s: Scene, i: number): boolean {
	if (s.mask && !s.mask[i]) return true;
	return i < s.zoomed && s.zoomed < s.layout.end[i] && !s.mask;
}

function colour_of(s: Scene, i: number): CanvasPattern | string {
	const { layout, theme } = s;
	const { diff } = layout;
	if (layout.source[i] < 0) return s.hatch;
	if (i === 0) return root_colour(theme);
	if (diff) return diff_colour(diff.points[i], is_news(diff.points[i], diff.se[i]), theme);
	return frame_colour(node_library(layout, i), node_name(layout, i), theme);
}

function draw_node(c: CanvasRenderingContext2D, s: Scene, i: number, x: number, w: number, y: number): void {
	const name = node_name(s.layout, i);
	c.globalAlpha = is_faint(s, i) ? 0.32 : 1;
	c.fillStyle = colour_of(s, i);
	c.fillRect(x, y, Math.max(w - 1, 0.6), s.row - 1);
	if (i === s.hovered) {
		c.globalAlpha = s.theme === 'light' ? 0.1 : 0.14;
		c.fillStyle = TEXT[s.theme];
		c.fillRect(x, y, Math.max(w - 1, 0.6), s.row - 1);
	}
	c.globalAlpha = s.mask && !s.mask[i] ? 0.75 : 1;
	if (w >= TEXT_MIN_PX) {
		const text = label(name, w - 2 * PADDING, s.char);
		c.fillStyle = TEXT[s.theme];
		if (text) c.fillText(text, x + PADDING, y + s.row / 2);
	}
	c.globalAlpha = 1;
}

// A run of nodes narrower than a pixel, one pixel wide; a match in it shows.
function draw_run(c: CanvasRenderingContext2D, s: Scene, i: number, matched: boolean, x: number, y: number): void {
	c.globalAlpha = s.mask && !matched ? 0.2 : 0.75;
	const colour = s.layout.diff ? diff_colour(0, false, s.theme) : frame_colour(node_library(s.layout, i), '', s.theme);
	c.fillStyle = matched ? s.accent : colour;
	c.fillRect(x, y, 1, s.row - 1);
	c.globalAlpha = 1;
}

function draw_level(c: CanvasRenderingContext2D, s: Scene, depth: number, y: number): void {
	const { layout } = s;
	const level = layout.levels[depth];
	const scale = s.width / (s.right - s.left);
	let place = level_find(layout, level, s.left);

	while (place < level.length) {
		const i = level[place];
		const from = (layout.x[i] - s.left) * scale;
		if (from >= s.width) break;
		const to = from + layout.total[i] * scale;
		if (to - from >= 1) {
			const x = Math.max(from, 0);
			draw_node(c, s, i, x, Math.min(to, s.width + 1) - x, y);
			place++;
			continue;
		}
		const pixel = Math.floor(from) + 1;
		let matched = false;
		let next = place;
		if (s.mask) {
			for (; next < level.length; next++) {
				const at = level[next];
				if ((layout.x[at] - s.left) * scale >= pixel || layout.total[at] * scale >= 1) break;
				if (s.mask[at]) matched = true;
			}
		} else {
			next = level_find(layout, level, s.left + pixel / scale);
		}
		draw_run(c, s, i, matched, pixel - 1, y);
		place = Math.max(next, place + 1);
	}
}

function outline(c: CanvasRenderingContext2D, s: Scene, i: number): void {
	const y = level_top(s, s.layout.depth[i]);
	const x = Math.max(x_of(s, s.layout.x[i]), 0);
	const right = Math.min(x_of(s, s.layout.x[i] + s.layout.total[i]), s.width);
	if (right < x) return;
	c.strokeStyle = s.accent;
	c.lineWidth = 2;
	c.strokeRect(x + 1, y + 1, Math.max(right - x - 3, 1), s.row - 3);
}

export function draw(c: CanvasRenderingContext2D, s: Scene): void {
	c.fillStyle = s.surface;
	c.fillRect(0, 0, s.width, s.height);
	if (!s.layout.count || !(s.right > s.left)) return;
	c.textBaseline = 'middle';
	for (let depth = 0; depth < s.layout.levels.length; depth++) {
		const y = level_top(s, depth);
		if (y > -s.row && y < s.height) draw_level(c, s, depth, y);
	}
	if (s.selected >= 0) outline(c, s, s.selected);
}
