/* SPDX-License-Identifier: Apache-2.0 */
/* Values by node of a skeleton. */
#include "query/skeleton.h"

#include <errno.h>
#include <string.h>

#include "base/pages.h"

int skeleton_reserve(struct skeleton_sums *sums, const struct skeleton *skeleton)
{
	size_t want = skeleton->nodes_count, old = sums->capacity;

	if (want <= old)
		return 0;
	if (!old) {
		want = MAX(want, skeleton->nodes_capacity);
		sums->totals = pages_zeroes(want, sizeof(*sums->totals));
		sums->capacity = sums->totals ? want : 0;
		return sums->totals ? 0 : -ENOMEM;
	}
	want += want / 4;
	int64_t *totals = realloc(sums->totals, want * sizeof(*totals));

	if (!totals)
		return -ENOMEM;
	sums->totals = totals;
	memset(totals + old, 0, (want - old) * sizeof(*totals));
	sums->capacity = want;
	return 0;
}

/* A column of zeroes for that many nodes; what it held goes. */
static int column_clear(void *array, size_t item_bytes, size_t *capacity, size_t nodes)
{
	void *column;

	memcpy(&column, array, sizeof(column));
	if (nodes <= *capacity) {
		memset(column, 0, nodes * item_bytes);
		return 0;
	}
	free(column);
	*capacity = nodes + nodes / 32;
	column = pages_zeroes(*capacity, item_bytes);
	*capacity = column ? *capacity : 0;
	memcpy(array, &column, sizeof(column));
	return column ? 0 : -ENOMEM;
}

void skeleton_sums_release(struct skeleton_sums *sums)
{
	free(sums->totals);
	free(sums->touched);
	free(sums->samples);
	free(sums->leaves);
	*sums = (struct skeleton_sums){ 0 };
}

void skeleton_sums_borrow(struct skeleton_sums *ret_sums, struct skeleton *skeleton)
{
	struct skeleton_sums *spare = TAKE(skeleton->spare);

	*ret_sums = spare ? *spare : (struct skeleton_sums){ 0 };
	free(spare);
}

void skeleton_sums_return(struct skeleton_sums *sums, struct skeleton *skeleton)
{
	struct skeleton_sums *spare = !skeleton->spare && sums->totals ? malloc(sizeof(*spare)) : NULL;

	if (!spare) {
		skeleton_sums_release(sums);
		return;
	}
	skeleton_wipe(sums, skeleton);
	sums->with_samples = false;
	*spare = *sums;
	skeleton->spare = spare;
	*sums = (struct skeleton_sums){ 0 };
}

void skeleton_wipe(struct skeleton_sums *sums, const struct skeleton *skeleton)
{
	size_t nodes = MIN(sums->capacity, skeleton->nodes_count);

	sums->leaves_count = 0;
	if (nodes)
		memset(sums->totals, 0, nodes * sizeof(*sums->totals));
}

int skeleton_add(struct skeleton_sums *sums, uint32_t node, int64_t value, uint64_t samples)
{
	if (!sums->totals[node]) {
		int rc = array_grow(&sums->leaves, sizeof(*sums->leaves), &sums->leaves_capacity,
				    sums->leaves_count + 1);

		if (rc)
			return rc;
		sums->leaves[sums->leaves_count] = (struct skeleton_leaf){ .node = node };
		sums->totals[node] = (int64_t)++sums->leaves_count;
	}
	struct skeleton_leaf *leaf = &sums->leaves[sums->totals[node] - 1];

	leaf->self = sum_add(leaf->self, value);
	leaf->samples += samples;
	return 0;
}

void skeleton_drop_leaf(struct skeleton_sums *sums, size_t leaf)
{
	struct skeleton_leaf last = sums->leaves[--sums->leaves_count];

	sums->totals[last.node] = (int64_t)leaf + 1;
	sums->totals[sums->leaves[leaf].node] = 0;
	sums->leaves[leaf] = last;
}

void skeleton_clear(struct skeleton_sums *sums)
{
	for (size_t i = 0; i < sums->leaves_count; i++)
		sums->totals[sums->leaves[i].node] = 0;
	sums->leaves_count = 0;
}

/* Children before parents.  A parent is mostly the node before: its values then never leave the registers. */
static void totals_sum(int64_t *totals, bool *touched, const uint32_t *parents, size_t nodes)
{
	int64_t total = totals[nodes - 1];
	bool is_touched = touched[nodes - 1];

	for (size_t i = nodes - 1; i > 0; i--) {
		int64_t before = totals[i - 1];
		bool is_before = touched[i - 1];
		uint32_t parent = parents[i];

		totals[i] = total;
		touched[i] = is_touched;
		if (parent == i - 1) {
			before = sum_add(before, total);
			is_before |= is_touched;
		} else if (is_touched) {
			totals[parent] = sum_add(totals[parent], total);
			touched[parent] = true;
		}
		total = before;
		is_touched = is_before;
	}
	totals[0] = total;
	touched[0] = is_touched;
}

static void samples_sum(uint64_t *samples, const uint32_t *parents, size_t nodes)
{
	uint64_t sum = samples[nodes - 1];

	for (size_t i = nodes - 1; i > 0; i--) {
		uint64_t before = samples[i - 1];

		samples[i] = sum;
		if (parents[i] == i - 1)
			before += sum;
		else if (sum)
			samples[parents[i]] += sum;
		sum = before;
	}
	samples[0] = sum;
}

int skeleton_settle(struct skeleton_sums *sums, const struct skeleton *skeleton)
{
	size_t nodes = skeleton->nodes_count;
	int rc = skeleton_reserve(sums, skeleton);

	if (!rc)
		rc = column_clear(&sums->touched, sizeof(*sums->touched), &sums->touched_capacity, nodes);
	if (!rc && sums->with_samples)
		rc = column_clear(&sums->samples, sizeof(*sums->samples), &sums->samples_capacity, nodes);
	if (rc)
		return rc;
	for (size_t i = 0; i < sums->leaves_count; i++) {
		sums->totals[sums->leaves[i].node] = sums->leaves[i].self;
		sums->touched[sums->leaves[i].node] = true;
		if (sums->with_samples)
			sums->samples[sums->leaves[i].node] = sums->leaves[i].samples;
	}
	totals_sum(sums->totals, sums->touched, skeleton->parent, nodes);
	if (sums->with_samples)
		samples_sum(sums->samples, skeleton->parent, nodes);
	return 0;
}

void skeleton_leaves_take(struct skeleton_sums *sums, struct skeleton_leaves *ret_leaves)
{
	for (size_t i = 0; i < sums->leaves_count; i++)
		sums->totals[sums->leaves[i].node] = 0;
	*ret_leaves = (struct skeleton_leaves){ TAKE(sums->leaves), sums->leaves_count };
	sums->leaves_count = sums->leaves_capacity = 0;
}

int skeleton_leaves_add(const struct skeleton_leaves *leaves, struct skeleton_sums *sums,
			const struct skeleton *skeleton)
{
	int rc = skeleton_reserve(sums, skeleton);

	for (size_t i = 0; !rc && i < leaves->count; i++)
		rc = skeleton_add(sums, leaves->list[i].node, leaves->list[i].self,
				  leaves->list[i].samples);
	return rc;
}

void skeleton_leaves_release(struct skeleton_leaves *leaves)
{
	free(leaves->list);
	*leaves = (struct skeleton_leaves){ 0 };
}
