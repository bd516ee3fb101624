/* SPDX-License-Identifier: Apache-2.0 */
#include "query/heatmap.h"

#include <errno.h>
#include <string.h>

#include "query/context.h"
#include "query/grouping.h"

#define POINTS_MAX ((size_t)4 << 20)

struct heat_call {
	const struct query *query;
	struct query_heatmap *heatmap;
	struct grouping grouping;
	struct intern keys; /* of what is one point */
	size_t column, capacity;
	bool of_spans;
	struct err *err;
};

/* What is one point: a span, or a process in a window, or an upload's moment. */
struct point_key {
	uint64_t span, series[2];
	int64_t window_ns;
	uint8_t runtime_id[16];
};

/* The span that a record was in, by its own id before that of its root; 0: none. */
static uint64_t span_of(const struct storage_records *records, uint32_t context)
{
	const struct profile_labels run = records->contexts[context];
	uint64_t found = 0, id = 0;

	for (uint32_t i = run.at; i < run.at + run.count; i++) {
		const struct profile_label *label = &records->labels[i];
		const struct storage_segment *segment = &records->segment;

		if (label->key >= segment->strings_count || label->text >= segment->strings_count ||
		    !context_label_span(label, segment->strings[label->key],
					segment->strings[label->text], &id))
			continue;
		if (!str_is(segment->strings[label->key], "local root span id"))
			return id;
		found = id;
	}
	return found;
}

static bool is_set(const uint8_t runtime_id[16])
{
	static const uint8_t none[16];

	return memcmp(runtime_id, none, sizeof(none)) != 0;
}

static int point_of(struct heat_call *call, const struct point_key *key,
		    struct query_heat_point **ret_point)
{
	uint32_t number;
	int rc = intern_put(&call->keys, (const char *)key, sizeof(*key), &number);

	if (!rc && number > POINTS_MAX)
		return err_set(call->err, -E2BIG, "more than %zu points: ask for less", POINTS_MAX);
	if (!rc)
		rc = array_grow(&call->heatmap->points, sizeof(**ret_point), &call->capacity,
				number);
	if (rc)
		return rc;
	if (number > call->heatmap->count)
		call->heatmap->points[call->heatmap->count++] =
		    (struct query_heat_point){.time_ns = INT64_MAX};
	*ret_point = &call->heatmap->points[number - 1];
	return 0;
}

static int record_add(struct heat_call *call, const struct storage_records *records, size_t i,
		      uint64_t span)
{
	const struct grouping_set *set = &call->grouping.sets[call->column];
	const struct hash128 series = set->identities[records->series];
	int64_t time_ns = records->times_ns[i];
	struct point_key key = {.span = span};
	struct query_heat_point *point = NULL;

	if (!call->of_spans) {
		key.series[0] = series.lo;
		key.series[1] = series.hi;
		key.window_ns =
		    is_set(records->runtime_id) ? time_ns / STORAGE_L1_WINDOW_NS : time_ns;
		memcpy(key.runtime_id, records->runtime_id, sizeof(key.runtime_id));
	} else {
		key.series[0] = set->groups[records->series];
	}
	int rc = point_of(call, &key, &point);

	if (rc)
		return rc;
	point->group = set->groups[records->series];
	point->span = span;
	point->time_ns = MIN(point->time_ns, time_ns);
	point->value = sum_add(point->value, records->values[i]);
	call->heatmap->facts.samples += records->counts[i];
	return 0;
}

static int records_add(void *arg, const struct storage_records *records)
{
	struct heat_call *call = arg;
	int rc = 0;

	for (size_t i = 0; !rc && i < records->count; i++) {
		uint64_t span = call->of_spans ? span_of(records, records->context[i]) : 0;

		if (span || !call->of_spans)
			rc = record_add(call, records, i, span);
	}
	return rc;
}

static int sets_read(struct heat_call *call)
{
	int rc = 0;

	for (call->column = 0; !rc && call->column < ARRAY_LEN(call->grouping.sets);
	     call->column++) {
		const struct grouping_set *set = &call->grouping.sets[call->column];
		const struct storage_scan scan = grouping_scan(&call->grouping, call->column);

		if (set->count)
			rc = storage_records(call->query->reader, &scan, records_add, call,
					     call->err);
	}
	if (rc != -ETIME)
		return rc;
	call->heatmap->facts.partial = true;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct query_heat_point *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	if (x->row != y->row)
		return x->row < y->row ? -1 : 1;
	return (x->value < y->value) - (x->value > y->value);
}

static void points_place(struct query_heatmap *h, const struct query *query, int64_t step_ns)
{
	int64_t least = INT64_MAX, most = INT64_MIN;

	for (size_t i = 0; i < h->count; i++) {
		least = MIN(least, h->points[i].value);
		most = MAX(most, h->points[i].value);
	}
	double height = ((double)most - (double)least) / QUERY_HEAT_ROWS;

	if (!(height > 0))
		height = 1;
	for (size_t i = 0; h->count && i < QUERY_HEAT_ROWS; i++)
		h->row_min[i] = (double)least + (double)i * height;
	for (size_t i = 0; i < h->count; i++) {
		struct query_heat_point *point = &h->points[i];

		point->step = (uint32_t)((point->time_ns - query->range.from_ns) / step_ns);
		point->row = (uint32_t)MIN(((double)point->value - (double)least) / height,
					   QUERY_HEAT_ROWS - 1.0);
	}
	if (h->count)
		qsort(h->points, h->count, sizeof(*h->points), by_place);
}

int query_heatmap(const struct query *query, bool of_spans, int64_t step_ns,
		  const struct str *labels, size_t labels_count, struct query_heatmap *ret_heatmap,
		  struct err *err)
{
	struct heat_call call = {
	    .query = query, .heatmap = ret_heatmap, .of_spans = of_spans, .err = err};
	int rc = query_steps_check(query, step_ns, err);

	*ret_heatmap = (struct query_heatmap){.labels_count = labels_count};
	if (!rc)
		rc = grouping_init(&call.grouping, query, labels, labels_count, err);
	if (rc)
		return rc;
	rc = intern_init(&call.keys, (size_t)512 << 20);
	if (!rc)
		rc = sets_read(&call);
	/* Its values are the heat map's from here on. */
	ret_heatmap->values = call.grouping.values;
	ret_heatmap->groups_count = call.grouping.count;
	ret_heatmap->arena = call.grouping.arena;
	call.grouping.values = NULL;
	call.grouping.arena = (struct arena){0};
	grouping_release(&call.grouping);
	intern_release(&call.keys);
	if (rc) {
		query_heatmap_release(ret_heatmap);
		return rc == -ENOMEM ? err_set(err, rc, "out of memory; ask for less") : rc;
	}
	points_place(ret_heatmap, query, step_ns);
	return 0;
}

void query_heatmap_release(struct query_heatmap *heatmap)
{
	free(heatmap->points);
	free(heatmap->values);
	arena_release(&heatmap->arena);
	*heatmap = (struct query_heatmap){0};
}
