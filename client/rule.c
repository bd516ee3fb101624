/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rule.h"

static bool code_readable(const struct unwind_module *m, uint64_t pc, unsigned before,
			  unsigned after)
{
	return pc >= m->text_lo + before && pc <= m->text_hi && m->text_hi - pc >= after;
}

static const unsigned char *code_at(const struct unwind_module *m, uint64_t pc)
{
	return (const unsigned char *)(uintptr_t)(pc + m->section.memory.shift);
}

bool rule_is_restorer(const struct unwind_module *m, uint64_t pc)
{
	return code_readable(m, pc, 0, ARCH_RESTORER_BYTES) && arch_is_restorer(code_at(m, pc));
}

/*
 * A PLT entry's CFA is an expression of sp and pc.  pc is the cache's key, so at one pc it is
 * sp + constant: find the constant by two trials that may not read memory.
 */
static bool expression_is_sp_plus(const struct unwind_module *m, const struct cfi_row *row,
				  uint64_t pc, int64_t *ret_offset)
{
	uint64_t reg[ARCH_REGS] = {0}, first, second;
	const uint64_t base = UINT64_C(1) << 40, step = 0x10008;

	reg[ARCH_SP] = base;
	if (cfi_evaluate(&m->section, row->cfa_offset, reg, pc, NULL, NULL, &first))
		return false;
	reg[ARCH_SP] = base + step;
	reg[ARCH_FP] = step;
	if (cfi_evaluate(&m->section, row->cfa_offset, reg, pc, NULL, NULL, &second))
		return false;
	*ret_offset = (int64_t)(first - base);
	return second - first == step;
}

/* DW_OP_breg(fp) N [DW_OP_deref], the whole expression. */
static bool expression_is_fp(const struct unwind_module *m, int32_t offset, bool deref,
			     int64_t *ret_offset)
{
	const struct cfi_memory *memory = &m->section.memory;
	uint64_t at = memory->lo + (uint64_t)(int64_t)offset;
	unsigned want = deref ? 3 : 2;
	unsigned char p[4] = {0};

	if (at >= memory->hi || memory->hi - at < want + 1)
		return false;
	__builtin_memcpy(p, (const void *)(uintptr_t)(at + memory->shift), want + 1);
	if (p[0] != want || p[1] != 0x70 + ARCH_FP || p[2] & 0x80 || (deref && p[3] != 0x06))
		return false;
	*ret_offset = p[2] & 0x40 ? (int64_t)p[2] - 0x80 : p[2];
	return true;
}

static bool pack_cfa(const struct unwind_module *m, const struct cfi_row *row, uint64_t pc,
		     struct rule_parts *p, int64_t *ret_offset)
{
	*ret_offset = row->cfa_offset;
	if (row->cfa_expression) {
		p->kind = RULE_SP;
		if (expression_is_sp_plus(m, row, pc, ret_offset))
			return true;
		p->kind = RULE_FP_DEREF;
		return expression_is_fp(m, row->cfa_offset, true, ret_offset);
	}
	p->kind = row->cfa_register == ARCH_SP ? RULE_SP : RULE_FP;
	return row->cfa_register == ARCH_SP || row->cfa_register == ARCH_FP;
}

static bool pack_fp(const struct unwind_module *m, const struct cfi_row *row, struct rule_parts *p,
		    int64_t *ret_offset)
{
	const struct cfi_rule *fp = &row->reg[ARCH_FP];

	*ret_offset = 0;
	switch (fp->how) {
	case CFI_SAME:
		p->fp = FP_SAME;
		return true;
	case CFI_UNDEFINED:
		p->fp = FP_UNDEFINED;
		return true;
	case CFI_AT_CFA:
		p->fp = FP_AT_CFA;
		*ret_offset = fp->value;
		return true;
	case CFI_AT_EXPRESSION:
		p->fp = FP_AT_FP;
		return expression_is_fp(m, fp->value, false, ret_offset);
	default:
		return false;
	}
}

static bool pack_ra(const struct cfi_row *row, struct rule_parts *p, int64_t *fp_offset)
{
	const struct cfi_rule *ra = &row->reg[row->return_register];

	if (ARCH_CALL_PUSHES) {
		p->ra = RA_PUSHED;
		return ra->how == CFI_AT_CFA && ra->value == -8;
	}
	if (ra->how == CFI_SAME) {
		p->ra = RA_LINK;
		return true;
	}
	if (ra->how != CFI_AT_CFA)
		return false;
	p->ra = RA_AFTER_FP;
	if (p->fp == FP_AT_CFA)
		return ra->value == *fp_offset + 8;
	p->ra = RA_AT_OFFSET;
	*fp_offset = ra->value;
	return p->fp == FP_SAME;
}

static uint64_t of_row(const struct unwind_module *m, const struct cfi_row *row, uint64_t pc)
{
	struct rule_parts p = {.module = m->number};
	int64_t cfa = 0, fp = 0;

	if (row->signal_frame)
		p.kind = RULE_SIGNAL;
	else if (row->reg[row->return_register].how == CFI_UNDEFINED)
		p.kind = RULE_ROOT;
	else if (!pack_cfa(m, row, pc, &p, &cfa) || !pack_fp(m, row, &p, &fp) ||
		 !pack_ra(row, &p, &fp) || !rule_fits(fp, cfa))
		p = (struct rule_parts){.module = m->number, .kind = RULE_SLOW};
	else
		p.fp_offset = (int32_t)fp, p.cfa_offset = (int32_t)cfa;
	return rule_pack(&p);
}

static uint64_t of_kind(uint32_t module, enum rule_kind kind)
{
	struct rule_parts p = {.module = module, .kind = kind};

	return rule_pack(&p);
}

uint64_t rule_make(const struct unwind_module *m, uint64_t at, uint64_t pc, struct cfi_work *work,
		   enum cfi_status *ret_status)
{
	enum cfi_status status = cfi_find(&m->section, at, work);
	struct rule_parts syscall = {.after_syscall = code_readable(m, at, ARCH_SYSCALL_BYTES, 0) &&
						      arch_is_syscall(code_at(m, at))};

	*ret_status = status;
	if (status == CFI_OK)
		return of_row(m, &work->row, at) | rule_pack(&syscall);
	if (status != CFI_NONE)
		return of_kind(m->number, RULE_BAD_CFI);
	return of_kind(m->number, rule_is_restorer(m, pc) ? RULE_SIGNAL : RULE_NO_CFI) |
	       rule_pack(&syscall);
}
