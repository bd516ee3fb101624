/* SPDX-License-Identifier: Apache-2.0 */
#include "query/groups.h"

#include <errno.h>
#include <string.h>

#include "query/context.h"
#include "query/grouping.h"
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
	struct each_call call = {query, fn, arg};

	return storage_series(query->reader, query->range.from_ns, query->range.until_ns, each_one,
			      &call, err);
}

struct groups_call {
	const struct query *query;
	struct query_groups *groups;
	struct grouping grouping;
	size_t column; /* of the set that is scanned */
	int64_t step_ns;
};

/* A group for each of the grouping, with nothing in it yet. */
static int groups_make(struct groups_call *call)
{
	struct query_groups *groups = call->groups;
	const struct grouping *g = &call->grouping;

	groups->is_gauge = g->is_gauge;
	groups->groups = calloc(g->count + 1, sizeof(*groups->groups));
	if (!groups->groups)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++) {
		struct query_group *group = &groups->groups[groups->count++];

		group->sums = arena_zalloc(&groups->arena, groups->steps * sizeof(*group->sums));
		group->counts =
		    arena_zalloc(&groups->arena, groups->steps * sizeof(*group->counts));
		if (!group->sums || !group->counts)
			return -ENOMEM;
		for (size_t l = 0; l < g->labels_count; l++) {
			struct str value = g->values[i * g->labels_count + l];

			group->values[l] = (struct str){
			    arena_copy(&groups->arena, value.ptr, value.len), value.len};
			if (!group->values[l].ptr)
				return -ENOMEM;
		}
	}
	return 0;
}

static int step_add(void *arg, size_t series, int64_t step_start_ns, int64_t sum, uint64_t count)
{
	struct groups_call *call = arg;
	struct query_group *group =
	    &call->groups->groups[call->grouping.sets[call->column].groups[series]];
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

static int part_sum(struct groups_call *call, struct passing *passing,
		    const struct query_series_set *part, struct query_group *group, struct err *err)
{
	struct query step = *call->query;
	int rc = 0;

	for (size_t i = 0; !rc && i < call->groups->steps; i++) {
		int64_t sum = 0;
		uint64_t samples = 0;

		step.range.from_ns = call->query->range.from_ns + (int64_t)i * call->step_ns;
		step.range.until_ns =
		    MIN(step.range.from_ns + call->step_ns, call->query->range.until_ns);
		rc = passing_sum(passing, &step, part, &call->groups->facts, &sum, &samples, err);
		group->sums[i] = sum_add(group->sums[i], sum);
		group->counts[i] += samples;
		group->total += (double)sum;
	}
	return rc;
}

/* The series of one set that belong to one group. */
static int group_sum(struct groups_call *call, struct passing *passing, size_t column,
		     uint32_t group, struct err *err)
{
	const struct grouping_set *set = &call->grouping.sets[column];
	struct hash128 *CLEANUP(cleanup_free) identities =
	    malloc((set->count + 1) * sizeof(*identities));
	struct query_series_set part = {.identities = identities, .column = column};

	if (!identities)
		return -ENOMEM;
	for (size_t i = 0; i < set->count; i++)
		if (set->groups[i] == group)
			identities[part.count++] = set->identities[i];
	return part.count ? part_sum(call, passing, &part, &call->groups->groups[group], err) : 0;
}

static int passing_scan(struct groups_call *call, struct err *err)
{
	struct passing passing CLEANUP(passing_release) = {0};
	int rc = passing_init(&passing, call->query, &call->groups->facts, err);

	for (call->column = 0;
	     !rc && !context_is_asked(call->query) && call->column < ARRAY_LEN(call->grouping.sets);
	     call->column++) {
		const struct storage_scan scan = grouping_scan(&call->grouping, call->column);

		if (scan.series_count)
			rc = passing_timeline(&passing, &scan, call->step_ns, &call->groups->facts,
					      step_add, call, err);
	}
	for (size_t column = 0;
	     !rc && context_is_asked(call->query) && column < ARRAY_LEN(call->grouping.sets);
	     column++)
		for (uint32_t group = 0; !rc && group < call->groups->count; group++)
			rc = group_sum(call, &passing, column, group, err);
	call->groups->facts.partial |= rc == -ETIME;
	return rc == -ETIME ? 0 : rc;
}

static int sets_scan(struct groups_call *call, struct err *err)
{
	int rc = 0;

	if (passing_is_needed(call->query))
		return call->groups->count ? passing_scan(call, err) : 0;
	for (call->column = 0; !rc && call->column < ARRAY_LEN(call->grouping.sets);
	     call->column++) {
		const struct grouping_set *set = &call->grouping.sets[call->column];
		const struct storage_scan scan = grouping_scan(&call->grouping, call->column);

		if (set->count)
			rc = storage_timeline(call->query->reader, &scan, call->step_ns, step_add,
					      call, err);
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

int query_steps_check(const struct query *query, int64_t step_ns, struct err *err)
{
	int64_t range_ns = query->range.until_ns - query->range.from_ns;

	if (range_ns <= 0)
		return err_set(err, -EINVAL, "the range ends before it begins");
	if (step_ns < 1000000)
		return err_set(err, -EINVAL, "a step below a millisecond");
	if ((range_ns - 1) / step_ns >= QUERY_STEPS_MAX)
		return err_set(err, -EINVAL, "%lld steps are above the limit of %d; raise the step",
			       (long long)((range_ns - 1) / step_ns + 1), QUERY_STEPS_MAX);
	return 0;
}

int query_group_totals(const struct query *query, int64_t step_ns, const struct str *labels,
		       size_t labels_count, struct query_groups *ret_groups, struct err *err)
{
	struct groups_call call = {.query = query, .groups = ret_groups, .step_ns = step_ns};
	int rc = query_steps_check(query, step_ns, err);

	*ret_groups = (struct query_groups){0};
	if (!rc)
		rc = grouping_init(&call.grouping, query, labels, labels_count, err);
	if (rc)
		return rc;
	ret_groups->steps =
	    (size_t)((query->range.until_ns - query->range.from_ns - 1) / step_ns + 1);
	arena_init(&ret_groups->arena, GROUPS_BYTES_MAX);
	rc = groups_make(&call);
	if (!rc)
		rc = sets_scan(&call, err);
	grouping_release(&call.grouping);
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
	*groups = (struct query_groups){0};
}
