/* SPDX-License-Identifier: Apache-2.0 */
/* Call frame information built by hand: what it says, and what is refused. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "client/cfi.h"
#include "client/rule.h"

#define BASE UINT64_C(0x400000) /* where the sections pretend to be */
#define CODE UINT64_C(0x401000)

/* An .eh_frame_hdr with one entry, one CIE, one FDE. */
struct sections {
	unsigned char bytes[1024];
	size_t used, instructions;
	struct cfi_section section;
};

static void bytes(struct sections *s, const void *p, size_t n)
{
	memcpy(s->bytes + s->used, p, n);
	s->used += n;
}

static void u32(struct sections *s, uint32_t v)
{
	bytes(s, &v, sizeof(v));
}

static void patch(struct sections *s, size_t at, uint32_t v)
{
	memcpy(s->bytes + at, &v, sizeof(v));
}

/* The function is CODE .. CODE + 256; `program` are the FDE's instructions. */
static struct sections *build(const char *augmentation, const unsigned char *program, size_t length)
{
	static const unsigned char header[] = {1, 0xff, 0x03, 0x3b};
	/* cfa = rsp+8, ra at cfa-8 */
	static const unsigned char initial[] = {0x0c, 7, 8, 0x90, 1};
	struct sections *s = calloc(1, sizeof(*s));
	size_t cie, fde;

	assert_non_null(s);
	bytes(s, header, sizeof(header));
	u32(s, 1);
	u32(s, (uint32_t)(CODE - BASE));
	u32(s, 0);
	cie = s->used;
	u32(s, 0);
	u32(s, 0);
	bytes(s, "\1", 1);
	bytes(s, augmentation, strlen(augmentation) + 1);
	bytes(s, "\1\x78\x10", 3); /* code 1, data -8, return address in 16 */
	if (augmentation[0] == 'z')
		bytes(s, "\1\x1b", 2); /* pcrel sdata4 */
	bytes(s, initial, sizeof(initial));
	while ((s->used - cie) % 4)
		bytes(s, "", 1);
	patch(s, cie, (uint32_t)(s->used - cie - 4));
	fde = s->used;
	patch(s, 12, (uint32_t)fde);
	u32(s, 0);
	u32(s, (uint32_t)(s->used - cie));
	u32(s, (uint32_t)(CODE - (BASE + s->used)));
	u32(s, 256);
	bytes(s, "", 1); /* no augmentation data */
	s->instructions = s->used;
	bytes(s, program, length);
	while ((s->used - fde) % 4)
		bytes(s, "", 1);
	patch(s, fde, (uint32_t)(s->used - fde - 4));
	s->section = (struct cfi_section){
	    {BASE, BASE + s->used, (uint64_t)(uintptr_t)s->bytes - BASE}, BASE};
	return s;
}

static enum cfi_status look(struct sections *s, uint64_t pc, struct cfi_row *row)
{
	static struct cfi_work work;
	enum cfi_status status = cfi_find(&s->section, pc, &work);

	*row = work.row;
	return status;
}

#define BUILD(...)                                                                                 \
	build("zR", (const unsigned char[]){__VA_ARGS__},                                          \
	      sizeof((const unsigned char[]){__VA_ARGS__}))

static void test_push_and_frame_pointer(void **state)
{
	/* +1: push rbp; +4: mov rsp, rbp; +40: pop */
	struct sections *s =
	    BUILD(0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 36, 0x0c, 7, 8, 0xc6);
	struct cfi_row row;

	(void)state;
	assert_int_equal(look(s, CODE, &row), CFI_OK);
	assert_int_equal(row.cfa_register, ARCH_SP);
	assert_int_equal(row.cfa_offset, 8);
	assert_int_equal(row.reg[ARCH_FP].how, CFI_SAME);
	assert_int_equal(row.reg[ARCH_RA].how, CFI_AT_CFA);
	assert_int_equal(row.reg[ARCH_RA].value, -8);
	assert_int_equal(look(s, CODE + 1, &row), CFI_OK);
	assert_int_equal(row.cfa_offset, 16);
	assert_int_equal(row.reg[ARCH_FP].value, -16);
	assert_int_equal(look(s, CODE + 4, &row), CFI_OK);
	assert_int_equal(row.cfa_register, ARCH_FP);
	assert_int_equal(look(s, CODE + 40, &row), CFI_OK);
	assert_int_equal(row.cfa_register, ARCH_SP);
	assert_int_equal(row.reg[ARCH_FP].how, CFI_SAME);
	assert_int_equal(look(s, CODE + 255, &row), CFI_OK);
	assert_int_equal(look(s, CODE + 256, &row), CFI_NONE);
	assert_int_equal(look(s, CODE - 1, &row), CFI_NONE);
	free(s);
}

static void test_remember_and_restore(void **state)
{
	struct sections *s = BUILD(0x0e, 48, 0x41, 0x0a, 0x0e, 8, 0x41, 0x0b);
	struct sections *unbalanced = BUILD(0x0b),
			*deep = BUILD(0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a);
	struct cfi_row row;

	(void)state;
	assert_int_equal(look(s, CODE + 1, &row), CFI_OK);
	assert_int_equal(row.cfa_offset, 8);
	assert_int_equal(look(s, CODE + 2, &row), CFI_OK);
	assert_int_equal(row.cfa_offset, 48);
	assert_int_equal(look(unbalanced, CODE, &row), CFI_BAD);
	assert_int_equal(look(deep, CODE, &row), CFI_BAD);
	free(s);
	free(unbalanced);
	free(deep);
}

static void test_undefined_return_address(void **state)
{
	struct sections *s = BUILD(0x07, 16);
	struct cfi_row row;

	(void)state;
	assert_int_equal(look(s, CODE, &row), CFI_OK);
	assert_int_equal(row.reg[ARCH_RA].how, CFI_UNDEFINED);
	free(s);
}

static void test_plt_expression(void **state)
{
	/* rsp + 8 + ((rip & 15) >= 11) << 3 */
	struct sections *s =
	    BUILD(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22);
	uint64_t reg[ARCH_REGS] = {0}, v;
	struct cfi_row row;

	(void)state;
	reg[ARCH_SP] = 1000;
	assert_int_equal(look(s, CODE, &row), CFI_OK);
	assert_true(row.cfa_expression);
	assert_int_equal(cfi_evaluate(&s->section, row.cfa_offset, reg, 0x1006, NULL, NULL, &v),
			 CFI_OK);
	assert_int_equal(v, 1008);
	assert_int_equal(cfi_evaluate(&s->section, row.cfa_offset, reg, 0x100b, NULL, NULL, &v),
			 CFI_OK);
	assert_int_equal(v, 1016);
	free(s);
}

static enum cfi_status evaluate(const unsigned char *program, uint8_t length, uint64_t *ret)
{
	uint64_t reg[ARCH_REGS] = {0}, word = 0x1122334455667788, cfa = 7;
	unsigned char with_length[64] = {length};
	struct cfi_section s = {{BASE, BASE + length + 1u, (uint64_t)(uintptr_t)with_length - BASE},
				BASE};
	struct cfi_memory stack = {0x1000, 0x1008, (uint64_t)(uintptr_t)&word - 0x1000};

	memcpy(with_length + 1, program, length);
	return cfi_evaluate(&s, 0, reg, CODE, &stack, &cfa, ret);
}

#define EVALUATE(ret, ...)                                                                         \
	evaluate((const unsigned char[]){__VA_ARGS__},                                             \
		 sizeof((const unsigned char[]){__VA_ARGS__}), ret)

static void test_expressions(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(EVALUATE(&v, 0x0a, 0x00, 0x10, 0x06), CFI_OK); /* const2u 0x1000; deref */
	assert_int_equal(v, 0x1122334455667788);
	assert_int_equal(EVALUATE(&v, 0x0a, 0x04, 0x10, 0x94, 2), CFI_OK); /* two bytes */
	assert_int_equal(v, 0x3344);
	assert_int_equal(EVALUATE(&v, 0x0a, 0x01, 0x10, 0x06), CFI_BAD); /* beyond the stack */
	/* the CFA is there at first */
	assert_int_equal(EVALUATE(&v, 0x23, 0x05), CFI_OK);
	assert_int_equal(v, 12);
	assert_int_equal(EVALUATE(&v, 0x38, 0x33, 0x1c, 0x1f), CFI_OK); /* -(8 - 3) */
	assert_int_equal((int64_t)v, -5);
	assert_int_equal(EVALUATE(&v, 0x31, 0x28, 1, 0, 0x06, 0x39), CFI_OK); /* bra over a deref */
	assert_int_equal(v, 9);
	assert_int_equal(EVALUATE(&v, 0x31, 0x30, 0x1b), CFI_BAD);  /* by zero */
	assert_int_equal(EVALUATE(&v, 0x13, 0x13), CFI_BAD);        /* nothing left to drop */
	assert_int_equal(EVALUATE(&v, 0x2f, 0xfd, 0xff), CFI_LONG); /* skip to itself */
	assert_int_equal(EVALUATE(&v, 0x2f, 0x00, 0x80), CFI_BAD);  /* skip out */
	assert_int_equal(EVALUATE(&v, 0xf0), CFI_BAD);              /* unknown */
	assert_int_equal(EVALUATE(&v, 0x0e, 1, 2), CFI_BAD);        /* cut short */
}

static void test_augmentations(void **state)
{
	static const unsigned char nothing[] = {0};
	struct sections *plain = build("", nothing, 1), *unknown = build("zX", nothing, 1),
			*eh = build("eh", nothing, 1);
	struct cfi_row row;

	(void)state;
	/* Without 'R' pointers are absolute eight-byte ones, which this FDE does not have. */
	assert_int_not_equal(look(plain, CODE, &row), CFI_OK);
	assert_int_equal(look(unknown, CODE, &row), CFI_BAD);
	assert_int_equal(look(eh, CODE, &row), CFI_BAD);
	free(plain);
	free(unknown);
	free(eh);
}

/* Every truncation and every damaged byte: any answer will do, as long as nothing outside the
 * sections is read.  The copy is of exact size so that AddressSanitizer sees it. */
static void test_damage(void **state)
{
	struct sections *s = BUILD(0x41, 0x0e, 16, 0x86, 2, 0x0f, 3, 0x77, 8, 0x06, 0x10, 6, 2,
				   0x76, 0, 0x0a, 0x41, 0x0b, 0x02, 36, 0x0c, 7, 8);
	struct cfi_row row;
	unsigned answers[4] = {0};

	(void)state;
	for (size_t length = 0; length <= s->used; length++) {
		for (unsigned damage = 0; damage < 256; damage += length == s->used ? 1 : 256) {
			for (size_t at = 0; at < (damage ? length : 1); at++) {
				unsigned char *copy = malloc(length ? length : 1);
				struct sections t = *s;

				assert_non_null(copy);
				memcpy(copy, s->bytes, length);
				if (damage)
					copy[at] ^= (unsigned char)damage;
				t.section.memory.hi = BASE + length;
				t.section.memory.shift = (uint64_t)(uintptr_t)copy - BASE;
				answers[look(&t, CODE + 30, &row)]++;
				free(copy);
			}
		}
	}
	assert_true(answers[CFI_OK] > 0 && answers[CFI_NONE] > 0 && answers[CFI_BAD] > 0);
	free(s);
}

static void test_packed_rules(void **state)
{
	struct rule *rules = calloc(RULES, sizeof(*rules));
	struct rule_parts p = {.module = 4095,
			       .kind = RULE_FP,
			       .fp = FP_AT_CFA,
			       .ra = RA_AT_OFFSET,
			       .fp_offset = -2048 * 8,
			       .cfa_offset = -524288 * 8};
	uint64_t word = rule_pack(&p);

	(void)state;
	assert_non_null(rules);
	assert_int_equal(rule_module(word), 4095);
	assert_int_equal(rule_kind(word), RULE_FP);
	assert_int_equal(rule_fp(word), FP_AT_CFA);
	assert_int_equal(rule_ra(word), RA_AT_OFFSET);
	assert_int_equal(rule_fp_offset(word), -2048 * 8);
	assert_int_equal(rule_cfa_offset(word), -524288 * 8);
	assert_false(rule_after_syscall(word));
	assert_int_equal(rule_shape(word), RULE_SHAPE(RULE_FP, FP_AT_CFA, RA_AT_OFFSET));
	p.after_syscall = true;
	p.fp_offset = 2047 * 8;
	p.cfa_offset = 524287 * 8;
	word = rule_pack(&p);
	assert_int_equal(rule_fp_offset(word), 2047 * 8);
	assert_int_equal(rule_cfa_offset(word), 524287 * 8);
	assert_true(rule_after_syscall(word));
	assert_false(rule_fits(0, 4));
	assert_false(rule_fits(2048 * 8, 0));
	assert_int_equal(rule_get(rules, CODE), 0);
	rule_put(rules, CODE, word);
	assert_int_equal(rule_get(rules, CODE), word);
	/* A word of another writer under this key, as two racing writers leave it: a miss. */
	rules[rule_place(CODE)].word ^= 8;
	assert_int_equal(rule_get(rules, CODE), 0);
	unwind_forget(rules);
	assert_int_equal(rule_get(rules, CODE), 0);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_push_and_frame_pointer),
	    cmocka_unit_test(test_remember_and_restore),
	    cmocka_unit_test(test_undefined_return_address),
	    cmocka_unit_test(test_plt_expression),
	    cmocka_unit_test(test_expressions),
	    cmocka_unit_test(test_augmentations),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_packed_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
