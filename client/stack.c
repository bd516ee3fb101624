/* SPDX-License-Identifier: Apache-2.0 */
#include "client/stack.h"

#include <string.h>

#include "client/source.h"
#include "client/thread.h"
#include "client/write.h"

/* Two registers are enough for nearly all code; when they are not, walk again from here, where all
 * are known, and leave our own frames out. */
static __attribute__((noinline)) struct unwind_result
walk(struct thread *t, const struct call_site *from, struct scratch *s)
{
	uint64_t reg[ARCH_REGS] = {0}, pc;
	struct unwind_space space;
	struct unwind_result r;

	source_space(&space, s);
	space.stack = thread_stack(t, from->sp);
	space.beyond = (struct cfi_memory){t->stack_lo, t->stack_hi, 0};
	reg[ARCH_SP] = from->sp;
	reg[ARCH_FP] = from->fp;
	space.mode = UNWIND_FAST;
	r = unwind(&space, reg, from->pc, true, 0, s->frames);
	if (!r.needs_registers)
		return r;
	ARCH_CAPTURE(reg, pc);
	if (space.stack.lo > reg[ARCH_SP])
		space.stack.lo = reg[ARCH_SP];
	space.mode = UNWIND_EITHER;
	return unwind(&space, reg, pc, false, from->sp, s->frames);
}

struct unwind_result stack_unwind(struct thread *t, const struct call_site *from, struct scratch *s)
{
	struct unwind_result r = walk(t, from, s);

	add(&session.counters->ends[r.end], 1);
	return r;
}

static bool write_walked(struct event *e, const struct scratch *s, const struct unwind_result *r)
{
	e->end = (uint8_t)r->end;
	e->frames = s->frames;
	e->frames_count = (uint16_t)r->count;
	return event_write(e);
}

static bool record(struct event *e, struct event *other, const struct call_site *from)
{
	struct scratch *s = scratch_take();
	struct unwind_result r;
	bool written;

	if (!s) {
		drop(e->dimension, RING_DROP_NESTED);
		if (other)
			drop(other->dimension, RING_DROP_NESTED);
		return false;
	}
	/* Only the calling thread's own state is looked at, which it may change. */
	r = stack_unwind((struct thread *)(uintptr_t)e->thread, from, s);
	written = write_walked(e, s, &r);
	if (other)
		(void)write_walked(other, s, &r);
	scratch_give(s);
	return written;
}

bool stack_record(struct event *e, const struct call_site *from)
{
	return record(e, NULL, from);
}

void stack_record_both(struct event *e, struct event *other, const struct call_site *from)
{
	(void)record(e, other, from);
}

uint32_t stack_walk(struct thread *t, const struct call_site *from, uint64_t *ret_frames,
		    uint32_t max)
{
	struct scratch *s = scratch_take();
	struct unwind_result r;

	if (!s)
		return 0;
	r = stack_unwind(t, from, s);
	if (r.count > max)
		r.count = max;
	memcpy(ret_frames, s->frames, r.count * sizeof(*ret_frames));
	scratch_give(s);
	return r.count;
}
