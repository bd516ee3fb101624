/* SPDX-License-Identifier: Apache-2.0 */
#include "query/groups.h"

#include <errno.h>
#include <string.h>

#include "query/passing.h"

#define GROUPS_BYTES_MAX ((size_t)64 << 20)

struct each_call {
	const struct query *query;
	storage_series_fn fn;
	void *arg;
};

static int each_one(void *arg, const struct storage_series *series)
{
	const struct each_call *call = arg;

	return query_wants(call->query, series) ? call->fn(call->arg, series) : 0;
}

int query_each_series(const struct query *query, storage_series_fn fn, void *arg, struct err *err)
{
	struct each_call call = { query, fn, arg };

	return storage_series(query->reader, query->range.from_ns, query->range.until_ns, each_one, &call, err);
}

/* Series of one column, each with the group that it belongs to. */
struct set {
	struct hash128 *identities;
	uint32_t *groups;
	size_t count, capacity;
};

struct groups_call {
	const struct query *query;
	struct query_groups *groups;
	const struct str *labels;
	size_t labels_count;
	struct set sets[PROFILE_COLUMNS_MAX];
	size_t column; /* of the set that is scanned */
	int64_t step_ns;
};

static struct str label_of(const struct storage_series *series, struct str name)
{
	for (size_t i = 0; i < series->labels_count; i++)
		if (str_equal(series->labels[i].key, name))
			return series->labels[i].value;
	return STR("");
}

static int group_add(struct groups_call *call, const struct storage_series *series)
{
	struct query_groups *groups = call->groups;
	int rc = array_grow(&groups->groups, sizeof(*groups->groups), &groups->capacity, groups->count + 1);

	if (rc)
		return rc;
	struct query_group *group = &groups->groups[groups->count];

	*group = (struct query_group){ 0 };
	group->sums = arena_zalloc(&groups->arena, groups->steps * sizeof(*group->sums));
	group->counts = arena_zalloc(&groups->arena, groups->steps * sizeof(*group->counts));
	if (!group->sums || !group->counts)
		return -ENOMEM;
	for (size_t i = 0; i < call->labels_count; i++) {
		struct str value = label_of(series, call->labels[i]);

		group->values[i] = (struct str){ arena_copy(&groups->arena, value.ptr, value.len), value.len };
		if (!group->values[i].ptr)
			return -ENOMEM;
	}
	groups->count++;
	return 0;
}

/* The number of the series' group: one for each combination of values, which lengths keep apart. */
static int group_of(struct groups_call *call, const struct storage_series *series, uint32_t *ret_group)
{
	struct buf key;
	uint32_t id = 0;

	buf_init(&key, (size_t)1 << 20);
	for (size_t i = 0; i < call->labels_count; i++) {
		struct str value = label_of(series, call->labels[i]);

		(void)buf_add_varint(&key, value.len + 1);
		(void)buf_add(&key, value.ptr, value.len);
	}
	(void)buf_add_byte(&key, 0); /* never "", whose number is taken */
	int rc = key.failed;

	if (!rc)
		rc = intern_put(&call->groups->keys, key.data, key.len, &id);
	buf_release(&key);
	if (!rc && id > call->groups->count)
		rc = group_add(call, series);
	*ret_group = id ? id - 1 : 0;
	return rc;
}

static int series_add(void *arg, const struct storage_series *series)
{
	struct groups_call *call = arg;
	int column = query_column_of(&call->query->type, series);
	uint32_t group = 0;

	if (column < 0)
		return 0;
	struct set *set = &call->sets[column];
	size_t capacity = set->capacity;
	int rc = group_of(call, series, &group);

	if (!rc)
		rc = array_grow(&set->groups, sizeof(*set->groups), &capacity, set->count + 1);
	if (!rc)
		rc = array_grow(&set->identities, sizeof(*set->identities), &set->capacity, set->count + 1);
	if (rc)
		return rc;
	call->groups->is_gauge = call->groups->is_gauge || series->columns[column].gauge;
	set->identities[set->count] = series->identity;
	set->groups[set->count++] = group;
	return 0;
}

static int step_add(void *arg, size_t series, int64_t step_start_ns, int64_t sum, uint64_t count)
{
	struct groups_call *call = arg;
	struct query_group *group = &call->groups->groups[call->sets[call->column].groups[series]];
	int64_t step = (step_start_ns - call->query->range.from_ns) / call->step_ns;

	if (step < 0 || (size_t)step >= call->groups->steps)
		return 0;
	group->sums[step] = sum_add(group->sums[step], sum);
	group->counts[step] += count;
	group->total += (double)sum;
	call->groups->facts.samples += count;
	return 0;
}

/* ---- totals of what a shape lets through ---- */

static int part_sum(struct groups_call *call, struct passing *passing, const struct query_series_set *part,
		    struct query_group *group, struct err *err)
{
	struct query step = *call->query;
	int rc = 0;

	for (size_t i = 0; !rc && i < call->groups->steps; i++) {
		int64_t sum = 0;
		uint64_t samples = 0;

		step.range.from_ns = call->query->range.from_ns + (int64_t)i * call->step_ns;
		step.range.until_ns = MIN(step.range.from_ns + call->step_ns, call->query->range.until_ns);
		rc = passing_sum(passing, &step, part, &call->groups->facts, &sum, &samples, err);
		group->sums[i] = sum_add(group->sums[i], sum);
		group->counts[i] += samples;
		group->total += (double)sum;
	}
	return rc;
}

/* The series of one set that belong to one group. */
static int group_sum(struct groups_call *call, struct passing *passing, size_t column, uint32_t group,
		     struct err *err)
{
	const struct set *set = &call->sets[column];
	struct hash128 *CLEANUP(cleanup_free) identities = malloc((set->count + 1) * sizeof(*identities));
	struct query_series_set part = { .identities = identities, .column = column };

	if (!identities)
		return -ENOMEM;
	for (size_t i = 0; i < set->count; i++)
		if (set->groups[i] == group)
			identities[part.count++] = set->identities[i];
	return part.count ? part_sum(call, passing, &part, &call->groups->groups[group], err) : 0;
}

static int passing_scan(struct groups_call *call, struct err *err)
{
	struct passing passing CLEANUP(passing_release) = { 0 };
	int rc = passing_init(&passing, call->query, &call->groups->facts, err);

	for (size_t column = 0; !rc && column < ARRAY_LEN(call->sets); column++)
		for (uint32_t group = 0; !rc && group < call->groups->count; group++)
			rc = group_sum(call, &passing, column, group, err);
	return rc;
}

static int sets_scan(struct groups_call *call, struct err *err)
{
	int rc = 0;

	if (passing_is_needed(call->query))
		return call->groups->count ? passing_scan(call, err) : 0;
	for (call->column = 0; !rc && call->column < ARRAY_LEN(call->sets); call->column++) {
		const struct set *set = &call->sets[call->column];
		const struct storage_scan scan = { .series = set->identities,
						   .series_count = set->count,
						   .column = call->column,
						   .from_ns = call->query->range.from_ns,
						   .until_ns = call->query->range.until_ns,
						   .deadline_ns = call->query->deadline_ns };

		if (set->count)
			rc = storage_timeline(call->query->reader, &scan, call->step_ns, step_add, call, err);
	}
	if (rc != -ETIME)
		return rc;
	call->groups->facts.partial = true;
	return 0;
}

static int by_total(const void *a, const void *b)
{
	const struct query_group *x = a, *y = b;

	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	for (size_t i = 0; i < QUERY_GROUP_LABELS_MAX && x->values[i].ptr; i++) {
		int order = strcmp(x->values[i].ptr, y->values[i].ptr);

		if (order)
			return order;
	}
	return 0;
}

static int question_check(const struct query *query, int64_t step_ns, size_t labels_count, struct err *err)
{
	int64_t range_ns = query->range.until_ns - query->range.from_ns;

	if (range_ns <= 0)
		return err_set(err, -EINVAL, "the range ends before it begins");
	if (labels_count > QUERY_GROUP_LABELS_MAX)
		return err_set(err, -EINVAL, "grouping by %zu labels is above the limit of %d", labels_count,
			       QUERY_GROUP_LABELS_MAX);
	if (step_ns < 1000000)
		return err_set(err, -EINVAL, "a step below a millisecond");
	if ((range_ns - 1) / step_ns >= QUERY_STEPS_MAX)
		return err_set(err, -EINVAL, "%lld steps are above the limit of %d; raise the step",
			       (long long)((range_ns - 1) / step_ns + 1), QUERY_STEPS_MAX);
	return 0;
}

int query_group_totals(const struct query *query, int64_t step_ns, const struct str *labels, size_t labels_count,
		       struct query_groups *ret_groups, struct err *err)
{
	struct groups_call call = { .query = query,
				    .groups = ret_groups,
				    .labels = labels,
				    .labels_count = labels_count,
				    .step_ns = step_ns };
	int rc = question_check(query, step_ns, labels_count, err);

	*ret_groups = (struct query_groups){ 0 };
	if (rc)
		return rc;
	ret_groups->steps = (size_t)((query->range.until_ns - query->range.from_ns - 1) / step_ns + 1);
	arena_init(&ret_groups->arena, GROUPS_BYTES_MAX);
	rc = intern_init(&ret_groups->keys, GROUPS_BYTES_MAX);
	if (!rc)
		rc = query_each_series(query, series_add, &call, err);
	if (!rc)
		rc = sets_scan(&call, err);
	for (size_t i = 0; i < ARRAY_LEN(call.sets); i++) {
		free(call.sets[i].identities);
		free(call.sets[i].groups);
	}
	if (rc == -ENOMEM)
		err_set(err, rc, "out of memory; group by fewer values or raise the step");
	if (rc) {
		query_groups_release(ret_groups);
		return rc;
	}
	if (ret_groups->count)
		qsort(ret_groups->groups, ret_groups->count, sizeof(*ret_groups->groups), by_total);
	return 0;
}

void query_groups_release(struct query_groups *groups)
{
	free(groups->groups);
	arena_release(&groups->arena);
	intern_release(&groups->keys);
	*groups = (struct query_groups){ 0 };
}
