/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pyroscope's POST /ingest, as its clients for Go, Node.js and Java send it.
 *
 *	name=app.kind{k=v,k2=v2}   the application and its labels; no quotes.  For all but pprof and
 *	                           JFR the last dotted word chooses what is counted
 *	from, until                any time that base/time_parse.h reads, or YYYYMMDD
 *	sampleRate                 samples a second, 100
 *	units, spyName, format     groups (folded), lines, trie, tree, pprof, speedscope, jfr
 *
 * A pprof or JFR may be the body or, in multipart/form-data, the field "profile" or "jfr".  Beside
 * a JFR the field "labels" has what its events' context ids stand for (ingest/jfr_labels.c), beside
 * a pprof "sample_type_config" how its columns are to be shown.  The answer is an empty 200, on
 * which its clients insist, or {"code","message"}.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/time_parse.h"
#include "ingest/embed.h"
#include "ingest/ingest.h"
#include "ingest/span.h"
#include "ingest/tags.h"
#include "wire/json.h"
#include "wire/multipart.h"

#define RATE_DEFAULT 100
#define RATE_MAX 1000000
#define CONFIG_MEMORY_MAX (1 << 20) /* bytes of what sample_type_config becomes */

/* The last word of a name, and the type that it stands for. */
static const struct {
	const char *word, *type;
} words[] = {
    {"cpu", "cpu"},
    {"itimer", "cpu"},
    {"wall", "wall"},
    {"inuse_objects", "inuse_objects"},
    {"inuse_space", "inuse_space"},
    {"alloc_objects", "alloc_objects"},
    {"alloc_space", "alloc_space"},
    {"mutex_count", "lock_contentions"},
    {"mutex_duration", "lock_delay"},
    {"lock_count", "lock_contentions"},
    {"lock_duration", "lock_delay"},
    {"block_count", "block_count"},
    {"block_duration", "block_delay"},
    {"goroutines", "goroutines:goroutine:count:goroutine:count"},
    {"exceptions", "exceptions"},
    {"live", "memory:live:count:objects:count"},
    {"alloc_in_new_tlab_objects", "memory:alloc_in_new_tlab_objects:count:space:bytes"},
    {"alloc_in_new_tlab_bytes", "memory:alloc_in_new_tlab_bytes:bytes:space:bytes"},
    {"alloc_outside_tlab_objects", "memory:alloc_outside_tlab_objects:count:space:bytes"},
    {"alloc_outside_tlab_bytes", "memory:alloc_outside_tlab_bytes:bytes:space:bytes"},
};

struct job {
	const struct ingest_request *request;
	struct ingest_request part; /* as the body's format is to see it */
	struct ingest_tags tags;
	struct str application, word;
	size_t left;
	struct err *err;
};

/* ---- what the query string says ---- */

/* "k=v,k2=v2}"; names with two underscores are Pyroscope's own, but for the session's. */
static void labels_read(struct job *job, struct str text)
{
	if (text.len && text.ptr[text.len - 1] == '}')
		text.len--;
	while (text.len) {
		struct str value = str_cut(&text, ','), name = str_trim(str_cut(&value, '='));

		if (str_is(name, "__session_id__"))
			name = STR("runtime-id");
		if (name.len < 2 || memcmp(name.ptr, "__", 2))
			ingest_tag_add(&job->tags, name, str_trim(value));
	}
}

static const char *type_of(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_is(word, words[i].word))
			return words[i].type;
	return NULL;
}

static int name_read(struct job *job)
{
	struct str name = ingest_parameter(job->request, "name");
	const char *brace = name.len ? memchr(name.ptr, '{', name.len) : NULL;
	struct str application =
	    str_trim((struct str){name.ptr, brace ? (size_t)(brace - name.ptr) : name.len});
	const char *dot = application.len ? memrchr(application.ptr, '.', application.len) : NULL;

	if (!application.len)
		return err_set(job->err, -EINVAL,
			       "pyroscope: the parameter name is asked for: app.cpu{k=v}");
	if (brace)
		labels_read(job,
			    (struct str){brace + 1, (size_t)(name.ptr + name.len - brace - 1)});
	if (dot) {
		size_t len = (size_t)(dot - application.ptr);

		job->word = (struct str){dot + 1, application.len - len - 1};
		/* A dot that begins no kind belongs to the application's own name. */
		if (len && type_of(job->word))
			application.len = len;
		else
			job->word = (struct str){0};
	}
	job->application = application;
	ingest_tag_add(&job->tags, STR("service"), application);
	return 0;
}

/* YYYYMMDD; as seconds it would be of 1970.  A parameter has no end but its length. */
static bool is_day(struct str text)
{
	bool day = text.len == 8 && !memcmp(text.ptr, "20", 2);

	for (size_t i = 0; day && i < text.len; i++)
		day = text.ptr[i] >= '0' && text.ptr[i] <= '9';
	return day;
}

static int time_read(struct job *job, const char *name, int64_t *ret_ns)
{
	struct str text = ingest_parameter(job->request, name);
	char day[24];
	struct err err = {0};

	if (!text.len)
		return 0;
	if (is_day(text)) {
		int n = snprintf(day, sizeof(day), "%.4s-%.2s-%.2sT00:00:00Z", text.ptr,
				 text.ptr + 4, text.ptr + 6);

		text = (struct str){day, (size_t)n};
	}
	if (time_parse(text, job->request->now_ns, ret_ns, &err))
		return err_set(job->err, -EINVAL, "pyroscope: %s: %s", name, err.message);
	return 0;
}

static int rate_read(struct job *job, int64_t *ret_rate)
{
	struct str text = ingest_parameter(job->request, "sampleRate");
	int64_t rate = 0;

	*ret_rate = RATE_DEFAULT;
	if (!text.len)
		return 0;
	for (size_t i = 0; i < text.len && rate <= RATE_MAX; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return err_set(job->err, -EINVAL,
				       "pyroscope: sampleRate is a whole number");
		rate = rate * 10 + text.ptr[i] - '0';
	}
	if (rate < 1 || rate > RATE_MAX)
		return err_set(job->err, -EINVAL, "pyroscope: sampleRate is 1 to %d", RATE_MAX);
	*ret_rate = rate;
	return 0;
}

/* What a text format's numbers are.  Units other than samples are already what they say. */
static void value_choose(struct job *job, int64_t rate)
{
	struct str units = ingest_parameter(job->request, "units");
	const char *type = type_of(job->word.len ? job->word : STR("cpu"));

	if (str_is(units, "bytes") && !job->word.len)
		type = "alloc_space";
	job->part.name = str_of(type);
	if (!units.len || str_is(units, "samples") || str_is(units, "count"))
		job->part.sample_period_ns = NS_PER_S / rate;
}

static int parameters_read(struct job *job)
{
	struct str spy = ingest_parameter(job->request, "spyName");
	int64_t rate;
	int rc = name_read(job);

	if (!rc)
		rc = time_read(job, "from", &job->part.from_ns);
	if (!rc)
		rc = time_read(job, "until", &job->part.until_ns);
	if (!rc)
		rc = rate_read(job, &rate);
	if (rc)
		return rc;
	if (spy.len && !str_is(spy, "unknown"))
		ingest_tag_add(&job->tags, STR("pyroscope_spy"), spy);
	value_choose(job, rate);
	job->part.labels = job->tags.labels;
	job->part.labels_count = job->tags.count;
	return 0;
}

/* ---- the body ---- */

static bool type_says(const struct ingest_request *request, const char *what)
{
	return request->content_type.len &&
	       memmem(request->content_type.ptr, request->content_type.len, what, strlen(what));
}

static struct str format_choose(const struct ingest_request *request)
{
	struct str format = ingest_parameter(request, "format");

	if (str_is(format, "trie") || type_says(request, "octet-stream+trie"))
		return STR("trie");
	if (str_is(format, "tree") || type_says(request, "octet-stream+tree"))
		return STR("tree");
	if (format.len && !str_is(format, "groups"))
		return format;
	if (multipart_is(request->content_type))
		return STR("pprof");
	return STR("folded");
}

static int part_read(struct job *job, struct str body, const struct ingest_protocol *format,
		     struct profile_builder *out, struct ingest_findings *findings)
{
	/* pprof and JFR say themselves what they count. */
	bool says = str_is(str_of(format->name), "pprof") || str_is(str_of(format->name), "jfr");

	job->part.body = body;
	if (says)
		job->part.name =
		    str_is(job->part.name, "block_delay") ? STR("block") : (struct str){0};
	if (says)
		job->part.sample_period_ns = 0;
	return ingest_embedded(&job->part, format, &job->left, out, findings, job->err);
}

/* A field of the form, wherever it stands: 1, 0 when it is missing or empty, or -EINVAL. */
static int field_find(struct job *job, const char *name, struct str *ret_data)
{
	struct multipart m;
	struct multipart_part part;
	int rc = multipart_init(&m, job->request->content_type, job->request->body, job->err);

	while (!rc && (rc = multipart_next(&m, &part, job->err)) == 1) {
		*ret_data = part.data;
		if (str_is(part.name, name) && part.data.len)
			return 1;
		rc = 0;
	}
	return rc;
}

/* What a recording's events' context ids stand for.  `plain` is released by the caller. */
static int labels_read_field(struct job *job, struct buf *plain)
{
	int rc = field_find(job, "labels", &job->part.body);

	if (rc <= 0)
		return rc;
	rc = ingest_embedded_plain(&job->part, &job->left, plain, job->err);
	if (!rc)
		job->part.jfr_labels = (struct str){plain->data, plain->len};
	return rc;
}

/* Go's block profile has the columns of its mutex profile: how they are to be shown tells. */
static int config_read_field(struct job *job)
{
	struct err ignored = {0};
	struct str text;
	json_t *config = NULL, *shown;
	const char *column;
	int rc = field_find(job, "sample_type_config", &text);

	/* What is no JSON says nothing. */
	if (rc <= 0 || wire_json_parse(text, CONFIG_MEMORY_MAX, "fixed limit", &config, &ignored))
		return MIN(rc, 0);
	json_object_foreach(config, column, shown)
	{
		struct str name = wire_json_text(shown, "display-name");

		if (name.len > 6 && !memcmp(name.ptr, "block_", 6))
			job->part.name = STR("block_delay");
	}
	json_decref(config);
	return 0;
}

static int form_read(struct job *job, const struct ingest_protocol *format,
		     struct profile_builder *out, struct ingest_findings *findings)
{
	struct multipart m;
	struct multipart_part part;
	int rc = multipart_init(&m, job->request->content_type, job->request->body, job->err), next;
	size_t read = 0;

	while (!rc && (next = multipart_next(&m, &part, job->err)) != 0) {
		if (next < 0)
			return next;
		if (str_is(part.name, "prev_profile"))
			return err_set(
			    job->err, -EINVAL,
			    "pyroscope: prev_profile is not subtracted: send profiles of one span");
		if (!str_is(part.name, "profile") && !str_is(part.name, "jfr"))
			continue;
		rc = part_read(job, part.data, format, out, findings);
		read++;
	}
	if (!rc && !read)
		return err_set(job->err, -EINVAL,
			       "pyroscope: no field \"profile\" or \"jfr\" in the form");
	return rc;
}

static int pyroscope_decode(const struct ingest_request *request, struct profile_builder *out,
			    struct ingest_findings *findings, struct err *err)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;
	struct job job = {.request = request,
			  .part = *request,
			  .left =
			      limits->decompressed_bytes ? limits->decompressed_bytes : SIZE_MAX,
			  .err = err};
	struct str name = format_choose(request);
	const struct ingest_protocol *format = ingest_find(name);
	int rc = parameters_read(&job);

	if (rc)
		return rc;
	if (!format || format->paths)
		return err_set(err, -EOPNOTSUPP, "pyroscope: format \"%.*s\" is not read here",
			       (int)MIN(name.len, (size_t)40), name.ptr);
	struct buf labels = {0};

	ingest_tags_instance(&job.tags, out);
	if (!multipart_is(request->content_type))
		return part_read(&job, request->body, format, out, findings);
	rc = str_is(str_of(format->name), "jfr") ? labels_read_field(&job, &labels)
						 : config_read_field(&job);
	if (!rc)
		rc = form_read(&job, format, out, findings);
	buf_release(&labels);
	return rc;
}

static void pyroscope_answer(const struct ingest_request *request,
			     const struct ingest_outcome *outcome, struct ingest_answer *answer)
{
	struct json json;

	(void)request;
	if (!outcome->code)
		return;
	if (outcome->code == -EOPNOTSUPP)
		answer->status = 422;
	answer->content_type = "application/json";
	json_init(&json, answer->body);
	json_open(&json, '{');
	json_key_text(&json, "code",
		      answer->status == 413 ? "resource_exhausted" : "invalid_argument");
	json_key_text(&json, "message", outcome->err->message);
	json_close(&json, '}');
}

static const char *const paths[] = {"/ingest", "/pyroscope/ingest", NULL};

const struct ingest_protocol ingest_pyroscope = {
    .name = "pyroscope",
    .paths = paths,
    .decode = pyroscope_decode,
    .answer = pyroscope_answer,
};
