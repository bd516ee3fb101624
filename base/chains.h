/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/chains.h - trees of stacks: nodes that have a parent, numbered below them, and a key.
 *
 * Stacks are deep and mostly go on in one way, and a stack's nodes are numbered as they come: nine
 * nodes of ten have the node before them as their parent.  So a bit says which have another, and
 * only these have one written down. Keys are few: two bytes each, four as soon as one does not fit.
 *  A quarter of what two numbers take, of which a first question has to get and fill millions.
 * Node 0 is the root.
 *
 * One thread adds; others may read what was there before.
 */
#ifndef BASE_CHAINS_H
#define BASE_CHAINS_H

#include "base/util.h"

struct chains {
	/* by node, a bit: its parent stands in `parents`; it is the node before otherwise */
	uint64_t *heads;
	uint32_t *before;  /* how many were set before each 64 */
	uint32_t *parents; /* of heads, in their order */
	uint16_t *keys;    /* by node; NULL: they are in `wide` */
	uint32_t *wide;
	size_t nodes_count, parents_count;
	size_t heads_capacity, before_capacity, parents_capacity, capacity;
};

void chains_release(struct chains *chains);

/* Room for so many nodes whose keys are up to `key`, and for some times more that is no memory yet.
 *  The first time it adds the root, whose key is 0. Returns 0 or -ENOMEM. */
MUST_CHECK int chains_reserve(struct chains *chains, size_t nodes, uint32_t key);

/* Add a node; parent < nodes_count. Returns 0 or -ENOMEM. */
MUST_CHECK int chains_add(struct chains *chains, uint32_t parent, uint32_t key);

/* Adding many at once, with room for them, behind nodes_count: keys, and the parents of those where
 * that is not the node before, in their order (0 or -ENOMEM).  They count when they are
 * accepted. */
MUST_CHECK int chains_hang(struct chains *chains, size_t node, uint32_t parent);
void chains_accept(struct chains *chains, size_t nodes);

static inline void chains_set_key(struct chains *chains, size_t node, uint32_t key)
{
	if (chains->keys)
		chains->keys[node] = (uint16_t)key;
	else
		chains->wide[node] = key;
}

static inline bool chains_has_room(const struct chains *chains, uint32_t key)
{
	return chains->nodes_count < chains->capacity && (key <= UINT16_MAX || !chains->keys);
}

/* Add a child of the last node, with room for it. */
static inline void chains_go_on(struct chains *chains, uint32_t key)
{
	if (chains->nodes_count % 64 == 0)
		chains->before[chains->nodes_count / 64] = (uint32_t)chains->parents_count;
	chains_set_key(chains, chains->nodes_count++, key);
}

static inline uint32_t chains_key(const struct chains *chains, uint32_t node)
{
	return chains->keys ? chains->keys[node] : chains->wide[node];
}

static inline bool chains_is_head(const struct chains *chains, uint32_t node)
{
	return chains->heads[node / 64] >> node % 64 & 1;
}

/* Where the nodes begin that go on one behind the other to this one. */
static inline uint32_t chains_begin(const struct chains *chains, uint32_t node)
{
	size_t word = node / 64;
	uint64_t heads = chains->heads[word] & UINT64_MAX >> (63 - node % 64);

	while (!heads) /* the root is one */
		heads = chains->heads[--word];
	return (uint32_t)(word * 64 + 63 - (size_t)__builtin_clzll(heads));
}

/* Of the root: itself. */
static inline uint32_t chains_parent(const struct chains *chains, uint32_t node)
{
	uint64_t heads = chains->heads[node / 64], bit = UINT64_C(1) << node % 64;

	if (!(heads & bit))
		return node - 1;
	return chains->parents[chains->before[node / 64] +
			       (uint32_t)__builtin_popcountll(heads & (bit - 1))];
}

#endif
