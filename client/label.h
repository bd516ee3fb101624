/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/label.h - the text that all records of a thread carry: endpoint, task and the program's
 * labels.
 *
 * Private to client/.  Changed by its own thread; a handler that interrupts a change sees no text.
 */
#ifndef CLIENT_LABEL_H
#define CLIENT_LABEL_H

struct thread;

#define LABEL_ENDPOINT "trace endpoint"
#define LABEL_TASK "task name"
#define LABEL_VALUE_MAX 200

/* Set the calling thread's label of this key; NULL or "" takes it away.  Returns HEARTH_OK or
 * HEARTH_E_LIMIT. */
int label_put(struct thread *t, const char *key, const char *value);

#endif
