/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting: a connection waits on the loop until its head is whole and right, then goes to the
 * pool.  The head is only peeked at, so the pool reads it again from the socket.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/http_private.h"
#include "server/listen.h"
#include "server/unix_socket.h"

struct http_waiting {
	struct http_waiting *next, **before;
	struct http *http;
	struct event *event;
	int fd;
	bool is_unix;
	int64_t until_ns; /* absolute: a byte now and then does not push it */
	struct sockaddr_storage address;
	socklen_t address_len;
};

static void heads_check(struct http *http, int64_t now_ns);

void http_limited(struct http *http, const char *why)
{
	http->options.limited(http->options.arg, why);
}

/* ---- deadlines of connections that the pool has ---- */

/* With the lock. */
static struct http_thread *thread_choose(struct http_thread *pool)
{
	struct http_thread *chosen = &pool[0];

	for (size_t i = 1; i < HTTP_POOL_THREADS; i++)
		if (pool[i].open < chosen->open)
			chosen = &pool[i];
	return chosen;
}

/* Returns the thread that is to have it, or NULL: there are too many. */
static struct http_thread *open_add(struct http *http, struct http_thread *pool, int fd)
{
	struct http_thread *thread = NULL;

	(void)pthread_mutex_lock(&http->lock);
	bool room = http->open_count < http->options.connections;

	for (size_t i = 0; room && !thread && i < HTTP_CONNECTIONS_MAX; i++) {
		if (http->open[i].fd >= 0)
			continue;
		thread = thread_choose(pool);
		thread->open++;
		http->open[i] =
		    (struct http_open){fd, thread, clock_monotonic_ns() + http->options.request_ns};
		http->open_count++;
	}
	(void)pthread_mutex_unlock(&http->lock);
	return thread;
}

void http_connection_closed(struct http *http, int fd)
{
	(void)pthread_mutex_lock(&http->lock);
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (http->open[i].fd != fd)
			continue;
		http->open[i].fd = -1;
		http->open[i].thread->open--;
		http->open_count--;
		break;
	}
	(void)pthread_mutex_unlock(&http->lock);
}

void http_connection_until(struct http *http, int fd, int64_t until_ns)
{
	(void)pthread_mutex_lock(&http->lock);
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		/* One whose time is over stays so. */
		if (http->open[i].fd == fd && fd >= 0 && http->open[i].until_ns != INT64_MAX)
			http->open[i].until_ns = until_ns;
	(void)pthread_mutex_unlock(&http->lock);
}

static void deadlines_check(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	int64_t now_ns = clock_monotonic_ns();

	(void)fd;
	(void)what;
	(void)pthread_mutex_lock(&http->lock);
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (http->open[i].fd < 0 || http->open[i].until_ns > now_ns)
			continue;
		(void)shutdown(http->open[i].fd, SHUT_RDWR); /* the pool closes it */
		http->open[i].until_ns = INT64_MAX;
		COUNT(http->timed_out);
		http_limited(http, "limits.request_seconds");
	}
	(void)pthread_mutex_unlock(&http->lock);
	heads_check(http, now_ns);
	for (size_t i = 0; i < http->listeners_count; i++)
		if (http->listeners[i].paused)
			http->listeners[i].paused = event_add(http->listeners[i].event, NULL) < 0;
}

/* ---- heads ---- */

static void waiting_free(struct http_waiting *waiting)
{
	*waiting->before = waiting->next;
	if (waiting->next)
		waiting->next->before = waiting->before;
	waiting->http->waiting_count--;
	event_free(waiting->event);
	fd_close(&waiting->fd);
	free(waiting);
}

/* Say no and hang up; whether it arrives is the client's trouble. */
static void waiting_refuse(struct http_waiting *waiting, int status, const char *detail)
{
	struct http_answer answer = {.status = status};
	struct buf out;

	buf_init(&answer.body, 4096);
	buf_init(&out, 8192);
	http_problem(&answer, status, "%s", detail);
	(void)buf_printf(&out,
			 "HTTP/1.1 %d Refused\r\nContent-Type: application/problem+json\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			 status, answer.body.len);
	(void)buf_add(&out, answer.body.data, answer.body.len);
	ssize_t n = send(waiting->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n;
	buf_release(&answer.body);
	buf_release(&out);
	/* Unread bytes would turn the close into a reset that overtakes the answer. */
	(void)shutdown(waiting->fd, SHUT_WR);
	char drop[4096];

	while (recv(waiting->fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
		;
	COUNT(waiting->http->refused_head);
	waiting_free(waiting);
}

static bool is_question(const struct http *http, const char *head)
{
	for (const char *const *q = http->options.questions; q && *q; q++)
		if (!strncmp(head, *q, strlen(*q)))
			return true;
	return false;
}

static void waiting_hand_over(struct http_waiting *waiting, const char *head)
{
	struct http *http = waiting->http;
	struct http_thread *pool = is_question(http, head) ? http->questions : http->others;
	int fd = waiting->fd;
	struct sockaddr_storage address = waiting->address;
	socklen_t len = waiting->address_len;
	char why[100];

	struct http_thread *thread = open_add(http, pool, fd);

	if (!thread) {
		(void)snprintf(why, sizeof(why),
			       "%zu connections are open, limit %zu (limits.connections); try "
			       "again",
			       http->options.connections, http->options.connections);
		http_limited(http, why);
		waiting_refuse(waiting, 503, why);
		return;
	}
	waiting->fd = -1;
	waiting_free(waiting);
	/* libmicrohttpd looks at the family alone; a Unix peer has no address to show. */
	if (MHD_add_connection(thread->daemon, fd, (struct sockaddr *)&address, len) != MHD_YES)
		http_connection_closed(http, fd); /* it has closed the descriptor */
}

static void head_ready(evutil_socket_t fd, short what, void *arg)
{
	static const struct head_rules unix_rules = {.any_host = true};
	struct http_waiting *waiting = arg;
	char bytes[HEAD_BYTES_MAX];
	struct err err = {0};
	int status = 400;

	(void)what;
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		waiting_free(waiting);
		return;
	}
	int len = head_check(bytes, (size_t)n,
			     waiting->is_unix ? &unix_rules : waiting->http->options.rules, &status,
			     &err);

	if (len < 0)
		waiting_refuse(waiting, status, err.message);
	else if (len > 0)
		waiting_hand_over(waiting, bytes);
}

static void heads_check(struct http *http, int64_t now_ns)
{
	struct http_waiting *next;

	for (struct http_waiting *waiting = http->waiting; waiting; waiting = next) {
		next = waiting->next;
		if (waiting->until_ns > now_ns)
			continue;
		COUNT(http->timed_out);
		waiting_refuse(waiting, 408, "the head did not arrive within 5 seconds");
	}
}

static void accept_one(struct http_listener *listener, int fd,
		       const struct sockaddr_storage *address, socklen_t len)
{
	struct http *http = listener->http;
	struct http_waiting *waiting = calloc(1, sizeof(*waiting));

	if (waiting)
		/* Edge-triggered: bytes that stay in the socket must not wake the loop again. */
		waiting->event =
		    event_new(http->base, fd, EV_READ | EV_PERSIST | EV_ET, head_ready, waiting);
	if (!waiting || !waiting->event) {
		free(waiting);
		(void)close(fd);
		return;
	}
	waiting->http = http;
	waiting->fd = fd;
	waiting->is_unix = listener->is_unix;
	waiting->address = *address;
	waiting->address_len = len;
	waiting->next = http->waiting;
	waiting->before = &http->waiting;
	if (waiting->next)
		waiting->next->before = &waiting->next;
	http->waiting = waiting;
	http->waiting_count++;
	COUNT(http->accepted);
	waiting->until_ns = clock_monotonic_ns() + HTTP_HEAD_NS;
	if (event_add(waiting->event, NULL) < 0)
		waiting_free(waiting);
}

/* The list is newest first. Heads come at once from who means well, so the oldest has had its
 * time. */
static void oldest_evict(struct http *http)
{
	struct http_waiting *oldest = http->waiting;

	while (oldest && oldest->next)
		oldest = oldest->next;
	if (oldest) {
		http_limited(http, "limits.connections");
		waiting_free(oldest);
	}
}

static void accept_ready(evutil_socket_t fd, short what, void *arg)
{
	struct http_listener *listener = arg;

	(void)what;
	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage address = {0};
		socklen_t len = sizeof(address);
		int connection =
		    accept4(fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		const int on = 1;

		if (connection < 0 && fd_is_short(errno)) {
			log_warn("http", "accept: %s", strerror(errno));
			listener->paused = event_del(listener->event) == 0;
		}
		if (connection < 0)
			return;
		if (listener->http->waiting_count >= HTTP_CONNECTIONS_MAX)
			oldest_evict(listener->http);
		if (!listener->is_unix)
			(void)setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		accept_one(listener, connection, &address, len);
	}
}

/* ---- listeners ---- */

static int bind_unix(const char *path, struct http_listener *listener, struct err *err)
{
	listener->fd = unix_socket_listen(path, SOCK_STREAM, LISTEN_BACKLOG, err);
	if (listener->fd < 0)
		return listener->fd;
	listener->is_unix = true;
	listener->path = strdup(path);
	return 0;
}

int http_listen(struct http *http, const char *address, char *bound, size_t bound_max,
		struct err *err)
{
	if (http->listeners_count == HTTP_LISTENERS_MAX)
		return err_set(err, -E2BIG, "more than %d listeners", HTTP_LISTENERS_MAX);
	struct http_listener *listener = &http->listeners[http->listeners_count];

	*listener = (struct http_listener){.http = http, .fd = -1};
	int rc = strncmp(address, "unix:", 5) ? listen_tcp(address, &listener->fd, err)
					      : bind_unix(address + 5, listener, err);

	if (rc)
		return rc;
	listener->event =
	    event_new(http->base, listener->fd, EV_READ | EV_PERSIST, accept_ready, listener);
	if (!listener->event || event_add(listener->event, NULL) < 0) {
		fd_close(&listener->fd);
		return err_set(err, -ENOMEM, "http: no event");
	}
	http->listeners_count++;
	if (listener->is_unix)
		(void)snprintf(bound, bound_max, "unix:%s", listener->path);
	else
		listen_name(listener->fd, bound, bound_max);
	return 0;
}

int http_start(struct event_base *base, const struct http_options *options, struct http **ret_http,
	       struct err *err)
{
	const struct timeval second = {1, 0};
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return err_set(err, -ENOMEM, "http: out of memory");
	http->base = base;
	http->options = *options;
	(void)pthread_mutex_init(&http->lock, NULL);
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		http->open[i].fd = -1;
	int rc = http_pools_start(http, err);

	if (!rc) {
		http->tick = event_new(base, -1, EV_PERSIST, deadlines_check, http);
		if (!http->tick || event_add(http->tick, &second) < 0)
			rc = err_set(err, -ENOMEM, "http: no event");
	}
	if (rc) {
		http_stop(http);
		return rc;
	}
	*ret_http = http;
	return 0;
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	for (size_t i = 0; i < http->listeners_count; i++) {
		event_free(http->listeners[i].event);
		fd_close(&http->listeners[i].fd);
		if (http->listeners[i].path)
			(void)unlink(http->listeners[i].path);
		free(http->listeners[i].path);
	}
	while (http->waiting)
		waiting_free(http->waiting);
	if (http->tick)
		event_free(http->tick);
	http_pools_stop(http);
	(void)pthread_mutex_destroy(&http->lock);
	free(http);
}

void http_stats(struct http *http, struct http_stats *ret_stats)
{
	(void)pthread_mutex_lock(&http->lock);
	*ret_stats = (struct http_stats){.accepted = COUNTED(http->accepted),
					 .refused_head = COUNTED(http->refused_head),
					 .timed_out = COUNTED(http->timed_out),
					 .served = COUNTED(http->served),
					 .open = http->open_count};
	(void)pthread_mutex_unlock(&http->lock);
}
