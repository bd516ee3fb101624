/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/http2.h - HTTP/2 without TLS and with prior knowledge, through nghttp2 on the loop.
 *
 * For gRPC alone: each call is one POST with a body, answered by headers, a body and trailers.  A
 * call is served by a worker (server/workers.h); everything else, these functions included, runs on
 * the loop thread.  What a peer may make us hold is bounded below; who goes on after GOAWAY is cut.
 */
#ifndef SERVER_HTTP2_H
#define SERVER_HTTP2_H

#include "server/grpc.h"
#include "server/workers.h"

#define HTTP2_CONNECTIONS_MAX 128
#define HTTP2_STREAMS_MAX 32                     /* of one connection, at a time */
#define HTTP2_HEADERS_MAX 16384                  /* bytes of a header list, as the RFC counts */
#define HTTP2_STREAM_WINDOW (256 << 10)          /* bytes that a peer may send ahead */
#define HTTP2_WINDOW (1 << 20)                   /* the same of a whole connection */
#define HTTP2_BODIES_MAX ((size_t)128 << 20)     /* of all calls together */
#define HTTP2_RESETS_MAX 100                     /* at once; one more is forgiven each second */
#define HTTP2_PREFACE_NS (INT64_C(5) * NS_PER_S) /* until the first SETTINGS */
#define HTTP2_STALL_NS (INT64_C(30) * NS_PER_S)  /* for a peer that does not read */
#define HTTP2_IDLE_NS (INT64_C(600) * NS_PER_S)  /* without a call */
#define HTTP2_FIELD_MAX 256

struct http2;

/* A call, whole. A header that was not sent is "". */
struct http2_request {
	char path[HTTP2_FIELD_MAX], authority[HTTP2_FIELD_MAX], content_type[HTTP2_FIELD_MAX];
	char encoding[HTTP2_FIELD_MAX], authorization[HTTP2_FIELD_MAX], timeout[16], te[16];
	char method[16];
	struct buf body;
};

/* Without a message it is trailers alone. */
struct http2_answer {
	int http_status; /* not 200: no gRPC at all, and nothing below counts */
	enum grpc_status status;
	bool retry; /* say when to come again */
	char why[320];
	struct buf body; /* the message with its head */
};

struct http2_options {
	/* Asked on the loop once the headers are whole: fill the answer and return true to
	 * refuse. */
	bool (*refuse)(void *arg, const struct http2_request *request, struct http2_answer *answer);
	/* Answer a whole call, on a worker. */
	void (*serve)(void *arg, const struct http2_request *request, struct http2_answer *answer);
	/* As of struct http_options; on the loop. */
	void (*limited)(void *arg, const char *why);
	size_t body_max;
	size_t connections; /* at most HTTP2_CONNECTIONS_MAX */
	int64_t call_ns;    /* for body, work and answer */
	void *arg;
};

MUST_CHECK int http2_start(struct event_base *base, struct mailbox *mailbox,
			   const struct http2_options *options, struct http2 **ret_http2,
			   struct err *err);

/* Listen on "127.0.0.1:4317". The bound address goes into `bound`. */
MUST_CHECK int http2_listen(struct http2 *http2, const char *address, char *bound, size_t bound_max,
			    struct err *err);

/* Let running calls end, say goodbye, free. */
void http2_stop(struct http2 *http2);

struct http2_stats {
	uint64_t accepted, served, refused; /* calls answered without a worker */
	uint64_t timed_out, resets, cut;    /* cut: connections that broke a rule or a limit */
	uint64_t open;
};

/* Any thread. */
void http2_stats(struct http2 *http2, struct http2_stats *ret_stats);

#endif
