/* SPDX-License-Identifier: Apache-2.0 */
#include "server/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "server/pipeline.h"

/* A method and the path of the same request over HTTP, whose protocol decodes and answers it. */
static const struct method {
	const char *path, *http_path;
} methods[] = {
    {"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
     "/v1development/profiles"},
};

static const struct method *method_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (!strcmp(methods[i].path, path))
			return &methods[i];
	return NULL;
}

PRINTF(3, 4)
static bool fail(struct http2_answer *answer, enum grpc_status status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(answer->why, sizeof(answer->why), fmt, args);
	va_end(args);
	answer->status = status;
	return true;
}

/* Before a body is read. gRPC asks for 415 where somebody who does not speak it would misread 200.
 */
static bool rpc_refuse(void *arg, const struct http2_request *request, struct http2_answer *answer)
{
	const struct agent *agent = arg;
	const struct str host = {request->authority, strlen(request->authority)};

	if (!grpc_is_content_type(request->content_type) || strcmp(request->method, "POST")) {
		answer->http_status = 415;
		return true;
	}
	if (!head_host_allowed(host, &agent->rules))
		return fail(answer, GRPC_PERMISSION_DENIED,
			    "\"%.100s\" is not a name of this agent; list it under hosts",
			    request->authority);
	if (!method_find(request->path))
		return fail(answer, GRPC_UNIMPLEMENTED, "nothing is served at %.200s",
			    request->path);
	if (!grpc_is_proto(request->content_type))
		return fail(answer, GRPC_UNIMPLEMENTED,
			    "%.80s is not read: application/grpc+proto is", request->content_type);
	if (*request->encoding && strcasecmp(request->encoding, "gzip") &&
	    strcasecmp(request->encoding, "identity"))
		return fail(answer, GRPC_UNIMPLEMENTED,
			    "grpc-encoding \"%.40s\" is not undone here: gzip, identity",
			    request->encoding);
	if (strcmp(request->te, "trailers"))
		return fail(answer, GRPC_INVALID_ARGUMENT,
			    "te: \"%.20s\": a client that takes trailers is "
			    "asked for",
			    request->te);
	return false;
}

static void failure_answer(struct http2_answer *answer, int code, const struct err *err)
{
	answer->status = grpc_status_of(code);
	/* A quota is whole again in a minute; a body above a limit stays above it. */
	answer->retry = answer->status == GRPC_UNAVAILABLE || code == -EDQUOT;
	memcpy(answer->why, err->message, sizeof(answer->why));
}

static void success_answer(const struct ingest_protocol *protocol,
			   const struct ingest_request *request,
			   const struct ingest_outcome *outcome, struct http2_answer *answer)
{
	struct buf message;

	buf_init(&message, 65536);
	struct ingest_answer words = {.status = 200, .body = &message};

	protocol->answer(request, outcome, &words);
	grpc_message_put(&answer->body, (struct str){message.len ? message.data : "", message.len});
	if (message.failed)
		answer->status = GRPC_INTERNAL;
	buf_release(&message);
}

/* On a worker. */
static void rpc_serve(void *arg, const struct http2_request *request, struct http2_answer *answer)
{
	struct agent *agent = arg;
	const char *path = method_find(request->path)->http_path;
	const struct str body = {request->body.len ? request->body.data : "", request->body.len};
	struct pipeline_result result = {0};
	struct err err = {0};
	struct pipeline_upload upload = {
	    .protocol = ingest_at_path(path),
	    .owner =
		auth_tcp(agent->auth, *request->authorization ? request->authorization : NULL, NULL)
		    .uid,
	    .request = {.path = str_of(path), .content_type = STR("application/x-protobuf")},
	};
	int rc = grpc_unary(body, request->encoding, &upload.body, &err);

	if (!rc)
		rc = pipeline_upload(agent, &upload, &result, NULL, &err);
	if (rc) {
		failure_answer(answer, rc, &err);
		return;
	}
	const struct ingest_outcome outcome = {
	    .err = &err, .findings = result.findings, .duplicate = result.duplicate};

	success_answer(upload.protocol, &upload.request, &outcome, answer);
}

int rpc_start(struct agent *agent, struct err *err)
{
	const char *wanted = agent->config.grpc;
	/* --listen is for those who want these addresses alone. */
	bool by_default = !*wanted && !agent->config.listen_count;
	const struct http2_options options = {
	    .refuse = rpc_refuse,
	    .serve = rpc_serve,
	    .limited = agent_limited,
	    .body_max = agent->config.limits.body_bytes,
	    .connections = MIN(agent->config.connections, HTTP2_CONNECTIONS_MAX),
	    .call_ns = agent->config.request_seconds * NS_PER_S,
	    .arg = agent};

	if ((!*wanted && !by_default) || !strcmp(wanted, "none"))
		return 0;
	int rc = http2_start(agent->base, agent->mailbox, &options, &agent->rpc, err);

	if (rc)
		return rc;
	rc = http2_listen(agent->rpc, by_default ? RPC_DEFAULT_LISTEN : wanted, agent->rpc_bound,
			  sizeof(agent->rpc_bound), err);
	if (!rc || !by_default)
		return rc;
	/* The port may be a Collector's. */
	log_warn("grpc", "%s; going on without it", err->message);
	err_clear(err);
	http2_stop(agent->rpc);
	agent->rpc = NULL;
	return 0;
}
