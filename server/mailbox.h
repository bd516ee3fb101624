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

MUST_CHECK int mailbox_new(struct event_base *base, struct mailbox **ret_mailbox, struct err *err);
/* Runs what is left, then frees. */
void mailbox_free(struct mailbox *mailbox);

/* Returns 0 or -ENOMEM, when `fn` will not run. */
int mailbox_post(struct mailbox *mailbox, mailbox_fn fn, void *arg);

#endif
