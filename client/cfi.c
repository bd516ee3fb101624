/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cfi.h"

#include "client/cursor.h"
#include "client/record.h"

enum {
	OP_ADVANCE_LOC = 1, /* in the upper two bits */
	OP_OFFSET = 2,
	OP_RESTORE = 3,

	OP_NOP = 0,
	OP_SET_LOC = 1,
	OP_ADVANCE_LOC1 = 2,
	OP_ADVANCE_LOC2 = 3,
	OP_ADVANCE_LOC4 = 4,
	OP_OFFSET_EXTENDED = 5,
	OP_RESTORE_EXTENDED = 6,
	OP_UNDEFINED = 7,
	OP_SAME_VALUE = 8,
	OP_REGISTER = 9,
	OP_REMEMBER_STATE = 10,
	OP_RESTORE_STATE = 11,
	OP_DEF_CFA = 12,
	OP_DEF_CFA_REGISTER = 13,
	OP_DEF_CFA_OFFSET = 14,
	OP_DEF_CFA_EXPRESSION = 15,
	OP_EXPRESSION = 16,
	OP_OFFSET_EXTENDED_SF = 17,
	OP_DEF_CFA_SF = 18,
	OP_DEF_CFA_OFFSET_SF = 19,
	OP_VAL_OFFSET = 20,
	OP_VAL_OFFSET_SF = 21,
	OP_VAL_EXPRESSION = 22,
	OP_NEGATE_RA_STATE = 0x2d, /* aarch64: the address is signed; arch_code() takes that off */
	OP_GNU_ARGS_SIZE = 0x2e
};

/* The state of one run over instructions. */
struct machine {
	struct cursor c;
	const struct cfi_section *section;
	const struct cie *cie;
	struct cfi_row *row;
	const struct cfi_row *initial; /* after the CIE's instructions; NULL while in them */
	struct cfi_row *remembered;
	unsigned depth;
	unsigned steps;
	uint64_t location;
};

/* A factored offset.  Malformed ones wrap; set_rule and set_cfa refuse what does not fit. */
static int64_t scaled(int64_t factor, int64_t align)
{
	return (int64_t)((uint64_t)factor * (uint64_t)align);
}

static void set_rule(struct machine *m, uint64_t reg, enum cfi_how how, int64_t value)
{
	/* Registers that no unwinding needs (vector registers, say) are not kept. */
	if (reg >= ARCH_REGS)
		return;
	if (value != (int32_t)value) {
		m->c.bad = true;
		return;
	}
	m->row->reg[reg] = (struct cfi_rule){(int32_t)value, (uint8_t)how};
}

static void set_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
	if (reg >= ARCH_REGS || offset != (int32_t)offset) {
		m->c.bad = true;
		return;
	}
	m->row->cfa_expression = false;
	m->row->cfa_register = (uint8_t)reg;
	m->row->cfa_offset = (int32_t)offset;
}

static void restore_rule(struct machine *m, uint64_t reg)
{
	if (reg < ARCH_REGS && m->initial)
		m->row->reg[reg] = m->initial->reg[reg];
}

/* Skip an expression and return where it began, as an offset that a rule can hold. */
static int64_t take_expression(struct machine *m)
{
	uint64_t at = m->c.at - m->section->memory.lo;

	cursor_skip(&m->c, cursor_uleb(&m->c));
	return (int64_t)at;
}

static void remember(struct machine *m, bool restore)
{
	if (restore ? m->depth == 0 : m->depth == CFI_REMEMBERED)
		m->c.bad = true;
	else if (restore)
		*m->row = m->remembered[--m->depth];
	else
		m->remembered[m->depth++] = *m->row;
}

static void step_cfa(struct machine *m, uint8_t op)
{
	struct cursor *c = &m->c;
	int64_t align = m->cie->data_align;
	uint64_t reg = m->row->cfa_register;

	switch (op) {
	case OP_DEF_CFA:
		reg = cursor_uleb(c);
		set_cfa(m, reg, (int64_t)cursor_uleb(c));
		break;
	case OP_DEF_CFA_SF:
		reg = cursor_uleb(c);
		set_cfa(m, reg, scaled(cursor_sleb(c), align));
		break;
	case OP_DEF_CFA_REGISTER:
		set_cfa(m, cursor_uleb(c), m->row->cfa_offset);
		break;
	case OP_DEF_CFA_OFFSET:
		set_cfa(m, reg, (int64_t)cursor_uleb(c));
		break;
	case OP_DEF_CFA_OFFSET_SF:
		set_cfa(m, reg, scaled(cursor_sleb(c), align));
		break;
	case OP_DEF_CFA_EXPRESSION:
		m->row->cfa_offset = (int32_t)take_expression(m);
		m->row->cfa_expression = true;
		break;
	default:
		c->bad = true;
	}
}

static void step_rule(struct machine *m, uint8_t op)
{
	struct cursor *c = &m->c;
	int64_t align = m->cie->data_align;
	uint64_t reg = cursor_uleb(c);

	switch (op) {
	case OP_OFFSET_EXTENDED:
		set_rule(m, reg, CFI_AT_CFA, scaled((int64_t)cursor_uleb(c), align));
		break;
	case OP_OFFSET_EXTENDED_SF:
		set_rule(m, reg, CFI_AT_CFA, scaled(cursor_sleb(c), align));
		break;
	case OP_VAL_OFFSET:
		set_rule(m, reg, CFI_CFA_PLUS, scaled((int64_t)cursor_uleb(c), align));
		break;
	case OP_VAL_OFFSET_SF:
		set_rule(m, reg, CFI_CFA_PLUS, scaled(cursor_sleb(c), align));
		break;
	case OP_RESTORE_EXTENDED:
		restore_rule(m, reg);
		break;
	case OP_UNDEFINED:
		set_rule(m, reg, CFI_UNDEFINED, 0);
		break;
	case OP_SAME_VALUE:
		set_rule(m, reg, CFI_SAME, 0);
		break;
	case OP_REGISTER:
		set_rule(m, reg, CFI_REGISTER, (int64_t)cursor_uleb(c));
		break;
	case OP_EXPRESSION:
		set_rule(m, reg, CFI_AT_EXPRESSION, take_expression(m));
		break;
	case OP_VAL_EXPRESSION:
		set_rule(m, reg, CFI_EXPRESSION, take_expression(m));
		break;
	default:
		c->bad = true;
	}
}

/* Read one instruction that has no operand in its opcode.  Returns how far it moves the
 * location. */
static uint64_t step_extended(struct machine *m, uint8_t op, uint64_t header)
{
	struct cursor *c = &m->c;

	switch (op) {
	case OP_NOP:
	case OP_NEGATE_RA_STATE:
		return 0;
	case OP_SET_LOC:
		return record_pointer(c, m->cie->encoding, header) - m->location;
	case OP_ADVANCE_LOC1:
		return cursor_unsigned(c, 1) * m->cie->code_align;
	case OP_ADVANCE_LOC2:
		return cursor_unsigned(c, 2) * m->cie->code_align;
	case OP_ADVANCE_LOC4:
		return cursor_unsigned(c, 4) * m->cie->code_align;
	case OP_REMEMBER_STATE:
	case OP_RESTORE_STATE:
		remember(m, op == OP_RESTORE_STATE);
		return 0;
	case OP_GNU_ARGS_SIZE:
		(void)cursor_uleb(c);
		return 0;
	case OP_DEF_CFA:
	case OP_DEF_CFA_REGISTER:
	case OP_DEF_CFA_OFFSET:
	case OP_DEF_CFA_EXPRESSION:
	case OP_DEF_CFA_SF:
	case OP_DEF_CFA_OFFSET_SF:
		step_cfa(m, op);
		return 0;
	default:
		step_rule(m, op);
		return 0;
	}
}

/* Run instructions until their end, or until the location passes `pc`. */
static enum cfi_status run(struct machine *m, uint64_t from, uint64_t to, uint64_t pc)
{
	m->c = (struct cursor){from, to, m->section->memory.shift, false};
	while (m->c.at < m->c.end && !m->c.bad) {
		uint8_t byte = cursor_u8(&m->c), low = byte & 0x3f;
		uint64_t moved = 0;

		if (++m->steps > CFI_STEPS)
			return CFI_LONG;
		switch (byte >> 6) {
		case OP_ADVANCE_LOC:
			moved = low * m->cie->code_align;
			break;
		case OP_OFFSET:
			set_rule(m, low, CFI_AT_CFA,
				 scaled((int64_t)cursor_uleb(&m->c), m->cie->data_align));
			break;
		case OP_RESTORE:
			restore_rule(m, low);
			break;
		default:
			moved = step_extended(m, low, m->section->header);
		}
		if (moved && m->location + moved > pc)
			break;
		m->location += moved;
	}
	return m->c.bad ? CFI_BAD : CFI_OK;
}

enum cfi_status cfi_find(const struct cfi_section *section, uint64_t pc, struct cfi_work *work)
{
	struct cie cie;
	struct fde fde;
	struct machine m = {
	    .section = section, .cie = &cie, .row = &work->row, .remembered = work->remembered};
	enum cfi_status status = record_find(section, pc, &cie, &fde);

	if (status != CFI_OK)
		return status;
	__builtin_memset(m.row, 0, sizeof(*m.row));
	m.row->return_register = (uint8_t)cie.return_register;
	m.row->signal_frame = cie.signal_frame;
	m.row->reg[ARCH_SP].how = CFI_CFA_PLUS;
	m.location = fde.start;
	status = run(&m, cie.instructions, cie.end, UINT64_MAX);
	if (status != CFI_OK)
		return status;
	work->initial = work->row;
	m.initial = &work->initial;
	m.location = fde.start;
	return run(&m, fde.instructions, fde.end, pc);
}
