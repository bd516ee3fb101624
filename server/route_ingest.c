/* SPDX-License-Identifier: Apache-2.0 */
/* POSTs of other profilers' clients: the protocol of the path decodes, and words the answer. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "server/pipeline.h"
#include "server/route.h"

#define PAIRS_MAX 128

struct pairs {
	struct ingest_label pairs[PAIRS_MAX];
	size_t count;
};

static int pair_take(void *arg, const char *name, const char *value)
{
	struct pairs *p = arg;

	if (p->count == PAIRS_MAX)
		return -E2BIG;
	p->pairs[p->count++] = (struct ingest_label){{name, strlen(name)}, {value, strlen(value)}};
	return 0;
}

/* What the body was packed with shows in its first bytes; a packing that is not undone is
 * refused. */
static int encoding_check(struct route_call *call, struct err *err)
{
	static const char *const known[] = {"identity", "gzip", "x-gzip", "zstd", "lz4"};
	const char *encoding = http_header(call->request, "Content-Encoding");

	for (size_t i = 0; encoding && *encoding && i < ARRAY_LEN(known); i++)
		if (!strcasecmp(encoding, known[i]))
			return 0;
	if (!encoding || !*encoding)
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "Content-Encoding \"%.40s\" is not undone here: gzip, zstd, lz4", encoding);
}

static int request_read(struct route_call *call, struct pairs *headers, struct pairs *parameters,
			struct ingest_request *request, struct err *err)
{
	if (http_header_each(call->request, pair_take, headers) ||
	    http_query_each(call->request, pair_take, parameters))
		return err_set(err, -EINVAL, "more than %d headers or parameters", PAIRS_MAX);
	request->path = str_of(call->request->path);
	request->content_type = str_of(http_header(call->request, "Content-Type"));
	request->headers = headers->pairs;
	request->headers_count = headers->count;
	request->parameters = parameters->pairs;
	request->parameters_count = parameters->count;
	return encoding_check(call, err);
}

static void answer_make(struct route_call *call, const struct ingest_protocol *protocol,
			const struct ingest_request *request, const struct ingest_outcome *outcome)
{
	struct ingest_answer answer = {.status = status_of(outcome->code),
				       .content_type = "text/plain",
				       .body = &call->answer->body};

	if (!protocol->answer && outcome->code) {
		route_fail(call, outcome->code, outcome->err);
		return;
	}
	if (protocol->answer)
		protocol->answer(request, outcome, &answer);
	route_retry_after(call, answer.status);
	call->answer->status = answer.status;
	call->answer->content_type = answer.content_type;
}

void route_ingest(struct route_call *call)
{
	struct pairs headers = {0}, parameters = {0};
	struct err err = {0};
	struct pipeline_result result = {0};
	struct pipeline_upload upload = {.body = call->request->body,
					 .protocol = ingest_at_path(call->request->path),
					 .owner = call->request->caller.uid};
	int rc = request_read(call, &headers, &parameters, &upload.request, &err);

	if (!rc)
		rc = pipeline_upload(call->agent, &upload, &result, NULL, &err);
	const struct ingest_outcome outcome = {
	    .code = rc, .err = &err, .findings = result.findings, .duplicate = result.duplicate};

	answer_make(call, upload.protocol, &upload.request, &outcome);
}

void route_ingest_refuse(struct route_call *call, int rc, const struct err *err)
{
	const struct ingest_request request = {
	    .path = str_of(call->request->path),
	    .content_type = str_of(http_header(call->request, "Content-Type"))};
	const struct ingest_outcome outcome = {.code = rc, .err = err};

	answer_make(call, ingest_at_path(call->request->path), &request, &outcome);
}
