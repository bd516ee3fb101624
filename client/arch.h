/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/arch.h - what differs between x86-64 and aarch64: DWARF register numbers, the machine
 * context of a signal, the shape of a signal frame.
 *
 * Private to client/.  Nothing else in the room names a processor.
 */
#ifndef CLIENT_ARCH_H
#define CLIENT_ARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#if defined(__x86_64__)

/* Go to `label` when the 32-bit object is not 0: one instruction less than compilers make of it. */
#define ARCH_UNLESS_ZERO(object, label)                                                            \
	__asm__ goto("cmpl $0, %0\n\tjne %l1" : : "m"(object) : "cc" : label)

#define ARCH_REGS 17 /* rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip */
#define ARCH_FP 6
#define ARCH_SP 7
#define ARCH_RA 16
#define ARCH_CALL_PUSHES 1 /* a call leaves the return address on the stack */
/* Below sp, and left alone by signals: after a pop the rules still point there. */
#define ARCH_RED_ZONE 128

/* Offsets inside the ucontext that __restore_rt finds at its stack pointer. */
#define ARCH_SIGNAL_CONTEXT 0

static inline uint64_t arch_code(uint64_t pc)
{
	return pc;
}

static inline void arch_registers(const ucontext_t *uc, uint64_t reg[ARCH_REGS], uint64_t *ret_pc)
{
	static const uint8_t from[ARCH_REGS - 1] = {
	    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
	    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};

	for (int i = 0; i < ARCH_REGS - 1; i++)
		reg[i] = (uint64_t)uc->uc_mcontext.gregs[from[i]];
	reg[ARCH_RA] = *ret_pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
}

/* The code at `code` (ARCH_RESTORER_BYTES of it) returns from a signal handler. */
#define ARCH_RESTORER_BYTES 9
static inline bool arch_is_restorer(const unsigned char *code)
{
	static const unsigned char rt_sigreturn[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};

	return !memcmp(code, rt_sigreturn, sizeof(rt_sigreturn));
}

/* The instruction that ends at `code` enters the kernel. */
#define ARCH_SYSCALL_BYTES 2
static inline bool arch_is_syscall(const unsigned char *code)
{
	return code[-2] == 0x0f && code[-1] == 0x05;
}

/* The registers of the running function, for a walk that starts outside a signal. */
#define ARCH_CAPTURE(reg, pc)                                                                      \
	__asm__ volatile("movq %%rbx, 24(%1)\n\t"                                                  \
			 "movq %%rbp, 48(%1)\n\t"                                                  \
			 "movq %%rsp, 56(%1)\n\t"                                                  \
			 "movq %%r12, 96(%1)\n\t"                                                  \
			 "movq %%r13, 104(%1)\n\t"                                                 \
			 "movq %%r14, 112(%1)\n\t"                                                 \
			 "movq %%r15, 120(%1)\n\t"                                                 \
			 "leaq 0(%%rip), %0"                                                       \
			 : "=r"(pc)                                                                \
			 : "r"(reg)                                                                \
			 : "memory")

#elif defined(__aarch64__)

#define ARCH_UNLESS_ZERO(object, label)                                                            \
	do {                                                                                       \
		if (__builtin_expect(__atomic_load_n(&(object), __ATOMIC_RELAXED) != 0, 0))        \
			goto label;                                                                \
	} while (0)

#define ARCH_REGS 33 /* x0..x30 sp, and the pc, which has no DWARF number, last */
#define ARCH_FP 29
#define ARCH_SP 31
#define ARCH_RA 30
#define ARCH_CALL_PUSHES 0
#define ARCH_RED_ZONE 0
#define ARCH_SIGNAL_CONTEXT 128 /* after the siginfo */

/* Pointer authentication keeps its code in the bits above the address. */
static inline uint64_t arch_code(uint64_t pc)
{
	return pc & UINT64_C(0x0000ffffffffffff);
}

static inline void arch_registers(const ucontext_t *uc, uint64_t reg[ARCH_REGS], uint64_t *ret_pc)
{
	for (int i = 0; i < 31; i++)
		reg[i] = uc->uc_mcontext.regs[i];
	reg[ARCH_SP] = uc->uc_mcontext.sp;
	*ret_pc = uc->uc_mcontext.pc;
}

#define ARCH_RESTORER_BYTES 8
static inline bool arch_is_restorer(const unsigned char *code)
{
	static const unsigned char rt_sigreturn[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4};

	return !memcmp(code, rt_sigreturn, sizeof(rt_sigreturn));
}

#define ARCH_SYSCALL_BYTES 4
static inline bool arch_is_syscall(const unsigned char *code)
{
	return code[-4] == 0x01 && code[-3] == 0 && code[-2] == 0 && code[-1] == 0xd4;
}

#define ARCH_CAPTURE(reg, pc)                                                                      \
	__asm__ volatile("stp x19, x20, [%1, #152]\n\t"                                            \
			 "stp x21, x22, [%1, #168]\n\t"                                            \
			 "stp x23, x24, [%1, #184]\n\t"                                            \
			 "stp x25, x26, [%1, #200]\n\t"                                            \
			 "stp x27, x28, [%1, #216]\n\t"                                            \
			 "stp x29, x30, [%1, #232]\n\t"                                            \
			 "mov %0, sp\n\t"                                                          \
			 "str %0, [%1, #248]\n\t"                                                  \
			 "adr %0, ."                                                               \
			 : "=&r"(pc)                                                               \
			 : "r"(reg)                                                                \
			 : "memory")

#else
#error "libhearth knows x86-64 and aarch64"
#endif

#endif
