/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "query/context.h"
#include "query/passing.h"

#define STEPS_WANTED 120

static const int64_t round_steps_s[] = {1,   2,   5,    10,   15,   30,    60,    120,   300,
					600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400};

static int64_t step_choose(int64_t range_ns)
{
	for (size_t i = 0; i < ARRAY_LEN(round_steps_s); i++)
		if (range_ns / (round_steps_s[i] * NS_PER_S) <= STEPS_WANTED)
			return round_steps_s[i] * NS_PER_S;
	return (range_ns / STEPS_WANTED / NS_PER_S + 1) * NS_PER_S;
}

struct timeline_call {
	struct query_timeline *timeline;
	const struct query_series_set *set;
	struct intern groups; /* number i + 1 is line i; number 0, "", may be a line too */
	size_t capacity;
	int64_t *line_of; /* by interned number, -1: none yet */
	size_t line_of_capacity, line_of_count;
};

static int line_add(struct timeline_call *call, const char *group, int64_t *ret_line)
{
	struct query_timeline *t = call->timeline;
	int rc = array_grow(&t->lines, sizeof(*t->lines), &call->capacity, t->lines_count + 1);

	if (rc)
		return rc;
	struct query_line *line = &t->lines[t->lines_count];

	line->group = arena_copy(&t->arena, group, strlen(group));
	line->sums = arena_zalloc(&t->arena, t->steps * sizeof(*line->sums));
	line->counts = arena_zalloc(&t->arena, t->steps * sizeof(*line->counts));
	if (!line->group || !line->sums || !line->counts)
		return -ENOMEM;
	*ret_line = (int64_t)t->lines_count++;
	return 0;
}

static int line_find(struct timeline_call *call, const char *group, struct query_line **ret_line)
{
	uint32_t id;
	int rc = intern_put(&call->groups, group, strlen(group), &id);

	if (!rc)
		rc = array_grow(&call->line_of, sizeof(*call->line_of), &call->line_of_capacity,
				(size_t)id + 1);
	if (rc)
		return rc;
	while (call->line_of_count <= id)
		call->line_of[call->line_of_count++] = -1;
	if (call->line_of[id] < 0)
		rc = line_add(call, group, &call->line_of[id]);
	if (!rc)
		*ret_line = &call->timeline->lines[call->line_of[id]];
	return rc;
}

static int step_add(void *arg, size_t series, int64_t step_start_ns, int64_t sum, uint64_t count)
{
	struct timeline_call *call = arg;
	struct query_timeline *t = call->timeline;
	struct query_line *line = NULL;
	int64_t step = (step_start_ns - t->start_ns) / t->step_ns;
	int rc = line_find(call, call->set->groups[series], &line);

	if (rc)
		return rc;
	if (step < 0 || (size_t)step >= t->steps)
		return 0;
	line->sums[step] = sum_add(line->sums[step], sum);
	line->counts[step] += count;
	t->facts.samples += count;
	return 0;
}

/* One group of a set, step by step: only stacks say what passes. */
static int group_scan(const struct query *query, struct timeline_call *call,
		      struct passing *passing, const struct query_series_set *set,
		      const char *group, struct err *err)
{
	struct query_timeline *t = call->timeline;
	struct query_line *line = NULL;
	struct query_series_set part CLEANUP(query_series_set_release) = {0};
	int rc = passing_group(set, group, &part);

	if (!rc)
		rc = line_find(call, group, &line);
	for (size_t i = 0; !rc && i < t->steps && !t->facts.partial; i++) {
		struct query step = *query;
		uint64_t samples = 0;
		int64_t sum = 0;

		step.range.from_ns = t->start_ns + (int64_t)i * t->step_ns;
		step.range.until_ns = MIN(step.range.from_ns + t->step_ns, query->range.until_ns);
		rc = passing_sum(passing, &step, &part, &t->facts, &sum, &samples, err);
		line->sums[i] = sum_add(line->sums[i], sum);
		line->counts[i] += samples;
	}
	return rc;
}

/* A line for each group, though nothing of it may pass. */
static int lines_add(struct timeline_call *call, const struct query_series_set *set)
{
	struct query_line *line;
	int rc = 0;

	for (size_t i = 0; !rc && i < set->count; i++)
		if (passing_is_first(set, i))
			rc = line_find(call, set->groups[i], &line);
	return rc;
}

static int filtered_scan(const struct query *query, const struct query_selection *selection,
			 struct timeline_call *call, struct err *err)
{
	struct passing passing CLEANUP(passing_release) = {0};
	int rc = passing_init(&passing, query, &call->timeline->facts, err);

	for (size_t i = 0; !rc && i < ARRAY_LEN(selection->sets); i++) {
		const struct query_series_set *set = &selection->sets[i];

		if (set->count && !context_is_asked(query)) {
			struct storage_scan scan = query_scan(query, set);

			call->set = set;
			rc = lines_add(call, set);
			if (!rc)
				rc = passing_timeline(&passing, &scan, call->timeline->step_ns,
						      &call->timeline->facts, step_add, call, err);
			continue;
		}
		for (size_t k = 0; !rc && k < set->count; k++)
			if (passing_is_first(set, k))
				rc = group_scan(query, call, &passing, set, set->groups[k], err);
	}
	/* Its losses are those of the whole, which come with the rest of the answer. */
	call->timeline->facts.losses_count = 0;
	if (rc == -ETIME) {
		call->timeline->facts.partial = true;
		rc = 0;
	}
	return rc;
}

static int timeline_scan(const struct query *query, const struct query_selection *selection,
			 struct timeline_call *call, struct err *err)
{
	int rc = 0;

	if (passing_is_needed(query))
		return filtered_scan(query, selection, call, err);

	for (size_t i = 0; !rc && i < ARRAY_LEN(selection->sets); i++) {
		struct storage_scan scan = query_scan(query, &selection->sets[i]);

		call->set = &selection->sets[i];
		if (scan.series_count)
			rc = storage_timeline(query->reader, &scan, call->timeline->step_ns,
					      step_add, call, err);
	}
	if (rc != -ETIME)
		return rc;
	call->timeline->facts.partial = true;
	return 0;
}

int query_timeline(const struct query *query, int64_t step_ns, struct str group_by,
		   struct query_timeline *ret_timeline, struct err *err)
{
	struct query aligned = *query;
	int64_t range_ns = query->range.until_ns - query->range.from_ns;
	struct query_selection selection;

	*ret_timeline = (struct query_timeline){.range = query->range};
	if (range_ns <= 0)
		return err_set(err, -EINVAL, "timeline: from is not before until");
	if (!step_ns)
		step_ns = step_choose(range_ns);
	if (step_ns <= 0 || range_ns / step_ns > QUERY_STEPS_MAX)
		return err_set(err, -EINVAL,
			       "timeline: %lld steps are above the limit of %d; raise step",
			       (long long)(step_ns > 0 ? range_ns / step_ns : 0), QUERY_STEPS_MAX);
	struct timeline_call call = {.timeline = ret_timeline};

	/* Steps stand on multiples of their width, so that two ranges share their borders; the
	 * range is widened downwards to the first of them, so that every step is whole but the
	 * last. */
	ret_timeline->start_ns = clock_window_ns(query->range.from_ns, step_ns);
	ret_timeline->step_ns = step_ns;
	ret_timeline->steps =
	    (size_t)((query->range.until_ns - ret_timeline->start_ns + step_ns - 1) / step_ns);
	arena_init(&ret_timeline->arena, (size_t)64 << 20);
	query_type_text(query, ret_timeline->type_id, ret_timeline->unit);
	aligned.range.from_ns = ret_timeline->start_ns;
	int rc = query_select(query, group_by, &selection, err);

	if (rc) {
		query_timeline_release(ret_timeline);
		return rc;
	}
	rc = intern_init(&call.groups, (size_t)16 << 20);
	if (!rc)
		rc = timeline_scan(&aligned, &selection, &call, err);
	if (!rc)
		rc = query_add_losses(query, &selection, &ret_timeline->facts, err);
	if (!rc && !selection.series_count)
		rc = err_set(err, -ENOENT, "no series of %s matches in this range",
			     ret_timeline->type_id);
	intern_release(&call.groups);
	free(call.line_of);
	query_selection_release(&selection);
	if (rc == -ENOMEM)
		err_set(err, rc, "timeline: out of memory; group by fewer values or raise step");
	if (rc && rc != -ENOENT)
		query_timeline_release(ret_timeline);
	return rc;
}

void query_timeline_release(struct query_timeline *timeline)
{
	free(timeline->lines);
	arena_release(&timeline->arena);
	timeline->lines = NULL;
	timeline->lines_count = 0;
}
