/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/mailbox.h - other threads ask the loop thread to do something.
 *
 * Post from any thread; the function runs once on the loop thread, in order of posting.
 */
#ifndef SERVER_MAILBOX_H
#define SERVER_MAILBOX_H

#include <event2/event.h>

#include "base/err.h"

struct mailbox;

typedef void (*mailbox_fn)(void *arg);

/* Stands inside what it is about, so that posting cannot fail. Untouched until its function
 * runs. */
struct mailbox_letter {
	struct mailbox_letter *next;
	mailbox_fn fn;
	void *arg;
};

MUST_CHECK int mailbox_new(struct event_base *base, struct mailbox **ret_mailbox, struct err *err);
/* Runs what is left, then frees. */
void mailbox_free(struct mailbox *mailbox);

void mailbox_post(struct mailbox *mailbox, struct mailbox_letter *letter, mailbox_fn fn, void *arg);

/* Without the loop, which has ended: run what has come, or comes within `timeout_ms`. */
void mailbox_wait(struct mailbox *mailbox, int timeout_ms);

#endif
