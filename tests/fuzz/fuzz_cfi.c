/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_cfi.c - call frame information from anywhere: a module's sections and a stack that are all
 * input.  Nothing outside them may be read, and every walk ends.
 *
 * Input: 8 bytes pc offset, 8 bytes sp offset, 2 bytes stack length, the stack, then the sections
 * with .eh_frame_hdr first.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/rule.h"
#include "client/unwind.h"

#define BASE UINT64_C(0x10000000)
#define STACK UINT64_C(0x7f0000000000)
#define FRAMES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool find(const struct unwind_space *space, uint64_t pc, struct unwind_module *ret)
{
	*ret = *(const struct unwind_module *)space->arg;
	return pc >= BASE / 2 && pc < 2 * BASE;
}

/* A copy of exact size, so that a read beyond it is seen. */
static unsigned char *copy(const uint8_t *from, size_t bytes)
{
	unsigned char *p = malloc(bytes ? bytes : 1);

	if (!p)
		abort();
	memcpy(p, from, bytes);
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rule rules[RULES];
	static const uint64_t biases[2] = {0, BASE};
	static struct cfi_work work;
	uint64_t frames[FRAMES], reg[ARCH_REGS] = {0}, pc, sp;
	uint16_t length;

	if (size < 18)
		return 0;
	memcpy(&pc, data, 8);
	memcpy(&sp, data + 8, 8);
	memcpy(&length, data + 16, 2);
	data += 18;
	size -= 18;
	if (length > size)
		length = (uint16_t)size;
	unsigned char *stack = copy(data, length), *code = copy(data + length, size - length);
	uint64_t bytes = size - length;
	struct unwind_module m = {.section = {{BASE, BASE + bytes, (uintptr_t)code - BASE}, BASE},
				  .text_lo = BASE,
				  .text_hi = BASE + bytes,
				  .bias = BASE,
				  .number = 1};
	struct unwind_space space = {.find = find,
				     .biases = biases,
				     .stack = {STACK, STACK + length, (uintptr_t)stack - STACK},
				     .work = &work,
				     .arg = &m,
				     .max_frames = FRAMES};

	pc = BASE + (uint64_t)(int64_t)(int32_t)pc; /* code lies on either side of its sections */
	reg[ARCH_SP] = reg[ARCH_FP] = STACK + sp % (length + 1u);
	for (int mode = UNWIND_EITHER; mode <= UNWIND_SLOW; mode++) {
		unwind_forget(rules);
		for (int cached = 0; cached < 3; cached++) {
			space.mode = (enum unwind_mode)mode;
			space.rules = cached ? rules : NULL;
			if (unwind(&space, reg, pc, false, 0, frames).count > FRAMES)
				abort();
		}
	}
	free(stack);
	free(code);
	return 0;
}
