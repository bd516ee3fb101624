/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/source.h - the sampling dimensions.
 *
 * Private to client/.  source_cpu.c: timers, the SIGPROF handler.  source_wall.c: blocking calls.
 */
#ifndef CLIENT_SOURCE_H
#define CLIENT_SOURCE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/ring.h"
#include "client/unwind.h"

struct thread;

/* Install the handler, if SIGPROF is free.  Returns 0 or -EBUSY.  The handler stays for good. */
int source_cpu_start(void);

/* Delete every timer. */
void source_cpu_stop(void);

/* Give a thread its timer, or take it.  Async-signal-safe. */
void source_cpu_arm(struct thread *t);
void source_cpu_disarm(struct thread *t);

/* Record the exact CPU time of the calling thread, which ends (flags: RING_LAST). */
void source_cpu_thread_end(struct thread *t, uint8_t flags);

/* In a forked child: look again after 50 ms of its CPU time. */
void source_cpu_watch_child(void);

/* What SIGPROF did before the handler came, and whether it is the handler's now. */
const struct sigaction *source_cpu_previous(void);

/* The program installs a handler of its own for SIGPROF: sample no more. */
void source_cpu_yield(void);

/* The unwinder's view of this process. */
struct unwind_space source_space(struct cfi_memory stack, struct cfi_memory beyond, void *work);
struct rule *source_rules(void);

/* A blocking call, around which a hook puts source_wall_begin and source_wall_end. */
struct blocked {
	struct thread *thread; /* NULL: do nothing at the end */
	uint64_t epoch;
	uint32_t call, target_kind;
	uint64_t target, site;
	int64_t since_ns;
	uint64_t pc, sp, fp; /* of the caller */
	/* A call that this one interrupted: put back at the end. */
	uint32_t outer_call;
	int64_t outer_since_ns;
	uint64_t outer_site, outer_target, outer_sp;
};

void source_wall_begin(struct blocked *b);
void source_wall_end(const struct blocked *b);

/* Whether hooks should do anything at all: one load and a branch. */
bool source_wall_on(void);

/* In a handler at `sp`: has the published call been left by a jump?  Then take it back. */
void source_wall_correct(struct thread *t, uint64_t sp);

#endif
