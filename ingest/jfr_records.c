/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/jfr.h"
#include "ingest/span.h"

#define JDK_CPU_NS (20 * NS_PER_MS) /* the JDK's period when a recording does not say one */
#define WALL_NS (50 * NS_PER_MS)

/* ---- kinds ---- */

/* Kinds that only Java has. */
static const struct {
	const char *name, *period_type, *period_unit;
	struct {
		const char *type, *unit;
	} columns[2];
} own_kinds[JFR_RECORDS] = {
    [JFR_GC] = {"gc", "pauses", "count", {{"pause", "nanoseconds"}, {"pauses", "count"}}},
    [JFR_NATIVE] = {"native", "native", "nanoseconds", {{"samples", "count"}}},
    [JFR_QUEUE] = {"queue",
		   "contentions",
		   "count",
		   {{"delay", "nanoseconds"}, {"contentions", "count"}}},
};

static int64_t period_of(const struct jfr_job *job, enum jfr_role role)
{
	if (role == JFR_CPU)
		return job->cpu_period_ns ? job->cpu_period_ns : JDK_CPU_NS;
	if (role == JFR_WALL)
		return job->wall_period_ns ? job->wall_period_ns : WALL_NS;
	if (role == JFR_NATIVE)
		return job->native_period_ns ? job->native_period_ns : JDK_CPU_NS;
	return 0;
}

static int own_kind(struct jfr_job *job, enum jfr_role role, uint32_t *ret_kind)
{
	struct profile_kind kind = {.period = period_of(job, role)};
	int rc = ingest_string(job->out, str_of(own_kinds[role].name), &kind.name);

	if (!rc)
		rc =
		    ingest_string(job->out, str_of(own_kinds[role].period_type), &kind.period_type);
	if (!rc)
		rc =
		    ingest_string(job->out, str_of(own_kinds[role].period_unit), &kind.period_unit);
	for (size_t i = 0; !rc && i < 2 && own_kinds[role].columns[i].type; i++) {
		kind.columns_count++;
		rc = ingest_string(job->out, str_of(own_kinds[role].columns[i].type),
				   &kind.columns[i].type);
		if (!rc)
			rc = ingest_string(job->out, str_of(own_kinds[role].columns[i].unit),
					   &kind.columns[i].unit);
	}
	return rc ? rc : profile_builder_kind(job->out, &kind, ret_kind);
}

/* What the kernel counts, of which async-profiler takes a sample every so often. */
static int counted_kind(struct jfr_job *job, uint32_t *ret_kind)
{
	struct profile_kind kind = {
	    .name = job->counted, .period_type = job->counted, .columns_count = 1};
	int rc = ingest_string(job->out, STR("samples"), &kind.columns[0].type);

	if (!rc)
		rc = ingest_string(job->out, STR("count"), &kind.columns[0].unit);
	kind.period_unit = kind.columns[0].unit;
	kind.period = job->cpu_period_ns;
	return rc ? rc : profile_builder_kind(job->out, &kind, ret_kind);
}

static int series_make(struct jfr_job *job, enum jfr_role role)
{
	static const enum profile_kind_id known[] = {[JFR_CPU] = PROFILE_KIND_CPU,
						     [JFR_WALL] = PROFILE_KIND_WALL,
						     [JFR_ALLOC] = PROFILE_KIND_ALLOC,
						     [JFR_INUSE] = PROFILE_KIND_INUSE,
						     [JFR_LOCK] = PROFILE_KIND_LOCK,
						     [JFR_BLOCK] = PROFILE_KIND_BLOCK,
						     [JFR_EXCEPTION] = PROFILE_KIND_EXCEPTION};
	uint32_t kind;
	int rc;

	if (own_kinds[role].name)
		rc = own_kind(job, role, &kind);
	else if (role == JFR_CPU && job->counted)
		rc = counted_kind(job, &kind);
	else
		rc = profile_builder_known_kind(job->out, known[role], period_of(job, role), &kind);
	return rc ? rc : ingest_series(job->request, job->out, kind, NULL, &job->series[role]);
}

/* ---- values ---- */

static int64_t whole(double value)
{
	return value >= 0x1p62 ? INT64_MAX / 2 : value > 0 ? (int64_t)value : 0;
}

/* Weights are fractions: what one record leaves over goes to the next. */
static int64_t whole_carried(struct jfr_job *job, enum jfr_role role, double value)
{
	double sum = job->carry[role] + value;
	int64_t count = whole(sum);

	job->carry[role] = isfinite(sum) && sum < 0x1p52 ? sum - (double)count : 0;
	return count;
}

static double number_of(const struct jfr_value *v)
{
	double number = v->what == JFR_IS_REAL ? v->real : (double)v->number;

	return number > 0 ? number : 0;
}

/* How many samples an execution sample stands for. */
static int64_t samples_of(const struct jfr_seen *seen)
{
	enum jfr_slot slot = seen->has[SLOT_SAMPLES] ? SLOT_SAMPLES : SLOT_WEIGHT;

	return seen->has[slot] ? whole(number_of(&seen->values[slot])) : 1;
}

/*
 * An object stands for the bytes that were allocated since the last one that was seen: the buffer
 * that it began, or its weight.  Of how many objects, its own size tells, where the event has it.
 */
static void object_values(struct jfr_job *job, enum jfr_role role, const struct jfr_seen *seen,
			  int64_t *values)
{
	double size = number_of(&seen->values[SLOT_SIZE]),
	       weight = number_of(&seen->values[SLOT_WEIGHT]);
	double bytes = size, objects = 1;

	if (seen->has[SLOT_WEIGHT] && seen->has[SLOT_SIZE]) {
		objects = weight;
		bytes = weight * size;
	} else if (seen->has[SLOT_WEIGHT]) {
		bytes = weight;
	} else if (number_of(&seen->values[SLOT_TLAB]) > 0) {
		bytes = number_of(&seen->values[SLOT_TLAB]);
		objects = size > 0 && bytes > size ? bytes / size : 1;
	}
	values[0] = whole(bytes + 0.5);
	values[1] = whole_carried(job, role, objects);
}

static void time_values(int64_t samples, int64_t period_ns, int64_t *values)
{
	values[1] = samples;
	if (__builtin_mul_overflow(samples, period_ns, &values[0]))
		values[0] = INT64_MAX;
}

/* The columns of a record, and how many samples are behind it; 0: no record. */
static int64_t values_of(struct jfr_job *job, enum jfr_role role, const struct jfr_seen *seen,
			 int64_t *values)
{
	int64_t samples = samples_of(seen);

	values[0] = values[1] = 1;
	switch (role) {
	case JFR_CPU:
	case JFR_WALL:
		if (role == JFR_CPU && job->counted)
			values[0] = samples;
		else
			time_values(samples,
				    seen->values[SLOT_PERIOD].number > 0
					? seen->values[SLOT_PERIOD].number
					: period_of(job, role),
				    values);
		return samples;
	case JFR_ALLOC:
	case JFR_INUSE:
		object_values(job, role, seen, values);
		return values[0] || values[1];
	case JFR_GC:
		values[0] = MAX(
		    seen->values[seen->has[SLOT_PAUSES] ? SLOT_PAUSES : SLOT_DURATION].number, 0);
		return 1;
	case JFR_LOCK:
	case JFR_BLOCK:
	case JFR_QUEUE:
		values[0] = MAX(seen->values[SLOT_DURATION].number, 0);
		return 1;
	default:
		return 1;
	}
}

/* ---- context ---- */

#define CONTEXT_MAX (2 * JFR_ATTRIBUTES_MAX + 12)

struct context {
	struct jfr_job *job;
	struct profile_label labels[CONTEXT_MAX];
	size_t count;
	int rc;
};

static void label_string(struct context *c, struct str key, uint32_t text)
{
	struct profile_label *label = &c->labels[c->count];

	if (c->rc || !text)
		return;
	*label = (struct profile_label){.text = text};
	c->rc = ingest_string(c->job->out, key, &label->key);
	c->count++;
}

static void label_number(struct context *c, struct str key, int64_t number)
{
	struct profile_label *label = &c->labels[c->count];

	if (c->rc || !number)
		return;
	*label = (struct profile_label){.is_number = true, .number = number};
	c->rc = ingest_string(c->job->out, key, &label->key);
	c->count++;
}

static void label_text(struct context *c, struct str key, struct str text)
{
	uint32_t string = 0;

	if (!c->rc)
		c->rc = ingest_string(c->job->out, text, &string);
	label_string(c, key, string);
}

static void label_class(struct context *c, struct str key, const struct jfr_value *value)
{
	uint32_t string = 0;

	if (!c->rc)
		c->rc = jfr_class_name(c->job, value, &string);
	label_string(c, key, string);
}

static int endpoint_order(const void *a, const void *b)
{
	const struct jfr_endpoint *x = a, *y = b;

	return x->root < y->root ? -1 : x->root > y->root;
}

static void label_span(struct context *c, const struct jfr_seen *seen)
{
	const struct jfr_endpoint key = {.root = (uint64_t)seen->values[SLOT_ROOT].number};
	const struct jfr_endpoint *found = NULL;

	label_number(c, STR("span id"), seen->values[SLOT_SPAN].number);
	label_number(c, STR("local root span id"), seen->values[SLOT_ROOT].number);
	if (key.root && c->job->endpoints_count)
		found = bsearch(&key, c->job->endpoints, c->job->endpoints_count, sizeof(key),
				endpoint_order);
	if (found)
		label_string(c, STR("trace endpoint"), found->name);
}

/* What Pyroscope's agent says in a file of its own. */
static void label_pyroscope(struct context *c, const struct jfr_seen *seen)
{
	const struct jfr_labels *labels = &c->job->labels;
	size_t count;
	const struct jfr_label_pair *pairs =
	    jfr_labels_of(labels, seen->values[SLOT_CONTEXT].number, &count);

	if (!seen->has[SLOT_CONTEXT])
		count = 0;
	if (count > JFR_ATTRIBUTES_MAX)
		profile_builder_labels_were_cut(c->job->out, count - JFR_ATTRIBUTES_MAX);
	for (size_t i = 0; i < MIN(count, (size_t)JFR_ATTRIBUTES_MAX); i++) {
		struct str key = jfr_label_string(labels, pairs[i].key);

		if (key.len)
			label_text(c, key, jfr_label_string(labels, pairs[i].value));
	}
	if (seen->values[SLOT_SPAN_NAME].what == JFR_IS_NUMBER)
		label_text(c, STR("span_name"),
			   jfr_label_string(labels, seen->values[SLOT_SPAN_NAME].number));
}

static int context_make(struct jfr_job *job, enum jfr_role role, const struct jfr_seen *seen,
			uint32_t *ret_context)
{
	struct context c = {.job = job};
	struct jfr_thread thread = {0};

	c.rc = jfr_thread_of(job, &seen->values[SLOT_THREAD], &thread);
	label_number(&c, STR("thread id"), thread.id);
	label_string(&c, STR("thread name"), thread.name);
	label_span(&c, seen);
	if (role == JFR_ALLOC || role == JFR_INUSE)
		label_class(&c, STR("class"), &seen->values[SLOT_CLASS]);
	if (role == JFR_LOCK)
		label_class(&c, STR("lock name"), &seen->values[SLOT_LOCK]);
	if (role == JFR_BLOCK)
		label_class(&c, STR("target"),
			    &seen->values[seen->has[SLOT_LOCK] ? SLOT_LOCK : SLOT_TARGET]);
	if (role == JFR_QUEUE)
		label_class(&c, STR("task"), &seen->values[SLOT_TASK]);
	if (role == JFR_EXCEPTION)
		label_class(&c, STR("exception type"), &seen->values[SLOT_THROWN]);
	label_pyroscope(&c, seen);
	profile_builder_labels_were_cut(job->out, seen->attributes_cut);
	for (size_t i = 0; i < seen->attributes_count; i++)
		label_text(&c, seen->attributes[i].field->name,
			   jfr_value_text(job, &seen->attributes[i]));
	*ret_context = 0;
	return c.rc || !c.count ? c.rc
				: profile_builder_context(job->out, c.labels, c.count, ret_context);
}

/* ---- records ---- */

/* A collection has no stack: its cause stands below its name. */
static int gc_node(struct jfr_job *job, const struct jfr_seen *seen, uint32_t *ret_node)
{
	static const enum jfr_slot parts[] = {SLOT_CAUSE, SLOT_NAME};
	uint32_t frames[ARRAY_LEN(parts)];
	size_t count = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(parts); i++) {
		struct str text = jfr_value_text(job, &seen->values[parts[i]]);
		struct profile_frame frame = {0};

		if (!text.len)
			continue;
		rc = ingest_string(job->out, text, &frame.function);
		if (!rc)
			rc = profile_builder_frame(job->out, &frame, &frames[count++]);
	}
	return rc ? rc : profile_builder_stack(job->out, frames, count, ret_node);
}

/* Live objects are one snapshot, as of the recording's end. */
static int64_t time_of(const struct jfr_job *job, enum jfr_role role, const struct jfr_seen *seen)
{
	const struct ingest_request *r = job->request;
	int64_t time = role == JFR_INUSE ? job->until_ns : seen->values[SLOT_TIME].number;
	bool window = r->accept_from_ns || r->accept_until_ns;
	bool good = window ? time >= r->accept_from_ns && time <= r->accept_until_ns : time > 0;

	return good && (role == JFR_INUSE || seen->has[SLOT_TIME]) ? time : job->middle_ns;
}

/* async-profiler's clock samples of older versions say so when the thread slept. */
static enum jfr_role role_of(struct jfr_job *job, const struct jfr_source *source,
			     const struct jfr_seen *seen)
{
	if (source->role != JFR_CPU || !str_is(str_of(source->event), "jdk.ExecutionSample"))
		return source->role;
	if (job->wall_by_execution)
		return JFR_WALL;
	return str_is(jfr_value_text(job, &seen->values[SLOT_STATE]), "STATE_SLEEPING")
		   ? JFR_RECORDS
		   : JFR_CPU;
}

int jfr_record(struct jfr_job *job, const struct jfr_source *source, const struct jfr_seen *seen)
{
	enum jfr_role role = role_of(job, source, seen);
	struct profile_record record = {0};
	int64_t values[2];
	int rc = 0;

	if (role == JFR_RECORDS)
		return 0;
	int64_t samples = values_of(job, role, seen, values);

	if (samples <= 0)
		return 0;
	if (job->series[role] == JFR_NONE)
		rc = series_make(job, role);
	if (!rc)
		rc = role == JFR_GC ? gc_node(job, seen, &record.node)
				    : jfr_stack_node(job, &seen->values[SLOT_STACK], &record.node);
	if (!rc)
		rc = context_make(job, role, seen, &record.context);
	if (rc)
		return rc;
	record.series = job->series[role];
	record.time_ns = time_of(job, role, seen);
	record.count = (uint32_t)MIN(samples, (int64_t)UINT32_MAX);
	return profile_builder_record(job->out, &record, values);
}
