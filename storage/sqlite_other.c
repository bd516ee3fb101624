/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding under pressure: a node that holds less than a thousandth of each column of what is rolled
 * up at once goes, with what is below it, to [other] under its parent, so that of a storm of names
 * only the large ones are kept for a month.  Totals stay as they are at every node that is kept.
 */
#include <errno.h>
#include <string.h>

#include "storage/sqlite_fold.h"

#define SMALL 1000 /* of so many parts one is kept */

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The nodes that are large enough in one column.  `totals` is zero, for every node. */
static void keep_large(const struct fold *f, const struct dict_tables *t, size_t column,
		       uint64_t *totals, bool *keep)
{
	for (size_t i = 0; i < f->entries_count; i++) {
		const struct fold_entry *e = &f->entries[i];

		totals[e->node] = add(totals[e->node], magnitude(f->values[e->values_at + column]));
	}
	for (size_t node = t->nodes_count; node-- > 1;) {
		uint32_t parent = chains_parent(&t->chains, (uint32_t)node);

		totals[parent] = add(totals[parent], totals[node]);
	}
	uint64_t least = totals[0] / SMALL + (totals[0] % SMALL != 0);

	for (size_t node = 1; node < t->nodes_count; node++)
		keep[node] |= least && totals[node] >= least;
}

/* Where each node goes; parents stand before their children. */
static void assign(const struct dict_tables *t, const bool *keep, uint32_t *nodes)
{
	uint32_t count = (uint32_t)t->nodes_count;

	nodes[0] = 0;
	for (uint32_t node = 1; node < count; node++) {
		uint32_t parents = nodes[chains_parent(&t->chains, node)];

		nodes[node] = keep[node] ? node : parents < count ? count + parents : parents;
	}
}

int fold_small(struct fold *f, const struct dict_tables *t, size_t width)
{
	size_t count = t->nodes_count;
	bool *keep CLEANUP(cleanup_free) = calloc(count, sizeof(*keep));
	uint32_t *nodes CLEANUP(cleanup_free) = calloc(count, sizeof(*nodes));
	uint64_t *totals CLEANUP(cleanup_free) = calloc(count, sizeof(*totals));

	if (!keep || !nodes || !totals || count > INT32_MAX)
		return -ENOMEM;
	for (size_t column = 0; column < width; column++) {
		memset(totals, 0, count * sizeof(*totals));
		keep_large(f, t, column, totals, keep);
	}
	assign(t, keep, nodes);
	return fold_renumber(f, nodes, width);
}
