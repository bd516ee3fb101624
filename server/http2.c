/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: accepting, reading, sending, deadlines.  Calls stand in http2_stream.c. */
#include "server/http2_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/listen.h"

#define READ_BYTES 16384
#define READS_MAX 16    /* of one connection before others have their turn */
#define ACKS_MAX 100    /* answers to PING and SETTINGS that a peer lets pile up */
#define SETTINGS_MAX 16 /* in one frame */

static const struct timeval tick_time = {0, 250000};

/* ---- connections ---- */

static void connection_free(struct http2_connection *connection)
{
	struct http2 *http2 = connection->http2;

	http2_streams_leave(connection);
	*connection->before = connection->next;
	if (connection->next)
		connection->next->before = connection->before;
	http2->connections_count--;
	(void)__atomic_sub_fetch(&http2->stats.open, 1, __ATOMIC_RELAXED);
	if (connection->readable)
		event_free(connection->readable);
	if (connection->writable)
		event_free(connection->writable);
	nghttp2_session_del(connection->session);
	fd_close(&connection->fd);
	free(connection);
}

void http2_doom(struct http2_connection *connection)
{
	if (connection->doomed)
		return;
	connection->doomed = true;
	(void)nghttp2_session_terminate_session(connection->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

void http2_touch(struct http2_connection *connection)
{
	connection->used_ns = clock_monotonic_ns();
	if (connection->greeted && !connection->blocked)
		connection->until_ns = connection->used_ns + HTTP2_IDLE_NS;
}

/* A peer that does not read is not read from either, so what waits for it stays small. */
static void blocked_set(struct http2_connection *connection, bool blocked)
{
	if (connection->blocked == blocked)
		return;
	connection->blocked = blocked;
	if (blocked) {
		connection->until_ns = clock_monotonic_ns() + HTTP2_STALL_NS;
		(void)event_del(connection->readable);
		(void)event_add(connection->writable, NULL);
	} else {
		(void)event_del(connection->writable);
		(void)event_add(connection->readable, NULL);
		http2_touch(connection);
	}
}

/* Returns 0 when all is sent, 1 when the socket is full, or -1 when the connection is over. */
static int send_all(struct http2_connection *connection)
{
	for (;;) {
		if (!connection->out_len) {
			ssize_t n = nghttp2_session_mem_send(connection->session, &connection->out);

			if (n <= 0)
				return n < 0 ? -1 : 0;
			connection->out_len = (size_t)n;
		}
		ssize_t n = send(connection->fd, connection->out, connection->out_len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -1;
		connection->out += n;
		connection->out_len -= (size_t)n;
	}
}

void http2_flush(struct http2_connection *connection)
{
	int rc = send_all(connection);

	if (rc > 0) {
		blocked_set(connection, true);
		return;
	}
	if (rc < 0 || connection->doomed ||
	    (!nghttp2_session_want_read(connection->session) &&
	     !nghttp2_session_want_write(connection->session))) {
		/* Unread bytes would turn the close into a reset that overtakes GOAWAY. */
		char drop[4096];

		(void)shutdown(connection->fd, SHUT_WR);
		for (int i = 0;
		     i < 64 && recv(connection->fd, drop, sizeof(drop), MSG_DONTWAIT) > 0; i++)
			;
		connection_free(connection);
		return;
	}
	blocked_set(connection, false);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	http2_flush(arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http2_connection *connection = arg;
	uint8_t bytes[READ_BYTES];
	ssize_t n = 0;

	(void)what;
	for (int i = 0; i < READS_MAX && !connection->doomed; i++) {
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n <= 0)
			break;
		if (nghttp2_session_mem_recv(connection->session, bytes, (size_t)n) < 0) {
			/* Not HTTP/2, or a flood: nghttp2 is past saying so. */
			COUNT(connection->http2->stats.cut);
			connection_free(connection);
			return;
		}
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		connection_free(connection);
	else
		http2_flush(connection);
}

static int session_start(struct http2_connection *connection)
{
	static const nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADERS_MAX},
	};
	struct http2 *http2 = connection->http2;

	if (nghttp2_session_server_new2(&connection->session, http2->callbacks, connection,
					http2->option) ||
	    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
				    ARRAY_LEN(settings)) ||
	    nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
						  HTTP2_WINDOW))
		return -ENOMEM;
	connection->readable =
	    event_new(http2->base, connection->fd, EV_READ | EV_PERSIST, on_readable, connection);
	connection->writable =
	    event_new(http2->base, connection->fd, EV_WRITE | EV_PERSIST, on_writable, connection);
	if (!connection->readable || !connection->writable ||
	    event_add(connection->readable, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static void connection_add(struct http2 *http2, int fd)
{
	struct http2_connection *connection = calloc(1, sizeof(*connection));
	const int on = 1;

	if (!connection) {
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	connection->http2 = http2;
	connection->fd = fd;
	connection->used_ns = clock_monotonic_ns();
	connection->until_ns = connection->used_ns + HTTP2_PREFACE_NS;
	connection->resets_forgiven_ns = connection->used_ns;
	connection->next = http2->connections;
	connection->before = &http2->connections;
	if (connection->next)
		connection->next->before = &connection->next;
	http2->connections = connection;
	if (!http2->connections_count++)
		(void)event_add(http2->tick, &tick_time);
	COUNT(http2->stats.accepted);
	COUNT(http2->stats.open);
	if (session_start(connection))
		connection_free(connection);
	else
		http2_flush(connection);
}

/* ---- deadlines ---- */

static void connection_check(struct http2_connection *connection, int64_t now_ns)
{
	bool calls = connection->streams && connection->greeted && !connection->blocked;

	http2_streams_check(connection, now_ns);
	if (calls || connection->until_ns > now_ns) {
		if (!connection->blocked)
			http2_flush(connection);
		return;
	}
	COUNT(connection->http2->stats.timed_out);
	if (connection->blocked) {
		connection_free(connection);
		return;
	}
	(void)nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR);
	connection->doomed = true;
	http2_flush(connection);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http2 *http2 = arg;
	int64_t now_ns = clock_monotonic_ns();
	struct http2_connection *next;

	(void)fd;
	(void)what;
	for (struct http2_connection *c = http2->connections; c; c = next) {
		next = c->next;
		connection_check(c, now_ns);
	}
	if (http2->paused)
		http2->paused = event_add(http2->listener, NULL) < 0;
	/* Without connections an agent that nobody calls does not wake. */
	if (!http2->connections && !http2->paused)
		(void)event_del(http2->tick);
}

/* Who means well calls at once, so who has not called for longest has had its time. */
static bool idlest_evict(struct http2 *http2)
{
	struct http2_connection *idlest = NULL;

	for (struct http2_connection *c = http2->connections; c; c = c->next)
		if (!c->streams && (!idlest || c->used_ns < idlest->used_ns))
			idlest = c;
	if (!idlest)
		return false;
	COUNT(http2->stats.timed_out);
	connection_free(idlest);
	return true;
}

/* ---- listening ---- */

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct http2 *http2 = arg;

	(void)what;
	for (int i = 0; i < 64; i++) {
		int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (connection < 0 && fd_is_short(errno)) {
			log_warn("grpc", "accept: %s", strerror(errno));
			http2->paused = event_del(http2->listener) == 0;
			(void)event_add(http2->tick, &tick_time);
		}
		if (connection < 0)
			return;
		if (http2->connections_count >= http2->options.connections &&
		    !idlest_evict(http2)) {
			http2->options.limited(http2->options.arg, "limits.connections");
			COUNT(http2->stats.cut);
			(void)close(connection);
			continue;
		}
		connection_add(http2, connection);
	}
}

int http2_listen(struct http2 *http2, const char *address, char *bound, size_t bound_max,
		 struct err *err)
{
	int rc = listen_tcp(address, &http2->fd, err);

	if (rc)
		return rc;
	http2->listener = event_new(http2->base, http2->fd, EV_READ | EV_PERSIST, on_accept, http2);
	if (!http2->listener || event_add(http2->listener, NULL) < 0)
		return err_set(err, -ENOMEM, "grpc: no event");
	listen_name(http2->fd, bound, bound_max);
	return 0;
}

static int option_make(nghttp2_option **ret_option)
{
	if (nghttp2_option_new(ret_option))
		return -ENOMEM;
	nghttp2_option_set_max_outbound_ack(*ret_option, ACKS_MAX);
	nghttp2_option_set_max_settings(*ret_option, SETTINGS_MAX);
	nghttp2_option_set_no_closed_streams(*ret_option, 1);
	return 0;
}

int http2_start(struct event_base *base, struct mailbox *mailbox,
		const struct http2_options *options, struct http2 **ret_http2, struct err *err)
{
	struct http2 *http2 = calloc(1, sizeof(*http2));

	if (!http2)
		return err_set(err, -ENOMEM, "grpc: out of memory");
	http2->base = base;
	http2->mailbox = mailbox;
	http2->options = *options;
	http2->fd = -1;
	int rc = workers_start(mailbox, &http2->workers, err);

	http2->tick = event_new(base, -1, EV_PERSIST, on_tick, http2);
	if (!rc && (!http2->tick || http2_callbacks_make(&http2->callbacks) ||
		    option_make(&http2->option)))
		rc = err_set(err, -ENOMEM, "grpc: out of memory");
	if (rc) {
		http2_stop(http2);
		return rc;
	}
	*ret_http2 = http2;
	return 0;
}

void http2_stop(struct http2 *http2)
{
	if (!http2)
		return;
	if (http2->listener)
		event_free(http2->listener);
	fd_close(&http2->fd);
	workers_stop(http2->workers);
	mailbox_wait(http2->mailbox, 0); /* the answers of the last calls */
	while (http2->connections) {
		struct http2_connection *connection = http2->connections;

		(void)nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR);
		(void)send_all(connection);
		connection_free(connection);
	}
	if (http2->tick)
		event_free(http2->tick);
	nghttp2_option_del(http2->option);
	nghttp2_session_callbacks_del(http2->callbacks);
	free(http2);
}

void http2_stats(struct http2 *http2, struct http2_stats *ret_stats)
{
	const struct http2_stats *from = &http2->stats;

	*ret_stats = (struct http2_stats){.accepted = COUNTED(from->accepted),
					  .served = COUNTED(from->served),
					  .refused = COUNTED(from->refused),
					  .timed_out = COUNTED(from->timed_out),
					  .resets = COUNTED(from->resets),
					  .cut = COUNTED(from->cut),
					  .open = COUNTED(from->open)};
}
