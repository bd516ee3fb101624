/* SPDX-License-Identifier: Apache-2.0 */
#include "query/passing.h"

#include <errno.h>
#include <string.h>

#include "query/context.h"
#include "query/reshape.h"

bool passing_is_needed(const struct query *query)
{
	return reshape_is_needed(query) || context_is_asked(query);
}

/* What a shape leaves is known of a tree. */
static int shape_passes(struct passing *p, const struct query *query)
{
	struct query_tree tree CLEANUP(query_tree_release) = {0};
	struct skeleton_numbers numbers CLEANUP(skeleton_numbers_release) = {0};
	uint32_t *CLEANUP(cleanup_free) map = NULL;
	const struct skeleton_take take = {.skeleton = p->skeleton, .sums = &p->sums};
	int rc = query_tree_init(&tree);

	if (!rc)
		rc = skeleton_settle(&p->sums, p->skeleton);
	if (!rc)
		rc = skeleton_tree(&take, &tree, &numbers);
	if (!rc)
		rc = reshape_tree(query, &tree, NULL, &map);
	p->passes = malloc(p->count);
	if (!rc && !p->passes)
		rc = -ENOMEM;
	for (uint32_t i = 0; !rc && i < p->count; i++) {
		uint32_t number = skeleton_number(&numbers, i);

		p->passes[i] = number != UINT32_MAX && map[number] != RESHAPE_DROPPED;
	}
	return rc;
}

static int passes_find(struct passing *p, const struct query *query)
{
	p->count = p->skeleton->tree.nodes_count;
	if (query_is_reshaped(query))
		return shape_passes(p, query);
	if (reshape_is_needed(query))
		return query_filter_nodes(query->filter, p->skeleton, &p->passes);
	p->passes = malloc(p->count);
	if (!p->passes)
		return -ENOMEM;
	memset(p->passes, true, p->count);
	return 0;
}

int passing_init(struct passing *passing, const struct query *query, struct query_facts *facts,
		 struct err *err)
{
	*passing = (struct passing){.query = query};
	*facts = (struct query_facts){0};
	int rc = query_skeleton_borrow(query, &passing->skeleton);

	if (!rc)
		rc = query_merge_sums(query, passing->skeleton, &passing->sums, facts, err);
	if (!rc)
		rc = passes_find(passing, query);
	skeleton_sums_release(&passing->sums);
	if (rc) {
		passing_release(passing);
		return query_failed(rc, err);
	}
	facts->filtered = true;
	facts->samples = facts->removed_samples = 0;
	facts->removed_value = 0;
	return 0;
}

void passing_release(struct passing *passing)
{
	skeleton_sums_release(&passing->sums);
	if (passing->query)
		query_skeleton_return(passing->query, passing->skeleton);
	free(passing->passes);
	*passing = (struct passing){0};
}

bool passing_node(const struct passing *passing, uint32_t node)
{
	return node < passing->count && passing->passes[node];
}

int passing_sum(struct passing *passing, const struct query *query,
		const struct query_series_set *set, struct query_facts *facts, int64_t *ret_sum,
		uint64_t *ret_samples, struct err *err)
{
	struct skeleton_sums *sums = &passing->sums;
	struct query_facts part = {0};
	int64_t sum = 0;
	uint64_t samples = 0;

	skeleton_clear(sums);
	int rc = query_merge_set(query, set, passing->skeleton, sums, &part, err);

	for (size_t i = 0; !rc && i < sums->leaves_count; i++) {
		const struct skeleton_leaf *leaf = &sums->leaves[i];

		if (passing_node(passing, leaf->node)) {
			sum = sum_add(sum, leaf->self);
			samples += leaf->samples;
			continue;
		}
		part.removed_value = sum_add(part.removed_value, leaf->self);
		part.removed_samples += leaf->samples;
	}
	facts->partial |= part.partial;
	facts->folded |= part.folded;
	facts->removed_value = sum_add(facts->removed_value, part.removed_value);
	facts->removed_samples += part.removed_samples;
	facts->samples += samples;
	*ret_sum = sum;
	*ret_samples = samples;
	return rc;
}

static int tables_pass(void *arg, const struct storage_segment *tables, bool *passes)
{
	struct passing *passing = arg;
	const struct skeleton_map *map = NULL;
	int rc = query_map_tables(passing->query, tables, passing->skeleton, &map);

	if (rc)
		return rc;
	passes[0] = passing_node(passing, 0);
	for (size_t i = 1; i < tables->nodes_count; i++)
		passes[i] = skeleton_mapped(map, (uint32_t)i) &&
			    passing_node(passing, skeleton_mapped(map, (uint32_t)i));
	return 0;
}

/* Sums as they come by, once to add and once to take away. */
struct counting {
	int64_t sum;
	uint64_t samples;
	storage_total_fn fn; /* NULL: nobody else wants them */
	void *arg;
};

static int count_total(void *arg, size_t series, int64_t step_start_ns, int64_t sum, uint64_t count)
{
	struct counting *counting = arg;

	counting->sum = sum_add(counting->sum, sum);
	counting->samples += count;
	return counting->fn ? counting->fn(counting->arg, series, step_start_ns, sum, count) : 0;
}

int passing_timeline(struct passing *passing, const struct storage_scan *scan, int64_t step_ns,
		     struct query_facts *facts, storage_total_fn fn, void *arg, struct err *err)
{
	struct storage_reader *reader = passing->query->reader;
	struct counting all = {0}, some = {.fn = fn, .arg = arg};
	struct storage_scan part = *scan;

	part.passes = tables_pass;
	part.passes_arg = passing;
	int rc = storage_timeline(reader, &part, step_ns, count_total, &some, err);

	if (!rc)
		rc = storage_timeline(reader, scan, step_ns, count_total, &all, err);
	if (rc)
		return rc;
	facts->removed_value = sum_add(facts->removed_value, all.sum - some.sum);
	/* What arrives between both is in neither, at worst. */
	facts->removed_samples += all.samples - MIN(all.samples, some.samples);
	return 0;
}

bool passing_is_first(const struct query_series_set *set, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!strcmp(set->groups[i], set->groups[at]))
			return false;
	return true;
}

int passing_group(const struct query_series_set *set, const char *group,
		  struct query_series_set *ret_set)
{
	struct query_series_set out;
	int rc = query_series_set_alike(set, &out);

	if (rc)
		return rc;
	for (size_t i = 0; i < set->count; i++)
		if (!strcmp(set->groups[i], group))
			query_series_set_take(&out, set, i);
	*ret_set = out;
	return 0;
}
