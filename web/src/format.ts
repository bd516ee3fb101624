// SPDX-License-Identifier: Apache-2.0
//
// format.ts - numbers as people read them, always with their unit.  No DOM.

function digits(value: number): string {
	const size = Math.abs(value);
	if (size >= 1000) return Math.round(value).toLocaleString('en');
	return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
}

const TIMES: [number, string][] = [
	[3600e9, 'h'], [60e9, 'min'], [1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns'],
];
const BYTES: [number, string][] = [
	[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B'],
];
const COUNTS: [number, string][] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']];

function scaled(value: number, scales: [number, string][]): string {
	if (!value) return `0 ${scales[scales.length - 1][1]}`;
	const size = Math.abs(value);
	const [factor, unit] = scales.find(([f]) => size >= f) ?? scales[scales.length - 1];
	return `${digits(value / factor)} ${unit}`;
}

export function format_count(value: number): string {
	const scale = COUNTS.find(([f]) => Math.abs(value) >= f);
	if (!scale) return digits(value);
	const factor = scale[1] === 'k' ? 1e3 : scale[0];
	return `${digits(value / factor)} ${scale[1]}`;
}

// A value of a profile: "1.23 s", "64 KiB", "12 k objects".
export function format_value(value: number, unit: string, noun = ''): string {
	if (unit === 'nanoseconds') return scaled(value, TIMES);
	if (unit === 'microseconds') return scaled(value * 1e3, TIMES);
	if (unit === 'milliseconds') return scaled(value * 1e6, TIMES);
	if (unit === 'seconds') return scaled(value * 1e9, TIMES);
	if (unit === 'bytes') return scaled(value, BYTES);
	return `${format_count(value)} ${noun || (unit && unit !== 'count' ? unit : 'times')}`;
}

// A value per second of wall time; nanoseconds per second are cores (or threads, for wall time).
export function format_rate(perSecond: number, unit: string, noun = '', lanes = 'cores'): string {
	if (unit === 'nanoseconds') return `${digits(perSecond / 1e9)} ${lanes}`;
	return `${format_value(perSecond, unit, noun)}/s`;
}

export function format_percent(part: number, whole: number): string {
	if (!whole) return '0 %';
	const share = (100 * part) / whole;
	if (part && share < 0.01) return '< 0.01 %';
	return `${share.toFixed(share >= 99.95 || Number.isInteger(share) ? 0 : share < 1 ? 2 : 1)} %`;
}

// The standard error of `n` samples out of `all`, were they drawn independently.
export function samples_error(n: number, all: number): number {
	return all > 0 ? Math.sqrt(n * Math.max(0, 1 - n / all)) : 0;
}

export function format_samples(n: number, all: number, atLeast = false): string {
	const error = samples_error(n, all);
	const text = `${n.toLocaleString('en')} ± ${error < 10 ? error.toFixed(1) : Math.round(error).toLocaleString('en')}`;
	return `${atLeast ? 'at least ' : ''}${text} samples`;
}

export function format_ago(ns: number, nowMs: number): string {
	const s = Math.max(0, nowMs / 1e3 - ns / 1e9);
	if (s < 90) return `${Math.round(s)} s ago`;
	if (s < 5400) return `${Math.round(s / 60)} min ago`;
	if (s < 172800) return `${Math.round(s / 3600)} h ago`;
	return `${Math.round(s / 86400)} days ago`;
}

function two(n: number): string {
	return String(n).padStart(2, '0');
}

export function format_time(ms: number): string {
	const d = new Date(ms);
	return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// "22 Nov 12:03:10 – 12:08:10", in the browser's zone; the day once where it is the same.
export function format_range(fromNs: number, untilNs: number): string {
	const day = (ms: number) =>
		new Date(ms).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
	const [from, until] = [fromNs / 1e6, untilNs / 1e6];
	const tail = day(from) === day(until) ? '' : `${day(until)} `;
	return `${day(from)} ${format_time(from)} – ${tail}${format_time(until)}`;
}
