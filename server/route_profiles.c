/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/profiles: one profile, its labels in the query string. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/time_parse.h"
#include "server/pipeline.h"
#include "server/route.h"

#define LABEL_KEY_MAX 128
#define LABEL_VALUE_MAX 512

struct parameters {
	struct pipeline_upload upload;
	struct ingest_label *labels; /* room for every parameter; the builder keeps what may be */
	int64_t now_ns;
	struct err *err;
};

static int parameter_take(void *arg, const char *name, const char *value)
{
	struct parameters *p = arg;
	struct ingest_request *request = &p->upload.request;

	if (!strcmp(name, "from"))
		return time_parse(str_of(value), p->now_ns, &request->from_ns, p->err);
	if (!strcmp(name, "until"))
		return time_parse(str_of(value), p->now_ns, &request->until_ns, p->err);
	if (!strcmp(name, "format")) {
		p->upload.format = str_of(value);
		return 0;
	}
	if (!strcmp(name, "id")) {
		p->upload.id = str_of(value);
		return 0;
	}
	if (!strcmp(name, "name")) {
		request->name = str_of(value);
		return 0;
	}
	if (!*name || strlen(name) > LABEL_KEY_MAX || strlen(value) > LABEL_VALUE_MAX)
		return err_set(p->err, -EINVAL,
			       "label \"%.40s\": names have 1 to %d bytes, values at most %d", name,
			       LABEL_KEY_MAX, LABEL_VALUE_MAX);
	p->labels[request->labels_count++] = (struct ingest_label){str_of(name), str_of(value)};
	return 0;
}

static void result_write(const struct pipeline_result *result, const struct buf *series,
			 struct buf *out)
{
	struct json json;

	json_init(&json, out);
	json_open(&json, '{');
	json_key_uint(&json, "profiles", result->findings.profiles);
	json_key_uint(&json, "samples", result->samples);
	json_key(&json, "duplicate");
	json_bool(&json, result->duplicate);
	json_key(&json, "clamped");
	json_bool(&json, result->clamped);
	json_key_uint(&json, "rejected", result->findings.rejected);
	if (result->findings.rejected)
		json_key_text(&json, "why", result->findings.why);
	json_key(&json, "cut");
	json_open(&json, '{');
	json_key_uint(&json, "stacks", result->cuts.stacks_truncated);
	json_key_uint(&json, "strings", result->cuts.strings_truncated);
	json_key_uint(&json, "labels", result->cuts.labels_dropped);
	json_close(&json, '}');
	json_key(&json, "series");
	(void)buf_add(out, series->data, series->len);
	json.comma = true;
	json_close(&json, '}');
}

static int parameter_count(void *arg, const char *name, const char *value)
{
	(void)name;
	(void)value;
	++*(size_t *)arg;
	return 0;
}

static int parameters_read(struct route_call *call, struct parameters *p)
{
	size_t count = 0;
	int rc = http_query_each(call->request, parameter_count, &count);

	p->labels = calloc(count + 1, sizeof(*p->labels));
	if (!p->labels)
		return err_set(p->err, -ENOMEM, "parameters: out of memory");
	p->upload.request.labels = p->labels;
	return rc ? rc : http_query_each(call->request, parameter_take, p);
}

void route_profiles(struct route_call *call)
{
	struct err err = {0};
	struct parameters p = {.now_ns = call->now_ns, .err = &err};
	struct pipeline_result result;
	struct buf series;
	const char *key = http_header(call->request, "Idempotency-Key");

	p.upload.body = call->request->body;
	p.upload.owner = call->request->caller.uid;
	buf_init(&series, 1 << 20);
	int rc = parameters_read(call, &p);

	if (!rc && !p.upload.id.len && key)
		p.upload.id = str_of(key);
	if (!rc && p.upload.request.from_ns && p.upload.request.until_ns &&
	    p.upload.request.from_ns > p.upload.request.until_ns)
		rc = err_set(&err, -EINVAL, "from is not before until");
	if (!rc)
		rc = pipeline_upload(call->agent, &p.upload, &result, &series, &err);
	if (rc)
		route_fail(call, rc, &err);
	else
		result_write(&result, &series, &call->answer->body);
	buf_release(&series);
	free(p.labels);
}
