/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/rule.h - how to leave a function, packed into one word.
 *
 * Private to unwind.c and its tests.  from the upper bit:
 * module 12, kind 4, fp 2, ra 2, fp_offset 12, unused 11, after_syscall 1, cfa_offset 20.
 * Offsets are in units of 8 bytes, signed.
 */
#ifndef CLIENT_RULE_H
#define CLIENT_RULE_H

#include "client/unwind.h"

enum rule_kind {
	RULE_NONE,     /* an empty entry */
	RULE_SP,       /* CFA = sp + offset */
	RULE_FP,       /* CFA = fp + offset */
	RULE_FP_DEREF, /* CFA = *(fp + offset): a realigned stack */
	RULE_SIGNAL,   /* a signal frame */
	RULE_ROOT,     /* the first frame of a thread */
	RULE_SLOW,     /* needs all registers */
	RULE_NO_CFI,
	RULE_BAD_CFI
};

enum rule_fp { FP_SAME, FP_AT_CFA, FP_AT_FP, FP_UNDEFINED };
enum rule_ra { RA_PUSHED, RA_LINK, RA_AFTER_FP, RA_AT_OFFSET };

struct rule_parts {
	uint32_t module;
	enum rule_kind kind;
	enum rule_fp fp;
	enum rule_ra ra;
	bool after_syscall;            /* the instruction before enters the kernel */
	int32_t fp_offset, cfa_offset; /* bytes */
};

static inline uint64_t rule_pack(const struct rule_parts *p)
{
	return (uint64_t)p->module << 52 | (uint64_t)p->kind << 48 | (uint64_t)p->fp << 46 |
	       (uint64_t)p->ra << 44 | ((uint64_t)(p->fp_offset / 8) & 0xfff) << 32 |
	       (uint64_t)p->after_syscall << 20 | ((uint64_t)(p->cfa_offset / 8) & 0xfffff);
}

static inline uint32_t rule_module(uint64_t word)
{
	return (uint32_t)(word >> 52);
}

static inline enum rule_kind rule_kind(uint64_t word)
{
	return (enum rule_kind)(word >> 48 & 0xf);
}

static inline enum rule_fp rule_fp(uint64_t word)
{
	return (enum rule_fp)(word >> 46 & 3);
}

static inline enum rule_ra rule_ra(uint64_t word)
{
	return (enum rule_ra)(word >> 44 & 3);
}

static inline bool rule_after_syscall(uint64_t word)
{
	return word >> 20 & 1;
}

/* Kind, fp and ra of the word, to compare all three at once. */
#define RULE_SHAPE(kind, fp, ra) ((kind) << 4 | (fp) << 2 | (ra))
static inline unsigned rule_shape(uint64_t word)
{
	return (unsigned)(word >> 44 & 0xff);
}

static inline int64_t rule_fp_offset(uint64_t word)
{
	return ((int64_t)(word << 20) >> 52) * 8;
}

static inline int64_t rule_cfa_offset(uint64_t word)
{
	return ((int64_t)(word << 44) >> 44) * 8;
}

/* Whether offsets fit into the word. */
static inline bool rule_fits(int64_t fp_offset, int64_t cfa_offset)
{
	return !(fp_offset & 7) && !(cfa_offset & 7) && fp_offset >= -2048 * 8 &&
	       fp_offset < 2048 * 8 && cfa_offset >= -524288 * 8 && cfa_offset < 524288 * 8;
}

/*
 * The rule for the code at `at` of a module; `pc` is the frame's own address, which differs by one
 * in a caller.  *ret_status says how the module's rules were found; after CFI_LONG the word is not
 * to be kept.
 */
uint64_t rule_make(const struct unwind_module *m, uint64_t at, uint64_t pc, struct cfi_work *work,
		   enum cfi_status *ret_status);

/* Whether the code at `pc` returns from a signal handler, told by its bytes. */
bool rule_is_restorer(const struct unwind_module *m, uint64_t pc);

static inline size_t rule_place(uint64_t pc)
{
	return (pc * UINT64_C(0x9e3779b97f4a7c15)) >> 51; /* 13 bits: RULES */
}

#define RULE_MIX UINT64_C(0xff51afd7ed558ccd)

/* The word of pc, 0 when it is not there. */
static inline uint64_t rule_get(const struct rule *rules, uint64_t pc)
{
	const struct rule *r = &rules[rule_place(pc)];
	/* and its module's bias with it */
	uint64_t word = __atomic_load_n(&r->word, __ATOMIC_ACQUIRE);
	uint64_t key = __atomic_load_n(&r->key, __ATOMIC_RELAXED);

	return (key ^ word * RULE_MIX) == pc ? word : 0;
}

static inline void rule_put(struct rule *rules, uint64_t pc, uint64_t word)
{
	struct rule *r = &rules[rule_place(pc)];

	__atomic_store_n(&r->key, pc ^ word * RULE_MIX, __ATOMIC_RELAXED);
	__atomic_store_n(&r->word, word, __ATOMIC_RELEASE);
}

#endif
