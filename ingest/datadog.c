/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datadog's profile intake, as tracers and ddprof send it to an agent: multipart/form-data with
 *
 *	event          event.json, anywhere among the parts: start, end, tags_profiler,
 *	               endpoint_counts, info.application {service, env, version}
 *	attachments    pprof or JFR, each raw, gzip, zstd or lz4; beside them files that are no
 *	               profiles (metrics.json, code-provenance.json, go.trace...): passed over
 *
 * and, before 2022 (version 3), fields of a form instead of event.json: version, start, end,
 * tags[], and attachments called data[NAME].
 */
#include <errno.h>
#include <string.h>

#include "base/time_parse.h"
#include "ingest/embed.h"
#include "ingest/ingest.h"
#include "ingest/span.h"
#include "ingest/tags.h"
#include "wire/json.h"
#include "wire/multipart.h"

struct job {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct ingest_findings *findings;
	struct err *err;
	struct multipart_part parts[MULTIPART_PARTS_MAX];
	size_t parts_count;
	struct buf event; /* plain; what `tags` borrows from, with `json` */
	json_t *json;
	struct ingest_tags tags;
	int64_t from_ns, until_ns;
	size_t left;  /* of limits.decompressed_bytes */
	int left_out; /* why the first attachment was; 0: none */
};

static bool contains(struct str a, const char *b)
{
	return a.len && memmem(a.ptr, a.len, b, strlen(b));
}

static bool is_event(const struct multipart_part *part)
{
	return str_is(part->filename, "event.json") || str_is(part->name, "event");
}

static int parts_read(struct job *job)
{
	struct multipart m;
	int rc = multipart_init(&m, job->request->content_type, job->request->body, job->err);

	while (!rc) {
		rc = multipart_next(&m, &job->parts[job->parts_count % MULTIPART_PARTS_MAX],
				    job->err);
		if (rc != 1)
			break;
		job->parts_count++;
		rc = 0;
	}
	return rc;
}

static const struct multipart_part *part_find(const struct job *job, const char *name)
{
	for (size_t i = 0; i < job->parts_count; i++)
		if (str_is(job->parts[i].name, name))
			return &job->parts[i];
	return NULL;
}

/* ---- what the request says of itself ---- */

static int time_read(struct job *job, const char *what, struct str text, int64_t *ret_ns)
{
	struct err err = {0};

	if (!text.len || !time_parse(text, job->request->now_ns, ret_ns, &err))
		return 0;
	return err_set(job->err, -EINVAL, "datadog: %s: %s", what, err.message);
}

static void application_read(struct job *job)
{
	static const char *const keys[] = {"service", "env", "version"};
	const json_t *application =
	    json_object_get(json_object_get(job->json, "info"), "application");

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!ingest_tag(&job->tags, keys[i]).len)
			ingest_tag_add(&job->tags, str_of(keys[i]),
				       wire_json_text(application, keys[i]));
}

static int event_read(struct job *job, const struct multipart_part *part)
{
	struct ingest_request as_sent = *job->request;
	const struct ingest_limits *limits =
	    job->request->limits ? job->request->limits : &ingest_limits_default;

	as_sent.body = part->data;
	int rc = ingest_embedded_plain(&as_sent, &job->left, &job->event, job->err);

	if (!rc)
		rc = wire_json_parse((struct str){job->event.data, job->event.len},
				     limits->decompressed_bytes / 2,
				     "half of limits.decompressed_bytes", &job->json, job->err);
	if (rc)
		return err_prefix(job->err, rc, "datadog: event.json");
	if (!json_is_object(job->json))
		return err_set(job->err, -EINVAL, "datadog: event.json is no object");
	rc = time_read(job, "start", wire_json_text(job->json, "start"), &job->from_ns);
	if (!rc)
		rc = time_read(job, "end", wire_json_text(job->json, "end"), &job->until_ns);
	ingest_tags_add(&job->tags, wire_json_text(job->json, "process_tags"));
	ingest_tags_add(&job->tags, wire_json_text(job->json, "tags_profiler"));
	application_read(job);
	return rc;
}

/* Version 3: what event.json holds now stands in fields of the form. */
static int form_read(struct job *job)
{
	const struct multipart_part *version = part_find(job, "version");
	const struct multipart_part *start = part_find(job, "start"), *end = part_find(job, "end");

	if (!version || !str_is(version->data, "3"))
		return err_set(
		    job->err, -EINVAL,
		    "datadog: no part \"event\" (event.json), and no field version=3: an older "
		    "tracer's format is not read here");
	int rc = start ? time_read(job, "start", start->data, &job->from_ns) : 0;

	if (!rc && end)
		rc = time_read(job, "end", end->data, &job->until_ns);
	for (size_t i = 0; i < job->parts_count; i++)
		if (str_is(job->parts[i].name, "tags[]"))
			ingest_tags_add(&job->tags, job->parts[i].data);
	return rc;
}

static int described(struct job *job)
{
	for (size_t i = 0; i < job->parts_count; i++)
		if (is_event(&job->parts[i]))
			return event_read(job, &job->parts[i]);
	return form_read(job);
}

static int instance_set(struct job *job)
{
	static const char *const prefixes[] = {"ci-", "cid-"};
	struct profile_instance *instance = &profile_builder_profile(job->out)->instance;
	struct str container = ingest_header(job->request, "Datadog-Container-ID");
	struct str entity = ingest_header(job->request, "Datadog-Entity-ID");

	/* "ci-<container id>", older "cid-"; "in-<inode>" names a cgroup, which is no container's
	 * name. */
	for (size_t i = 0; i < ARRAY_LEN(prefixes) && !container.len; i++) {
		size_t len = strlen(prefixes[i]);

		if (entity.len > len && !memcmp(entity.ptr, prefixes[i], len))
			container = (struct str){entity.ptr + len, entity.len - len};
	}
	if (container.len)
		ingest_tag_add(&job->tags, STR("container_id"), container);
	ingest_tags_instance(&job->tags, job->out);
	int rc = ingest_string(job->out, container, &instance->container);

	return rc ? rc : ingest_tags_upload_id(&job->tags, job->from_ns, job->out);
}

/* ---- attachments ---- */

static struct str attachment_name(const struct multipart_part *part)
{
	return part->filename.len && !str_is(part->filename, "pprof-data") ? part->filename
									   : part->name;
}

static bool ends_with(struct str a, const char *b)
{
	size_t len = strlen(b);

	return a.len >= len && !memcmp(a.ptr + a.len - len, b, len);
}

/* Files that tracers attach for Datadog's own pages. */
static bool is_no_profile(const struct multipart_part *part)
{
	static const char *const names[] = {"version", "family",   "start",
					    "end",     "tags[]",   "format",
					    "runtime", "internal", "code-provenance"};
	static const char *const endings[] = {".json", ".trace", ".balloc", ".txt", ".csv"};
	struct str name = attachment_name(part);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_is(name, names[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (ends_with(name, endings[i]))
			return true;
	return is_event(part);
}

/* A profile in no known format, or a broken one, is said and left out, for the others are good. */
static void attachment_leave_out(struct job *job, int rc, struct str name)
{
	int len = (int)MIN(name.len, (size_t)80);

	if (!job->left_out)
		job->left_out = rc;
	if (rc == -EOPNOTSUPP)
		ingest_leave_out(job->findings, "datadog: %.*s is in no format that is known here",
				 len, name.ptr);
	else
		ingest_leave_out(job->findings, "datadog: %.*s: %s", len, name.ptr,
				 job->err->message);
	err_clear(job->err);
}

static int attachment_read(struct job *job, const struct multipart_part *part)
{
	struct ingest_request of_part = *job->request;
	struct str name = attachment_name(part);

	of_part.body = part->data;
	of_part.labels = job->tags.labels;
	of_part.labels_count = job->tags.count;
	of_part.from_ns = job->from_ns;
	of_part.until_ns = job->until_ns;
	/* Go's block and mutex profiles have the same types. */
	of_part.name = contains(name, "block") ? STR("block") : (struct str){0};
	int rc = ingest_embedded(&of_part, NULL, &job->left, job->out, job->findings, job->err);

	if (rc == -EOPNOTSUPP || rc == -EINVAL) {
		attachment_leave_out(job, rc, name);
		return 0;
	}
	return rc ? err_prefix(job->err, rc, "datadog: %.*s", (int)MIN(name.len, (size_t)80),
			       name.ptr)
		  : 0;
}

/* ---- how often each endpoint was asked for ---- */

static int endpoints_kind(struct job *job, uint32_t *ret_series)
{
	struct ingest_request labelled = *job->request;
	struct profile_kind kind = {.columns_count = 1};
	uint32_t number;
	int rc = ingest_string(job->out, STR("endpoint"), &kind.name);

	labelled.labels = job->tags.labels;
	labelled.labels_count = job->tags.count;
	kind.period_type = kind.name;
	if (!rc)
		rc = ingest_string(job->out, STR("calls"), &kind.columns[0].type);
	if (!rc)
		rc = ingest_string(job->out, STR("count"), &kind.columns[0].unit);
	kind.period_unit = kind.columns[0].unit;
	if (!rc)
		rc = profile_builder_kind(job->out, &kind, &number);
	return rc ? rc : ingest_series(&labelled, job->out, number, NULL, ret_series);
}

static int endpoint_add(struct job *job, uint32_t series, const char *name, int64_t calls)
{
	struct profile_record record = {.series = series, .count = 1};
	struct profile_label label;
	int rc = profile_builder_label(job->out, STR("trace endpoint"), str_of(name), &label);
	struct ingest_request timed = *job->request;

	timed.from_ns = job->from_ns;
	timed.until_ns = job->until_ns;
	record.time_ns = ingest_span(&timed, 0, 0, profile_builder_profile(job->out));
	record.count = (uint32_t)MIN(calls, (int64_t)UINT32_MAX);
	if (!rc)
		rc = profile_builder_context(job->out, &label, 1, &record.context);
	return rc ? rc : profile_builder_record(job->out, &record, &calls);
}

static int endpoints_add(struct job *job)
{
	json_t *counts = json_object_get(job->json, "endpoint_counts"), *value;
	const char *name;
	uint32_t series = 0;
	bool made = false;
	int rc = 0;

	json_object_foreach(counts, name, value)
	{
		int64_t calls;

		if (rc || !wire_json_int(value, &calls) || calls <= 0)
			continue;
		if (!made)
			rc = endpoints_kind(job, &series);
		made = true;
		if (!rc)
			rc = endpoint_add(job, series, name, calls);
	}
	return rc;
}

/* ---- the whole ---- */

static int job_run(struct job *job)
{
	int rc = parts_read(job);

	if (!rc)
		rc = described(job);
	if (rc)
		return rc;
	rc = instance_set(job);
	if (!rc)
		rc = endpoints_add(job);
	if (rc)
		return ingest_failed(job->out, rc, job->err);
	for (size_t i = 0; !rc && i < job->parts_count; i++)
		if (!is_no_profile(&job->parts[i]) && job->parts[i].data.len)
			rc = attachment_read(job, &job->parts[i]);
	if (!rc && !job->findings->profiles && job->left_out)
		return err_set(job->err, job->left_out, "%s", job->findings->why);
	return rc;
}

static int datadog_decode(const struct ingest_request *request, struct profile_builder *out,
			  struct ingest_findings *findings, struct err *err)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return err_set(err, -ENOMEM, "datadog: out of memory");
	job->request = request;
	job->out = out;
	job->findings = findings;
	job->err = err;
	job->left = limits->decompressed_bytes ? limits->decompressed_bytes : SIZE_MAX;
	int rc = job_run(job);

	json_decref(job->json);
	buf_release(&job->event);
	free(job);
	return rc;
}

static const char *const paths[] = {"/profiling/v1/input", "/api/v2/profile", NULL};

const struct ingest_protocol ingest_datadog = {
    .name = "datadog",
    .paths = paths,
    .decode = datadog_decode,
};
