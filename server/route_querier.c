/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pyroscope's querier.v1.QuerierService by the Connect protocol (connectrpc.com, "Protocol"),
 * unary: what Grafana's data source and profilecli ask, as protobuf or as JSON, raw or gzip'd.
 *
 * Errors are Connect's JSON, whatever was asked, with the status that goes with the code.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "ingest/ingest.h"
#include "server/querier.h"
#include "wire/connect_error.h"
#include "wire/protojson.h"

static const struct {
	const char *name;
	querier_fn answer;
} answers[] = {
    {"ProfileTypes", querier_profile_types},
    {"LabelNames", querier_label_names},
    {"LabelValues", querier_label_values},
    {"Series", querier_series},
    {"SelectMergeStacktraces", querier_stacktraces},
    {"SelectMergeSpanProfile", querier_span_profile},
    {"SelectMergeProfile", querier_merge_profile},
    {"SelectSeries", querier_select_series},
    {"SelectHeatmap", querier_heatmap},
    {"Diff", querier_diff},
    {"GetProfileStats", querier_profile_stats},
    {"AnalyzeQuery", querier_analyze},
};

static querier_fn answer_of(const struct querier_method *method)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (!strcmp(answers[i].name, method->name))
			return answers[i].answer;
	return NULL;
}

static void fail(struct route_call *call, int rc, const struct err *err)
{
	const char *message =
	    err->code ? err->message : "something went wrong; the agent's log says more";

	buf_clear(&call->answer->body);
	call->answer->content_type = "application/json";
	call->answer->status = connect_error_write(&call->answer->body, rc, message);
	call->again = rc == -EAGAIN;
	route_retry_after(call, call->answer->status);
}

static bool type_is(const char *said, const char *type)
{
	size_t len = strlen(type);

	return said && !strncasecmp(said, type, len) &&
	       (!said[len] || said[len] == ';' || said[len] == ' ');
}

static int headers_check(const struct route_call *call, bool *ret_is_json, struct err *err)
{
	const char *type = http_header(call->request, "Content-Type");
	const char *encoding = http_header(call->request, "Content-Encoding");
	const char *version = http_header(call->request, "Connect-Protocol-Version");

	*ret_is_json = type_is(type, "application/json");
	if (version && strcmp(version, "1") != 0)
		return err_set(err, -EINVAL,
			       "Connect-Protocol-Version \"%.20s\": version 1 is spoken here",
			       version);
	if (encoding && *encoding && strcasecmp(encoding, "identity") &&
	    strcasecmp(encoding, "gzip"))
		return err_set(err, -EOPNOTSUPP,
			       "Content-Encoding \"%.40s\" is not undone here: gzip, identity",
			       encoding);
	if (*ret_is_json || type_is(type, "application/proto"))
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "Content-Type \"%.60s\": application/proto or application/json is read here",
		       type ? type : "");
}

/* The request's message in binary form; the caller releases it whatever is returned. */
static int message_read(const struct route_call *call, const struct querier_method *method,
			bool is_json, struct buf *binary, struct err *err)
{
	const struct ingest_limits *limits = &call->agent->config.limits;
	const char *encoding = http_header(call->request, "Content-Encoding");
	struct str body = call->request->body;
	struct buf plain = {0};
	int rc = 0;

	if (encoding && !strcasecmp(encoding, "gzip") && body.len) {
		rc = ingest_decompress(body.ptr, body.len, limits, &plain, err);
		body = (struct str){plain.data, rc ? 0 : plain.len};
	}
	if (!rc && is_json && body.len)
		rc = querier_of_json(method, body, limits->decompressed_bytes / 2,
				     "half of limits.decompressed_bytes", binary, err);
	else if (!rc && body.len && buf_add(binary, body.ptr, body.len))
		rc = err_set(err, -ENOMEM, "out of memory");
	buf_release(&plain);
	return rc;
}

static void message_answer(struct route_call *call, const struct querier_method *method,
			   bool is_json, struct buf *message)
{
	struct json json;

	call->answer->content_type = is_json ? "application/json" : "application/proto";
	if (!is_json) {
		buf_release(&call->answer->body);
		call->answer->body = *message;
		*message = (struct buf){0};
		return;
	}
	json_init(&json, &call->answer->body);
	if (wire_protojson(proto_reader_of(message->data ? message->data : "", message->len),
			   method->response, &json))
		call->answer->body.failed = -ENOMEM;
}

static bool takes_utf8_names(const struct route_call *call)
{
	const char *accept = http_header(call->request, "Accept");

	return accept && strstr(accept, "allow-utf8-labelnames=true");
}

void route_querier(struct route_call *call)
{
	const struct querier_method *method = querier_method_find(call->name);
	struct querier_request *CLEANUP(cleanup_free) request = calloc(1, sizeof(*request));
	struct err err = {0};
	struct buf binary, message;
	bool is_json = false;

	if (!method) {
		fail(call,
		     err_set(&err, -EOPNOTSUPP, "querier.v1.QuerierService has no method %.*s here",
			     (int)MIN(call->name.len, (size_t)60), call->name.ptr),
		     &err);
		return;
	}
	buf_init(&binary, BUF_UNLIMITED); /* bounded by what the body may become */
	buf_init(&message, (size_t)512 << 20);
	struct querier_call ask = {
	    .agent = call->agent,
	    .viewer = {call->request->caller.sees_all, call->request->caller.uid},
	    .request = request,
	    .now_ns = call->now_ns,
	    .utf8_names = takes_utf8_names(call),
	    .out = &message,
	    .err = &err};
	int rc = request ? headers_check(call, &is_json, &err) : -ENOMEM;

	if (!rc)
		rc = message_read(call, method, is_json, &binary, &err);
	if (!rc)
		rc = querier_decode(method,
				    proto_reader_of(binary.data ? binary.data : "", binary.len),
				    request, &err);
	if (!rc)
		rc = answer_of(method)(&ask);
	if (rc)
		fail(call, rc, &err);
	else
		message_answer(call, method, is_json, &message);
	buf_release(&binary);
	buf_release(&message);
}
