/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cfi.h - finds and interprets the call frame information of one module, in place.
 *
 * Private to client/.  Hides .eh_frame_hdr, CIEs, FDEs and DWARF expressions.  Pure and
 * async-signal-safe: it reads only what a struct cfi_memory says is readable, checks every read,
 * and takes no more than a fixed number of steps.  An address is always the program's; where the
 * bytes really are is address + shift, so that the same code reads a copy in a test.
 */
#ifndef CLIENT_CFI_H
#define CLIENT_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/arch.h"

/* Readable bytes: addresses [lo, hi), found at address + shift. */
struct cfi_memory {
	uint64_t lo, hi, shift;
};

/* The sections of one module: one readable range around .eh_frame_hdr and .eh_frame. */
struct cfi_section {
	struct cfi_memory memory;
	uint64_t header; /* address of .eh_frame_hdr; 0: the module has none */
};

enum cfi_how {
	CFI_SAME,
	CFI_UNDEFINED,
	CFI_AT_CFA,        /* stored at CFA + value */
	CFI_CFA_PLUS,      /* is CFA + value */
	CFI_REGISTER,      /* is register `value` */
	CFI_AT_EXPRESSION, /* stored where the expression says; value: offset from memory.lo */
	CFI_EXPRESSION     /* is what the expression says */
};

struct cfi_rule {
	int32_t value;
	uint8_t how;
};

/* How to leave a function at one pc. */
struct cfi_row {
	struct cfi_rule reg[ARCH_REGS];
	int32_t cfa_offset; /* from cfa_register, or of the expression from memory.lo */
	uint8_t cfa_register;
	bool cfa_expression;
	uint8_t return_register;
	bool signal_frame;
};

enum cfi_status {
	CFI_OK,
	CFI_NONE, /* no rules for this pc */
	CFI_BAD,  /* rules that are malformed, or that we do not follow */
	CFI_LONG  /* too many steps */
};

#define CFI_REMEMBERED 6 /* depth of DW_CFA_remember_state */
#define CFI_STEPS 2000
#define CFI_EXPRESSION_STEPS 128

/* Room that a run needs, kept off the stack, which may be a small one. */
struct cfi_work {
	struct cfi_row remembered[CFI_REMEMBERED];
	struct cfi_row initial; /* after the CIE's instructions */
	struct cfi_row row;     /* the result */
};

/* Find the row for `pc` and leave it in work->row. */
enum cfi_status cfi_find(const struct cfi_section *section, uint64_t pc, struct cfi_work *work);

/*
 * Evaluate the expression at section->memory.lo + `offset` (its ULEB128 length first) over `reg`
 * and `pc`, with `initial` on the stack when that is not NULL.  Memory is read from `stack`
 * (NULL: none, a load fails).
 */
enum cfi_status cfi_evaluate(const struct cfi_section *section, int32_t offset,
			     const uint64_t reg[ARCH_REGS], uint64_t pc,
			     const struct cfi_memory *stack, const uint64_t *initial,
			     uint64_t *ret_value);

/* Read eight bytes; false when they are not all readable. */
static inline bool cfi_load(const struct cfi_memory *m, uint64_t address, uint64_t *ret)
{
	if (address < m->lo || address >= m->hi || m->hi - address < sizeof(*ret))
		return false;
	__builtin_memcpy(ret, (const void *)(uintptr_t)(address + m->shift), sizeof(*ret));
	return true;
}

#endif
