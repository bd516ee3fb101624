/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/stacks.h - stacks whose frames are names, with one number each: what the text formats have
 * in common.  Private to ingest/.
 *
 * The request's name chooses what is counted: a type id or an alias (docs/formats/http.md), or the
 * name of a kind; process_cpu:samples:count:cpu:nanoseconds when there is none.  With
 * `sample_period_ns` the number counts samples of a clock ("cpu" or "wall"), and its time is
 * written beside it.
 */
#ifndef INGEST_STACKS_H
#define INGEST_STACKS_H

#include "ingest/protocol.h"

#define INGEST_STACK_FRAMES_MAX 65536 /* the builder keeps the ends of deeper stacks than its own */

struct ingest_stacks {
	struct profile_builder *out;
	uint32_t *frames; /* INGEST_STACK_FRAMES_MAX */
	struct profile_record record;
	int64_t period_ns;   /* of a sample; 0: the number is the value */
	bool counts_samples; /* the value says how many samples there were */
};

/* Decide kind, series and time.  Returns 0, -E2BIG or -ENOMEM with the reason; release in any
 * case. */
MUST_CHECK int ingest_stacks_init(struct ingest_stacks *stacks,
				  const struct ingest_request *request, int64_t time_ns,
				  int64_t duration_ns, struct profile_builder *out,
				  struct err *err);
void ingest_stacks_release(struct ingest_stacks *stacks);

/* Add "root;...;leaf" with its number.  Returns 0, -EMSGSIZE (too many frames), -E2BIG or -ENOMEM,
 * the last two with the builder's reason. */
MUST_CHECK int ingest_stacks_add(struct ingest_stacks *stacks, struct str stack, int64_t count);

/* The same for `count` frames made by ingest_stacks_frame, leaf first. */
MUST_CHECK int ingest_stacks_add_frames(struct ingest_stacks *stacks, const uint32_t *frames,
					size_t frames_count, int64_t count);
MUST_CHECK int ingest_stacks_frame(struct ingest_stacks *stacks, struct str name, struct str file,
				   uint32_t line, uint32_t *ret_frame);

#endif
