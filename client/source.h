/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/source.h - the sampling dimensions: what one is, and what the others ask of it.
 *
 * A dimension is one file that exports `const struct source source_<name>` and one line in
 * sources.def.  source_cpu.c: timers, the SIGPROF handler.  source_wall.c: blocking calls.  Private
 * to client/.
 */
#ifndef CLIENT_SOURCE_H
#define CLIENT_SOURCE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/ring.h"
#include "client/stack.h"
#include "client/unwind.h"

struct scratch;
struct thread;

struct config;

struct source {
	const char *name, *unit; /* "cpu", "nanoseconds" */
	enum ring_dimension dimension;

	/* Whether the settings ask for it. */
	bool (*wanted)(const struct config *config);

	/* Begin.  A session is open, sampling has not started.  Returns HEARTH_OK, or the
	 * hearth_code that says why this dimension stays off; the others go on. */
	int (*start)(void);

	/* End; also called when it was not wanted or did not start.  Whoever still samples at this
	 * instant is let through. */
	void (*stop)(void);
};

#define SOURCE(name) extern const struct source source_##name;
#include "client/sources.def"
#undef SOURCE

/* Give a thread its timer, or take it.  Async-signal-safe. */
void source_cpu_arm(struct thread *t);
void source_cpu_disarm(struct thread *t);

/* Record the exact CPU time of the calling thread, which ends (flags: RING_LAST) and is sampled no
 * more. */
void source_cpu_thread_end(struct thread *t, uint8_t flags);

/* The session closes for good: record for every thread what its clock showed when sampling
 * stopped. */
void source_cpu_close(void);

/* A session was opened: forget what was packed with an earlier one's module numbers. */
void source_new_session(void);

/* In a forked child, before anything else: the parent's timers are not there. */
void source_cpu_forked(void);

/* In a forked child: look again after 50 ms of its CPU time. */
void source_cpu_watch_child(void);

/* What SIGPROF did before our handler came; NULL when the handler is not ours.  The program's own
 * changes between "default" and "ignore" are made to this copy. */
struct sigaction *source_cpu_previous(void);

/* What is done now and then, from samples and hooks, for want of a thread: new threads, modules
 * that went away, the agent. */
void source_chores(int64_t now_ns);

/* Take samples on the interrupted stack from now on: an alternate one is too small. */
void source_cpu_stay_off_stack(void);

/* The program installs a handler of its own for SIGPROF: sample no more. */
void source_cpu_yield(void);

/* The unwinder's view of this process; the caller fills in the stacks. */
void source_space(struct unwind_space *ret, struct scratch *scratch);
struct rule *source_rules(void);

/*
 * A blocking call, around which a hook puts source_wall_begin and source_wall_end.  The hook fills
 * in the first part; when a call is left by longjmp or cancellation the end is never reached.
 */
struct blocked {
	uint32_t call, target_kind;
	uint64_t target;
	struct call_site from; /* the hook's caller */

	struct thread *thread; /* NULL: nothing to do at the end */
	uint64_t epoch, site;
	int64_t since_ns;
	/* since_ns is by the exact clock, and so is the end; else both by the coarse one */
	bool exact;
	struct { /* a published call that this one interrupted: put back at the end */
		uint32_t call;
		int64_t since_ns;
		uint64_t site, target, sp;
	} outer;
};

/* Publish the call, and its stack when the site is new.  Both are async-signal-safe and keep
 * errno. */
void source_wall_begin(struct blocked *b);
void source_wall_end(const struct blocked *b);

/* The same for a call that is also a sample of another dimension: `also` is written with the same
 * walk of the stack.  `also` NULL: there is none. */
struct event;
void source_wall_end_with(const struct blocked *b, struct event *also);

/* The agent's switches or the state of the session changed: hooks may record, or not. */
void source_wall_gate(void);

/* In a handler at `sp`: has the published call been left by a jump?  Then take it back. */
void source_wall_correct(struct thread *t, uint64_t sp);

#endif
