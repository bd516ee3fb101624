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

struct weighing {
	const struct fold *f;
	const struct dict_tables *t;
	uint64_t *totals; /* by node */
	bool *keep;
};

/* What an entry adds to a column of the answers: sums of a gauge are nobody's, nor are snapshots
 * before the last. */
static uint64_t weight(const struct fold *f, const struct fold_entry *e, size_t column, bool gauge)
{
	const struct fold_bucket *b = &f->buckets[e->bucket];

	if (b->gauge != gauge || (gauge && e->time_ns != b->time_ns))
		return 0;
	return magnitude(f->values[e->values_at + column]);
}

/* Keep the nodes that are large enough; false: all of them are nothing. */
static bool keep_large(struct weighing *w)
{
	for (size_t node = w->t->nodes_count; node-- > 1;) {
		uint32_t parent = chains_parent(&w->t->chains, (uint32_t)node);

		w->totals[parent] = add(w->totals[parent], w->totals[node]);
	}
	uint64_t least = w->totals[0] / SMALL + (w->totals[0] % SMALL != 0);

	for (size_t node = 1; node < w->t->nodes_count; node++)
		w->keep[node] |= least && w->totals[node] >= least;
	return least;
}

static bool weigh_column(struct weighing *w, size_t column, bool gauge)
{
	memset(w->totals, 0, w->t->nodes_count * sizeof(*w->totals));
	for (size_t i = 0; i < w->f->entries_count; i++) {
		const struct fold_entry *e = &w->f->entries[i];

		w->totals[e->node] = add(w->totals[e->node], weight(w->f, e, column, gauge));
	}
	return keep_large(w);
}

static void weigh_counts(struct weighing *w)
{
	memset(w->totals, 0, w->t->nodes_count * sizeof(*w->totals));
	for (size_t i = 0; i < w->f->entries_count; i++) {
		const struct fold_entry *e = &w->f->entries[i];

		w->totals[e->node] = add(w->totals[e->node], e->count);
	}
	(void)keep_large(w);
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

int fold_small(struct fold *f, const struct dict_tables *t, const struct dict_series *described)
{
	size_t count = t->nodes_count;
	bool *keep CLEANUP(cleanup_free) = calloc(count, sizeof(*keep));
	uint32_t *nodes CLEANUP(cleanup_free) = calloc(count, sizeof(*nodes));
	uint64_t *totals CLEANUP(cleanup_free) = calloc(count, sizeof(*totals));
	struct weighing w = {f, t, totals, keep};
	bool any = false;

	if (!keep || !nodes || !totals || count > INT32_MAX)
		return -ENOMEM;
	for (size_t column = 0; column < described->columns_count; column++)
		any |= weigh_column(&w, column, described->columns[column].gauge);
	if (!any)
		weigh_counts(&w); /* values are all 0 */
	assign(t, keep, nodes);
	return fold_renumber(f, nodes, described->columns_count);
}
