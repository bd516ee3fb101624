/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/ingest/native_plain.h - a process with a service and nothing else, and sums over what
 * it became.
 */
#ifndef TESTS_NATIVE_PLAIN_H
#define TESTS_NATIVE_PLAIN_H

#include "tests/unit/ingest/native_fixture.h"

static inline void fixture_init(struct fixture *f, bool resumed)
{
	static const struct ingest_label labels[] = {{{"service", 7}, {"x", 1}}};
	const struct native_options options = {
	    .owner = 1000, .pid = 7, .executable = "x", .labels = labels, .labels_count = 1};

	fixture_begin(f, &options);
	native_process_resume(f->process, resumed);
}

/* Sum of one column over records of the kind whose name this is; `leaf` NULL: all. */
static inline int64_t column_sum(const struct profile *p, const char *kind, const char *leaf,
				 size_t column)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		const struct profile_kind *k = &p->kinds[p->series[r->series].kind];
		const struct profile_frame *frame = &p->frames[p->nodes[r->node].frame];

		if (strcmp(profile_string(p, k->name).ptr, kind))
			continue;
		if (!leaf || !strcmp(profile_string(p, frame->function).ptr, leaf))
			sum += p->values[r->values_at + column];
	}
	return sum;
}

static inline int64_t sum_of(const struct profile *p, const char *kind, const char *leaf)
{
	return column_sum(p, kind, leaf, 0);
}

static inline struct native_reading reading(uint32_t tid, int64_t cpu_ns, int64_t wait_ns)
{
	return (struct native_reading){.slot = {.tid = tid},
				       .tid = tid,
				       .has_schedstat = true,
				       .cpu_ns = (uint64_t)cpu_ns,
				       .wait_ns = (uint64_t)wait_ns};
}

#endif
