/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_signals.c - keeps the program's view of SIGPROF as it would be without us, and sees
 * when the program restricts itself by seccomp.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "client/preload.h"
#include "client/session.h"
#include "client/source.h"

#define EXPORT __attribute__((visibility("default")))

#define PR_SET_SECCOMP 22 /* <sys/prctl.h> declares prctl with variable arguments */

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
	return !(a->sa_flags & SA_SIGINFO) && (a->sa_handler == SIG_DFL || a->sa_handler == SIG_IGN);
}

EXPORT int sigaction(int signal, const struct sigaction *restrict act,
		     struct sigaction *restrict old);
int sigaction(int signal, const struct sigaction *restrict act, struct sigaction *restrict old)
{
	struct sigaction *previous = ours(signal), before;
	int r = 0;

	if (!previous)
		return find_sigaction()(signal, act, old);
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
	struct sigaction act = { .sa_flags = SA_RESTART }, old;

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
	/* From here on no system call of ours: what its filter does to us it would do to the program. */
	if (option == PR_SET_SECCOMP)
		store(&session.seccomp_set, 1);
	return load(&next_prctl)(option, a, b, c, d);
}
