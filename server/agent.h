/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/agent.h - the parts of a running hearthd, for routes and main.
 */
#ifndef SERVER_AGENT_H
#define SERVER_AGENT_H

#include "server/auth.h"
#include "server/builders.h"
#include "server/config.h"
#include "server/control.h"
#include "server/http.h"
#include "server/http2.h"
#include "server/limits.h"
#include "server/processes.h"
#include "server/quota.h"
#include "server/readers.h"
#include "server/scrape.h"
#include "server/symbols.h"
#include "server/writer.h"

/* What came in by one protocol; each counter is atomic. */
struct agent_uploads {
	uint64_t requests, failed, duplicates; /* failed ones are not duplicates */
	uint64_t profiles, samples;
	uint64_t rejected; /* profiles that were left out of a request that was kept */
};

struct agent {
	struct config config;
	struct head_rules rules;
	const char *host_names[CONFIG_HOSTS_MAX + 1];
	struct event_base *base;
	struct mailbox *mailbox;
	struct writer *writer;
	struct readers *readers;
	struct builders *builders;
	struct symbols *symbols;
	struct control *control;
	struct quota *quota;
	struct processes *processes;
	struct auth *auth;
	struct http *http;
	char host[64];
	char bound[HTTP_LISTENERS_MAX][128]; /* TCP addresses */
	size_t bound_count;
	struct scraper *scraper; /* NULL: nothing is scraped */
	struct http2 *rpc;       /* NULL: gRPC is not served */
	char rpc_bound[128];
	int64_t started_ns; /* UTC */
	/* by ingest_at's number, and one more: bodies in no format that is known */
	struct agent_uploads uploads[INGEST_PROTOCOLS_MAX + 1];
	struct limits limits;
	uint64_t trace_payloads; /* of tracers: answered, and not kept yet; atomic */
	bool ready;
};

/* All are http_options callbacks with a struct agent as `arg`. */

/* Count what was refused or closed, by the setting that `why` names. */
void agent_limited(void *arg, const char *why);

/* Find and serve a route. */
void agent_serve(void *arg, const struct http_request *request, struct http_answer *answer);
bool agent_refuse(void *arg, const struct http_request *request, struct http_answer *answer);
bool agent_sink(void *arg, const struct http_request *request, struct http_answer *answer,
		struct http_sink **ret_sink);
size_t agent_body_max(void *arg, const char *path);
void agent_too_large(void *arg, const struct http_request *request, struct http_answer *answer);

#endif
