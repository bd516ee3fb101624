/* SPDX-License-Identifier: Apache-2.0 */
#include "query/grouping.h"

#include <errno.h>
#include <string.h>

#include "query/series.h"

#define GROUPS_BYTES_MAX ((size_t)64 << 20)

static struct str label_of(const struct storage_series *series, struct str name)
{
	for (size_t i = 0; i < series->labels_count; i++)
		if (str_equal(series->labels[i].key, name))
			return series->labels[i].value;
	return STR("");
}

static int group_add(struct grouping *g, const struct storage_series *series)
{
	size_t at = g->count * g->labels_count;
	int rc = array_grow(&g->values, sizeof(*g->values), &g->capacity, at + g->labels_count + 1);

	for (size_t i = 0; !rc && i < g->labels_count; i++) {
		struct str value = label_of(series, g->labels[i]);

		g->values[at + i] =
		    (struct str){arena_copy(&g->arena, value.ptr, value.len), value.len};
		rc = g->values[at + i].ptr ? 0 : -ENOMEM;
	}
	g->count += !rc;
	return rc;
}

/* The number of the series' group: one for each combination of values, which lengths keep apart. */
static int group_of(struct grouping *g, const struct storage_series *series, uint32_t *ret_group)
{
	struct buf key;
	uint32_t id = 0;

	buf_init(&key, (size_t)1 << 20);
	for (size_t i = 0; i < g->labels_count; i++) {
		struct str value = label_of(series, g->labels[i]);

		(void)buf_add_varint(&key, value.len + 1);
		(void)buf_add(&key, value.ptr, value.len);
	}
	(void)buf_add_byte(&key, 0); /* never "", whose number is taken */
	int rc = key.failed;

	if (!rc)
		rc = intern_put(&g->keys, key.data, key.len, &id);
	buf_release(&key);
	if (!rc && id > g->count)
		rc = group_add(g, series);
	*ret_group = id ? id - 1 : 0;
	return rc;
}

static int series_add(void *arg, const struct storage_series *series)
{
	struct grouping *g = arg;
	int column = query_column_of(&g->query->type, series);
	uint32_t group = 0;

	if (column < 0)
		return 0;
	struct grouping_set *set = &g->sets[column];
	size_t capacity = set->capacity;
	int rc = group_of(g, series, &group);

	if (!rc)
		rc = array_grow(&set->groups, sizeof(*set->groups), &capacity, set->count + 1);
	if (!rc)
		rc = array_grow(&set->identities, sizeof(*set->identities), &set->capacity,
				set->count + 1);
	if (rc)
		return rc;
	g->is_gauge = g->is_gauge || series->columns[column].gauge;
	set->identities[set->count] = series->identity;
	set->groups[set->count++] = group;
	return 0;
}

int grouping_init(struct grouping *grouping, const struct query *query, const struct str *labels,
		  size_t labels_count, struct err *err)
{
	*grouping =
	    (struct grouping){.query = query, .labels = labels, .labels_count = labels_count};
	if (labels_count > QUERY_GROUP_LABELS_MAX)
		return err_set(err, -EINVAL, "grouping by %zu labels is above the limit of %d",
			       labels_count, QUERY_GROUP_LABELS_MAX);
	arena_init(&grouping->arena, GROUPS_BYTES_MAX);
	int rc = intern_init(&grouping->keys, GROUPS_BYTES_MAX);

	if (!rc)
		rc = query_each_series(query, series_add, grouping, err);
	if (rc)
		grouping_release(grouping);
	return rc;
}

struct storage_scan grouping_scan(const struct grouping *grouping, size_t column)
{
	const struct grouping_set *set = &grouping->sets[column];
	const struct query *query = grouping->query;

	return (struct storage_scan){.series = set->identities,
				     .series_count = set->count,
				     .column = column,
				     .from_ns = query->range.from_ns,
				     .until_ns = query->range.until_ns,
				     .deadline_ns = query->deadline_ns};
}

void grouping_release(struct grouping *grouping)
{
	for (size_t i = 0; i < ARRAY_LEN(grouping->sets); i++) {
		free(grouping->sets[i].identities);
		free(grouping->sets[i].groups);
	}
	free(grouping->values);
	intern_release(&grouping->keys);
	arena_release(&grouping->arena);
	*grouping = (struct grouping){0};
}
