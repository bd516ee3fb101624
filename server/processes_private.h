/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/processes_private.h - what the files of the native side share.
 *
 * Loop thread, except where the lock is named: it keeps the list and the sums for status, which any
 * thread may ask for.  The loop alone changes them, so it reads them without the lock.
 */
#ifndef SERVER_PROCESSES_PRIVATE_H
#define SERVER_PROCESSES_PRIVATE_H

#include <pthread.h>

#include "server/process.h"

#define PROCESSES_TICK_MS 200 /* every process is looked at so often */

/* Who asks for what comes: processes_watch.c. */
struct watch {
	/* what is drained for a question, and stored: rings as they were then; 0: nothing */
	int64_t draining_ns;
	/* under the lock */
	int64_t asked_ns; /* CLOCK_MONOTONIC of the last question */
	/* of rings as they were then somebody waits, and all is stored */
	int64_t wanted_ns, stored_ns;
	struct mailbox_letter letter;
	bool posted, ended;
	pthread_cond_t changed;
};

struct processes {
	struct event_base *base;
	struct mailbox *mailbox;
	struct writer *writer;
	struct symbols *symbols;
	struct control *control;
	char host[64];
	char *socket_path;
	int listener;
	struct event *accepting, *tick;
	bool accept_paused;  /* no descriptors were left; the tick tries again */
	size_t silent_count; /* connections that have not said anything yet */
	struct connection *silent;
	size_t held_bytes;               /* of batches that are not on disk yet */
	struct profile_builder *builder; /* of their batches, one after another; NULL: none yet */
	uint8_t *taken;       /* of rings, by the drain that goes on: one process's at a time */
	bool stopping;        /* nothing is waited for any more but the disk */
	bool stopped;         /* the writer takes nothing more */
	pthread_mutex_t lock; /* of what follows */
	struct process *first;
	size_t count;
	struct watch watch;
	struct {
		uint64_t attached, refused, ended, batches, hellos;
		struct native_stats native; /* of processes that are gone */
		struct ring_counters counters;
	} sums;
};

static inline void processes_count_one(struct processes *all, uint64_t *sum)
{
	(void)pthread_mutex_lock(&all->lock);
	++*sum;
	(void)pthread_mutex_unlock(&all->lock);
}

/* Ask the store how far the process was read, and list it. Takes it on success. */
MUST_CHECK int process_attach(struct processes *all, struct process *process, struct err *err);

/* Drain and send, unless a batch is on its way already. `force`: whether or not it is due. */
void process_turn(struct process *process, bool force);

/* Whether somebody has asked of late for what comes.  Under the lock. */
bool watch_is_on(const struct watch *watch, int64_t now_ns);
MUST_CHECK int watch_init(struct watch *watch, struct err *err);
void watch_release(struct watch *watch);
/* Drain and store on for who waits.  Whenever a batch has been stored, and at each tick. */
void watch_go_on(struct processes *all);
/* Nobody waits any more. */
void watch_end(struct processes *all);

/* Hellos: start and stop listening, and go on after a pause. */
MUST_CHECK int hello_listen(struct processes *all, struct err *err);
void hello_resume(struct processes *all);
void hello_stop(struct processes *all);

#endif
