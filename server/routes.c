/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its route: matching, access, and the errors that all share. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/hash.h"
#include "server/route.h"
#include "wire/compress.h"

#define COMPRESS_FROM 1024

enum access { OPEN, READ, WRITE, LOCAL };

static const struct route {
	const char *method, *path;
	enum access access;
	route_fn serve;
} routes[] = {
#define ROUTE(method, path, access, function) {method, path, access, function},
#include "server/routes.def"
#undef ROUTE
};

/* Match "/a/{name}/b" and "/a/" + "*" against a path. */
static bool path_matches(const char *pattern, const char *path, struct str *ret_name)
{
	for (; *pattern && strcmp(pattern, "*"); pattern++) {
		if (*pattern == '{') {
			size_t len = strcspn(path, "/");

			*ret_name = (struct str){path, len};
			if (!len)
				return false;
			path += len;
			pattern += strcspn(pattern, "}");
		} else if (*pattern != *path++) {
			return false;
		}
	}
	return *pattern == '*' || !*path;
}

static bool method_matches(const struct route *route, const char *method)
{
	return !strcmp(route->method, method) ||
	       (!strcmp(route->method, "GET") && !strcmp(method, "HEAD"));
}

static const struct route *route_find(const struct http_request *request, struct str *ret_name,
				      const char **ret_other)
{
	/* What clients of other profilers post to; the room that decodes it knows the paths. */
	static const struct route uploads = {"POST", "", WRITE, route_ingest};

	*ret_other = NULL;
	if (!strcmp(request->method, "PUT") || !strcmp(request->method, "POST")) {
		if (ingest_at_path(request->path))
			return &uploads;
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!path_matches(routes[i].path, request->path, ret_name))
			continue;
		if (method_matches(&routes[i], request->method))
			return &routes[i];
		/* A path of which nothing is known but that it may be a page's is not known. */
		if (strcmp(routes[i].path, "/*"))
			*ret_other = routes[i].method;
	}
	return NULL;
}

/* A page of another site can make a browser send a write; it cannot make it lie about where
 * from. */
static bool is_cross_site(const struct agent *agent, const struct http_request *request)
{
	const char *site = http_header(request, "Sec-Fetch-Site");
	const char *origin = http_header(request, "Origin");

	if (site)
		return strcmp(site, "same-origin") && strcmp(site, "none");
	if (!origin)
		return false;
	const char *host = strstr(origin, "://");

	return !host || !head_host_allowed((struct str){host + 3, strlen(host + 3)}, &agent->rules);
}

/* Pages of an origin under `cors:` may read; "*" there is every one. */
static const char *allowed_origin(const struct agent *agent, const struct http_request *request)
{
	const char *origin = http_header(request, "Origin");

	for (size_t i = 0; origin && i < agent->config.cors_count; i++)
		if (!strcmp(agent->config.cors[i], "*") || !strcmp(agent->config.cors[i], origin))
			return agent->config.cors[i];
	return NULL;
}

/* A browser asks before it asks: answered for what a page may read, without a caller. */
static bool preflight(const struct agent *agent, const struct http_request *request,
		      struct http_answer *answer)
{
	answer->allow_origin = allowed_origin(agent, request);
	if (!answer->allow_origin || strcmp(request->method, "OPTIONS"))
		return false;
	answer->preflight = true;
	answer->status = 204;
	return true;
}

void agent_limited(void *arg, const char *why)
{
	struct agent *agent = arg;

	limits_refused(&agent->limits, why);
}

bool agent_refuse(void *arg, const struct http_request *request, struct http_answer *answer)
{
	struct agent *agent = arg;
	struct str name = {0};
	const char *other;
	const struct route *route = route_find(request, &name, &other);

	if (preflight(agent, request, answer))
		return true;
	if (!route && other)
		http_problem(answer, 405, "%s is asked for with %s", request->path, other);
	else if (!route)
		http_problem(answer, 404, "nothing is served at %.200s", request->path);
	else if ((route->access == WRITE || route->access == LOCAL) &&
		 is_cross_site(agent, request))
		http_problem(answer, 403, "writes from another site's page are refused");
	else if (route->access == LOCAL && !request->caller.is_unix)
		http_problem(answer, 403,
			     "%s is served over %s/http.sock, where the kernel says who asks",
			     request->path, agent->config.run);
	else if (route->access == READ && !request->caller.may_read)
		http_problem(
		    answer, 401,
		    "reading over TCP asks for the token of %s/token as Authorization: Bearer, "
		    "or for the link that `hearth ui` prints",
		    agent->config.run);
	else
		return false;
	return true;
}

bool agent_sink(void *arg, const struct http_request *request, struct http_answer *answer,
		struct http_sink **ret_sink)
{
	struct route_call call = {.agent = arg, .request = request, .answer = answer};

	return strcmp(request->path, "/api/v1/db") || strcmp(request->method, "POST") ||
	       route_db_sink(&call, ret_sink);
}

static bool is_symbols(const char *path)
{
	return !strcmp(path, "/api/v1/symbols");
}

size_t agent_body_max(void *arg, const char *path)
{
	const struct agent *agent = arg;

	return is_symbols(path) ? STORAGE_SYMBOLS_MAX : agent->config.limits.body_bytes;
}

void agent_too_large(void *arg, const struct http_request *request, struct http_answer *answer)
{
	struct route_call call = {.agent = arg, .request = request, .answer = answer};
	struct err err;
	int rc = err_set(&err, -E2BIG, "the body is above the limit of %zu bytes (%s)",
			 agent_body_max(arg, request->path),
			 is_symbols(request->path) ? "of a symbol table" : "limits.body_bytes");

	if (ingest_at_path(request->path))
		route_ingest_refuse(&call, rc, &err);
	else
		route_fail(&call, rc, &err);
}

#define TRIES 5

/* What reads when the writer must have the file for itself, or while it packs, is told to come
 * again: it does so here. A question changes nothing, and the next try finds the writer done. */
static void serve_again(const struct route *route, struct route_call *call)
{
	const struct http_answer fresh = *call->answer;

	route->serve(call);
	for (int i = 1; call->again && route->access == READ && i < TRIES; i++) {
		struct buf body = call->answer->body;

		*call->answer = fresh;
		call->answer->body = body;
		buf_clear(&call->answer->body);
		call->again = false;
		route->serve(call);
	}
}

void agent_serve(void *arg, const struct http_request *request, struct http_answer *answer)
{
	struct route_call call = {
	    .agent = arg, .request = request, .answer = answer, .now_ns = clock_real_ns()};
	const char *other;
	const struct route *route = route_find(request, &call.name, &other);

	serve_again(route, &call); /* there is one: agent_refuse has seen the same request */
	route_compress(&call);
}

int status_of(int rc)
{
	static const struct {
		int code, status;
	} statuses[] = {
	    {-EINVAL, 400}, {-EOPNOTSUPP, 415}, {-E2BIG, 413},  {-ENOENT, 404},
	    {-EAGAIN, 503}, {-ETIME, 503},      {-ENOSPC, 507}, {-EPERM, 403},
	    {-ENOMEM, 503}, {-EDQUOT, 429},     {-EEXIST, 409},
	};

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].code == rc)
			return statuses[i].status;
	return rc < 0 ? 500 : 200;
}

void route_retry_after(struct route_call *call, int status)
{
	if (status == 503 || status == 507)
		memcpy(call->answer->retry_after, "5", 2);
	if (status == 429)
		memcpy(call->answer->retry_after, "60", 3);
}

void route_fail(struct route_call *call, int rc, const struct err *err)
{
	int status = status_of(rc);

	call->again = rc == -EAGAIN;
	route_retry_after(call, status);
	http_problem(call->answer, status, "%s",
		     err->code ? err->message : "something went wrong; the agent's log says more");
}

/* Whether Accept-Encoding takes this coding: named, or "*", and not with q=0 (RFC 9110, 12.5.3). */
static bool takes_coding(struct str accepted, const char *coding)
{
	bool any = false;

	while (accepted.len) {
		struct str item = str_cut(&accepted, ',');
		struct str name = str_trim(str_cut(&item, ';'));
		struct str q = str_trim(item);
		bool refused = q.len >= 3 && !strncasecmp(q.ptr, "q=0", 3) &&
			       strspn(q.ptr + 3, ".0") == q.len - 3;

		if (name.len == strlen(coding) && !strncasecmp(name.ptr, coding, name.len))
			return !refused;
		if (str_is(name, "*"))
			any = !refused;
	}
	return any;
}

void route_tag(struct route_call *call)
{
	const char *known = http_header(call->request, "If-None-Match");
	struct http_answer *answer = call->answer;
	struct hash128 hash = hash128(answer->body.data, answer->body.len);

	/* Weak: the same answer is sent in several codings. */
	(void)snprintf(answer->tag, sizeof(answer->tag), "W/\"%016llx%08llx\"",
		       (unsigned long long)hash.lo, (unsigned long long)(hash.hi & 0xffffffff));
	answer->etag = answer->tag;
	answer->cache_control = "private, no-cache";
	if (!known || (!strstr(known, answer->tag + 2) && strcmp(known, "*")))
		return;
	answer->status = 304;
	buf_clear(&answer->body);
}

void route_compress(struct route_call *call)
{
	static const struct {
		const char *coding;
		int (*pack)(const void *bytes, size_t len, struct buf *to);
	} codings[] = {{"zstd", wire_compress_zstd}, {"gzip", wire_compress_gzip}};
	struct str accepted = str_of(http_header(call->request, "Accept-Encoding"));
	struct http_answer *answer = call->answer;
	struct buf packed;

	if (answer->encoding || answer->body.failed || answer->body.len < COMPRESS_FROM)
		return;
	answer->varies = true;
	for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
		if (!takes_coding(accepted, codings[i].coding))
			continue;
		buf_init(&packed, BUF_UNLIMITED);
		if (codings[i].pack(answer->body.data, answer->body.len, &packed)) {
			buf_release(&packed);
			return;
		}
		buf_release(&answer->body);
		answer->body = packed;
		answer->encoding = codings[i].coding;
		return;
	}
}
