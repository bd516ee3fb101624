/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/tasks.h - lists the threads of this process.
 *
 * Private to client/.  Async-signal-safe: system calls and a buffer of the caller's.
 */
#ifndef CLIENT_TASKS_H
#define CLIENT_TASKS_H

#include <stddef.h>
#include <stdint.h>

/* Call `each` with every thread id of /proc/self/task.  Returns 0 or a negative errno, after which
 * the list may have been incomplete. */
int tasks_list(void *buffer, size_t bytes, void (*each)(void *arg, int32_t tid), void *arg);

#endif
