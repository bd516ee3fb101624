/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hellos: one message a connection, taken and closed.
 *
 * A client sends and hangs up, so the message is nearly always there when its connection is
 * accepted. Who connects and stays silent waits in a short list, out of which the oldest goes
 * first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "server/processes_private.h"
#include "server/unix_socket.h"

#define BACKLOG 512
#define HELLO_WAIT_MS 2000
#define SILENT_MAX 256

static struct process *process_find(struct processes *all, const uint8_t runtime_id[16],
				    uint32_t owner)
{
	for (struct process *p = all->first; p; p = p->next)
		if (p->owner == owner && !memcmp(p->head.runtime_id, runtime_id, 16))
			return p;
	return NULL;
}

static size_t owner_count(const struct processes *all, uint32_t owner)
{
	size_t count = 0;

	for (const struct process *p = all->first; p; p = p->next)
		count += p->owner == owner;
	return count;
}

/* Hand the files of new modules to the symbolizer. Each fd is taken. */
static void modules_take(struct process *process, const struct native_hello *hello, int *fds,
			 size_t count)
{
	size_t used = 0;

	(void)pthread_mutex_lock(&process->all->lock);
	int rc = process_refresh(process);

	(void)pthread_mutex_unlock(&process->all->lock);
	if (rc)
		return;
	for (uint32_t i = 0; i < hello->modules_count && used < count; i++) {
		struct symbols_id id = {.owner = process->owner};
		struct native_build_id build_id;
		struct stat st;

		if (hello->no_file[i / 64] >> (i % 64) & 1)
			continue;
		int fd = fds[used];

		fds[used++] = -1;
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		    !native_process_build_id(process->native, hello->modules_from + i, &build_id)) {
			fd_close(&fd);
			continue;
		}
		memcpy(id.build_id, build_id.bytes, sizeof(id.build_id));
		id.len = build_id.len;
		id.is_hash = build_id.is_hash;
		if (symbols_add(process->all->symbols, fd, &id))
			log_warn(
			    "symbol", "the queue of binaries is full; %s is not read",
			    native_process_module_path(process->native, hello->modules_from + i));
	}
}

/*
 * A process has one session at a time: one with its pid that is not closed was ended by exec, which
 * took its memory away and left its pid alive.
 */
static void predecessors_end(struct processes *all, const struct process *now)
{
	for (struct process *p = all->first; p; p = p->next)
		if (p != now && now->pid > 0 && p->pid == now->pid && p->owner == now->owner)
			p->gone = true;
}

static int hello_take(struct processes *all, const void *bytes, size_t len, int *fds, size_t count,
		      const struct ucred *peer, struct err *err)
{
	struct native_hello hello;
	int rc = native_hello_parse(bytes, len, &hello, err);

	if (rc)
		return rc;
	if (count < 2)
		return err_set(err, -EINVAL,
			       "hello: %zu descriptors, expected the ring and /proc/self", count);
	processes_count_one(all, &all->sums.hellos);
	struct process *process = process_find(all, hello.runtime_id, peer->uid);

	if (!process) {
		if (all->count >= PROCESSES_MAX ||
		    owner_count(all, peer->uid) >= PROCESSES_PER_OWNER_MAX)
			return err_set(
			    err, -EMFILE,
			    "uid %u has %zu processes attached, the limit is %d for one and "
			    "%d in all",
			    peer->uid, owner_count(all, peer->uid), PROCESSES_PER_OWNER_MAX,
			    PROCESSES_MAX);
		rc = process_new(fds[0], fds[1], peer->uid, peer->pid, &hello, all->host, &process,
				 err);
		if (rc)
			return rc;
		fds[0] = fds[1] = -1;
		rc = process_attach(all, process, err);
		if (rc) {
			process_free(process);
			return rc;
		}
		predecessors_end(all, process);
	} else {
		(void)pthread_mutex_lock(&all->lock);
		process_notes(process, &hello);
		(void)pthread_mutex_unlock(&all->lock);
	}
	if (hello.flags & RING_HELLO_PERF_MAP && count > 2) {
		process_perf_map(process, fds[--count]);
		fds[count] = -1;
	}
	modules_take(process, &hello, fds + 2, count - 2);
	process_heartbeat(process);
	/* Somebody waits for that: what cannot be done now is done as soon as it can. */
	process->flush_asked = process->flush_asked || hello.flags & RING_HELLO_FLUSH;
	process_turn(process, false);
	return 0;
}

/* ---- connections: one message each ---- */

/* Returns false when nothing has come yet. */
static bool connection_serve(struct processes *all, int fd)
{
	_Alignas(8) char bytes[RING_HELLO_MAX];
	int fds[RING_HELLO_FDS_MAX + 2];
	size_t count = ARRAY_LEN(fds);
	struct ucred peer;
	socklen_t peer_len = sizeof(peer);
	struct err err = {0};
	ssize_t n = fd_receive(fd, bytes, sizeof(bytes), fds, &count);

	if (n == -EAGAIN)
		return false;
	if (n < 0)
		processes_count_one(all, &all->sums.refused);
	if (n < 0 || (!n && !count))
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) < 0)
		peer = (struct ucred){.uid = PROFILE_OWNER_NOBODY};
	if (hello_take(all, bytes, (size_t)n, fds, count, &peer, &err)) {
		processes_count_one(all, &all->sums.refused);
		log_info("native", "uid %u, pid %d refused: %s", peer.uid, peer.pid, err.message);
	}
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]);
	return true;
}

struct connection {
	struct connection *next;
	struct processes *all;
	struct event *event;
	int fd;
};

static void connection_free(struct connection *connection)
{
	struct connection **at = &connection->all->silent;

	while (*at && *at != connection)
		at = &(*at)->next;
	if (*at) {
		*at = connection->next;
		connection->all->silent_count--;
	}
	if (connection->event)
		event_free(connection->event);
	(void)close(connection->fd);
	free(connection);
}

static void connection_ready(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;

	if (what & EV_READ)
		(void)connection_serve(connection->all, fd);
	connection_free(connection);
}

/* Newest first; nobody can keep others out by saying nothing. */
static void connection_wait(struct processes *all, int fd)
{
	const struct timeval wait = {HELLO_WAIT_MS / 1000, HELLO_WAIT_MS % 1000 * 1000};
	struct connection *connection = malloc(sizeof(*connection)), *oldest = all->silent;

	if (!connection) {
		(void)close(fd);
		return;
	}
	while (oldest && oldest->next)
		oldest = oldest->next;
	if (oldest && all->silent_count >= SILENT_MAX)
		connection_free(oldest);
	*connection = (struct connection){.next = all->silent, .all = all, .fd = fd};
	all->silent = connection;
	all->silent_count++;
	connection->event = event_new(all->base, fd, EV_READ, connection_ready, connection);
	if (!connection->event || event_add(connection->event, &wait) < 0)
		connection_free(connection);
}

static void accept_ready(evutil_socket_t listener, short what, void *arg)
{
	struct processes *all = arg;

	(void)what;
	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && fd_is_short(errno)) {
			log_warn("native", "accept: %s", strerror(errno));
			all->accept_paused = event_del(all->accepting) == 0;
		}
		if (fd < 0)
			return;
		if (connection_serve(all, fd))
			(void)close(fd);
		else
			connection_wait(all, fd);
	}
}

int hello_listen(struct processes *all, struct err *err)
{
	all->listener = unix_socket_listen(all->socket_path, SOCK_SEQPACKET, BACKLOG, err);
	if (all->listener < 0)
		return all->listener;
	all->accepting =
	    event_new(all->base, all->listener, EV_READ | EV_PERSIST, accept_ready, all);
	if (!all->accepting || event_add(all->accepting, NULL) < 0)
		return err_set(err, -ENOMEM, "native: no events");
	return 0;
}

void hello_resume(struct processes *all)
{
	if (all->accept_paused)
		all->accept_paused = event_add(all->accepting, NULL) < 0;
}

void hello_stop(struct processes *all)
{
	while (all->silent)
		connection_free(all->silent);
	if (all->accepting)
		event_free(all->accepting);
	all->accepting = NULL;
	if (all->listener >= 0)
		(void)unlink(all->socket_path);
	fd_close(&all->listener);
}
