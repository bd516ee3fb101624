// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';

import { type TypeEntry, type_key, type_words, types_by_group } from '../src/types';

const entry = (id: string, alias: string | null): TypeEntry => ({ id, alias, type: '', unit: 'count', kind: 'sum' });
const custom = entry('goroutine:goroutine:count:x:y', null);
const memory = entry('memory:alloc_objects:count:space:bytes', 'alloc_objects');
const cpu = entry('process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'cpu');

test('known types have words, unknown ones their own name', () => {
	expect(type_words(memory)).toMatchObject({ label: 'Allocated objects', group: 'Memory', noun: 'objects' });
	expect(type_words(custom)).toMatchObject({ label: 'goroutine', group: 'Other' });
	expect(type_words(entry('heap:live:bytes::', null)).label).toBe('heap: live');
	expect(type_words(undefined).label).toBe('Profile');
});

test('a link names the alias where there is one', () => {
	expect(type_key(cpu)).toBe('cpu');
	expect(type_key(custom)).toBe(custom.id);
});

test('CPU comes before memory, and what is not known comes last', () => {
	expect(types_by_group([custom, memory, cpu])).toEqual([cpu, memory, custom]);
});
