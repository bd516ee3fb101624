/* SPDX-License-Identifier: Apache-2.0 */
#include "server/processes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/processes_private.h"

#define BEAT_NS (INT64_C(500) * NS_PER_MS)
#define HELD_BYTES_MAX ((size_t)256 << 20) /* of batches; then samples wait in their rings */
#define STOP_WAIT_NS (INT64_C(5) * NS_PER_S)

/* ---- batches on their way ---- */

struct delivery {
	struct mailbox_letter letter;
	struct process *process;
	struct profile *profile;
	int result;
};

static void process_drop(struct process *process);

static size_t batch_bytes(const struct profile *p)
{
	return p->frames_count * sizeof(*p->frames) +
	       p->nodes_count * (sizeof(*p->nodes) + sizeof(*p->node_hashes)) +
	       p->labels_count * sizeof(*p->labels) + p->contexts_count * sizeof(*p->contexts) +
	       p->records_count * sizeof(*p->records) + p->values_count * sizeof(*p->values);
}

static void batch_release(struct process *process)
{
	process->all->held_bytes -= process->held_bytes;
	process->held_bytes = 0;
}

static void delivered(void *arg)
{
	struct delivery *delivery = arg;
	struct process *process = delivery->process;
	struct processes *all = process->all;

	process->busy = false;
	if (delivery->result >= 0) {
		process_commit(process);
		batch_release(process);
		processes_count_one(process->all, &process->all->sums.batches);
		process->finished = process->ending;
	} else {
		/* Kept, and sent again at the next tick; the ring holds what comes meanwhile. */
		process->waiting = TAKE(delivery->profile);
	}
	free(delivery);
	if (process->finished || process->failed)
		process_drop(process);
	else if (process->flush_asked && !process->waiting)
		process_turn(process, true);
	watch_go_on(all);
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
	mailbox_post(delivery->process->all->mailbox, &delivery->letter, delivered, delivery);
}

static void batch_send(struct process *process, struct profile *profile)
{
	struct delivery *delivery = malloc(sizeof(*delivery));

	process->waiting = NULL;
	if (delivery) {
		*delivery = (struct delivery){.process = process};
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
	native_stats_add(&all->sums.native, &process->stats);
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
	batch_release(process);
	process_free(process);
}

/* The writer knows how far this process's rings were stored. */
struct cursors_call {
	struct mailbox_letter letter;
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
	mailbox_post(process->all->mailbox, &call->letter, cursors_known, call);
}

int process_attach(struct processes *all, struct process *process, struct err *err)
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

/* ---- turns ---- */

void process_turn(struct process *process, bool force)
{
	struct processes *all = process->all;
	struct err err = {0};

	if (process->busy || !process->ready || process->failed || all->stopped)
		return;
	if (process->waiting) {
		batch_send(process, process->waiting);
		return;
	}
	if (all->held_bytes > HELD_BYTES_MAX)
		return;
	(void)pthread_mutex_lock(&all->lock);
	struct profile *profile = process_drain(process, force || process->flush_asked, &err);

	process->flush_asked = false;

	(void)pthread_mutex_unlock(&all->lock);
	if (process->failed)
		log_warn("native", "%s (pid %lld): %s; its ring is given up", process->comm,
			 (long long)process->pid, err.message);
	if (!profile)
		return;
	process->held_bytes = batch_bytes(profile);
	all->held_bytes += process->held_bytes;
	batch_send(process, profile);
}

static void process_tick(struct process *process, bool watched, int64_t now_ns)
{
	if (process->failed && !process->busy) {
		process_drop(process); /* a client that lives attaches again */
		return;
	}
	if (now_ns - process->beaten_ns >= BEAT_NS)
		process_heartbeat(process);
	process_obey(process, control_for(process->all->control, process->service, process->pid,
					  process->owner));
	if (process_has_turn(process, watched, process->all->count, now_ns))
		process_turn(process, false);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct processes *all = arg;
	int64_t now_ns = clock_monotonic_ns();
	struct process *next;

	(void)fd;
	(void)what;
	(void)pthread_mutex_lock(&all->lock);
	bool watched = watch_is_on(&all->watch, now_ns);

	(void)pthread_mutex_unlock(&all->lock);
	hello_resume(all);
	control_tick(all->control, now_ns);
	writer_hold(all->writer); /* one transaction for what all of them have */
	for (struct process *p = all->first; p; p = next) {
		next = p->next;
		process_tick(p, watched, now_ns);
	}
	watch_go_on(all);
	writer_release(all->writer);
}

/* ---- life ---- */

int processes_start(struct event_base *base, struct mailbox *mailbox, struct writer *writer,
		    struct symbols *symbols, const struct processes_options *options,
		    struct processes **ret_processes, struct err *err)
{
	const struct timeval period = {0, PROCESSES_TICK_MS * 1000};
	struct processes *all = calloc(1, sizeof(*all));

	if (!all)
		return err_set(err, -ENOMEM, "native: out of memory");
	*all = (struct processes){.base = base,
				  .mailbox = mailbox,
				  .writer = writer,
				  .symbols = symbols,
				  .control = options->control,
				  .listener = -1};
	(void)pthread_mutex_init(&all->lock, NULL);
	int rc = watch_init(&all->watch, err);

	(void)snprintf(all->host, sizeof(all->host), "%s", options->host);
	all->socket_path = strdup(options->socket_path);
	if (!rc)
		rc = all->socket_path ? hello_listen(all, err)
				      : err_set(err, -ENOMEM, "native: out of memory");
	if (!rc) {
		all->tick = event_new(base, -1, EV_PERSIST, tick, all);
		if (!all->tick || event_add(all->tick, &period) < 0)
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

/* A turn for everybody. Returns whether one that is gone has more to hand over. */
static bool last_turns(struct processes *all)
{
	bool more = false;

	for (struct process *p = all->first, *next; p; p = next) {
		next = p->next;
		if (!p->gone || p->failed) {
			if (p->failed && !p->busy)
				process_drop(p);
			continue;
		}
		process_turn(p, true);
		more = true; /* until its last batch is on disk, which drops it */
	}
	return more;
}

void processes_stop(struct processes *all)
{
	int64_t until_ns = clock_monotonic_ns() + STOP_WAIT_NS;

	if (!all)
		return;
	if (all->tick)
		event_free(all->tick);
	all->tick = NULL;
	all->stopping = true;
	watch_end(all);
	hello_stop(all);
	/* What is in the ring of a process that lives stays there for the next agent, which reads
	 * from the same cursors. One that is gone has nobody to hand its ring over: wait for it. */
	for (struct process *p = all->first; p; p = p->next) {
		(void)process_is_gone(p);
		process_turn(p, true);
		process_farewell(p);
	}
	while (last_turns(all) && clock_monotonic_ns() < until_ns)
		mailbox_wait(all->mailbox, 100);
	all->stopped = true;
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
	free(all->taken);
	profile_builder_free(all->builder);
	watch_release(&all->watch);
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
