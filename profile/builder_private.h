/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile/builder_private.h - what the files of the builder share: builder.c its life and its
 * records, builder_stacks.c strings, frames, nodes and stacks, builder_series.c kinds, labels,
 * series and contexts.
 *
 * Private to profile/builder*.c.
 */
#ifndef PROFILE_BUILDER_PRIVATE_H
#define PROFILE_BUILDER_PRIVATE_H

#include <errno.h>

#include "base/index.h"
#include "profile/builder.h"

/*
 * For tables of a few entries one interner serves: a thing's bytes are its key, and the number that
 * it gets is the thing's place.  Number 0 is the empty key, which is the table's "none" where it
 * has one (modules, contexts) and is skipped where it has not (kinds, series).  Frames and nodes
 * are thousands and are found in their tables themselves; stacks by a hash that is long enough to
 * be what it stands for.
 */
struct profile_builder {
	struct profile *p;
	struct profile_limits limits;
	struct profile_cuts cuts;
	struct err err;
	int failed;
	struct intern modules, kinds, series, contexts;
	struct slots frames, nodes; /* nodes: those that have no link */
	struct link {
		uint32_t child, sibling; /* the newest few children of a node; 0: no more */
		uint32_t frame;          /* its own, as in the table of nodes: one place to look */
	} * links;
	/* Nodes by their path, as long as no other takes the place.  What is there may be of a
	 * profile before. */
	uint32_t *lately;
	unsigned lately_shift; /* 64 - log2 of its places in use; 0: none yet */
	size_t nodes_expected;
	struct index stacks; /* to their nodes */
	uint64_t secret[2];
	struct hash128 *text_identities; /* of strings; zero: not asked for yet */
	size_t texts_end;                /* behind the last that is not zero */
	uint32_t *scratch; /* PROFILE_STACK_DEPTH_MAX frames of a stack that was cut */
	uint32_t *path;    /* nodes of the last stack of stack_go_on, the root's child first */
	size_t depth;      /* of it */
	struct {
		size_t text_identities, lately, links;
	} own;
	struct {
		size_t modules, frames, frame_identities, nodes, node_hashes, kinds, labels, series,
		    contexts, records, values, cursors, losses;
	} capacity; /* of the profile's tables */
};

/* Nothing more goes in.  Returns `code`, with the reason in the builder's `err`. */
int builder_fail(struct profile_builder *builder, int code, const char *what, size_t limit);

/* Room for `more` nodes. Returns 0 or -ENOMEM. */
MUST_CHECK int builder_nodes_reserve(struct profile_builder *builder, size_t more);

#define GROW(b, table, extra)                                                                      \
	array_grow(&(b)->p->table, sizeof(*(b)->p->table), &(b)->capacity.table,                   \
		   (b)->p->table##_count + (extra))

#endif
