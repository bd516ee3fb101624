// SPDX-License-Identifier: Apache-2.0
//
// flame/palette.ts - a frame's colour: the library chooses the hue, the function its shade.
//
// Colours are made in OKLCH, where equal steps look equal, and written as sRGB.  Light theme: light
// fills under dark text; dark theme the other way round.  Every fill has at least 4.5:1 against its
// text (test/palette.test.ts).  No DOM.

export const TEXT = { light: '#1c1410', dark: '#fbf3ec' } as const;
export type Theme = keyof typeof TEXT;

const HUES = [45, 75, 100, 130, 155, 180, 205, 230, 255, 280, 305, 330, 355];
const SHADES = 4;
const FLAME_HUES = [32, 42, 52, 62, 72, 82]; // of frames whose library is not known
const SYSTEM = /^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|resolv)[-.]|ld-|ld\.so)/;
const KERNEL = /^\[?(kernel|vmlinux|vdso|vsyscall)|^\[/;

function hash(text: string): number {
	let h = 2166136261;
	for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
	h ^= h >>> 15;
	h = Math.imul(h, 0x85ebca6b);
	return (h ^ (h >>> 13)) >>> 0;
}

function gamma(c: number): number {
	const clipped = Math.min(1, Math.max(0, c));
	return Math.round(255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055));
}

export function oklch(lightness: number, chroma: number, hue: number): string {
	const a = chroma * Math.cos((hue * Math.PI) / 180);
	const b = chroma * Math.sin((hue * Math.PI) / 180);
	const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
	const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
	const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
	const rgb = [
		4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
		-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
		-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
	];
	return `#${rgb.map((c) => gamma(c).toString(16).padStart(2, '0')).join('')}`;
}

// Each shade of a hue, by theme.
function fill(hue: number, chroma: number, shade: number, theme: Theme): string {
	return theme === 'light'
		? oklch(0.875 - 0.03 * shade, chroma * (1 + 0.12 * shade), hue)
		: oklch(0.4 + 0.028 * shade, chroma * (0.78 + 0.05 * shade), hue);
}

const made = new Map<string, string>();

// The root is no function.
export function root_colour(theme: Theme): string {
	return theme === 'light' ? '#e9e2db' : '#3a322c';
}

export function frame_colour(library: string, name: string, theme: Theme): string {
	const key = `${theme}\0${library}\0${name}`;
	let colour = made.get(key);
	if (colour) return colour;
	const shade = hash(name) % SHADES;
	if (!library) colour = fill(FLAME_HUES[(hash(name) >>> 4) % FLAME_HUES.length], 0.1, shade, theme);
	else if (KERNEL.test(library)) colour = fill(60, 0.012, shade, theme);
	else if (SYSTEM.test(library)) colour = fill(250, 0.03, shade, theme);
	else colour = fill(HUES[hash(library) % HUES.length], 0.095, shade, theme);
	if (made.size > 50000) made.clear();
	made.set(key, colour);
	return colour;
}

const DIFF_FULL = 10; // points of change
const DIFF_HUES = [262, 32]; // shrank, grew

// Red grew and blue shrank, paler the smaller the change in points; grey is no news.
export function diff_colour(points: number, news: boolean, theme: Theme): string {
	if (!news || !points) return fill(60, 0.006, 1, theme);
	const strength = Math.min(Math.abs(points) / DIFF_FULL, 1);
	const hue = DIFF_HUES[points > 0 ? 1 : 0];
	return theme === 'light'
		? oklch(0.9 - 0.2 * strength, 0.03 + 0.11 * strength, hue)
		: oklch(0.36 + 0.1 * strength, 0.03 + 0.1 * strength, hue);
}

export function library_colour(library: string, theme: Theme): string {
	if (KERNEL.test(library)) return fill(60, 0.012, 1, theme);
	if (SYSTEM.test(library)) return fill(250, 0.03, 1, theme);
	return fill(library ? HUES[hash(library) % HUES.length] : 52, 0.095, 1, theme);
}

// Every fill that frame_colour can give.
export function all_fills(theme: Theme): string[] {
	const fills: string[] = [root_colour(theme)];
	for (let shade = 0; shade < SHADES; shade++) {
		for (const hue of HUES) fills.push(fill(hue, 0.095, shade, theme));
		for (const hue of FLAME_HUES) fills.push(fill(hue, 0.1, shade, theme));
		fills.push(fill(60, 0.012, shade, theme), fill(250, 0.03, shade, theme));
	}
	for (let points = -12; points <= 12; points++) fills.push(diff_colour(points, true, theme));
	return fills;
}
