/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/workers.h - a few threads for what the loop must not wait for.
 *
 * A job runs on one of them, then its `done` runs on the loop thread (server/mailbox.h).  The queue
 * is bounded and refuses.  Everything here is called on the loop thread.
 */
#ifndef SERVER_WORKERS_H
#define SERVER_WORKERS_H

#include "server/mailbox.h"

#define WORKERS_COUNT 4
#define WORKERS_QUEUE_MAX 256

struct workers;

/* Stands inside what it is about, and is the workers' until `done` is called. */
struct workers_job {
	struct mailbox_letter letter;
	void (*run)(void *arg);	 /* a worker */
	void (*done)(void *arg); /* the loop */
	void *arg;
};

MUST_CHECK int workers_start(struct mailbox *mailbox, struct workers **ret_workers, struct err *err);

/* Returns 0, or -EAGAIN when the queue is full. */
MUST_CHECK int workers_add(struct workers *workers, struct workers_job *job);

/* Run what is queued, end the threads, and free. The last `done`s are in the mailbox then. */
void workers_stop(struct workers *workers);

#endif
