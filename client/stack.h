/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/stack.h - the stack from which a hook was called, and a record that carries it.
 *
 * Private to client/.  What the hooks of all dimensions share; a CPU sample starts from a signal's
 * registers instead.  Async-signal-safe.
 */
#ifndef CLIENT_STACK_H
#define CLIENT_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "client/unwind.h"

struct event;
struct scratch;
struct thread;

/* Where a hook was called: the three registers that nearly all code can be unwound from. */
struct call_site {
	uint64_t pc, sp, fp;
};

/* Inside a hook, which is built with a frame pointer: the call site of the hook. */
/* clang-format off */
#define CALL_SITE                                                                                  \
	{ .pc = (uint64_t)(uintptr_t)__builtin_return_address(0),                                  \
	  .sp = (uint64_t)(uintptr_t)__builtin_dwarf_cfa(),                                        \
	  .fp = *(const uint64_t *)__builtin_frame_address(0) }
/* clang-format on */

/*
 * Walk from `from` on the stack of `e->thread`, the calling one, and write `e` with those frames;
 * e's frames, frames_count and end are filled in here.  False when the record was dropped, which
 * has been counted.
 */
bool stack_record(struct event *e, const struct call_site *from);

/* The same for two records of one stack, with one walk.  `other` may be NULL. */
void stack_record_both(struct event *e, struct event *other, const struct call_site *from);

/* The walk alone, into s->frames. */
struct unwind_result stack_unwind(struct thread *t, const struct call_site *from,
				  struct scratch *s);

/* The same, and a copy: stores at most `max` frames, returns how many. */
uint32_t stack_walk(struct thread *t, const struct call_site *from, uint64_t *ret_frames,
		    uint32_t max);

#endif
