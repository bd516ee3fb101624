/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/expression.c - DWARF expressions, as far as call frame information uses them: PLT entries,
 * signal frames, functions that realign their stack.
 */
#include "client/cursor.h"

#define DEPTH 16

enum {
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08, /* ..0x0f: 1u 1s 2u 2s 4u 4s 8u 8s */
	OP_CONST8S = 0x0f,
	OP_CONSTU = 0x10,
	OP_CONSTS = 0x11,
	OP_DUP = 0x12,
	OP_DROP = 0x13,
	OP_OVER = 0x14,
	OP_PICK = 0x15,
	OP_SWAP = 0x16,
	OP_ROT = 0x17,
	OP_ABS = 0x19,
	OP_AND = 0x1a,
	OP_DIV = 0x1b,
	OP_MINUS = 0x1c,
	OP_MOD = 0x1d,
	OP_MUL = 0x1e,
	OP_NEG = 0x1f,
	OP_NOT = 0x20,
	OP_OR = 0x21,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_SHR = 0x25,
	OP_SHRA = 0x26,
	OP_XOR = 0x27,
	OP_BRA = 0x28,
	OP_EQ = 0x29,
	OP_GE = 0x2a,
	OP_GT = 0x2b,
	OP_LE = 0x2c,
	OP_LT = 0x2d,
	OP_NE = 0x2e,
	OP_SKIP = 0x2f,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
	OP_BREGX = 0x92,
	OP_DEREF_SIZE = 0x94,
	OP_NOP = 0x96
};

struct evaluation {
	struct cursor c;
	uint64_t begin;
	uint64_t value[DEPTH];
	unsigned depth;
	bool bad;
	const uint64_t *reg;
	uint64_t pc;
	const struct cfi_memory *memory;
};

static void push(struct evaluation *e, uint64_t v)
{
	if (e->depth == DEPTH)
		e->bad = true;
	else
		e->value[e->depth++] = v;
}

static uint64_t pop(struct evaluation *e)
{
	if (e->depth == 0) {
		e->bad = true;
		return 0;
	}
	return e->value[--e->depth];
}

static void pick(struct evaluation *e, unsigned from_top)
{
	if (from_top >= e->depth)
		e->bad = true;
	else
		push(e, e->value[e->depth - 1 - from_top]);
}

static void push_register(struct evaluation *e, uint64_t reg)
{
	int64_t offset = cursor_sleb(&e->c);

	if (reg >= ARCH_REGS) {
		e->bad = true;
		return;
	}
	push(e, (reg == ARCH_RA && ARCH_CALL_PUSHES ? e->pc : e->reg[reg]) + (uint64_t)offset);
}

static void dereference(struct evaluation *e, unsigned bytes)
{
	uint64_t address = pop(e), v = 0;
	const struct cfi_memory *m = e->memory;

	if (bytes < 1 || bytes > 8 || !m || address < m->lo || address >= m->hi ||
	    m->hi - address < bytes) {
		e->bad = true;
		return;
	}
	__builtin_memcpy(&v, (const void *)(uintptr_t)(address + m->shift), bytes);
	push(e, v);
}

static void jump(struct evaluation *e, bool taken)
{
	uint64_t by = cursor_signed(&e->c, 2), to = e->c.at + by;

	if (!taken)
		return;
	if (to < e->begin || to > e->c.end)
		e->bad = true;
	else
		e->c.at = to;
}

static void arrange(struct evaluation *e, uint8_t op)
{
	uint64_t a, b, c;

	switch (op) {
	case OP_DUP:
		pick(e, 0);
		break;
	case OP_DROP:
		(void)pop(e);
		break;
	case OP_OVER:
		pick(e, 1);
		break;
	case OP_PICK:
		pick(e, cursor_u8(&e->c));
		break;
	case OP_SWAP:
		a = pop(e);
		b = pop(e);
		push(e, a);
		push(e, b);
		break;
	default: /* OP_ROT */
		a = pop(e);
		b = pop(e);
		c = pop(e);
		push(e, a);
		push(e, c);
		push(e, b);
	}
}

static uint64_t compare(uint8_t op, int64_t a, int64_t b)
{
	switch (op) {
	case OP_EQ:
		return a == b;
	case OP_GE:
		return a >= b;
	case OP_GT:
		return a > b;
	case OP_LE:
		return a <= b;
	case OP_LT:
		return a < b;
	default:
		return a != b;
	}
}

static void binary(struct evaluation *e, uint8_t op)
{
	uint64_t b = pop(e), a = pop(e), shift = b < 64 ? b : 63;

	if ((op == OP_DIV || op == OP_MOD) && b == 0) {
		e->bad = true;
		return;
	}
	switch (op) {
	case OP_AND:
		a &= b;
		break;
	case OP_OR:
		a |= b;
		break;
	case OP_XOR:
		a ^= b;
		break;
	case OP_PLUS:
		a += b;
		break;
	case OP_MINUS:
		a -= b;
		break;
	case OP_MUL:
		a *= b;
		break;
	case OP_DIV: /* signed; the one overflow wraps */
		a = b == UINT64_MAX ? -a : (uint64_t)((int64_t)a / (int64_t)b);
		break;
	case OP_MOD:
		a %= b;
		break;
	case OP_SHL:
		a = b < 64 ? a << shift : 0;
		break;
	case OP_SHR:
		a = b < 64 ? a >> shift : 0;
		break;
	case OP_SHRA:
		a = (uint64_t)((int64_t)a >> shift);
		break;
	default:
		a = compare(op, (int64_t)a, (int64_t)b);
	}
	push(e, a);
}

static void constant(struct evaluation *e, uint8_t op)
{
	unsigned bytes = 1u << ((op - OP_CONST1U) / 2);

	push(e,
	     (op - OP_CONST1U) & 1 ? cursor_signed(&e->c, bytes) : cursor_unsigned(&e->c, bytes));
}

static void operate(struct evaluation *e, uint8_t op)
{
	uint64_t v;

	switch (op) {
	case OP_DEREF:
		dereference(e, 8);
		break;
	case OP_DEREF_SIZE:
		dereference(e, cursor_u8(&e->c));
		break;
	case OP_CONSTU:
		push(e, cursor_uleb(&e->c));
		break;
	case OP_CONSTS:
		push(e, (uint64_t)cursor_sleb(&e->c));
		break;
	case OP_ABS:
		v = pop(e);
		push(e, (int64_t)v < 0 ? -v : v);
		break;
	case OP_NEG:
		push(e, -pop(e));
		break;
	case OP_NOT:
		push(e, ~pop(e));
		break;
	case OP_PLUS_UCONST:
		v = pop(e);
		push(e, v + cursor_uleb(&e->c));
		break;
	case OP_BRA:
		jump(e, pop(e) != 0);
		break;
	case OP_SKIP:
		jump(e, true);
		break;
	case OP_BREGX:
		push_register(e, cursor_uleb(&e->c));
		break;
	case OP_NOP:
		break;
	default:
		e->bad = true;
	}
}

static void execute(struct evaluation *e, uint8_t op)
{
	if (op >= OP_LIT0 && op <= OP_LIT31)
		push(e, op - OP_LIT0);
	else if (op >= OP_BREG0 && op <= OP_BREG31)
		push_register(e, op - OP_BREG0);
	else if (op >= OP_CONST1U && op <= OP_CONST8S)
		constant(e, op);
	else if (op >= OP_DUP && op <= OP_ROT)
		arrange(e, op);
	else if ((op >= OP_AND && op <= OP_MUL) || op == OP_OR || op == OP_PLUS ||
		 (op >= OP_SHL && op <= OP_XOR) || (op >= OP_EQ && op <= OP_NE))
		binary(e, op);
	else
		operate(e, op);
}

enum cfi_status cfi_evaluate(const struct cfi_section *section, int32_t offset,
			     const uint64_t reg[ARCH_REGS], uint64_t pc,
			     const struct cfi_memory *stack, const uint64_t *initial,
			     uint64_t *ret_value)
{
	struct evaluation e = {.reg = reg, .pc = pc, .memory = stack};
	uint64_t length;

	e.c = cursor_at(&section->memory, section->memory.lo + (uint64_t)(int64_t)offset);
	length = cursor_uleb(&e.c);
	if (e.c.bad || length > e.c.end - e.c.at)
		return CFI_BAD;
	e.begin = e.c.at;
	e.c.end = e.c.at + length;
	if (initial)
		push(&e, *initial);
	for (unsigned steps = 0; e.c.at < e.c.end; steps++) {
		if (steps == CFI_EXPRESSION_STEPS)
			return CFI_LONG;
		execute(&e, cursor_u8(&e.c));
		if (e.bad || e.c.bad)
			return CFI_BAD;
	}
	*ret_value = pop(&e);
	return e.bad ? CFI_BAD : CFI_OK;
}
