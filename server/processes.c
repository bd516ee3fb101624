/* SPDX-License-Identifier: Apache-2.0 */
#include "server/processes.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/process.h"
#include "server/unix_socket.h"

#define TICK_MS 200
#define DRAIN_NS NS_PER_S
#define FILL_PERCENT 25 /* a ring this full is drained before its second is over */
#define BACKLOG 512
#define HELLO_WAIT_MS 2000

struct processes {
	struct event_base *base;
	struct mailbox *mailbox;
	struct writer *writer;
	struct symbols *symbols;
	char host[64];
	char *socket_path;
	int listener;
	struct event *accepting, *tick;
	pthread_mutex_t lock; /* of the list, for status */
	struct process *first;
	size_t count;
	bool stopping;
	struct {
		uint64_t attached, refused, ended, batches, hellos;
		struct native_stats native; /* of processes that are gone */
		struct ring_counters counters;
	} sums;
};

/* ---- batches on their way ---- */

struct delivery {
	struct process *process;
	struct profile *profile;
	int result;
};

static void process_drop(struct process *process);
static void process_turn(struct process *process, bool force);

static void delivered(void *arg)
{
	struct delivery *delivery = arg;
	struct process *process = delivery->process;

	process->busy = false;
	if (delivery->result >= 0) {
		process_commit(process);
		process->all->sums.batches++;
		process->finished = process->ending;
	} else {
		/* Kept, and sent again at the next tick; the ring holds what comes meanwhile. */
		process->waiting = TAKE(delivery->profile);
	}
	free(delivery);
	if (process->finished || process->failed)
		process_drop(process);
}

/* On the writer thread. */
static void written(void *arg, struct profile *profile, int result, const char *message)
{
	struct delivery *delivery = arg;

	(void)message; /* the writer logged it */
	delivery->result = result;
	if (result < 0)
		delivery->profile = profile;
	else
		profile_free(profile);
	if (mailbox_post(delivery->process->all->mailbox, delivered, delivery))
		log_error("native", "out of memory: a batch's end could not be noted");
}

static void batch_send(struct process *process, struct profile *profile)
{
	struct delivery *delivery = malloc(sizeof(*delivery));

	process->waiting = NULL;
	if (delivery) {
		*delivery = (struct delivery){ .process = process };
		process->busy = true;
		if (!writer_put(process->all->writer, profile, written, delivery))
			return;
		process->busy = false;
		free(delivery);
	}
	process->waiting = profile;
}

/* ---- attaching ---- */

static void list_remove(struct process *process)
{
	struct processes *all = process->all;

	(void)pthread_mutex_lock(&all->lock);
	for (struct process **at = &all->first; *at; at = &(*at)->next)
		if (*at == process) {
			*at = process->next;
			all->count--;
			break;
		}
	for (size_t i = 0; i < RING_ENDS; i++)
		all->sums.native.ends[i] += process->stats.ends[i];
	all->sums.native.samples += process->stats.samples;
	all->sums.native.blocks += process->stats.blocks;
	all->sums.native.bad_records += process->stats.bad_records;
	all->sums.native.abandoned_bytes += process->stats.abandoned_bytes;
	all->sums.native.cpu_ns += process->stats.cpu_ns;
	all->sums.native.cpu_sampled_ns += process->stats.cpu_sampled_ns;
	all->sums.native.not_sampled_ns += process->stats.not_sampled_ns;
	for (size_t d = 0; d < RING_DIMENSIONS; d++)
		for (size_t r = 0; r < RING_DROPS; r++)
			all->sums.counters.drops[d][r] += process->counters.drops[d][r];
	all->sums.ended++;
	(void)pthread_mutex_unlock(&all->lock);
}

static void process_drop(struct process *process)
{
	log_debug("native", "%s (pid %lld) is gone", process->comm, (long long)process->pid);
	list_remove(process);
	process_free(process);
}

static struct process *process_find(struct processes *all, const uint8_t runtime_id[16],
				    uint32_t owner)
{
	for (struct process *p = all->first; p; p = p->next)
		if (p->owner == owner && !memcmp(p->head.runtime_id, runtime_id, 16))
			return p;
	return NULL;
}

/* The writer knows how far this process's rings were stored. */
struct cursors_call {
	struct process *process;
	uint64_t positions[RING_RINGS_MAX];
	struct err err;
	int rc;
};

static void cursors_known(void *arg)
{
	struct cursors_call *call = arg;
	struct process *process = call->process;

	process->busy = false;
	if (!call->rc)
		call->rc = process_resume(process, call->positions, &call->err);
	if (call->rc) {
		log_warn("native", "pid %lld: %s", (long long)process->pid, call->err.message);
		process_drop(process);
	} else {
		log_debug("native", "%s (pid %lld) attached", process->comm,
			  (long long)process->pid);
		process_turn(process, false);
	}
	free(call);
}

static void cursors_read(struct storage *store, void *arg)
{
	struct cursors_call *call = arg;
	struct process *process = call->process;

	for (uint32_t i = 0; !call->rc && i < process->head.rings_count; i++)
		call->rc = storage_cursor(store, process->head.runtime_id, i, &call->positions[i],
					  &call->err);
	if (mailbox_post(process->all->mailbox, cursors_known, call))
		free(call); /* no memory: the client comes again when its heartbeat is stale */
}

static int attach(struct processes *all, struct process *process, struct err *err)
{
	struct cursors_call *call = calloc(1, sizeof(*call));

	if (!call)
		return err_set(err, -ENOMEM, "native: out of memory");
	call->process = process;
	process->all = all;
	process->busy = true;
	int rc = writer_task(all->writer, cursors_read, call);

	if (rc) {
		free(call);
		return err_set(err, rc, "native: the queue to the store is full");
	}
	(void)pthread_mutex_lock(&all->lock);
	process->next = all->first;
	all->first = process;
	all->count++;
	all->sums.attached++;
	(void)pthread_mutex_unlock(&all->lock);
	return 0;
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
		struct symbols_id id = { .owner = process->owner };
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
			log_warn("symbol", "the queue of binaries is full; %s is not read",
				 native_process_module_path(process->native, hello->modules_from + i));
	}
}

static int hello_take(struct processes *all, const void *bytes, size_t len, int *fds, size_t count,
		      const struct ucred *peer, struct err *err)
{
	struct native_hello hello;
	int rc = native_hello_parse(bytes, len, &hello, err);

	if (rc)
		return rc;
	if (count < 2)
		return err_set(err, -EINVAL, "hello: %zu descriptors, expected the ring and /proc/self",
			       count);
	all->sums.hellos++;
	struct process *process = process_find(all, hello.runtime_id, peer->uid);

	if (!process) {
		if (all->count >= PROCESSES_MAX ||
		    owner_count(all, peer->uid) >= PROCESSES_PER_OWNER_MAX)
			return err_set(err, -EMFILE,
				       "uid %u has %zu processes attached, the limit is %d for one and "
				       "%d in all",
				       peer->uid, owner_count(all, peer->uid),
				       PROCESSES_PER_OWNER_MAX, PROCESSES_MAX);
		rc = process_new(fds[0], fds[1], peer->uid, peer->pid, &hello, all->host, &process, err);
		if (rc)
			return rc;
		fds[0] = fds[1] = -1;
		rc = attach(all, process, err);
		if (rc) {
			process_free(process);
			return rc;
		}
	}
	modules_take(process, &hello, fds + 2, count - 2);
	process_heartbeat(process);
	if (process->ready)
		process_turn(process, hello.flags & RING_HELLO_FLUSH);
	return 0;
}

/* ---- connections: one message each ---- */

static void connection_serve(struct processes *all, int fd)
{
	_Alignas(8) char bytes[RING_HELLO_MAX];
	int fds[RING_HELLO_FDS_MAX + 2];
	size_t count = ARRAY_LEN(fds);
	struct ucred peer;
	socklen_t peer_len = sizeof(peer);
	struct err err = { 0 };
	ssize_t n = fd_receive(fd, bytes, sizeof(bytes), fds, &count);

	if (n <= 0) {
		all->sums.refused += n < 0;
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) < 0)
		peer = (struct ucred){ .uid = PROFILE_OWNER_NOBODY };
	if (hello_take(all, bytes, (size_t)n, fds, count, &peer, &err)) {
		all->sums.refused++;
		log_info("native", "uid %u, pid %d refused: %s", peer.uid, peer.pid, err.message);
	}
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]);
}

struct connection {
	struct processes *all;
	struct event *event;
	int fd;
};

static void connection_ready(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;

	if (what & EV_READ)
		connection_serve(connection->all, fd);
	event_free(connection->event);
	(void)close(connection->fd);
	free(connection);
}

static void accept_ready(evutil_socket_t listener, short what, void *arg)
{
	const struct timeval wait = { HELLO_WAIT_MS / 1000, HELLO_WAIT_MS % 1000 * 1000 };
	struct processes *all = arg;

	(void)what;
	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct connection *connection = fd < 0 ? NULL : malloc(sizeof(*connection));

		if (fd < 0)
			return;
		if (connection) {
			*connection = (struct connection){ .all = all, .fd = fd };
			connection->event =
				event_new(all->base, fd, EV_READ, connection_ready, connection);
		}
		if (!connection || !connection->event || event_add(connection->event, &wait) < 0) {
			if (connection && connection->event)
				event_free(connection->event);
			free(connection);
			(void)close(fd);
		}
	}
}

/* ---- turns ---- */

static void process_turn(struct process *process, bool force)
{
	struct err err = { 0 };

	if (process->busy || !process->ready || process->failed)
		return;
	if (process->waiting) {
		batch_send(process, process->waiting);
		return;
	}
	(void)pthread_mutex_lock(&process->all->lock);
	struct profile *profile = process_drain(process, force, &err);

	(void)pthread_mutex_unlock(&process->all->lock);
	process->ending = process->gone;
	if (process->failed)
		log_warn("native", "%s (pid %lld): %s; its ring is given up", process->comm,
			 (long long)process->pid, err.message);
	if (profile)
		batch_send(process, profile);
}

static void process_tick(struct process *process, int64_t now_ns)
{
	if (process->failed && !process->busy) {
		process_drop(process); /* a client that lives attaches again */
		return;
	}
	process_heartbeat(process);
	if (process_is_gone(process) || now_ns - process->drained_ns >= DRAIN_NS ||
	    process_fill_percent(process) >= FILL_PERCENT)
		process_turn(process, false);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct processes *all = arg;
	int64_t now_ns = clock_monotonic_ns();
	struct process *next;

	(void)fd;
	(void)what;
	for (struct process *p = all->first; p; p = next) {
		next = p->next;
		process_tick(p, now_ns);
	}
}

/* ---- life ---- */

int processes_start(struct event_base *base, struct mailbox *mailbox, struct writer *writer,
		    struct symbols *symbols, const struct processes_options *options,
		    struct processes **ret_processes, struct err *err)
{
	const struct timeval period = { 0, TICK_MS * 1000 };
	struct processes *all = calloc(1, sizeof(*all));

	if (!all)
		return err_set(err, -ENOMEM, "native: out of memory");
	*all = (struct processes){ .base = base,
				   .mailbox = mailbox,
				   .writer = writer,
				   .symbols = symbols,
				   .listener = -1 };
	(void)pthread_mutex_init(&all->lock, NULL);
	(void)snprintf(all->host, sizeof(all->host), "%s", options->host);
	all->socket_path = strdup(options->socket_path);
	all->listener = all->socket_path ? unix_socket_listen(all->socket_path, SOCK_SEQPACKET, BACKLOG,
							      err) :
					   -ENOMEM;
	int rc = all->listener < 0 ? all->listener : 0;

	if (!rc) {
		all->accepting = event_new(base, all->listener, EV_READ | EV_PERSIST, accept_ready, all);
		all->tick = event_new(base, -1, EV_PERSIST, tick, all);
		if (!all->accepting || !all->tick || event_add(all->accepting, NULL) < 0 ||
		    event_add(all->tick, &period) < 0)
			rc = err_set(err, -ENOMEM, "native: no events");
	}
	if (rc) {
		processes_stop(all);
		processes_free(all);
		return rc;
	}
	*ret_processes = all;
	return 0;
}

void processes_stop(struct processes *all)
{
	if (!all)
		return;
	if (all->accepting)
		event_free(all->accepting);
	if (all->tick)
		event_free(all->tick);
	all->accepting = all->tick = NULL;
	fd_close(&all->listener);
	if (all->socket_path)
		(void)unlink(all->socket_path);
	/* What is in the rings stays there for the next agent, which reads from the same cursors; a
	 * process that is gone has nobody to hand its ring over, so this is its last chance. */
	for (struct process *p = all->first; p; p = p->next) {
		process_turn(p, true);
		process_farewell(p);
	}
}

void processes_free(struct processes *all)
{
	if (!all)
		return;
	for (struct process *p = all->first, *next; p; p = next) {
		next = p->next;
		process_free(p);
	}
	free(all->socket_path);
	(void)pthread_mutex_destroy(&all->lock);
	free(all);
}

size_t processes_count(struct processes *all)
{
	(void)pthread_mutex_lock(&all->lock);
	size_t count = all->count;

	(void)pthread_mutex_unlock(&all->lock);
	return count;
}

/* ---- status ---- */

static const char *const end_names[RING_ENDS] = RING_END_NAMES;
static const char *const drop_names[RING_DROPS] = RING_DROP_NAMES;
static const char *const dimension_names[RING_DIMENSIONS] = RING_DIMENSION_NAMES;

static void ends_json(struct json *json, const struct native_stats *stats)
{
	json_key(json, "stacks");
	json_open(json, '{');
	for (size_t i = 0; i < RING_ENDS; i++) {
		json_key_uint(json, end_names[i], stats->ends[i]);
	}
	json_close(json, '}');
}

static void drops_json(struct json *json, const struct ring_counters *counters)
{
	json_key(json, "lost");
	json_open(json, '{');
	for (size_t d = 0; d < RING_DIMENSIONS; d++)
		for (size_t r = 0; r < RING_DROPS; r++) {
			char name[48];

			if (!counters->drops[d][r])
				continue;
			(void)snprintf(name, sizeof(name), "%s.%s", dimension_names[d], drop_names[r]);
			json_key_uint(json, name, counters->drops[d][r]);
		}
	json_close(json, '}');
}

static void native_json(struct json *json, const struct native_stats *stats)
{
	json_key_uint(json, "samples", stats->samples);
	json_key_uint(json, "blocks", stats->blocks);
	json_key_uint(json, "cpu_ns", stats->cpu_ns);
	json_key_uint(json, "cpu_sampled_ns", stats->cpu_sampled_ns);
	json_key_uint(json, "cpu_not_sampled_ns", stats->not_sampled_ns);
	json_key_uint(json, "bad_records", stats->bad_records);
	json_key_uint(json, "abandoned_bytes", stats->abandoned_bytes);
	ends_json(json, stats);
}

static void process_json(struct json *json, const struct process *p)
{
	static const char *const engines[] = { "none", "posix-timer", "perf" };
	static const char *const states[] = { "starting", "running", "throttled", "stopped" };

	json_open(json, '{');
	json_key_text(json, "service", p->service);
	json_key_text(json, "command", p->comm);
	json_key_int(json, "pid", p->pid);
	json_key_uint(json, "uid", p->owner);
	json_key_text(json, "engine", engines[MIN(p->counters.engine, (uint64_t)2)]);
	json_key_text(json, "state", states[MIN(p->counters.state, (uint64_t)3)]);
	json_key(json, "preloaded");
	json_bool(json, p->counters.preloaded);
	json_key_uint(json, "interval_us", p->counters.interval_us);
	json_key_uint(json, "own_cost_ns", p->counters.cost_ns);
	json_key_uint(json, "threads", p->stats.threads);
	json_key_uint(json, "threads_departing", p->stats.threads_departing);
	json_key_uint(json, "threads_unsampled", p->stats.threads_unsampled);
	json_key_uint(json, "modules", p->modules_read);
	json_key_uint(json, "ring_bytes", (uint64_t)p->head.rings_count * p->head.ring_bytes);
	json_key_uint(json, "memory_bytes", p->file_bytes);
	native_json(json, &p->stats);
	drops_json(json, &p->counters);
	json_close(json, '}');
}

void processes_status(struct processes *all, struct json *json)
{
	(void)pthread_mutex_lock(&all->lock);
	struct native_stats sum = all->sums.native;

	json_key(json, "processes");
	json_open(json, '[');
	for (const struct process *p = all->first; p; p = p->next) {
		process_json(json, p);
		for (size_t i = 0; i < RING_ENDS; i++)
			sum.ends[i] += p->stats.ends[i];
		sum.samples += p->stats.samples;
		sum.blocks += p->stats.blocks;
		sum.cpu_ns += p->stats.cpu_ns;
		sum.cpu_sampled_ns += p->stats.cpu_sampled_ns;
		sum.not_sampled_ns += p->stats.not_sampled_ns;
		sum.bad_records += p->stats.bad_records;
		sum.abandoned_bytes += p->stats.abandoned_bytes;
	}
	json_close(json, ']');
	json_key(json, "native");
	json_open(json, '{');
	json_key_uint(json, "attached", all->sums.attached);
	json_key_uint(json, "ended", all->sums.ended);
	json_key_uint(json, "refused", all->sums.refused);
	json_key_uint(json, "batches", all->sums.batches);
	native_json(json, &sum);
	drops_json(json, &all->sums.counters);
	json_close(json, '}');
	(void)pthread_mutex_unlock(&all->lock);
}
