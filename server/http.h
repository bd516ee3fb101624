/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/http.h - listeners, connections, bodies and answers; routes say what they mean.
 *
 * The loop accepts and peeks at the head (server/head.h) under an absolute deadline; only then does
 * one of libmicrohttpd's pools get the connection.  One request a connection: what follows a body
 * is never read, so nothing can be smuggled behind it.  A route runs on a pool thread.
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/auth.h"
#include "server/head.h"

#define HTTP_LISTENERS_MAX 16
#define HTTP_REQUEST_ID_MAX 128
#define HTTP_CONNECTIONS_MAX 1024
#define HTTP_HEAD_NS (INT64_C(5) * NS_PER_S) /* for the whole head */

struct http;

/* A request, whole. Everything is borrowed for the call. */
struct http_request {
	const char *method, *path;
	struct str body;        /* empty where there is a sink */
	struct http_sink *sink; /* where the body went; NULL: nowhere else */
	struct auth_caller caller;
	void *connection; /* libmicrohttpd's: for http_query and http_header */
	struct http *http;
};

struct http_answer {
	int status;
	const char *content_type;
	struct buf body;
	bool is_file; /* what is sent is `file`, which the answer owns, instead of `body` */
	int file;     /* from its start */
	uint64_t file_bytes;
	const char *etag, *cache_control, *location, *cookie, *encoding; /* NULL: none */
	bool sandboxed; /* a document with a script of its own: it runs as nobody's origin */
	char retry_after[12];
	const char *www_authenticate;
	char request_id[HTTP_REQUEST_ID_MAX + 1]; /* the caller's, or made here */
	char tag[40];                             /* room for an etag of one's own */
	const char *allow_origin;                 /* NULL: pages of other sites may not read it */
	bool preflight;                           /* says what they may ask */
	bool varies;                              /* by Accept-Encoding */
};

/* A parameter of the query string, decoded; NULL when absent. */
const char *http_query(const struct http_request *request, const char *name);
/* Each parameter in order; `fn` ends the walk by returning non-zero. */
int http_query_each(const struct http_request *request,
		    int (*fn)(void *arg, const char *name, const char *value), void *arg);
/* A header; NULL when absent. */
const char *http_header(const struct http_request *request, const char *name);
int http_header_each(const struct http_request *request,
		     int (*fn)(void *arg, const char *name, const char *value), void *arg);

/* The body or the answer is so large, or the work on it is: from now on the request has
 * limits.request_seconds and a second more for each MB. */
void http_expect(const struct http_request *request, uint64_t bytes);

/* Where a body goes that may be too large for memory.  Its maker's thread is a pool's, and so is
 * every call's. */
struct http_sink {
	/* False: it cannot be taken, and the answer says why. */
	bool (*add)(struct http_sink *sink, const struct http_request *request, const char *bytes,
		    size_t len, struct http_answer *answer);
	void (*release)(struct http_sink *sink);
};

typedef void (*http_serve_fn)(void *arg, const struct http_request *request,
			      struct http_answer *answer);

struct http_options {
	const struct head_rules *rules; /* for TCP; Unix sockets take any host */
	struct auth *auth;
	http_serve_fn serve;
	/* Told of what is refused or cut off by a limit: `why` names its setting.  Any thread. */
	void (*limited)(void *arg, const char *why);
	/* Asked before a body is read: the answer is filled and true returned to refuse. */
	bool (*refuse)(void *arg, const struct http_request *request, struct http_answer *answer);
	/* Asked then: *ret_sink takes the body, and stays NULL where memory does; the answer is
	 * filled and false returned when none can take it. */
	bool (*sink)(void *arg, const struct http_request *request, struct http_answer *answer,
		     struct http_sink **ret_sink);
	size_t (*body_max)(void *arg, const char *path); /* bytes, in memory */
	/* Fill the answer to a request whose body is above that. */
	void (*too_large)(void *arg, const struct http_request *request,
			  struct http_answer *answer);
	void *arg;
	size_t connections; /* whose head is whole; at most HTTP_CONNECTIONS_MAX */
	int64_t request_ns; /* for body, work and answer; half of it without a byte */
	/* How heads of what may take long begin ("GET "), NULL-terminated; may be NULL.  A
	 * connection that begins so goes to a pool of its own: no upload waits behind a
	 * question. */
	const char *const *questions;
};

MUST_CHECK int http_start(struct event_base *base, const struct http_options *options,
			  struct http **ret_http, struct err *err);

/* Listen on "127.0.0.1:4040", "[::1]:0" or "unix:/path". The bound address goes into `bound`. */
MUST_CHECK int http_listen(struct http *http, const char *address, char *bound, size_t bound_max,
			   struct err *err);

/* Stop accepting, let running requests end (bounded), free. */
void http_stop(struct http *http);

/* Fill a problem document (RFC 9457). */
void http_problem(struct http_answer *answer, int status, const char *fmt, ...) PRINTF(3, 4);

struct http_stats {
	uint64_t accepted, refused_head, timed_out, served, open;
};

void http_stats(struct http *http, struct http_stats *ret_stats);

#endif
