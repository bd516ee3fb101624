// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import {
	format_ago, format_count, format_percent, format_rate, format_samples, format_value, samples_error,
} from '../src/format';

test.each([
	[0, 'nanoseconds', '0 ns'],
	[999, 'nanoseconds', '999 ns'],
	[1500, 'nanoseconds', '1.50 µs'],
	[9568560780, 'nanoseconds', '9.57 s'],
	[90e9, 'nanoseconds', '1.50 min'],
	[7200e9, 'nanoseconds', '2 h'],
	[12, 'milliseconds', '12 ms'],
	[1023, 'bytes', '1,023 B'],
	[1536, 'bytes', '1.50 KiB'],
	[5 * 2 ** 40, 'bytes', '5 TiB'],
	[5963, 'count', '5,963 times'],
	[123456, 'count', '123 k times'],
	[3, 'bananas', '3 bananas'],
])('%d %s', (value, unit, text) => {
	expect(format_value(value, unit)).toBe(text);
});

test('a count bears its noun', () => {
	expect(format_value(7, 'count', 'objects')).toBe('7 objects');
	expect(format_count(2_500_000)).toBe('2.50 M');
});

test('a rate: nanoseconds per second are cores', () => {
	expect(format_rate(1.5e9, 'nanoseconds')).toBe('1.50 cores');
	expect(format_rate(2048, 'bytes')).toBe('2 KiB/s');
	expect(format_rate(4, 'count', 'calls')).toBe('4 calls/s');
});

test('a share never rounds something to nothing', () => {
	expect(format_percent(0, 10)).toBe('0 %');
	expect(format_percent(1, 1e9)).toBe('< 0.01 %');
	expect(format_percent(1, 3)).toBe('33.3 %');
	expect(format_percent(1, 1)).toBe('100 %');
	expect(format_percent(5, 0)).toBe('0 %');
});

test('samples come with their standard error', () => {
	expect(samples_error(50, 100)).toBeCloseTo(5);
	expect(samples_error(100, 100)).toBe(0);
	expect(format_samples(400, 1600)).toBe('400 ± 17 samples');
	expect(format_samples(4, 1600, true)).toBe('at least 4 ± 2.0 samples');
});

test('how long ago', () => {
	expect(format_ago(0, 30_000)).toBe('30 s ago');
	expect(format_ago(0, 7200_000)).toBe('2 h ago');
});
