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
		sums->samples = pages_zeroes(want, sizeof(*sums->samples));
		sums->capacity = want;
		return sums->totals && sums->samples ? 0 : -ENOMEM;
	}
	want += want / 4;
	int64_t *totals = realloc(sums->totals, want * sizeof(*totals));

	if (!totals)
		return -ENOMEM;
	sums->totals = totals;
	uint64_t *samples = realloc(sums->samples, want * sizeof(*samples));

	if (!samples)
		return -ENOMEM;
	sums->samples = samples;
	memset(totals + old, 0, (want - old) * sizeof(*totals));
	memset(samples + old, 0, (want - old) * sizeof(*samples));
	sums->capacity = want;
	return 0;
}

void skeleton_sums_release(struct skeleton_sums *sums)
{
	free(sums->totals);
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
	struct skeleton_sums *spare =
		!skeleton->spare && sums->samples && sums->totals ? malloc(sizeof(*spare)) : NULL;

	if (!spare) {
		skeleton_sums_release(sums);
		return;
	}
	skeleton_wipe(sums, skeleton);
	*spare = *sums;
	skeleton->spare = spare;
	*sums = (struct skeleton_sums){ 0 };
}

void skeleton_wipe(struct skeleton_sums *sums, const struct skeleton *skeleton)
{
	size_t nodes = MIN(sums->capacity, skeleton->nodes_count);

	sums->leaves_count = 0;
	if (!nodes)
		return;
	memset(sums->totals, 0, nodes * sizeof(*sums->totals));
	memset(sums->samples, 0, nodes * sizeof(*sums->samples));
}

int skeleton_add(struct skeleton_sums *sums, uint32_t node, int64_t value, uint64_t samples)
{
	if (!sums->samples[node]) {
		int rc = array_grow(&sums->leaves, sizeof(*sums->leaves), &sums->leaves_capacity,
				    sums->leaves_count + 1);

		if (rc)
			return rc;
		sums->leaves[sums->leaves_count++] = (struct skeleton_leaf){ .node = node };
	}
	sums->totals[node] = sum_add(sums->totals[node], value);
	sums->samples[node] += samples;
	return 0;
}

void skeleton_read_leaves(struct skeleton_sums *sums)
{
	for (size_t i = 0; i < sums->leaves_count; i++) {
		struct skeleton_leaf *leaf = &sums->leaves[i];

		leaf->self = sums->totals[leaf->node];
		leaf->samples = sums->samples[leaf->node];
	}
}

void skeleton_drop_leaf(struct skeleton_sums *sums, size_t leaf)
{
	sums->totals[sums->leaves[leaf].node] = 0;
	sums->samples[sums->leaves[leaf].node] = 0;
	sums->leaves[leaf] = sums->leaves[--sums->leaves_count];
}

void skeleton_clear(struct skeleton_sums *sums)
{
	while (sums->leaves_count)
		skeleton_drop_leaf(sums, sums->leaves_count - 1);
}

int skeleton_settle(struct skeleton_sums *sums, const struct skeleton *skeleton)
{
	int rc = skeleton_reserve(sums, skeleton);

	if (rc)
		return rc;
	skeleton_read_leaves(sums);
	for (size_t i = skeleton->nodes_count; i-- > 1;) {
		uint32_t parent = skeleton->parent[i];

		if (!sums->samples[i])
			continue;
		sums->totals[parent] = sum_add(sums->totals[parent], sums->totals[i]);
		sums->samples[parent] += sums->samples[i];
	}
	return 0;
}

void skeleton_leaves_take(struct skeleton_sums *sums, struct skeleton_leaves *ret_leaves)
{
	skeleton_read_leaves(sums);
	for (size_t i = 0; i < sums->leaves_count; i++) {
		sums->totals[sums->leaves[i].node] = 0;
		sums->samples[sums->leaves[i].node] = 0;
	}
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
