/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_batch.h"

#include <errno.h>
#include <string.h>

#define KEPT_MAX ((size_t)1 << 14) /* records, nodes */

void batch_release(struct batch *b)
{
	codec_columns_release(&b->columns);
	free(b->places);
	free(b->names);
	free(b->from);
	free(b->met);
	*b = (struct batch){0};
}

void batch_trim(struct batch *b)
{
	if (b->columns.capacity > KEPT_MAX || b->met_capacity > 4 * KEPT_MAX)
		batch_release(b);
}

/* A stack that the block did not have. */
static int meet(struct batch *b, struct dict_import *im, uint32_t id)
{
	size_t place = b->columns.names_count;
	uint32_t node;
	int rc = dict_import_node(im, id, &node);

	if (!rc)
		rc = array_grow(&b->names, sizeof(*b->names), &b->names_capacity, place + 1);
	if (!rc)
		rc = array_grow(&b->from, sizeof(*b->from), &b->from_capacity, place + 1);
	if (rc)
		return rc;
	b->names[place] = node;
	b->from[place] = id;
	b->met[id] = (uint32_t)place;
	b->columns.names_count++;
	return 0;
}

/* For the next block no stack has a place. */
static void forget_places(struct batch *b)
{
	for (size_t i = 0; i < b->columns.names_count; i++)
		b->met[b->from[i]] = INDEX_NONE;
	b->columns.names_count = 0;
}

static int reserve(struct batch *b, size_t records, size_t nodes, size_t width)
{
	size_t before = b->met_capacity;
	int rc = codec_columns_reserve(&b->columns, records, width);

	if (!rc)
		rc = array_grow(&b->places, sizeof(*b->places), &b->places_capacity, records);
	if (!rc)
		rc = array_grow(&b->met, sizeof(*b->met), &b->met_capacity, nodes);
	if (!rc && b->met_capacity > before)
		memset(b->met + before, 0xff, (b->met_capacity - before) * sizeof(*b->met));
	return rc;
}

#define AHEAD_FAR 48 /* records */
#define AHEAD_NEAR 24

/* A batch that waited is in cold memory, and so is what its stacks are looked up by: it is fetched
 * while others are worked on. */
__attribute__((always_inline)) static inline void
look_ahead(const struct batch *b, const struct dict_import *im, const struct profile *p, size_t at)
{
	if (p->records_count - at <= AHEAD_FAR)
		return;
	uint32_t far = p->records[at + AHEAD_FAR].node, near = p->records[at + AHEAD_NEAR].node;

	__builtin_prefetch(&im->from.node_hashes[far]);
	if (b->met[near] == INDEX_NONE)
		__builtin_prefetch(dict_import_lately(im, im->from.node_hashes[near]));
}

/* The records are many: what stays the same for all of them is not read again for each, and the
 * compiler knows how many values there mostly are. */
__attribute__((always_inline)) static inline int
add_records(struct batch *b, struct dict_import *im, const struct profile *p, uint32_t series,
	    size_t width, size_t *at)
{
	struct codec_columns *to = &b->columns;
	uint32_t *const contexts = to->contexts, *const places = b->places;
	int64_t *const times = to->times, *values[PROFILE_COLUMNS_MAX];
	int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;
	uint64_t *const counts = to->counts;
	size_t n = 0, i = *at;
	int rc = 0;

	memcpy(values, to->values, sizeof(values));
	for (; i < p->records_count && n < CODEC_RECORDS_MAX; i++) {
		const struct profile_record *r = &p->records[i];

		look_ahead(b, im, p, i);
		if (r->series != series)
			continue;
		if (b->met[r->node] == INDEX_NONE)
			rc = meet(b, im, r->node);
		if (!rc)
			rc = dict_import_context(im, r->context, &contexts[n]);
		if (rc)
			break;
		places[n] = b->met[r->node];
		times[n] = r->time_ns;
		counts[n] = r->count;
		for (size_t v = 0; v < width; v++)
			values[v][n] = p->values[r->values_at + v];
		min_ns = MIN(min_ns, r->time_ns);
		max_ns = MAX(max_ns, r->time_ns);
		n++;
	}
	*at = i;
	to->count = n;
	b->min_ns = min_ns;
	b->max_ns = max_ns;
	return rc;
}

static bool has_gauge(const struct profile_kind *kind)
{
	for (size_t i = 0; i < kind->columns_count; i++)
		if (kind->columns[i].gauge)
			return true;
	return false;
}

int batch_gather(struct batch *b, struct dict_import *im, const struct profile *p, uint32_t series,
		 size_t *at)
{
	const struct profile_kind *kind = &p->kinds[p->series[series].kind];

	forget_places(b);
	int rc = reserve(b, MIN(p->records_count - *at, CODEC_RECORDS_MAX), p->nodes_count,
			 kind->columns_count);

	b->columns.values_count = kind->columns_count;
	b->has_gauge = has_gauge(kind);
	if (!rc && kind->columns_count == 2)
		rc = add_records(b, im, p, series, 2, at);
	else if (!rc)
		rc = add_records(b, im, p, series, kind->columns_count, at);
	b->columns.names = b->names;
	b->columns.places = b->places;
	return rc;
}
