// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import { type Scene, depth_at, draw, level_top, value_of, x_of } from '../src/flame/draw';
import { layout_build } from '../src/flame/layout';
import { matcher_parse, search } from '../src/flame/search';
import { flame_json } from './sample';

interface Painted {
	rects: { x: number; y: number; w: number; h: number; colour: string }[];
	texts: { text: string; x: number; y: number }[];
}

// Takes down what would be painted.
function recorder(): { c: CanvasRenderingContext2D; painted: Painted } {
	const painted: Painted = { rects: [], texts: [] };
	const c = {
		fillStyle: '', strokeStyle: '', globalAlpha: 1, lineWidth: 1, textBaseline: '',
		fillRect(x: number, y: number, w: number, h: number) {
			painted.rects.push({ x, y, w, h, colour: String(this.fillStyle) });
		},
		fillText(text: string, x: number, y: number) {
			painted.texts.push({ text, x, y });
		},
		strokeRect() {},
	};
	return { c: c as unknown as CanvasRenderingContext2D, painted };
}

function scene(folded: string[], patch: Partial<Scene> = {}): Scene {
	const layout = layout_build(flame_json(folded));
	return {
		layout, theme: 'light', width: 1000, height: 400, row: 20, scroll: 0, flipped: false,
		left: 0, right: layout.total[0], zoomed: 0, selected: -1, hovered: -1, mask: null,
		accent: 'accent', surface: 'surface', hatch: 'hatch', char: 7, ...patch,
	};
}

const paint = (s: Scene) => {
	const { c, painted } = recorder();
	draw(c, s);
	return painted;
};

test('every frame is as wide as its share', () => {
	const { rects, texts } = paint(scene(['a;b 250', 'c 750']));
	expect(texts.map((t) => t.text)).toEqual(['total', 'a', 'c', 'b']);
	expect(rects.slice(1).map((r) => [r.x, r.y, r.w])).toEqual([[0, 0, 999], [0, 20, 249], [250, 20, 749], [0, 40, 249]]);
});

test('a name is cut to its room, and left out where there is none', () => {
	const { texts } = paint(scene(['abcdefghijklmnop 50', 'qrst 20', 'z 930']));
	expect(texts.map((t) => t.text)).toEqual(['total', 'abcd…', 'z']);
});

test('what is narrower than a pixel is painted once per pixel', () => {
	const folded = Array.from({ length: 50000 }, (_, i) => `f${i} 1`);
	const { rects } = paint(scene(folded));
	expect(rects.length).toBeLessThan(1100);
	expect(rects.length).toBeGreaterThan(900);
});

test('a match in a merged run shows', () => {
	const folded = Array.from({ length: 5000 }, (_, i) => `f${i} 1`);
	const s = scene(folded);
	s.mask = search(s.layout, matcher_parse('"f2503"')!).mask;
	const marked = paint(s).rects.filter((r) => r.colour === 'accent');
	expect(marked.map((r) => r.x)).toEqual([500]);
});

test('only levels in the viewport are painted', () => {
	const deep = `${Array.from({ length: 2000 }, (_, i) => `f${i}`).join(';')} 1`;
	expect(paint(scene([deep], { scroll: 10000 })).rects.length).toBeLessThan(25);
});

test('hidden value is painted as such', () => {
	const { rects, texts } = paint(scene(['a 100', 'a ~900']));
	expect(rects.filter((r) => r.colour === 'hatch').map((r) => r.w)).toEqual([899]);
	expect(texts.map((t) => t.text)).toContain('(hidden)');
});

test('a place in the canvas and a place in the profile are the same place, both ways up', () => {
	for (const flipped of [false, true]) {
		const s = scene(['a;b;c 10'], { flipped, left: 2, right: 6, scroll: flipped ? 0 : 5 });
		for (let depth = 0; depth < 4; depth++) expect(depth_at(s, level_top(s, depth) + 1)).toBe(depth);
		expect(value_of(s, x_of(s, 3.5))).toBeCloseTo(3.5);
	}
});

test('an empty profile paints its surface alone', () => {
	expect(paint(scene([])).rects.length).toBe(1);
});
