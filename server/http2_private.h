/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/http2_private.h - what http2.c (connections) and http2_stream.c (calls) share.  Loop thread.
 */
#ifndef SERVER_HTTP2_PRIVATE_H
#define SERVER_HTTP2_PRIVATE_H

#include <nghttp2/nghttp2.h>

#include "server/http2.h"

/* Counters that any thread reads. */
#define COUNT(counter) ((void)__atomic_add_fetch(&(counter), 1, __ATOMIC_RELAXED))
#define COUNTED(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)

struct http2 {
	struct event_base *base;
	struct mailbox *mailbox;
	struct workers *workers;
	struct http2_options options;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	int fd;
	struct event *listener, *tick;
	bool paused; /* no descriptors were left; the tick tries again */
	struct http2_connection *connections;
	size_t connections_count;
	size_t body_bytes; /* of bodies that are held now */
	struct http2_stats stats;
};

struct http2_connection {
	struct http2_connection *next, **before;
	struct http2 *http2;
	nghttp2_session *session;
	int fd;
	struct event *readable, *writable;
	const uint8_t *out; /* nghttp2's, not yet taken by the socket */
	size_t out_len;
	bool greeted;	    /* SETTINGS came */
	bool blocked;	    /* the socket takes nothing now: nothing is read meanwhile */
	bool parting;	    /* the peer has said goodbye */
	bool doomed;	    /* GOAWAY for a broken rule: closed once it is sent */
	int64_t until_ns;   /* of the preface, of idleness, or of a stall */
	int64_t used_ns;    /* when a call came or ended last */
	unsigned streams, jobs; /* jobs: calls with the workers, reset ones included */
	int64_t resets_forgiven_ns;
	unsigned resets;
	struct http2_stream *first;
};

enum http2_stream_state { HTTP2_READING, HTTP2_WORKING, HTTP2_ANSWERED };

/* A call. While the workers have it, it outlives its stream and its connection. */
struct http2_stream {
	struct http2_stream *next, **before;
	struct http2 *http2;
	struct http2_connection *connection; /* NULL: gone */
	int32_t id;			     /* 0: the stream is closed */
	enum http2_stream_state state;
	bool headed;	    /* its headers are whole */
	bool ended;	    /* the peer has sent everything */
	bool cancelled;	    /* nobody waits for it; atomic, the workers look */
	size_t headers_bytes, body_bytes, sent;
	int64_t until_ns;
	struct http2_request request;
	struct http2_answer answer;
	char message[GRPC_MESSAGE_MAX], details[GRPC_DETAILS_MAX], code[4];
	struct workers_job job;
};

/* ---- http2_stream.c ---- */

MUST_CHECK int http2_callbacks_make(nghttp2_session_callbacks **ret_callbacks);
/* Answer calls whose time is over. */
void http2_streams_check(struct http2_connection *connection, int64_t now_ns);
/* The connection ends: free its calls, or leave them to the workers. */
void http2_streams_leave(struct http2_connection *connection);

/* ---- http2.c ---- */

/* Send what nghttp2 has, as far as the socket takes it. Frees the connection when it has ended. */
void http2_flush(struct http2_connection *connection);
/* End the connection with GOAWAY for what the peer did. */
void http2_doom(struct http2_connection *connection);
/* A call came or ended: idleness counts from now. */
void http2_touch(struct http2_connection *connection);

#endif
