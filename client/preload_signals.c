/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_signals.c - keeps the program's view of SIGPROF as it would be without us, and
 * sees when the program restricts itself by seccomp.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "client/hook.h"
#include "client/preload.h"
#include "client/session.h"
#include "client/source.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define HANDLER_STACK_BYTES 8192 /* what the handler uses itself, and then some */
#define PR_SET_SECCOMP 22        /* <sys/prctl.h> declares prctl with variable arguments */
#define STRICT 1                 /* a mode of it, in which the kernel forbids the counter, too */
#define PR_SET_TSC 26
#define TSC_SIGSEGV 2

typedef int (*sigaction_fn)(int, const struct sigaction *, struct sigaction *);
typedef int (*prctl_fn)(int, unsigned long, unsigned long, unsigned long, unsigned long);

typedef sighandler_t (*signal_fn)(int, sighandler_t);

static sigaction_fn next_sigaction;
static signal_fn next_signal;
static prctl_fn next_prctl;

static sigaction_fn find_sigaction(void)
{
	if (!load(&next_sigaction))
		store(&next_sigaction, (sigaction_fn)preload_next("sigaction", NULL));
	return load(&next_sigaction);
}

/* Whether SIGPROF is ours in this very process, not in a vfork child that shares our memory. */
static struct sigaction *ours(int signal)
{
	struct sigaction *previous = signal == SIGPROF ? source_cpu_previous() : NULL;

	return previous && session_live() && getpid() == session.head->pid ? previous : NULL;
}

static bool plain(const struct sigaction *a)
{
	return !(a->sa_flags & SA_SIGINFO) &&
	       (a->sa_handler == SIG_DFL || a->sa_handler == SIG_IGN);
}

/*
 * Small alternate stacks.  The kernel needs some 3 KB of stack for a signal, and more for ours
 * while a handler of the program runs there does not fit on a stack of 8 KB.  So where a thread has
 * set such a stack, SIGPROF waits until those handlers end: it is put into the masks of all that
 * run on alternate stacks, and taken out again when the program asks what it set.
 */
static struct {
	uint32_t any; /* a small stack was set */
	/* signals, by number - 1: SA_ONSTACK handlers; we changed the mask */
	uint64_t on_stack, masked;
} small;

static uint64_t bit_of(int signal)
{
	return signal >= 1 && signal <= 64 ? UINT64_C(1) << (signal - 1) : 0;
}

static void note_masked(int signal, bool masked)
{
	if (masked)
		__atomic_fetch_or(&small.masked, bit_of(signal), __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&small.masked, ~bit_of(signal), __ATOMIC_RELAXED);
}

static int act_on_stack(int signal, const struct sigaction *act, struct sigaction *old)
{
	bool was_masked = load(&small.masked) & bit_of(signal);
	bool on_stack = act && act->sa_flags & SA_ONSTACK && !plain(act);
	bool mask = on_stack && load(&small.any) && !sigismember(&act->sa_mask, SIGPROF);
	struct sigaction changed;
	int r;

	if (mask) {
		changed = *act;
		sigaddset(&changed.sa_mask, SIGPROF);
	}
	r = find_sigaction()(signal, mask ? &changed : act, old);
	if (r)
		return r;
	if (old && was_masked)
		sigdelset(&old->sa_mask, SIGPROF);
	if (act) {
		if (on_stack)
			__atomic_fetch_or(&small.on_stack, bit_of(signal), __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(&small.on_stack, ~bit_of(signal), __ATOMIC_RELAXED);
		note_masked(signal, mask);
	}
	return 0;
}

/* The first small stack: handlers that are there already get the mask, and ours stays off such
 * stacks. */
static void small_stack_appeared(void)
{
	int saved = errno;

	store(&small.any, 1);
	source_cpu_stay_off_stack();
	for (int signal = 1; signal <= 64; signal++) {
		struct sigaction now;

		if (load(&small.on_stack) & bit_of(signal) &&
		    !find_sigaction()(signal, NULL, &now) && now.sa_flags & SA_ONSTACK &&
		    !plain(&now))
			(void)act_on_stack(signal, &now, NULL);
	}
	errno = saved;
}

NEXT(sigaltstack, int, (const stack_t *restrict new, stack_t *restrict old), NULL)
EXPORT int sigaltstack(const stack_t *restrict new, stack_t *restrict old);
int sigaltstack(const stack_t *restrict new, stack_t *restrict old)
{
	if (new && !(new->ss_flags &SS_DISABLE) && !load(&small.any) && load(&session.preloaded) &&
	    new->ss_size < 2 * getauxval(AT_MINSIGSTKSZ) + HANDLER_STACK_BYTES)
		small_stack_appeared();
	return find_sigaltstack()(new, old);
}

EXPORT int sigaction(int signal, const struct sigaction *restrict act,
		     struct sigaction *restrict old);
int sigaction(int signal, const struct sigaction *restrict act, struct sigaction *restrict old)
{
	struct sigaction *previous = ours(signal), before;
	int r = 0;

	if (!previous)
		return act_on_stack(signal, act, old);
	before = *previous;
	if (act && plain(act)) {
		*previous = *act; /* our timers go on; the program is told what it set */
	} else if (act) {
		source_cpu_yield(); /* its own handler must never get a signal of ours */
		r = find_sigaction()(signal, act, NULL);
	}
	if (old && r == 0)
		*old = before;
	return r;
}

EXPORT sighandler_t signal(int number, sighandler_t handler);
sighandler_t signal(int number, sighandler_t handler)
{
	struct sigaction act = {.sa_flags = SA_RESTART}, old;

	if (!ours(number)) {
		if (!load(&next_signal))
			store(&next_signal, (signal_fn)preload_next("signal", NULL));
		return load(&next_signal)(number, handler);
	}
	act.sa_handler = handler;
	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, number);
	return sigaction(number, &act, &old) ? SIG_ERR : old.sa_handler;
}

EXPORT int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	if (!load(&next_prctl))
		store(&next_prctl, (prctl_fn)preload_next("prctl", NULL));
	/* From here on no system call of ours: what its filter does to us it would do to the
	 * program. */
	if (option == PR_SET_SECCOMP)
		store(&session.seccomp_set, 1);
	if ((option == PR_SET_SECCOMP && a == STRICT) || (option == PR_SET_TSC && a == TSC_SIGSEGV))
		store(&session.counter_forbidden, 1);
	return load(&next_prctl)(option, a, b, c, d);
}
