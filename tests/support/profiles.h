/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/profiles.h - profiles in a few words, and answers of a store as text.
 *
 *	struct maker m;
 *	maker_init(&m, 1000, 7);                              owner uid, process instance
 *	maker_series(&m, PROFILE_KIND_CPU, "service=a,env=prod");
 *	maker_context(&m, "thread=worker,span=#42");          for the records that follow
 *	maker_record(&m, "main;work;leaf", time_ns, 1, 10000000, 1);
 *	struct profile *p = maker_finish(&m);
 *
 * A frame written as 0x1234@libc.so is an address, and as 0x1234 one without a file.  Failures are
 * assertions.  Cmocka programs only.
 */
#ifndef TESTS_SUPPORT_PROFILES_H
#define TESTS_SUPPORT_PROFILES_H

#include "profile/builder.h"
#include "storage/storage.h"

#define T0 INT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z */
#define SECONDS(n) ((int64_t)(n)*NS_PER_S)

struct maker {
	struct profile_builder *builder;
	uint32_t series, context;
	size_t columns;
};

/* `instance` 0: the unknown one. from, until and arrived are T0 until set. */
void maker_init(struct maker *m, uint32_t owner, unsigned instance);
struct profile *maker_profile(struct maker *m);
void maker_series(struct maker *m, enum profile_kind_id kind, const char *labels);
/* A kind of one's own: "name:period type:period unit:type/unit[!],...", '!' marks a gauge. */
void maker_series_of(struct maker *m, const char *kind, const char *labels);
void maker_context(struct maker *m, const char *labels);
/* As many values as the series has columns follow, each an int. */
void maker_record(struct maker *m, const char *stack, int64_t time_ns, uint32_t count, ...);
void maker_values(struct maker *m, const char *stack, int64_t time_ns, uint32_t count,
		  const int64_t *values);
void maker_loss(struct maker *m, const char *reason, uint64_t count, int64_t time_ns);
void maker_cursor(struct maker *m, uint32_t ring, uint64_t position);
void maker_upload(struct maker *m, const char *id);
void maker_span(struct maker *m, int64_t from_ns, int64_t until_ns, int64_t arrived_ns);
/* Set the process's end at the profile's until_ns. */
void maker_ended(struct maker *m);
struct profile *maker_finish(struct maker *m);

void instance_id(unsigned instance, uint8_t to[16]);
/* The identity that a series of this owner, kind and these labels has. */
struct hash128 series_id(uint32_t owner, enum profile_kind_id kind, const char *labels);

/* Sums by stack: lines in the order of their text. */
struct answer_line {
	char *text;
	struct hash128 hash; /* of the node where the store said one */
	int64_t sum;
	uint64_t count;
};

struct answer {
	struct answer_line *lines;
	size_t count, capacity;
};

void answer_add(struct answer *a, const char *text, int64_t sum, uint64_t count);
void answer_sort(struct answer *a); /* also joins equal texts */
void answer_release(struct answer *a);
/* NULL when equal, else what differs (static). */
const char *answer_differs(struct answer *a, struct answer *b);
/* "main;work 3/1\n..." with sum/count; free it. */
char *answer_text(struct answer *a);

/* A storage_segment_fn that adds to a struct answer and checks the segment's promises. */
int answer_segment(void *answer, const struct storage_segment *segment);
/* "main;work;leaf" of a node; free it. */
char *segment_stack(const struct storage_segment *segment, uint32_t node);

/* Text that does not shrink, from here until there, and a zero. */
void text_fill(char *text, size_t from, size_t until);

#endif
