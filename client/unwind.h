/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/unwind.h - walks a stack by call frame information.
 *
 * Private to client/.  Async-signal-safe, without a fault handler: the stack is read only inside
 * bounds that are known to be readable, and rules only inside a module's own segment.  Most frames
 * need two registers and come from a cache of packed rules; a stack that needs more is walked again
 * with all registers.  Where modules and the stack's bytes come from is the caller's business, so
 * that the tests walk copies of other processes with the same code.
 */
#ifndef CLIENT_UNWIND_H
#define CLIENT_UNWIND_H

#include "client/cfi.h"
#include "client/ring.h"

struct unwind_module {
	struct cfi_section section;
	uint64_t text_lo, text_hi; /* readable code, at text + section.memory.shift */
	uint64_t bias;
	uint32_t number; /* as ring_frame() wants it: place in the table + 1, 0: none */
};

/* Packed rules by pc.  Any thread, any handler reads and writes without a lock: an entry's two
 * words are checked against each other, and a torn one is a miss. */
#define RULES 8192
struct rule {
	uint64_t key, word;
};

enum unwind_mode {
	UNWIND_EITHER,
	UNWIND_FAST, /* only sp and fp are known: stop where more is needed */
	UNWIND_SLOW  /* all registers from the first frame on */
};

struct unwind_space {
	/* Find the module at pc: false when there is none. */
	bool (*find)(const struct unwind_space *space, uint64_t pc, struct unwind_module *ret);
	const uint64_t *biases;   /* by module number; used for cached rules */
	struct rule *rules;       /* RULES of them, or NULL */
	struct cfi_memory stack;  /* what the interrupted stack pointer is in */
	struct cfi_memory beyond; /* a signal frame may lead here: the thread's own stack */
	struct cfi_work *work;
	void *arg; /* for find */
	uint32_t max_frames;
	enum unwind_mode mode;
};

struct unwind_result {
	uint32_t count;
	enum ring_end end;
	bool leaf_in_kernel;  /* the leaf's last instruction enters the kernel */
	bool all_registers;   /* the slow walk was needed */
	bool needs_registers; /* fast_only, and it was needed: the frames are not complete */
};

/*
 * Walk from `reg` and `pc` and store frames (ring_frame) leaf first.  `caller`: pc is a return
 * address, not an interrupted instruction.  Frames below `skip_below` (a stack pointer; 0: none)
 * are left out.
 */
struct unwind_result unwind(const struct unwind_space *space, const uint64_t reg[ARCH_REGS],
			    uint64_t pc, bool caller, uint64_t skip_below, uint64_t *ret_frames);

/* Forget every packed rule: a module went away. */
void unwind_forget(struct rule *rules);

#endif
