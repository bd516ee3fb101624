/* SPDX-License-Identifier: Apache-2.0 */
#include "client/unwind.h"

#include <stddef.h>

#include "client/rule.h"

/* A walk's state.  reg[] beyond sp and fp is followed only by the slow walk. */
struct walk {
	const struct unwind_space *space;
	struct cfi_memory stack;
	uint64_t reg[ARCH_REGS];
	uint64_t pc;
	bool exact; /* pc is an interrupted instruction, not a return address */
	uint64_t skip_below;
	uint64_t *frames;
	uint32_t count;
	struct unwind_result *result;
};

enum step { STEP_ON, STEP_END, STEP_SLOW };

static enum step end(struct walk *w, enum ring_end why)
{
	w->result->end = why;
	return STEP_END;
}

/* The rule of one address: from the cache, else from the module's sections. */
static __attribute__((noinline)) uint64_t rule_of(struct walk *w, uint64_t pc, uint64_t *ret_bias)
{
	const struct unwind_space *space = w->space;
	struct unwind_module m;
	const struct rule_parts none = {.kind = RULE_NO_CFI};
	enum cfi_status status;
	uint64_t word = space->rules ? rule_get(space->rules, pc) : 0;

	if (word) {
		*ret_bias = space->biases[rule_module(word)];
		return word;
	}
	*ret_bias = 0;
	if (!space->find(space, pc, &m))
		return rule_pack(&none);
	*ret_bias = m.bias;
	word = rule_make(&m, pc, w->pc, space->work, &status);
	if (space->rules && status != CFI_LONG && m.number)
		rule_put(space->rules, pc, word);
	return word;
}

/* Add the frame at `pc`, which belongs to `module`.  False when there is no more room. */
static bool add_frame(struct walk *w, uint32_t module, uint64_t pc, uint64_t bias)
{
	if (w->reg[ARCH_SP] < w->skip_below)
		return true;
	if (w->count >= w->space->max_frames)
		return false;
	w->frames[w->count++] = ring_frame(module, module ? pc - bias : pc);
	return true;
}

/* Continue in the frame above: the stack pointer must rise, or a loop could be walked for ever. */
static enum step ascend(struct walk *w, uint64_t cfa, uint64_t pc, bool link)
{
	if (cfa < w->reg[ARCH_SP] || (cfa == w->reg[ARCH_SP] && !link))
		return end(w, RING_END_LOOP);
	w->reg[ARCH_SP] = cfa;
	w->pc = arch_code(pc);
	w->exact = false;
	return w->pc ? STEP_ON : end(w, RING_END_ROOT);
}

static uint64_t signal_register(const struct walk *w, size_t offset, bool *ok)
{
	uint64_t v = 0;

	*ok = *ok && cfi_load(&w->stack, w->reg[ARCH_SP] + ARCH_SIGNAL_CONTEXT + offset, &v);
	return v;
}

/* Leave a handler: all registers stand in the ucontext that the kernel pushed. */
static __attribute__((noinline)) enum step step_signal(struct walk *w)
{
	uint64_t reg[ARCH_REGS], pc;
	bool ok = true;

#if defined(__x86_64__)
	static const uint8_t from[ARCH_REGS] = {
	    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
	    REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
	};

	for (int i = 0; i < ARCH_REGS; i++)
		reg[i] =
		    signal_register(w, offsetof(ucontext_t, uc_mcontext.gregs) + 8u * from[i], &ok);
	pc = reg[ARCH_RA];
#else
	for (unsigned i = 0; i < 31; i++)
		reg[i] = signal_register(w, offsetof(ucontext_t, uc_mcontext.regs) + 8u * i, &ok);
	reg[ARCH_SP] = signal_register(w, offsetof(ucontext_t, uc_mcontext.sp), &ok);
	pc = signal_register(w, offsetof(ucontext_t, uc_mcontext.pc), &ok);
#endif
	if (!ok)
		return end(w, RING_END_BOUNDS);
	if (reg[ARCH_SP] >= w->stack.lo && reg[ARCH_SP] < w->stack.hi) {
		if (reg[ARCH_SP] <= w->reg[ARCH_SP])
			return end(w, RING_END_LOOP);
	} else if (reg[ARCH_SP] >= w->space->beyond.lo && reg[ARCH_SP] < w->space->beyond.hi &&
		   w->stack.lo != w->space->beyond.lo) {
		w->stack = w->space->beyond; /* off the alternate stack, once */
	} else {
		return end(w, RING_END_BOUNDS);
	}
	__builtin_memcpy(w->reg, reg, sizeof(reg));
	w->pc = arch_code(pc);
	w->exact = true;
	return w->pc ? STEP_ON : end(w, RING_END_ROOT);
}

/* Code without any module, as a JIT makes it: believe the frame pointer when it points up the
 * stack, since such code has nothing else. */
static enum step step_frame_pointer(struct walk *w)
{
	uint64_t fp = w->reg[ARCH_FP], pc, next;

	if (fp & 7 || fp < w->reg[ARCH_SP] || !cfi_load(&w->stack, fp + 8, &pc) ||
	    !cfi_load(&w->stack, fp, &next))
		return end(w, RING_END_NO_CFI);
	w->reg[ARCH_FP] = next;
	return ascend(w, fp + 16, pc, false);
}

static enum step step_packed(struct walk *w, uint64_t word)
{
	enum rule_kind kind = rule_kind(word);
	uint64_t cfa =
	    w->reg[kind == RULE_SP ? ARCH_SP : ARCH_FP] + (uint64_t)rule_cfa_offset(word);
	uint64_t fp = w->reg[ARCH_FP], pc = w->reg[ARCH_RA];
	int64_t offset = rule_fp_offset(word);
	bool ok = true;

	if (kind == RULE_FP_DEREF)
		ok = cfi_load(&w->stack, cfa, &cfa);
	switch (rule_fp(word)) {
	case FP_AT_CFA:
		ok = ok && cfi_load(&w->stack, cfa + (uint64_t)offset, &fp);
		break;
	case FP_AT_FP:
		ok = ok && cfi_load(&w->stack, w->reg[ARCH_FP] + (uint64_t)offset, &fp);
		break;
	case FP_UNDEFINED:
		fp = 0;
		break;
	default:
		break;
	}
	switch (rule_ra(word)) {
	case RA_PUSHED:
		ok = ok && cfi_load(&w->stack, cfa - 8, &pc);
		break;
	case RA_AFTER_FP:
		ok = ok && cfi_load(&w->stack, cfa + (uint64_t)offset + 8, &pc);
		break;
	case RA_AT_OFFSET:
		ok = ok && cfi_load(&w->stack, cfa + (uint64_t)offset, &pc);
		break;
	default: /* RA_LINK: still in its register, which only the leaf can say */
		ok = ok && w->exact;
	}
	if (!ok)
		return end(w, RING_END_BOUNDS);
	w->reg[ARCH_FP] = fp;
	return ascend(w, cfa, pc, rule_ra(word) == RA_LINK);
}

#if ARCH_CALL_PUSHES
/*
 * Frames of the two shapes that nearly all code has, with their rules at hand: the same as
 * step_packed, in a loop that keeps everything in registers.  Stops before the first frame that is
 * not such a one.
 */
static void run_plain(struct walk *w)
{
	const struct unwind_space *space = w->space;
	const struct cfi_memory stack = w->stack;
	uint64_t sp = w->reg[ARCH_SP], fp = w->reg[ARCH_FP], pc = w->pc, next_fp, next_pc;
	uint32_t count = w->count;

	while (count < space->max_frames) {
		uint64_t word = rule_get(space->rules, pc - 1), cfa;
		unsigned shape = rule_shape(word), kind = shape >> 4;

		/* FP_SAME or FP_AT_CFA, RA_PUSHED; RULE_SP or RULE_FP.  A miss has neither. */
		if (shape & 0xb || (kind != RULE_SP && kind != RULE_FP))
			break;
		cfa = (kind == RULE_SP ? sp : fp) + (uint64_t)rule_cfa_offset(word);
		next_fp = fp;
		if (rule_fp(word) == FP_AT_CFA &&
		    !cfi_load(&stack, cfa + (uint64_t)rule_fp_offset(word), &next_fp))
			break;
		if (cfa <= sp || !cfi_load(&stack, cfa - 8, &next_pc) || next_pc == 0)
			break;
		w->frames[count++] =
		    ring_frame(rule_module(word), pc - 1 - space->biases[rule_module(word)]);
		sp = cfa;
		fp = next_fp;
		pc = next_pc;
	}
	w->reg[ARCH_SP] = sp;
	w->reg[ARCH_FP] = fp;
	w->pc = pc;
	w->count = count;
}
#endif

static enum step step_fast(struct walk *w)
{
	uint64_t at = w->exact ? w->pc : w->pc - 1, bias, word = rule_of(w, at, &bias);

	if (w->count == 0 && w->exact)
		w->result->leaf_in_kernel = rule_after_syscall(word);
	/* Nobody called the code that returns from a signal: its address is exact. */
	if (rule_kind(word) == RULE_SIGNAL)
		at = w->pc;
	if (!add_frame(w, rule_module(word), at, bias))
		return end(w, RING_END_DEPTH);
	switch (rule_kind(word)) {
	case RULE_SP:
	case RULE_FP:
	case RULE_FP_DEREF:
		return step_packed(w, word);
	case RULE_SIGNAL:
		return step_signal(w);
	case RULE_ROOT:
		return end(w, RING_END_ROOT);
	case RULE_SLOW:
		return STEP_SLOW;
	case RULE_NO_CFI:
		return rule_module(word) ? end(w, RING_END_NO_CFI) : step_frame_pointer(w);
	default:
		return end(w, RING_END_BAD_CFI);
	}
}

/* What register `i` held in the caller. */
static bool recover(const struct walk *w, const struct unwind_module *m,
		    const struct cfi_rule *rule, unsigned i, uint64_t cfa, uint64_t *ret)
{
	uint64_t address;

	switch (rule->how) {
	case CFI_SAME:
		*ret = w->reg[i];
		return true;
	case CFI_UNDEFINED:
		*ret = 0;
		return true;
	case CFI_AT_CFA:
		return cfi_load(&w->stack, cfa + (uint64_t)(int64_t)rule->value, ret);
	case CFI_CFA_PLUS:
		*ret = cfa + (uint64_t)(int64_t)rule->value;
		return true;
	case CFI_REGISTER:
		if (rule->value < 0 || rule->value >= ARCH_REGS)
			return false;
		*ret = w->reg[rule->value];
		return true;
	case CFI_AT_EXPRESSION:
		return !cfi_evaluate(&m->section, rule->value, w->reg, w->pc, &w->stack, &cfa,
				     &address) &&
		       cfi_load(&w->stack, address, ret);
	default:
		return !cfi_evaluate(&m->section, rule->value, w->reg, w->pc, &w->stack, &cfa, ret);
	}
}

static enum step apply(struct walk *w, const struct unwind_module *m, const struct cfi_row *row)
{
	uint64_t reg[ARCH_REGS], cfa;

	if (row->cfa_expression) {
		if (cfi_evaluate(&m->section, row->cfa_offset, w->reg, w->pc, &w->stack, NULL,
				 &cfa))
			return end(w, RING_END_BAD_CFI);
	} else {
		cfa = w->reg[row->cfa_register] + (uint64_t)(int64_t)row->cfa_offset;
	}
	for (unsigned i = 0; i < ARCH_REGS; i++) {
		if (!recover(w, m, &row->reg[i], i, cfa, &reg[i])) {
			/* What is lost may not matter: only sp, fp and the return address must
			 * be. */
			if (i == ARCH_SP || i == ARCH_FP || i == row->return_register)
				return end(w, RING_END_BOUNDS);
			reg[i] = 0;
		}
	}
	cfa = reg[ARCH_SP];
	reg[ARCH_SP] = w->reg[ARCH_SP];
	__builtin_memcpy(w->reg, reg, sizeof(reg));
	return ascend(w, cfa, reg[row->return_register],
		      row->reg[row->return_register].how == CFI_SAME && w->exact);
}

static __attribute__((noinline)) enum step step_slow(struct walk *w)
{
	uint64_t at = w->exact ? w->pc : w->pc - 1;
	struct unwind_module m;
	const struct cfi_row *row = &w->space->work->row;
	enum cfi_status status;
	bool signal;

	if (!w->space->find(w->space, at, &m)) {
		if (!add_frame(w, 0, at, 0))
			return end(w, RING_END_DEPTH);
		return step_frame_pointer(w);
	}
	status = cfi_find(&m.section, at, w->space->work);
	signal = status == CFI_OK ? row->signal_frame
				  : status == CFI_NONE && rule_is_restorer(&m, w->pc);
	if (!add_frame(w, m.number, signal ? w->pc : at, m.bias))
		return end(w, RING_END_DEPTH);
	if (signal)
		return step_signal(w);
	if (status != CFI_OK)
		return end(w, status == CFI_NONE   ? RING_END_NO_CFI
			      : status == CFI_LONG ? RING_END_BUDGET
						   : RING_END_BAD_CFI);
	if (row->reg[row->return_register].how == CFI_UNDEFINED)
		return end(w, RING_END_ROOT);
	return apply(w, &m, row);
}

static void start(struct walk *w, const struct unwind_space *space, const uint64_t *reg,
		  uint64_t pc, bool caller)
{
	w->space = space;
	w->stack = space->stack;
	__builtin_memcpy(w->reg, reg, sizeof(w->reg));
	w->pc = arch_code(pc);
	w->exact = !caller;
	w->count = 0;
}

struct unwind_result unwind(const struct unwind_space *space, const uint64_t reg[ARCH_REGS],
			    uint64_t pc, bool caller, uint64_t skip_below, uint64_t *ret_frames)
{
	struct unwind_result result = {.end = RING_END_BUDGET};
	struct walk w = {.skip_below = skip_below, .frames = ret_frames, .result = &result};
	enum step s = STEP_ON;

	start(&w, space, reg, pc, caller);
	if (space->mode == UNWIND_SLOW)
		s = STEP_SLOW;
	while (s == STEP_ON) {
#if ARCH_CALL_PUSHES
		if (space->rules && !w.exact && !skip_below)
			run_plain(&w);
#endif
		s = step_fast(&w);
	}
	result.needs_registers = s == STEP_SLOW && space->mode == UNWIND_FAST;
	if (s == STEP_SLOW && space->mode != UNWIND_FAST) {
		result.all_registers = true;
		start(&w, space, reg, pc, caller);
		for (s = STEP_ON; s == STEP_ON;)
			s = step_slow(&w);
	}
	result.count = w.count;
	return result;
}

void unwind_forget(struct rule *rules)
{
	/* What was never written stays a page that takes no memory. */
	for (size_t i = 0; i < RULES; i++)
		if (__atomic_load_n(&rules[i].word, __ATOMIC_RELAXED))
			__atomic_store_n(&rules[i].word, 0, __ATOMIC_RELAXED);
}
