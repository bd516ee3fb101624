/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/http_private.h - what http.c and http_accept.c share.
 */
#ifndef SERVER_HTTP_PRIVATE_H
#define SERVER_HTTP_PRIVATE_H

#include <microhttpd.h>
#include <pthread.h>

#include "server/http.h"

#define HTTP_POOL_THREADS 4u                  /* of each pool */
#define HTTP_BODIES_MAX ((uint64_t)512 << 20) /* of all requests together */

struct http_listener {
	struct http *http;
	struct event *event;
	int fd;
	bool is_unix;
	bool paused; /* no descriptors were left; the tick tries again */
	char *path;  /* of a Unix socket, to unlink */
};

/* Counters that any thread reads. */
#define COUNT(counter) ((void)__atomic_add_fetch(&(counter), 1, __ATOMIC_RELAXED))
#define COUNTED(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)

/* Of a pool.  Each serves its connections one after another, so a new one goes to whom the fewest
 * wait for; that libmicrohttpd's own pools go by the descriptor's number lets some wait while
 * others have nothing to do. */
struct http_thread {
	struct MHD_Daemon *daemon;
	size_t open; /* connections that it has */
};

/* A connection that a pool has, for its deadline. */
struct http_open {
	int fd; /* -1: free */
	struct http_thread *thread;
	int64_t until_ns;
};

struct http {
	struct event_base *base;
	struct http_options options;
	struct http_thread questions[HTTP_POOL_THREADS], others[HTTP_POOL_THREADS]; /* pools */
	struct http_listener listeners[HTTP_LISTENERS_MAX];
	size_t listeners_count;
	struct event *tick;
	pthread_mutex_t lock;
	struct http_open open[HTTP_CONNECTIONS_MAX];
	size_t open_count;
	struct http_waiting *waiting; /* connections whose head is not whole yet */
	size_t waiting_count;
	uint64_t accepted, refused_head, timed_out, served;
	uint64_t body_bytes; /* of bodies that are held now */
};

void http_limited(struct http *http, const char *why);
MUST_CHECK int http_pools_start(struct http *http, struct err *err);
void http_pools_stop(struct http *http);
void http_connection_closed(struct http *http, int fd);
void http_connection_until(struct http *http, int fd, int64_t until_ns);

#endif
