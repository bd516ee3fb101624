/* SPDX-License-Identifier: Apache-2.0 */
#include "query/series.h"

#include <errno.h>
#include <stdio.h>

#include "query/context.h"

static struct str series_label(void *arg, struct str name)
{
	const struct storage_series *series = arg;

	for (size_t i = 0; i < series->labels_count; i++)
		if (str_equal(series->labels[i].key, name))
			return series->labels[i].value;
	return STR("");
}

bool query_wants(const struct query *query, const struct storage_series *series)
{
	void *arg;

	if (!query->viewer.all && series->owner != query->viewer.owner)
		return false;
	memcpy(&arg, &series, sizeof(arg)); /* the callback only reads */
	return selector_matches(query->selector, series_label, arg);
}

int query_column_of(const struct profile_type *type, const struct storage_series *series)
{
	if (!str_equal(type->name, series->name) ||
	    !str_equal(type->period_type, series->period_type) ||
	    !str_equal(type->period_unit, series->period_unit))
		return -1;
	for (size_t i = 0; i < series->columns_count; i++)
		if (str_equal(type->type, series->columns[i].type) &&
		    str_equal(type->unit, series->columns[i].unit))
			return (int)i;
	return -1;
}

struct select_call {
	const struct query *query;
	struct str group_by;
	struct query_selection *selection;
};

static int select_one(void *arg, const struct storage_series *series)
{
	struct select_call *call = arg;
	int column = query_column_of(&call->query->type, series);
	void *series_arg;

	if (column < 0 || !query_wants(call->query, series))
		return 0;
	struct query_series_set *set = &call->selection->sets[column];
	size_t groups_capacity = set->capacity, verdicts_capacity = set->capacity;
	int rc = array_grow(&set->groups, sizeof(*set->groups), &groups_capacity, set->count + 1);

	if (!rc)
		rc = array_grow(&set->verdicts, sizeof(*set->verdicts), &verdicts_capacity,
				set->count + 1);
	if (!rc)
		rc = array_grow(&set->identities, sizeof(*set->identities), &set->capacity,
				set->count + 1);
	if (rc)
		return rc;
	memcpy(&series_arg, &series, sizeof(series_arg));
	struct str group = call->group_by.len ? series_label(series_arg, call->group_by) : STR("");

	set->column = (size_t)column;
	set->identities[set->count] = series->identity;
	set->groups[set->count] = arena_copy(&call->selection->arena, group.ptr, group.len);
	if (!set->groups[set->count])
		return -ENOMEM;
	context_of_series(call->query, series, &set->verdicts[set->count]);
	set->verdicts[set->count].gauge = series->columns[column].gauge;
	set->count++;
	call->selection->series_count++;
	return 0;
}

int query_select(const struct query *query, struct str group_by,
		 struct query_selection *ret_selection, struct err *err)
{
	struct select_call call = {query, group_by, ret_selection};

	*ret_selection = (struct query_selection){0};
	arena_init(&ret_selection->arena, (size_t)16 << 20);
	int rc = storage_series(query->reader, query->range.from_ns, query->range.until_ns,
				select_one, &call, err);

	if (rc)
		query_selection_release(ret_selection);
	return rc;
}

void query_selection_release(struct query_selection *selection)
{
	for (size_t i = 0; i < ARRAY_LEN(selection->sets); i++)
		query_series_set_release(&selection->sets[i]);
	arena_release(&selection->arena);
	*selection = (struct query_selection){0};
}

void query_series_set_release(struct query_series_set *set)
{
	free(set->identities);
	free(set->groups);
	free(set->verdicts);
	*set = (struct query_series_set){0};
}

int query_series_set_alike(const struct query_series_set *set, struct query_series_set *ret_set)
{
	*ret_set = (struct query_series_set){
	    .column = set->column,
	    .identities = malloc((set->count + 1) * sizeof(*ret_set->identities)),
	    .groups = malloc((set->count + 1) * sizeof(*ret_set->groups)),
	    .verdicts = malloc((set->count + 1) * sizeof(*ret_set->verdicts)),
	};
	if (ret_set->identities && ret_set->groups && ret_set->verdicts)
		return 0;
	query_series_set_release(ret_set);
	return -ENOMEM;
}

void query_series_set_take(struct query_series_set *to, const struct query_series_set *from,
			   size_t i)
{
	to->identities[to->count] = from->identities[i];
	to->groups[to->count] = from->groups[i];
	to->verdicts[to->count++] = from->verdicts[i];
}

struct storage_scan query_scan(const struct query *query, const struct query_series_set *set)
{
	return (struct storage_scan){
	    .series = set->identities,
	    .series_count = set->count,
	    .column = set->column,
	    .from_ns = query->range.from_ns,
	    .until_ns = query->range.until_ns,
	    .deadline_ns = query->deadline_ns,
	};
}

static int loss_add(void *arg, struct hash128 series, struct str reason, uint64_t count)
{
	struct query_facts *facts = arg;

	(void)series;
	for (size_t i = 0; i < facts->losses_count; i++) {
		if (strlen(facts->losses[i].reason) == reason.len &&
		    !memcmp(facts->losses[i].reason, reason.ptr, reason.len)) {
			facts->losses[i].count += count;
			return 0;
		}
	}
	if (facts->losses_count == QUERY_LOSSES_MAX) {
		facts->losses[QUERY_LOSSES_MAX - 1].count += count;
		return 0;
	}
	(void)snprintf(facts->losses[facts->losses_count].reason, sizeof(facts->losses[0].reason),
		       "%.*s", (int)reason.len, reason.ptr);
	facts->losses[facts->losses_count++].count = count;
	return 0;
}

int query_add_losses(const struct query *query, const struct query_selection *selection,
		     struct query_facts *facts, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(selection->sets); i++) {
		struct storage_scan scan = query_scan(query, &selection->sets[i]);

		if (scan.series_count)
			rc = storage_losses(query->reader, &scan, loss_add, facts, err);
	}
	if (rc == -ETIME) {
		facts->partial = true;
		rc = 0;
	}
	return rc;
}

void query_type_text(const struct query *query, char type_id[PROFILE_TYPE_ID_MAX], char unit[64])
{
	if (profile_type_format(&query->type, type_id) < 0) /* parsing bounds it: cannot be */
		type_id[0] = '\0';
	(void)snprintf(unit, 64, "%.*s", (int)query->type.unit.len, query->type.unit.ptr);
}
