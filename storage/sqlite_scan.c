/* SPDX-License-Identifier: Apache-2.0 */
/* scan and timeline: what a walk visits, summed by stack or by step. */
#include <errno.h>
#include <string.h>

#include "storage/sqlite_read.h"

/* ---- totals ---- */

static int visit_totals(void *arg, const struct visit *v)
{
	struct plan *p = ((void **)arg)[0];
	struct totals *totals = ((void **)arg)[1];
	const struct codec_columns *c = v->columns;
	const int64_t *values = c->values[p->scan->column];
	int rc = 0;

	for (size_t i = 0; !rc && i < c->count; i++) {
		if (v->gauge)
			rc = totals_add_gauge(totals, v->series, v->runtime_id, c->times[i],
					      values[i], c->counts[i]);
		else
			totals_add(totals, v->series, c->times[i], values[i], c->counts[i]);
	}
	return rc;
}

/* Gather the totals of gauges, and of sums when they are wanted. */
static int collect(struct plan *p, bool sums, struct totals *totals, struct err *err)
{
	void *arg[] = {p, totals};
	struct walk walk = {.gauges = true, .sums = sums, .fn = visit_totals, .arg = arg};
	int rc = 0;

	for (size_t i = 0; !rc && i < p->files_count; i++) {
		struct open_file *file = plan_file(p, i);

		rc = plan_begin(p, file, err);
		if (!rc)
			rc = plan_walk(p, file, &walk, err);
		if (!rc)
			rc = plan_ends(p, file, totals, err);
		rc = plan_end(p, file, rc, err);
	}
	return rc;
}

int sqlite_timeline(struct storage_reader *reader, const struct storage_scan *scan, int64_t step_ns,
		    storage_total_fn fn, void *arg, struct err *err)
{
	struct plan plan CLEANUP(plan_release) = {0};
	struct totals totals CLEANUP(totals_release) = {0};
	int rc = totals_init(&totals, scan, step_ns, err);

	if (!rc)
		rc = plan_init(&plan, reader_of(reader), scan, step_ns, err);
	if (!rc)
		rc = collect(&plan, true, &totals, err);
	return rc ? rc : totals_emit(&totals, fn, arg);
}

/* ---- scan ---- */

/* Sums of one part of the file's dictionary by its node; a segment names one owner. */
struct sink {
	const struct dict *stacks;
	uint32_t owner;
	int64_t *sums;
	uint64_t *counts;
};

struct summing {
	struct plan *p;
	struct totals *gauges; /* which snapshots count */
	struct sink *sinks;
	size_t sinks_count, sinks_capacity;
};

static void summing_clear(struct summing *s)
{
	for (size_t i = 0; i < s->sinks_count; i++) {
		free(s->sinks[i].sums);
		free(s->sinks[i].counts);
	}
	free(s->sinks);
	s->sinks = NULL;
	s->sinks_count = s->sinks_capacity = 0;
}

static struct sink *sink_of(struct summing *s, const struct visit *v)
{
	size_t nodes = v->stacks->t.nodes_count;

	for (size_t i = 0; i < s->sinks_count; i++)
		if (s->sinks[i].stacks == v->stacks)
			return &s->sinks[i];
	if (array_grow(&s->sinks, sizeof(*s->sinks), &s->sinks_capacity, s->sinks_count + 1))
		return NULL;
	struct sink *sink = &s->sinks[s->sinks_count];

	*sink = (struct sink){.stacks = v->stacks, .owner = v->owner};
	sink->sums = calloc(nodes, sizeof(*sink->sums));
	sink->counts = calloc(nodes, sizeof(*sink->counts));
	s->sinks_count++;
	return sink->sums && sink->counts ? sink : NULL;
}

static int visit_sums(void *arg, const struct visit *v)
{
	struct summing *s = arg;
	const struct codec_columns *c = v->columns;
	const int64_t *values = c->values[s->p->scan->column];
	struct sink *sink = sink_of(s, v);

	if (!sink)
		return -ENOMEM;
	for (size_t i = 0; i < c->count; i++) {
		if (v->gauge && !totals_is_last(s->gauges, v->series, v->runtime_id, c->times[i]))
			continue;
		sink->sums[c->nodes[i]] = storage_add(sink->sums[c->nodes[i]], values[i]);
		sink->counts[c->nodes[i]] += c->counts[i];
	}
	return 0;
}

static int emit(struct sink *sink, storage_segment_fn fn, void *arg)
{
	struct storage_segment segment = segment_of_dict(sink->stacks, sink->owner);
	uint32_t *leaves CLEANUP(cleanup_free) = malloc(segment.nodes_count * sizeof(*leaves));
	size_t count = 0;

	if (!leaves)
		return -ENOMEM;
	for (size_t i = 0; i < segment.nodes_count; i++) {
		if (!sink->counts[i])
			continue;
		leaves[count] = (uint32_t)i;
		sink->sums[count] = sink->sums[i];
		sink->counts[count++] = sink->counts[i];
	}
	if (!count)
		return 0;
	segment.leaves = leaves;
	segment.sums = sink->sums;
	segment.counts = sink->counts;
	segment.leaves_count = count;
	return fn(arg, &segment);
}

static int scan_file(struct summing *s, struct open_file *file, storage_segment_fn fn, void *arg,
		     struct err *err)
{
	struct walk walk = {
	    .with_blocks = true, .gauges = true, .sums = true, .fn = visit_sums, .arg = s};
	int rc = plan_begin(s->p, file, err);

	if (!rc)
		rc = plan_walk(s->p, file, &walk, err);
	rc = plan_end(s->p, file, rc, err);
	for (size_t i = 0; !rc && i < s->sinks_count; i++)
		rc = emit(&s->sinks[i], fn, arg);
	summing_clear(s);
	return rc;
}

int sqlite_scan(struct storage_reader *reader, const struct storage_scan *scan,
		storage_segment_fn fn, void *arg, struct err *err)
{
	struct plan plan CLEANUP(plan_release) = {0};
	struct totals gauges CLEANUP(totals_release) = {0};
	struct summing summing = {.p = &plan, .gauges = &gauges};
	int64_t width_ns = scan->until_ns - scan->from_ns;
	int rc = totals_init(&gauges, scan, width_ns, err);

	if (!rc)
		rc = plan_init(&plan, reader_of(reader), scan, width_ns, err);
	if (!rc)
		rc = collect(&plan, false, &gauges, err);
	for (size_t i = 0; !rc && i < plan.files_count; i++)
		rc = scan_file(&summing, plan_file(&plan, i), fn, arg, err);
	return rc;
}
