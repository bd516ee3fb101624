/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/perf.h - the other engine of CPU samples: the kernel's software task clock, one event and
 * one descriptor a thread, whose signal comes at the nanosecond and not at the next tick.
 *
 * Private to client/.  Events see user mode alone, which needs no privilege and never ends a system
 * call: what was interrupted was no system call.  The kernel's part stays with the POSIX timers,
 * which all threads have anyway (docs/decisions/0016).  Async-signal-safe.  The program may close
 * our descriptors and open its own under their numbers: each is asked who it is before it is used.
 */
#ifndef CLIENT_PERF_H
#define CLIENT_PERF_H

#include <stdbool.h>
#include <stdint.h>

struct thread;

/* When sampling starts: whether events may be used at all; the reason is left for the status. */
bool perf_start(void);

/* Give a thread its event, of which the first signal comes after about `interval_us`.  False: it
 * has none; its timer has to do all. */
bool perf_open(const struct thread *t, uint32_t interval_us, uint64_t draw);
void perf_close(const struct thread *t);

/* Whether the thread has its event still. */
bool perf_works(const struct thread *t);

/* Draw when the next signal comes: after `interval_us` on average, in step with nothing. */
void perf_next(const struct thread *t, uint32_t interval_us, uint64_t draw);

/* Whether a signal that came from descriptor `fd` is of the thread's event. */
bool perf_owns(const struct thread *t, int fd);

/* Whether there were events ever: signals may still be on their way. */
bool perf_used(void);

/* In a forked child, first thing: close the copies of the parent's. */
void perf_forked(void);

#endif
