/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP samples: their series, their contexts, and a record at each of their times. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "ingest/otlp_job.h"
#include "ingest/span.h"

#define LABELS_MAX 64 /* of one sample, which is zeroed for each */

static bool equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

static int series_make(struct job *job, const struct named *by)
{
	struct ingest_request labelled = *job->request;
	struct ingest_tags tags = job->tags;
	struct str service = by->service;
	char unknown[160];

	if (!service.len) {
		int n = snprintf(unknown, sizeof(unknown),
				 by->program.len ? "unknown_service:%.*s" : "unknown_service",
				 (int)MIN(by->program.len, (size_t)120), by->program.ptr);

		service = (struct str){unknown, (size_t)n};
	}
	ingest_tag_add(&tags, STR("service"), service);
	labelled.labels = tags.labels;
	labelled.labels_count = tags.count;
	return ingest_series(&labelled, job->out, job->column.kind, NULL, &job->series);
}

/* A service that neither the resource nor the sample names is called after its program.  Its labels
 * may be many, so a series is made once for each name, as long as names do not fall together. */
static int series_of(struct job *job, struct str service, struct str program)
{
	struct named by = {.service = service, .profile = job->profiles_seen};

	if (!service.len)
		by.service = ingest_tag(&job->tags, "service");
	if (!by.service.len)
		by.program = program.len ? program : job->executable;
	struct str name = by.service.len ? by.service : by.program;
	struct named *known = &job->named[hash128(name.ptr, name.len).lo % ARRAY_LEN(job->named)];

	if (known->profile == by.profile && equal(known->service, by.service) &&
	    equal(known->program, by.program)) {
		job->series = known->series;
		return 0;
	}
	int rc = series_make(job, &by);

	by.series = job->series;
	if (!rc)
		*known = by;
	return rc;
}

struct context {
	struct profile_label labels[LABELS_MAX];
	size_t count;
	struct str service, executable;
};

/* What there is no room for is counted. */
static bool context_is_full(struct job *job, const struct context *c)
{
	if (c->count < LABELS_MAX)
		return false;
	profile_builder_labels_were_cut(job->out, 1);
	return true;
}

static int context_number(struct job *job, struct context *c, struct str key, int64_t number)
{
	struct profile_label label = {.is_number = true, .number = number};

	if (context_is_full(job, c))
		return 0;
	int rc = ingest_string(job->out, key, &label.key);

	if (!rc)
		c->labels[c->count++] = label;
	return rc;
}

static int context_text(struct job *job, struct context *c, struct str key, struct str text)
{
	struct profile_label label;

	if (!text.len || context_is_full(job, c))
		return 0;
	int rc = profile_builder_label(job->out, key, text, &label);

	if (!rc)
		c->labels[c->count++] = label;
	return rc;
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
	return a->value.kind == OTLP_NUMBER
		   ? context_number(job, c, label_name(a->key), a->value.number)
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
			return err_set(job->err, -EINVAL,
				       "otlp: a sample's attributes are cut short");
		rc = context_attribute(job, c, index > UINT32_MAX ? UINT32_MAX : (uint32_t)index);
	}
	if (!rc && sample->link)
		rc = context_link(job, c, sample->link);
	*ret_context = 0;
	return rc || !c->count
		   ? rc
		   : profile_builder_context(job->out, c->labels, c->count, ret_context);
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

static int records_add(struct job *job, const struct otlp_sample *sample,
		       struct profile_record *record)
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

int ingest_otlp_sample_add(struct job *job, struct proto_reader bytes,
			   enum otlp_generation generation)
{
	struct profile_record record = {.time_ns = job->time_ns};
	struct context context = {0};
	struct otlp_sample sample;

	int rc = otlp_sample_read(bytes, generation, &job->scratch, &sample);

	if (rc)
		return err_set(job->err, rc,
			       rc == -ENOMEM ? "otlp: out of memory"
					     : "otlp: a sample is malformed");
	if (proto_left(&sample.timestamps) % 8)
		return err_set(job->err, -EINVAL, "otlp: a sample's times are cut short");
	rc = ingest_otlp_node(&job->stacks, sample.stack, &record.node);

	if (!rc)
		rc = context_of(job, &sample, &context, &record.context);
	if (!rc)
		rc = series_of(job, context.service, context.executable);
	record.series = job->series;
	return rc ? rc : records_add(job, &sample, &record);
}
