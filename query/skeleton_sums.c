/* SPDX-License-Identifier: Apache-2.0 */
/* Values by node of a skeleton. */
#include "query/skeleton.h"

#include <errno.h>
#include <string.h>

/* numbers are ours */
static const uint64_t place_secret[2] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f};

void skeleton_sums_release(struct skeleton_sums *sums)
{
	free(sums->leaves);
	slots_release(&sums->places);
	free(sums->starts);
	free(sums->before);
	free(sums->totals);
	*sums = (struct skeleton_sums){0};
}

void skeleton_sums_borrow(struct skeleton_sums *ret_sums, struct skeleton *skeleton)
{
	struct skeleton_sums *spare = TAKE(skeleton->spare);

	*ret_sums = spare ? *spare : (struct skeleton_sums){0};
	free(spare);
}

void skeleton_sums_return(struct skeleton_sums *sums, struct skeleton *skeleton)
{
	struct skeleton_sums *spare = skeleton->spare ? NULL : malloc(sizeof(*spare));

	if (!spare) {
		skeleton_sums_release(sums);
		return;
	}
	skeleton_clear(sums);
	sums->with_samples = sums->joined = false;
	*spare = *sums;
	skeleton->spare = spare;
	*sums = (struct skeleton_sums){0};
}

/* The leaf at this node, SLOTS_NONE if there is none yet. */
static uint32_t leaf_find(const struct skeleton_sums *sums, uint32_t tag, uint32_t node)
{
	size_t at = slots_first(&sums->places, tag);
	uint32_t leaf;

	while ((leaf = slots_next(&sums->places, tag, &at)) != SLOTS_NONE)
		if (sums->leaves[leaf].node == node)
			break;
	return leaf;
}

static int leaf_add(struct skeleton_sums *sums, uint32_t tag, struct skeleton_leaf leaf)
{
	int rc = array_grow(&sums->leaves, sizeof(*sums->leaves), &sums->leaves_capacity,
			    sums->leaves_count + 1);

	if (!rc)
		rc = slots_add(&sums->places, tag, (uint32_t)sums->leaves_count);
	if (!rc)
		sums->leaves[sums->leaves_count++] = leaf;
	return rc;
}

int skeleton_add(struct skeleton_sums *sums, uint32_t node, int64_t value, uint64_t samples)
{
	uint32_t tag = slots_mix(node, 0, place_secret), at = leaf_find(sums, tag, node);

	if (at == SLOTS_NONE)
		return leaf_add(sums, tag, (struct skeleton_leaf){node, value, samples});
	struct skeleton_leaf *leaf = &sums->leaves[at];

	leaf->self = sum_add(leaf->self, value);
	leaf->samples += samples;
	return 0;
}

int skeleton_keep(struct skeleton_sums *sums, const bool *passes)
{
	size_t count = sums->leaves_count;
	int rc = 0;

	skeleton_clear(sums);
	for (size_t i = 0; !rc && i < count; i++) {
		/* kept ones go where others were, which were read */
		struct skeleton_leaf leaf = sums->leaves[i];

		if (passes[leaf.node])
			rc = leaf_add(sums, slots_mix(leaf.node, 0, place_secret), leaf);
	}
	return rc;
}

void skeleton_clear(struct skeleton_sums *sums)
{
	slots_clear(&sums->places);
	sums->leaves_count = 0;
}

/* ---- settling ---- */

static void start_at(struct skeleton_sums *sums, size_t node, size_t nodes)
{
	if (node < nodes)
		sums->starts[node / 64] |= UINT64_C(1) << node % 64;
}

/* Runs end at leaves and forks. */
static void starts_find(struct skeleton_sums *sums, const struct skeleton *s)
{
	size_t nodes = s->tree.nodes_count;
	uint64_t carried = 0; /* the last node of the word before is a fork */

	for (size_t word = 0; word <= (nodes - 1) / 64; word++) {
		sums->starts[word] = s->tree.heads[word] | s->forks[word] << 1 | carried;
		carried = s->forks[word] >> 63;
	}
	for (size_t i = 0; i < sums->leaves_count; i++)
		start_at(sums, (size_t)sums->leaves[i].node + 1, nodes);
	for (size_t i = 1; sums->joined && i < nodes; i++) {
		if (s->joined[i] == i)
			continue;
		start_at(sums, i, nodes);
		start_at(sums, i + 1, nodes);
		start_at(sums, s->joined[i], nodes);
		start_at(sums, (size_t)s->joined[i] + 1, nodes);
	}
	if (nodes % 64) /* a fork that is the last node has no node behind it */
		sums->starts[nodes / 64] &= (UINT64_C(1) << nodes % 64) - 1;
}

/* Children before parents. */
static void runs_sum(struct skeleton_sums *sums, const struct skeleton *s)
{
	size_t run = sums->runs_count;

	for (size_t word = (s->tree.nodes_count - 1) / 64 + 1; word-- > 0;) {
		for (uint64_t bits = sums->starts[word]; bits;) {
			unsigned bit = 63 - (unsigned)__builtin_clzll(bits);
			uint32_t node = (uint32_t)(word * 64 + bit);
			struct skeleton_total *from = &sums->totals[--run], *to = from - 1;

			bits &= ~(UINT64_C(1) << bit);
			if (!node || !from->touched)
				continue;
			if (chains_is_head(&s->tree, node))
				to = skeleton_total_of(sums, skeleton_parent(s, node));
			to->total = sum_add(to->total, from->total);
			to->samples += from->samples;
			to->touched = true;
		}
	}
}

int skeleton_settle(struct skeleton_sums *sums, const struct skeleton *s)
{
	size_t words = (s->tree.nodes_count - 1) / 64 + 1;

	if (array_grow(&sums->starts, sizeof(*sums->starts), &sums->words_capacity, words) ||
	    array_grow(&sums->before, sizeof(*sums->before), &sums->before_capacity, words))
		return -ENOMEM;
	starts_find(sums, s);
	sums->runs_count = 0;
	for (size_t word = 0; word < words; word++) {
		sums->before[word] = (uint32_t)sums->runs_count;
		sums->runs_count += (size_t)__builtin_popcountll(sums->starts[word]);
	}
	if (array_grow(&sums->totals, sizeof(*sums->totals), &sums->runs_capacity,
		       sums->runs_count))
		return -ENOMEM;
	memset(sums->totals, 0, sums->runs_count * sizeof(*sums->totals));
	for (size_t i = 0; i < sums->leaves_count; i++) {
		const struct skeleton_leaf *leaf = &sums->leaves[i];

		*skeleton_total_of(sums, leaf->node) = (struct skeleton_total){
		    leaf->self, sums->with_samples ? leaf->samples : 0, true};
	}
	runs_sum(sums, s);
	return 0;
}

bool skeleton_next_run(const struct skeleton_sums *sums, size_t nodes, struct skeleton_run *run)
{
	size_t word = run->end / 64;

	if (run->end >= nodes)
		return false;
	run->total = run->end ? run->total + 1 : sums->totals;
	run->at = run->end++;
	if (run->end / 64 != word)
		word++;
	uint64_t bits =
	    word <= (nodes - 1) / 64 ? sums->starts[word] & UINT64_MAX << run->end % 64 : 0;

	while (!bits && ++word <= (nodes - 1) / 64)
		bits = sums->starts[word];
	run->end = bits ? word * 64 + (size_t)__builtin_ctzll(bits) : nodes;
	return true;
}

void skeleton_leaves_take(struct skeleton_sums *sums, struct skeleton_leaves *ret_leaves)
{
	*ret_leaves = (struct skeleton_leaves){TAKE(sums->leaves), sums->leaves_count};
	sums->leaves_capacity = 0;
	skeleton_clear(sums);
}

int skeleton_leaves_add(const struct skeleton_leaves *leaves, struct skeleton_sums *sums)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < leaves->count; i++)
		rc = skeleton_add(sums, leaves->list[i].node, leaves->list[i].self,
				  leaves->list[i].samples);
	return rc;
}

void skeleton_leaves_release(struct skeleton_leaves *leaves)
{
	free(leaves->list);
	*leaves = (struct skeleton_leaves){0};
}
