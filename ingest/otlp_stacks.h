/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/otlp_stacks.h - stacks of an OTLP dictionary become nodes, each once.  Private to ingest/.
 */
#ifndef INGEST_OTLP_STACKS_H
#define INGEST_OTLP_STACKS_H

#include "ingest/protocol.h"
#include "wire/otlp.h"

struct ingest_otlp_stacks {
	const struct otlp_dictionary *d;
	struct profile_builder *out;
	struct err *err;
	uint32_t *nodes;                   /* by stack, unset at first */
	uint32_t *modules;                 /* by mapping */
	uint32_t *frames, frames_capacity; /* of the stack at hand */
};

/* `d`, `out` and `err` are borrowed. Returns 0 or -ENOMEM; release in any case. */
MUST_CHECK int ingest_otlp_stacks_init(struct ingest_otlp_stacks *stacks,
				       const struct otlp_dictionary *d, struct profile_builder *out,
				       struct err *err);
void ingest_otlp_stacks_release(struct ingest_otlp_stacks *stacks);

/* The node of a stack of the dictionary. Returns 0, -EINVAL with what points nowhere, or the
 * builder's. */
MUST_CHECK int ingest_otlp_node(struct ingest_otlp_stacks *stacks, uint32_t stack,
				uint32_t *ret_node);

/* -EINVAL: "otlp: <what> <index> of <count>". */
int ingest_otlp_broken(struct err *err, const char *what, uint64_t index, size_t count);

#endif
