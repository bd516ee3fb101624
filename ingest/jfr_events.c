/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/jfr.h"
#include "ingest/span.h"

/*
 * Some things are told twice: the JDK's sampler and Datadog's run side by side, a buffer's refill
 * and a sampled allocation stand for the same bytes, a collection for its pauses.  One source
 * counts.
 */
static const struct jfr_source sources[] = {
    {"datadog.ExecutionSample", JFR_CPU, 3},
    {"jdk.CPUTimeSample", JFR_CPU, 2},
    {"jdk.ExecutionSample", JFR_CPU, 1},
    {"datadog.MethodSample", JFR_WALL, 2},
    {"profiler.WallClockSample", JFR_WALL, 1},
    {"datadog.ObjectSample", JFR_ALLOC, 3},
    {"jdk.ObjectAllocationInNewTLAB", JFR_ALLOC, 2},
    {"jdk.ObjectAllocationOutsideTLAB", JFR_ALLOC, 2},
    {"jdk.ObjectAllocationSample", JFR_ALLOC, 1},
    {"datadog.HeapLiveObject", JFR_INUSE, 2},
    {"profiler.LiveObject", JFR_INUSE, 1},
    {"jdk.JavaMonitorEnter", JFR_LOCK, 1},
    {"jdk.JavaMonitorWait", JFR_BLOCK, 1},
    {"jdk.ThreadPark", JFR_BLOCK, 1},
    {"jdk.ThreadSleep", JFR_BLOCK, 1},
    {"jdk.SocketRead", JFR_BLOCK, 1},
    {"jdk.SocketWrite", JFR_BLOCK, 1},
    {"jdk.FileRead", JFR_BLOCK, 1},
    {"jdk.FileWrite", JFR_BLOCK, 1},
    {"datadog.ExceptionSample", JFR_EXCEPTION, 2},
    {"jdk.JavaExceptionThrow", JFR_EXCEPTION, 1},
    {"jdk.GarbageCollection", JFR_GC, 2},
    {"jdk.GCPhasePause", JFR_GC, 1},
    {"jdk.NativeMethodSample", JFR_NATIVE, 1},
    {"datadog.QueueTime", JFR_QUEUE, 1},
    {"jdk.ActiveSetting", JFR_SETTING, 0},
    {"datadog.DatadogProfilerConfig", JFR_CONFIG, 0},
    {"datadog.Endpoint", JFR_ENDPOINT, 0},
};

static const struct {
	const char *field;
	uint8_t slot;
} slots[] = {
    {"startTime", SLOT_TIME},
    {"duration", SLOT_DURATION},
    {"eventThread", SLOT_THREAD},
    {"sampledThread", SLOT_THREAD},
    {"stackTrace", SLOT_STACK},
    {"state", SLOT_STATE},
    {"samples", SLOT_SAMPLES},
    {"weight", SLOT_WEIGHT},
    {"size", SLOT_SIZE},
    {"allocationSize", SLOT_SIZE},
    {"tlabSize", SLOT_TLAB},
    {"samplingPeriod", SLOT_PERIOD},
    {"objectClass", SLOT_CLASS},
    {"monitorClass", SLOT_LOCK},
    {"parkedClass", SLOT_TARGET},
    {"host", SLOT_TARGET},
    {"path", SLOT_TARGET},
    {"thrownClass", SLOT_THROWN},
    {"type", SLOT_THROWN},
    {"spanId", SLOT_SPAN},
    {"localRootSpanId", SLOT_ROOT},
    {"contextId", SLOT_CONTEXT},
    {"spanName", SLOT_SPAN_NAME},
    {"endpoint", SLOT_ENDPOINT},
    {"name", SLOT_NAME},
    {"value", SLOT_VALUE},
    {"id", SLOT_ID},
    {"cause", SLOT_CAUSE},
    {"sumOfPauses", SLOT_PAUSES},
    {"task", SLOT_TASK},
    {"cpuInterval", SLOT_CPU_INTERVAL},
    {"wallInterval", SLOT_WALL_INTERVAL},
};

/* ---- the plan of a chunk ---- */

static uint32_t class_named(const struct jfr_chunk *c, const char *name)
{
	for (size_t i = 0; i < c->classes_count; i++)
		if (str_is(c->classes[i].name, name))
			return (uint32_t)i;
	return JFR_NONE;
}

static uint8_t slot_of(const struct jfr_chunk *c, const struct jfr_field *f)
{
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		if (str_is(f->name, slots[i].field))
			return slots[i].slot;
	bool attribute = f->class != JFR_NONE &&
			 str_is(c->classes[f->class].name, "profiler.types.AttributeValue");

	return attribute ? SLOT_ATTRIBUTE : SLOT_NONE;
}

static int caches_make(struct jfr_job *job)
{
	const struct jfr_chunk *c = job->chunk;
	const struct {
		uint32_t *class;
		const char *name;
		void *to;
		size_t item_bytes;
	} caches[] = {
	    {&job->stack_class, "jdk.types.StackTrace", &job->nodes, sizeof(*job->nodes)},
	    {&job->class_class, "java.lang.Class", &job->classes, sizeof(*job->classes)},
	    {&job->method_class, "jdk.types.Method", &job->methods, sizeof(*job->methods)},
	    {&job->thread_class, "java.lang.Thread", &job->threads, sizeof(*job->threads)},
	};

	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		*caches[i].class = class_named(c, caches[i].name);
		size_t count =
		    *caches[i].class == JFR_NONE ? 0 : c->classes[*caches[i].class].constants_count;
		void *cache = malloc((count + 1) * caches[i].item_bytes);

		if (!cache)
			return err_set(job->err, -ENOMEM, "jfr: out of memory");
		memset(cache, 0xff, (count + 1) * caches[i].item_bytes); /* JFR_NONE */
		memcpy(caches[i].to, &cache, sizeof(cache));
	}
	return 0;
}

int jfr_plan(struct jfr_job *job)
{
	const struct jfr_chunk *c = job->chunk;

	job->sources = calloc(c->classes_count + 1, sizeof(*job->sources));
	job->slots = calloc(c->fields_count + 1, sizeof(*job->slots));
	if (!job->sources || !job->slots)
		return err_set(job->err, -ENOMEM, "jfr: out of memory");
	for (size_t i = 0; i < c->classes_count; i++) {
		const struct jfr_class *class = &c->classes[i];

		for (size_t s = 0; s < ARRAY_LEN(sources) && !job->sources[i]; s++)
			if (str_is(class->name, sources[s].event))
				job->sources[i] = &sources[s];
		for (uint32_t f = 0; job->sources[i] && f < class->fields_count; f++)
			job->slots[class->fields_at + f] =
			    slot_of(c, &c->fields[class->fields_at + f]);
	}
	return caches_make(job);
}

void jfr_plan_release(struct jfr_job *job)
{
	free(job->sources);
	free(job->slots);
	free(job->nodes);
	free(job->classes);
	free(job->methods);
	free(job->threads);
	job->sources = NULL;
	job->slots = NULL;
	job->nodes = job->classes = NULL;
	job->methods = NULL;
	job->threads = NULL;
}

/* ---- one event ---- */

static int64_t times(int64_t value, int64_t by)
{
	int64_t product;

	if (!__builtin_mul_overflow(value, by, &product))
		return product;
	return (value < 0) == (by < 0) ? INT64_MAX : INT64_MIN;
}

/* Event times are ticks unless they say otherwise. */
/* Of a tracer's own choice: most events have a value of few. */
static void add_attribute(struct jfr_seen *seen, const struct jfr_value *v)
{
	if (seen->attributes_count < JFR_ATTRIBUTES_MAX)
		seen->attributes[seen->attributes_count++] = *v;
	else
		seen->attributes_cut++;
}

static void time_convert(const struct jfr_chunk *c, uint8_t slot, struct jfr_value *v)
{
	int64_t unit = v->field->unit_ns;
	bool ticks = unit == JFR_TICKS || (!unit && (slot == SLOT_TIME || slot == SLOT_DURATION));

	if (v->what != JFR_IS_NUMBER)
		return;
	if (ticks)
		v->number =
		    slot == SLOT_TIME ? jfr_time_ns(c, v->number) : jfr_span_ns(c, v->number);
	else if (unit)
		v->number = times(v->number, unit);
}

int jfr_see(struct jfr_job *job, const struct jfr_event *event, struct jfr_seen *seen)
{
	const struct jfr_class *class = &job->chunk->classes[event->class];
	struct jfr_cursor cursor = jfr_cursor_of(event->class, event->fields);
	struct jfr_value v;
	int more;

	memset(seen->has, 0, sizeof(seen->has));
	seen->attributes_count = seen->attributes_cut = 0;
	while ((more = jfr_next(job->chunk, &cursor, &v)) == 1) {
		uint8_t slot = job->slots[class->fields_at + cursor.field - 1];

		if (slot == SLOT_ATTRIBUTE && jfr_value_text(job, &v).len)
			add_attribute(seen, &v);
		if (slot == SLOT_NONE || slot == SLOT_ATTRIBUTE)
			continue;
		time_convert(job->chunk, slot, &v);
		seen->has[slot] = true;
		seen->values[slot] = v;
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (!seen->has[i])
			seen->values[i] = (struct jfr_value){0};
	if (more)
		return err_set(job->err, -EINVAL,
			       "jfr: an event %.*s is not as its class is described",
			       (int)MIN(class->name.len, (size_t)80), class->name.ptr);
	return 0;
}

/* ---- what the recording says of itself ---- */

#define PERIOD_MAX_NS (3600 * NS_PER_S)

/* "20 ms", "1 s", "10000000" (ns); 0: another word, or none ("everyChunk"). */
static int64_t period_parse(struct str text)
{
	static const struct {
		const char *word;
		int64_t ns;
	} units[] = {{"", 1},          {" ns", 1},           {" us", NS_PER_US}, {" ms", NS_PER_MS},
		     {" s", NS_PER_S}, {" m", 60 * NS_PER_S}};
	int64_t value = 0;
	size_t digits = 0;

	while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9' &&
	       value < PERIOD_MAX_NS)
		value = value * 10 + text.ptr[digits++] - '0';
	text = (struct str){text.ptr + digits, text.len - digits};
	for (size_t i = 0; digits && i < ARRAY_LEN(units); i++)
		if (str_is(text, units[i].word))
			return MIN(times(value, units[i].ns), PERIOD_MAX_NS);
	return 0;
}

#define ASYNC_CPU_NS (10 * NS_PER_MS) /* async-profiler's intervals when it is told none */
#define ASYNC_WALL_NS (50 * NS_PER_MS)

/* async-profiler's "event": a clock, or what the kernel counts. */
static int event_note(struct jfr_job *job, struct str event)
{
	static const char *const clocks[] = {"",          "cpu",   "itimer", "ctimer",
					     "cpu-clock", "alloc", "lock"};

	job->wall_by_execution = str_is(event, "wall");
	job->counted = 0;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++)
		if (str_is(event, clocks[i]))
			return 0;
	return job->wall_by_execution ? 0 : ingest_string(job->out, event, &job->counted);
}

static int setting_note(struct jfr_job *job, const struct jfr_seen *seen)
{
	struct str name = jfr_value_text(job, &seen->values[SLOT_NAME]);
	bool is_event = str_is(name, "event"), period = str_is(name, "period"),
	     interval = str_is(name, "interval"), wall = str_is(name, "wall");
	struct str value = jfr_value_text(job, &seen->values[SLOT_VALUE]), of = STR("");
	int64_t ns = period_parse(value);

	if (is_event)
		return event_note(job, value);
	uint32_t class = jfr_class_find(job->chunk, (uint64_t)seen->values[SLOT_ID].number);

	if (class != JFR_NONE)
		of = job->chunk->classes[class].name;
	if (str_is(of, "jdk.NativeMethodSample") && period && ns)
		job->native_period_ns = ns;
	if (str_is(of, "profiler.WallClockSample") && interval && ns)
		job->wall_period_ns = ns;
	if (!str_is(of, "jdk.ExecutionSample"))
		return 0;
	if (period && ns)
		job->cpu_period_ns = ns;
	if (interval) {
		job->cpu_period_ns = ns ? ns : ASYNC_CPU_NS;
		if (ns && !job->wall_period_ns)
			job->wall_period_ns = ns;
	}
	/* -1: off. */
	if (wall && value.len && value.ptr[0] != '-')
		job->wall_period_ns = ns ? ns : ASYNC_WALL_NS;
	return 0;
}

static int endpoint_note(struct jfr_job *job, const struct jfr_seen *seen)
{
	struct jfr_endpoint endpoint = {.root = (uint64_t)seen->values[SLOT_ROOT].number};
	struct str name = jfr_value_text(job, &seen->values[SLOT_ENDPOINT]);

	if (!endpoint.root || !name.len)
		return 0;
	int rc = ingest_string(job->out, name, &endpoint.name);

	if (!rc)
		rc = array_grow(&job->endpoints, sizeof(*job->endpoints), &job->endpoints_room,
				job->endpoints_count + 1);
	if (!rc)
		job->endpoints[job->endpoints_count++] = endpoint;
	return rc;
}

int jfr_note(struct jfr_job *job, const struct jfr_source *source, const struct jfr_seen *seen)
{
	if (source->role == JFR_SETTING)
		return setting_note(job, seen);
	if (source->role == JFR_ENDPOINT)
		return endpoint_note(job, seen);
	if (seen->values[SLOT_CPU_INTERVAL].number > 0)
		job->cpu_period_ns = MIN(seen->values[SLOT_CPU_INTERVAL].number, PERIOD_MAX_NS);
	if (seen->values[SLOT_WALL_INTERVAL].number > 0)
		job->wall_period_ns = MIN(seen->values[SLOT_WALL_INTERVAL].number, PERIOD_MAX_NS);
	return 0;
}
