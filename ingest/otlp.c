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
 * A profile of a generation before 1.8, or one that is broken, or has samples that are, is counted
 * as rejected, with the first reason in the answer; what can be read is kept.  The request fails
 * when nothing can, or when it is broken around its profiles.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ingest/otlp_job.h"
#include "ingest/otlp_json.h"
#include "ingest/span.h"
#include "ingest/tags.h"
#include "wire/grpc_status.h"

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
	struct str seventh, eighth; /* 16 bytes, if anything: one is the id */
	enum otlp_generation generation;
};

static void head_field(struct job *job, const struct proto_field *f, struct head *head)
{
	struct column *c = &job->column;
	bool bytes = f->type == PROTO_BYTES;

	if (f->number == 1 && bytes)
		value_type_read(job, f->bytes, &c->type, &c->unit);
	else if (f->number == 2 && bytes && head->generation == OTLP_UNKNOWN)
		head->generation = otlp_sample_generation(f->bytes);
	else if (f->number == 3 && f->type == PROTO_FIXED64)
		head->time_ns = (int64_t)MIN(f->value, (uint64_t)INT64_MAX);
	else if (f->number == 4 && f->type == PROTO_VARINT)
		head->duration_ns = (int64_t)MIN(f->value, (uint64_t)INT64_MAX / 2);
	else if (f->number == 5 && bytes)
		value_type_read(job, f->bytes, &c->period_type, &c->period_unit);
	else if (f->number == 6 && f->type == PROTO_VARINT)
		c->period = (int64_t)f->value;
	else if (f->number == 7 && bytes && proto_left(&f->bytes) == 16)
		head->seventh = proto_str(f);
	else if (f->number == 8 && bytes && proto_left(&f->bytes) == 16)
		head->eighth = proto_str(f);
}

static bool is_json(const struct ingest_request *request)
{
	return request->content_type.len >= 16 &&
	       !strncasecmp(request->content_type.ptr, "application/json", 16);
}

/* Everything but the samples, of which only the generation is looked for. */
static int head_read(struct job *job, struct proto_reader profile, struct head *head)
{
	const struct proto_reader whole = profile;
	struct proto_field f;
	int rc;

	*head = (struct head){0};
	job->column = (struct column){0};
	while ((rc = proto_next(&profile, &f)) == 1)
		head_field(job, &f, head);
	if (rc)
		return err_set(job->err, -EINVAL, "otlp: a profile: %s", proto_wrong(&profile));
	if (head->generation == OTLP_1_7)
		return err_set(job->err, -EOPNOTSUPP,
			       "profiles of opentelemetry-proto 1.7 and older are not read: 1.8 to "
			       "1.11 are");
	/* JSON has names, and otlp_json.c writes what they mean as 1.10 does. */
	if (is_json(job->request))
		head->generation = OTLP_1_10;
	if (head->generation != OTLP_UNKNOWN)
		return 0;
	rc = otlp_profile_is_1_8(&job->d, whole, &job->scratch);
	head->generation = rc > 0 ? OTLP_1_8 : OTLP_1_10;
	return rc < 0 ? err_set(job->err, rc, "otlp: out of memory") : 0;
}

/* Whether these bytes may be the numbers of strings. */
static bool are_strings(const struct job *job, struct str bytes)
{
	struct proto_reader left = proto_reader_of(bytes.ptr, bytes.len);
	uint64_t number = 0;

	while (left.at && left.at < left.end && number < job->d.strings_count)
		left.at = proto_number(left.at, left.end, left.end, &number);
	return left.at && number < job->d.strings_count;
}

/* profile_id is field 7, but 8 in 1.8, where 7 are the strings of comments.  1.9 has the samples of
 * 1.8 and the numbers of 1.10. */
static struct str id_of(const struct job *job, const struct head *head)
{
	static const char none[16];
	struct str id = head->seventh;

	if (head->generation == OTLP_1_8 && (head->eighth.len || (id.len && are_strings(job, id))))
		id = head->eighth;
	return id.len && memcmp(id.ptr, none, sizeof(none)) != 0 ? id : (struct str){0};
}

static void id_note(struct job *job, const struct head *head)
{
	struct str id = id_of(job, head);

	job->profiles_seen++;
	if (!id.len)
		return;
	job->ids = hash128_chain(job->ids, hash128(id.ptr, id.len));
	job->ids_count++;
}

/* A profile, or some samples of it, cannot be read: said, counted once, and what is beside it kept.
 * Only what the builder or memory has no room for ends the request. */
static int reject(struct job *job, int rc, bool *rejected)
{
	if (rc != -EINVAL && rc != -EOPNOTSUPP)
		return rc;
	job->is_broken |= rc == -EINVAL;
	if (!*rejected)
		ingest_leave_out(job->findings, "%s", job->err->message);
	*rejected = true;
	err_clear(job->err);
	return 0;
}

static int profile_read(struct job *job, struct proto_reader bytes)
{
	bool rejected = false;
	struct proto_field f;
	struct head head;
	int rc = head_read(job, bytes, &head);

	if (rc)
		return reject(job, rc, &rejected);
	id_note(job, &head);
	ingest_otlp_column_classify(&job->column);
	job->time_ns = ingest_span(job->request, head.time_ns, head.duration_ns,
				   profile_builder_profile(job->out));
	rc = ingest_otlp_column_kind(job);
	while (!rc && proto_next(&bytes, &f) == 1)
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = reject(job, ingest_otlp_sample_add(job, f.bytes, head.generation),
				    &rejected);
	job->findings->profiles += !rc;
	return rc;
}

/* ---- resources ---- */

static void resource_attribute(struct job *job, const struct otlp_attribute *a)
{
	static const struct {
		const char *theirs, *ours;
	} names[] = {
	    {"service.name", "service"},
	    {"service.version", "version"},
	    {"deployment.environment.name", "env"},
	    {"deployment.environment", "env"},
	    {"host.name", "host"},
	    {"container.id", "container_id"},
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
			return err_set(job->err, -EINVAL,
				       "otlp: a resource's attribute is malformed");
		resource_attribute(job, &a);
	}
	return rc < 0 ? err_set(job->err, -EINVAL, "otlp: a resource: %s", proto_wrong(&resource))
		      : 0;
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
		ingest_tags_instance(&job->tags, job->out);
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
	int n = snprintf(text, sizeof(text), "otlp/%016" PRIx64 "%016" PRIx64, job->ids.hi,
			 job->ids.lo);

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
	if (!rc && job->is_broken && !profile_builder_profile(job->out)->records_count)
		rc = err_set(job->err, -EINVAL, "%s", job->findings->why);
	return rc ? rc : upload_id(job);
}

static int request_decode(struct job *job, struct str body)
{
	const struct ingest_limits *limits =
	    job->request->limits ? job->request->limits : &ingest_limits_default;
	int rc = otlp_dictionary_read(body, 2 * limits->decompressed_bytes,
				      "2 x limits.decompressed_bytes", &job->d, job->err);

	if (rc)
		return rc;
	rc = job_run(job, body);
	ingest_otlp_stacks_release(&job->stacks);
	buf_release(&job->scratch);
	otlp_dictionary_release(&job->d);
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
		buf_init(&job->scratch, BUF_UNLIMITED); /* no longer than a sample */
		rc = request_decode(job, body);
	}
	buf_release(&binary);
	free(job);
	if (!rc)
		return 0;
	/* The builder's own reason, where nothing was said yet. */
	return why.code ? err_set(err, rc, "%s", why.message) : ingest_failed(out, rc, err);
}

/* ---- answers: ExportProfilesServiceResponse, or google.rpc.Status ---- */

static void answer_binary(const struct ingest_outcome *outcome, struct buf *body)
{
	const char *why = outcome->code ? outcome->err->message : outcome->findings.why;

	if (outcome->code) {
		proto_put_varint(body, 1, grpc_status_of(outcome->code));
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
	/* OTLP's clients come again after 503, and drop after 500 and 507. */
	if (grpc_status_of(outcome->code) == GRPC_UNAVAILABLE)
		answer->status = 503;
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
