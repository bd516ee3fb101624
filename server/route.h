/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/route.h - what a route function gets.  Private to server/route*.c; pool threads.
 */
#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H

#include "server/agent.h"

struct route_call {
	struct agent *agent;
	const struct http_request *request;
	struct http_answer *answer;
	struct str name; /* what "{name}" stood for */
	int64_t now_ns;  /* UTC, one for the whole request */
	bool again;      /* the store could not answer now, but can (-EAGAIN) */
};

typedef void (*route_fn)(struct route_call *call);

#define ROUTE(method, path, access, function) void function(struct route_call *call);
#include "server/routes.def"
#undef ROUTE

/* The HTTP status that a room's errno stands for. */
int status_of(int rc);
/* Say when to come again, where a status means that. */
void route_retry_after(struct route_call *call, int status);

/* Answer a POST to a path of another profiler's protocol (ingest/protocols.def). */
void route_ingest(struct route_call *call);
/* Answer one whose body was not read, in the same protocol's words. */
void route_ingest_refuse(struct route_call *call, int rc, const struct err *err);

/* POST /api/v1/db?action=import: a sink for its body.  False: there is none, and the answer says
 * why. */
bool route_db_sink(struct route_call *call, struct http_sink **ret_sink);

/* Answer with the problem that a room's errno stands for: the one table of errno and status. */
void route_fail(struct route_call *call, int rc, const struct err *err);

/* Tag the answer by what is in it, or say 304 to a caller that has it. */
void route_tag(struct route_call *call);

/* Compress the answer when it is worth it and the caller takes it. */
void route_compress(struct route_call *call);

#endif
