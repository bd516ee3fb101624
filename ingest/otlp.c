/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP profiles over HTTP: /v1development/profiles, protobuf or JSON.
 *
 *	resource attributes   service.name, deployment.environment... -> labels of the series
 *	Profile               one kind of one column; samples:count:cpu:nanoseconds is our cpu kind,
 *	                      whose time is count x period
 *	Sample                values without times: one record at the profile's midpoint
 *	                      times without values: a record of 1 at each
 *	                      both: a record at each time with its value
 *	Link                  "trace id" and "span id" of the record's context
 *
 * What a generation before 1.8 wrote is counted as rejected, with the reason in the answer.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ingest/ingest.h"
#include "ingest/otlp_json.h"
#include "ingest/otlp_stacks.h"
#include "ingest/span.h"
#include "ingest/tags.h"
#include "profile/mapping.h"
#include "wire/otlp.h"

#define LABELS_MAX 64 /* of one sample */
#define CPU_PERIOD_NS 10000000 /* where cpu samples come without a period: 100 Hz, as Pyroscope takes it */

/* A column as it comes in, and what becomes of it. */
struct column {
	struct str type, unit, period_type, period_unit;
	int64_t period;
	bool is_cpu_samples; /* written as (count x period, count) */
	bool is_gauge;
	uint32_t kind;
};

struct job {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct ingest_findings *findings;
	struct err *err;
	struct otlp_dictionary d;
	struct ingest_tags tags; /* of the resource */
	struct str executable;	 /* of the resource: names a service that has no name */
	struct ingest_otlp_stacks stacks;
	struct hash128 ids;	 /* of all profiles' ids */
	size_t ids_count, profiles_seen;

	/* Of the profile at hand. */
	struct column column;
	int64_t time_ns;
	struct str service; /* that `series` was made for */
	uint32_t series;
	bool has_series;
};

/* ---- what a profile measures ---- */

static bool column_is(const struct column *c, const char *type, const char *unit)
{
	return str_is(c->type, type) && str_is(c->unit, unit);
}

/* Pyroscope and the eBPF profiler agree: counted samples of a cpu clock are CPU time. */
static void column_classify(struct column *c)
{
	c->is_cpu_samples = (column_is(c, "samples", "count") || column_is(c, "sample", "count")) &&
			    (str_is(c->period_type, "cpu") || !c->period_type.len) &&
			    (str_is(c->period_unit, "nanoseconds") || !c->period_unit.len);
	if (c->is_cpu_samples && c->period <= 0)
		c->period = CPU_PERIOD_NS;
}

static int column_kind(struct job *job)
{
	struct column *c = &job->column;
	const struct profile_foreign column = {c->type, c->unit}, period = {c->period_type, c->period_unit};
	struct profile_mapped mapped;
	struct profile_kind kind = {.columns_count = 1, .period = c->period};

	if (c->is_cpu_samples)
		return profile_builder_known_kind(job->out, PROFILE_KIND_CPU, c->period, &c->kind);
	(void)profile_map_columns(&column, 1, period, (struct str){0}, &mapped);
	kind.columns[0].gauge = c->is_gauge = mapped.gauge;
	const struct {
		struct str text;
		uint32_t *to;
	} parts[] = {{mapped.type.name, &kind.name},
		     {mapped.type.type, &kind.columns[0].type},
		     {mapped.type.unit, &kind.columns[0].unit},
		     {mapped.type.period_type, &kind.period_type},
		     {mapped.type.period_unit, &kind.period_unit}};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int rc = ingest_string(job->out, parts[i].text, parts[i].to);

		if (rc)
			return rc;
	}
	return profile_builder_kind(job->out, &kind, &c->kind);
}

static bool equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

/* A service that neither the resource nor the sample names is called after its program. */
static int series_of(struct job *job, struct str service, struct str executable)
{
	struct ingest_request labelled = *job->request;
	char unknown[160];

	if (!service.len)
		service = ingest_tag(&job->tags, "service");
	if (!executable.len)
		executable = job->executable;
	if (!service.len) {
		int n = snprintf(unknown, sizeof(unknown), executable.len ? "unknown_service:%.*s" : "unknown_service",
				 (int)MIN(executable.len, (size_t)120), executable.ptr);

		service = (struct str){unknown, (size_t)n};
	}
	if (job->has_series && equal(service, job->service))
		return 0;
	struct ingest_tags tags = job->tags;

	ingest_tag_add(&tags, STR("service"), service);
	labelled.labels = tags.labels;
	labelled.labels_count = tags.count;
	int rc = ingest_series(&labelled, job->out, job->column.kind, NULL, &job->series);

	job->has_series = !rc && service.ptr != unknown;
	job->service = service;
	return rc;
}

/* ---- samples ---- */

struct context {
	struct profile_label labels[LABELS_MAX];
	size_t count;
	struct str service, executable;
};

static int context_number(struct job *job, struct context *c, struct str key, int64_t number)
{
	struct profile_label label = {.is_number = true, .number = number};
	int rc = c->count < LABELS_MAX ? ingest_string(job->out, key, &label.key) : 0;

	if (!rc && c->count < LABELS_MAX)
		c->labels[c->count++] = label;
	return rc;
}

static int context_text(struct job *job, struct context *c, struct str key, struct str text)
{
	struct profile_label label;
	int rc = c->count < LABELS_MAX && text.len ? profile_builder_label(job->out, key, text, &label) : 1;

	if (!rc)
		c->labels[c->count++] = label;
	return rc > 0 ? 0 : rc;
}

/* OpenTelemetry's names for what we have names for. */
static struct str label_name(struct str key)
{
	static const struct {
		const char *theirs;
		struct str ours;
	} names[] = {{"thread.id", {"thread id", 9}}, {"thread.name", {"thread name", 11}}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_is(key, names[i].theirs))
			return names[i].ours;
	return key;
}

static int context_attribute(struct job *job, struct context *c, uint32_t index)
{
	if (index >= job->d.attributes_count)
		return ingest_otlp_broken(job->err, "attribute", index, job->d.attributes_count);
	const struct otlp_attribute *a = &job->d.attributes[index];

	if (str_is(a->key, "service.name"))
		c->service = a->value.text;
	if (str_is(a->key, "process.executable.name"))
		c->executable = a->value.text;
	if (!a->key.len || a->value.kind == OTLP_NONE)
		return 0;
	return a->value.kind == OTLP_NUMBER ? context_number(job, c, label_name(a->key), a->value.number)
					    : context_text(job, c, label_name(a->key), a->value.text);
}

static int context_link(struct job *job, struct context *c, uint32_t index)
{
	static const uint8_t none[16];
	char text[33];
	uint64_t span;

	if (index >= job->d.links_count)
		return ingest_otlp_broken(job->err, "link", index, job->d.links_count);
	const struct otlp_link *link = &job->d.links[index];
	int rc = 0;

	memcpy(&span, link->span_id, sizeof(span));
	if (span)
		rc = context_number(job, c, STR("span id"), (int64_t)be64toh(span));
	if (rc || !memcmp(link->trace_id, none, sizeof(none)))
		return rc;
	for (size_t i = 0; i < sizeof(link->trace_id); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", link->trace_id[i]);
	return context_text(job, c, STR("trace id"), (struct str){text, 32});
}

static int context_of(struct job *job, const struct otlp_sample *sample, struct context *c,
		      uint32_t *ret_context)
{
	struct proto_reader left = sample->attributes;
	uint64_t index;
	int rc = 0;

	while (!rc && left.at && left.at < left.end) {
		left.at = proto_number(left.at, left.end, left.end, &index);
		if (!left.at)
			return err_set(job->err, -EINVAL, "otlp: a sample's attributes are cut short");
		rc = context_attribute(job, c, index > UINT32_MAX ? UINT32_MAX : (uint32_t)index);
	}
	if (!rc && sample->link)
		rc = context_link(job, c, sample->link);
	*ret_context = 0;
	return rc || !c->count ? rc : profile_builder_context(job->out, c->labels, c->count, ret_context);
}

static int record_add(struct job *job, struct profile_record *record, int64_t value)
{
	int64_t values[2] = {value, value};

	if (value <= 0 && !job->column.is_gauge)
		return 0;
	record->count = 1;
	if (job->column.is_cpu_samples) {
		record->count = (uint32_t)MIN(value, (int64_t)UINT32_MAX);
		if (__builtin_mul_overflow(value, job->column.period, &values[0]))
			values[0] = INT64_MAX;
	}
	return profile_builder_record(job->out, record, values);
}

/* Times outside the accepted window are the profile's, which was clamped. */
static int64_t event_time(const struct job *job, uint64_t time_ns)
{
	const struct ingest_request *r = job->request;
	bool window = r->accept_from_ns || r->accept_until_ns;

	if (time_ns > INT64_MAX || !time_ns)
		return job->time_ns;
	int64_t t = (int64_t)time_ns;

	return window && (t < r->accept_from_ns || t > r->accept_until_ns) ? job->time_ns : t;
}

static int records_add(struct job *job, const struct otlp_sample *sample, struct profile_record *record)
{
	struct proto_reader values = sample->values;
	size_t times = proto_left(&sample->timestamps) / 8, i = 0;
	int64_t sum = 0;
	int rc = 0;

	if (!values.at || values.at == values.end) {
		for (; !rc && i < times; i++) {
			uint64_t t;

			memcpy(&t, sample->timestamps.at + 8 * i, sizeof(t));
			record->time_ns = event_time(job, le64toh(t));
			rc = record_add(job, record, 1);
		}
		return rc;
	}
	for (; !rc && values.at < values.end; i++) {
		uint64_t value, t = 0;

		values.at = proto_number(values.at, values.end, values.end, &value);
		if (!values.at)
			return err_set(job->err, -EINVAL, "otlp: a sample's values are cut short");
		sum = sum_add(sum, (int64_t)value);
		if (i >= times)
			continue;
		memcpy(&t, sample->timestamps.at + 8 * i, sizeof(t));
		record->time_ns = event_time(job, le64toh(t));
		rc = record_add(job, record, (int64_t)value);
		sum = 0;
	}
	/* Without times, or with fewer of them, what is left is a sum. */
	record->time_ns = job->time_ns;
	return rc || !sum ? rc : record_add(job, record, sum);
}

static int sample_add(struct job *job, struct proto_reader bytes, enum otlp_generation generation)
{
	struct profile_record record = {.time_ns = job->time_ns};
	struct context context = {0};
	struct otlp_sample sample;

	if (otlp_sample_read(bytes, generation, &sample) < 0)
		return err_set(job->err, -EINVAL, "otlp: a sample is malformed");
	if (proto_left(&sample.timestamps) % 8)
		return err_set(job->err, -EINVAL, "otlp: a sample's times are cut short");
	int rc = ingest_otlp_node(&job->stacks, sample.stack, &record.node);

	if (!rc)
		rc = context_of(job, &sample, &context, &record.context);
	if (!rc)
		rc = series_of(job, context.service, context.executable);
	record.series = job->series;
	return rc ? rc : records_add(job, &sample, &record);
}

/* ---- profiles ---- */

static void value_type_read(const struct job *job, struct proto_reader bytes, struct str *type,
			    struct str *unit)
{
	struct proto_field f;

	while (proto_next(&bytes, &f) == 1) {
		if (f.number == 1 && f.type == PROTO_VARINT)
			*type = otlp_string(&job->d, f.value);
		else if (f.number == 2 && f.type == PROTO_VARINT)
			*unit = otlp_string(&job->d, f.value);
	}
}

struct head {
	int64_t time_ns, duration_ns;
	struct str id;
	enum otlp_generation generation;
	size_t samples;
};

/* Everything but the samples, of which only the generation is looked for. */
static int head_read(struct job *job, struct proto_reader profile, struct head *head)
{
	struct column *c = &job->column;
	struct proto_field f;
	int rc;

	*head = (struct head){0};
	*c = (struct column){0};
	while ((rc = proto_next(&profile, &f)) == 1) {
		bool bytes = f.type == PROTO_BYTES;

		if (f.number == 1 && bytes)
			value_type_read(job, f.bytes, &c->type, &c->unit);
		else if (f.number == 2 && bytes) {
			head->samples++;
			if (head->generation == OTLP_UNKNOWN)
				head->generation = otlp_sample_generation(f.bytes);
		} else if (f.number == 3 && f.type == PROTO_FIXED64)
			head->time_ns = (int64_t)MIN(f.value, (uint64_t)INT64_MAX);
		else if (f.number == 4 && f.type == PROTO_VARINT)
			head->duration_ns = (int64_t)MIN(f.value, (uint64_t)INT64_MAX / 2);
		else if (f.number == 5 && bytes)
			value_type_read(job, f.bytes, &c->period_type, &c->period_unit);
		else if (f.number == 6 && f.type == PROTO_VARINT)
			c->period = (int64_t)f.value;
		else if ((f.number == 7 || f.number == 8) && bytes && proto_left(&f.bytes) == 16)
			head->id = proto_str(&f);
	}
	return rc < 0 ? err_set(job->err, -EINVAL, "otlp: a profile: %s", proto_wrong(&profile)) : 0;
}

static bool is_json(const struct ingest_request *request)
{
	return request->content_type.len >= 16 && !strncasecmp(request->content_type.ptr, "application/json", 16);
}

static int reject(struct job *job)
{
	if (!job->findings->rejected++)
		(void)snprintf(job->findings->why, sizeof(job->findings->why),
			       "profiles of opentelemetry-proto 1.7 and older are not read: 1.8 to 1.11 are");
	return 0;
}

static int profile_read(struct job *job, struct proto_reader bytes)
{
	struct proto_reader rest = bytes;
	struct proto_field f;
	struct head head;
	int rc = head_read(job, bytes, &head);

	if (rc)
		return rc;
	if (head.generation == OTLP_1_7)
		return reject(job);
	/* JSON has names, and otlp_json.c writes what they mean as 1.10 does. */
	if (is_json(job->request))
		head.generation = OTLP_1_10;
	job->profiles_seen++;
	if (head.id.len) {
		job->ids = hash128_chain(job->ids, hash128(head.id.ptr, head.id.len));
		job->ids_count++;
	}
	column_classify(&job->column);
	job->has_series = false;
	job->time_ns = ingest_span(job->request, head.time_ns, head.duration_ns,
				   profile_builder_profile(job->out));
	rc = column_kind(job);
	while (!rc && proto_next(&rest, &f) == 1)
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = sample_add(job, f.bytes, head.generation);
	job->findings->profiles += !rc;
	return rc;
}

/* ---- resources ---- */

static void resource_attribute(struct job *job, const struct otlp_attribute *a)
{
	static const struct {
		const char *theirs, *ours;
	} names[] = {
	    {"service.name", "service"},		{"service.version", "version"},
	    {"deployment.environment.name", "env"}, {"deployment.environment", "env"},
	    {"host.name", "host"},		{"container.id", "container_id"},
	    {"service.instance.id", "runtime-id"},
	};
	const struct str key = a->key;

	if (a->value.kind == OTLP_NUMBER && str_is(key, "process.pid"))
		job->tags.pid = a->value.number;
	if (a->value.kind != OTLP_TEXT)
		return;
	if (str_is(key, "process.executable.name"))
		job->executable = a->value.text;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_is(key, names[i].theirs)) {
			ingest_tag_add(&job->tags, str_of(names[i].ours), a->value.text);
			return;
		}
	}
	/* Of one process, or of the sender: a label would be a series for each. */
	if ((key.len > 8 && !memcmp(key.ptr, "process.", 8)) ||
	    (key.len > 10 && !memcmp(key.ptr, "telemetry.", 10)))
		return;
	ingest_tag_add(&job->tags, key, a->value.text);
}

static int resource_read(struct job *job, struct proto_reader resource)
{
	struct otlp_attribute a;
	struct proto_field f;
	int rc;

	while ((rc = proto_next(&resource, &f)) == 1) {
		if (f.number != 1 || f.type != PROTO_BYTES)
			continue;
		if (otlp_key_value(&job->d, f.bytes, &a) < 0)
			return err_set(job->err, -EINVAL, "otlp: a resource's attribute is malformed");
		resource_attribute(job, &a);
	}
	return rc < 0 ? err_set(job->err, -EINVAL, "otlp: a resource: %s", proto_wrong(&resource)) : 0;
}

static int scope_read(struct job *job, struct proto_reader scope)
{
	struct proto_field f;
	int rc;

	while ((rc = proto_next(&scope, &f)) == 1) {
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = profile_read(job, f.bytes);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? err_set(job->err, -EINVAL, "otlp: a scope: %s", proto_wrong(&scope)) : 0;
}

/* The resource counts for all its profiles, wherever it stands among them. */
static int resource_profiles_read(struct job *job, struct proto_reader all)
{
	struct proto_reader again = all;
	struct proto_field f;
	int rc = 0, next;

	job->tags = (struct ingest_tags){0};
	job->executable = (struct str){0};
	while ((next = proto_next(&all, &f)) == 1 && !rc)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = resource_read(job, f.bytes);
	if (!rc && next < 0)
		return err_set(job->err, -EINVAL, "otlp: resource_profiles: %s", proto_wrong(&all));
	if (!rc) {
		ingest_tags_instance(&job->tags, profile_builder_profile(job->out));
		rc = ingest_string(job->out, ingest_tag(&job->tags, "container_id"),
				   &profile_builder_profile(job->out)->instance.container);
	}
	while (!rc && proto_next(&again, &f) == 1)
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = scope_read(job, f.bytes);
	return rc;
}

/* A retry is the same request: known by the ids of all its profiles, when each has one. */
static int upload_id(struct job *job)
{
	char text[48];

	if (!job->profiles_seen || job->ids_count != job->profiles_seen)
		return 0;
	int n = snprintf(text, sizeof(text), "otlp/%016" PRIx64 "%016" PRIx64, job->ids.hi, job->ids.lo);

	return profile_builder_string(job->out, (struct str){text, (size_t)n},
				      &profile_builder_profile(job->out)->upload_id);
}

static int job_run(struct job *job, struct str body)
{
	struct proto_reader all = proto_reader_of(body.ptr, body.len);
	struct proto_field f;
	int rc = ingest_otlp_stacks_init(&job->stacks, &job->d, job->out, job->err), next = 0;

	while (!rc && (next = proto_next(&all, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = resource_profiles_read(job, f.bytes);
	if (!rc && next < 0)
		rc = err_set(job->err, -EINVAL, "otlp: the request: %s", proto_wrong(&all));
	return rc ? rc : upload_id(job);
}

static int request_decode(struct job *job, struct str body)
{
	const struct ingest_limits *limits =
	    job->request->limits ? job->request->limits : &ingest_limits_default;
	int rc = otlp_dictionary_read(body, 2 * limits->decompressed_bytes, "2 x limits.decompressed_bytes",
				      &job->d, job->err);

	if (rc)
		return rc;
	rc = job_run(job, body);
	ingest_otlp_stacks_release(&job->stacks);
	otlp_dictionary_release(&job->d);
	/* The builder's own reason, where it is not said yet. */
	if (rc && job->err && !job->err->code)
		rc = ingest_failed(job->out, rc, job->err);
	return rc;
}

static int otlp_decode(const struct ingest_request *request, struct profile_builder *out,
		       struct ingest_findings *findings, struct err *err)
{
	struct err why = {0};
	struct job *job = calloc(1, sizeof(*job));
	struct str body = request->body;
	struct buf binary = {0};
	int rc = job ? 0 : err_set(&why, -ENOMEM, "otlp: out of memory");

	if (!rc && is_json(request)) {
		rc = ingest_otlp_binary(request, &binary, &why);
		body = (struct str){binary.data ? binary.data : "", binary.len};
	}
	if (!rc) {
		job->request = request;
		job->out = out;
		job->findings = findings;
		job->err = &why;
		rc = request_decode(job, body);
	}
	buf_release(&binary);
	free(job);
	return rc ? err_set(err, rc, "%s", why.message) : 0;
}

/* ---- answers: ExportProfilesServiceResponse, or google.rpc.Status ---- */

static void answer_binary(const struct ingest_outcome *outcome, struct buf *body)
{
	const char *why = outcome->code ? outcome->err->message : outcome->findings.why;

	if (outcome->code) {
		proto_put_varint(body, 1, 3); /* INVALID_ARGUMENT */
		proto_put_bytes(body, 2, why, strlen(why));
	} else if (outcome->findings.rejected) {
		size_t partial = proto_message_begin(body, 1);

		proto_put_varint(body, 1, outcome->findings.rejected);
		proto_put_bytes(body, 2, why, strlen(why));
		proto_message_end(body, partial);
	}
}

static void otlp_answer(const struct ingest_request *request, const struct ingest_outcome *outcome,
			struct ingest_answer *answer)
{
	if (is_json(request)) {
		answer->content_type = "application/json";
		ingest_otlp_answer_json(outcome, answer->body);
	} else {
		answer->content_type = "application/x-protobuf";
		answer_binary(outcome, answer->body);
	}
}

static const char *const paths[] = {"/v1development/profiles", NULL};

const struct ingest_protocol ingest_otlp = {
    .name = "otlp",
    .paths = paths,
    .decode = otlp_decode,
    .answer = otlp_answer,
};
