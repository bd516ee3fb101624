// SPDX-License-Identifier: Apache-2.0
//
// types.ts - profile types in words: aliases of known ones, groups for the list.  The agent knows
// no dimension by name; a type that is not listed here shows under its own.

export interface TypeWords {
	label: string;
	group: string;
	noun: string; // of a count: "objects"
	lanes: string; // what a nanosecond per nanosecond is
}

const WORDS: Record<string, [string, string, string?, string?]> = {
	cpu: ['CPU time', 'CPU'],
	cpu_samples: ['CPU samples', 'CPU', 'samples'],
	wall: ['Wall-clock time', 'Wall clock', '', 'threads'],
	wall_samples: ['Wall-clock samples', 'Wall clock', 'samples'],
	alloc_space: ['Allocated memory', 'Memory'],
	alloc_objects: ['Allocated objects', 'Memory', 'objects'],
	inuse_space: ['Live memory', 'Memory'],
	inuse_objects: ['Live objects', 'Memory', 'objects'],
	lock_delay: ['Lock wait time', 'Locks', '', 'threads'],
	lock_contentions: ['Lock contentions', 'Locks', 'contentions'],
	lock_blame: ['Lock wait time, by holder', 'Locks', '', 'threads'],
	lock_blamed: ['Lock contentions, by holder', 'Locks', 'contentions'],
	lock_hold: ['Lock hold time', 'Locks', '', 'threads'],
	block_delay: ['Blocked time', 'Blocking calls', '', 'threads'],
	block_count: ['Blocking calls', 'Blocking calls', 'calls'],
	exceptions: ['Exceptions', 'Exceptions', 'exceptions'],
	resident: ['Resident memory', 'Process'],
	fragmentation: ['Resident, not live heap', 'Process'],
	run_queue: ['Waiting for a CPU', 'Process', '', 'threads'],
	minor_faults: ['Minor page faults', 'Process', 'faults'],
	major_faults: ['Major page faults', 'Process', 'faults'],
	voluntary_switches: ['Voluntary switches', 'Process', 'switches'],
	involuntary_switches: ['Involuntary switches', 'Process', 'switches'],
};

export const GROUPS = ['CPU', 'Wall clock', 'Memory', 'Locks', 'Blocking calls', 'Exceptions', 'Process',
	'Other'];

export interface TypeEntry {
	id: string;
	alias?: string | null;
	type: string;
	unit: string;
	kind: string;
}

export function type_words(type: TypeEntry | undefined): TypeWords {
	const known = type?.alias ? WORDS[type.alias] : undefined;
	if (known) return { label: known[0], group: known[1], noun: known[2] ?? '', lanes: known[3] ?? 'cores' };
	const [name, column] = (type?.id ?? '').split(':');
	const label = !name ? 'Profile' : name === column || !column ? name : `${name}: ${column}`;
	return { label, group: 'Other', noun: '', lanes: 'per second' };
}

// How links name a type: its alias, else its id.
export function type_key(type: TypeEntry): string {
	return type.alias || type.id;
}

// In the order of GROUPS, within a group in the order of WORDS: what a page opens with comes first.
export function types_by_group<T extends TypeEntry>(types: readonly T[]): T[] {
	const order = Object.keys(WORDS);
	const place = (t: T) => GROUPS.indexOf(type_words(t).group) * 1000 + order.indexOf(t.alias ?? '');
	return [...types].sort((a, b) => place(a) - place(b));
}
