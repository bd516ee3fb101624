/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/harm/hazards.h - small programs of the kind that profilers have hurt, in one executable.
 *
 * `hazards NAME` runs one and prints what it saw; the test runs it with and without the client, and
 * both must print the same and end alike.  Nothing that depends on time or addresses is printed.
 */
#ifndef TESTS_HARM_HAZARDS_H
#define TESTS_HARM_HAZARDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Use the CPU for about this many milliseconds of it, so that samples come. */
void burn(long ms);

/* End with a word on stderr unless `ok`: the program itself did not get what it asked for. */
void need(bool ok, const char *what);

/* HAZARD(name): void hazard_<name>(void) in one of the hazards_*.c. */
/* clang-format off */
#define HAZARDS(HAZARD)                                                                            \
	HAZARD(own_sigprof) HAZARD(sigprof_by_setitimer) HAZARD(segv_longjmp) HAZARD(altstack)     \
	HAZARD(small_stacks) HAZARD(deep_recursion) HAZARD(coroutines) HAZARD(signal_storm)        \
	HAZARD(malloc_in_handler) HAZARD(errno_kept) HAZARD(signals_read_back)                     \
	HAZARD(fork_in_handler) HAZARD(sigpipe) HAZARD(eintr) HAZARD(cancel)                       \
	HAZARD(closes_everything) HAZARD(closefrom_and_reuse) HAZARD(nofile_tight)                 \
	HAZARD(files_counted) HAZARD(as_tight) HAZARD(sigpending_tight) HAZARD(nproc_one)          \
	HAZARD(seccomp_errno) HAZARD(seccomp_kill) HAZARD(seccomp_strict)                          \
	HAZARD(counter_forbidden) HAZARD(unshare_user) HAZARD(chroot_empty)                        \
	HAZARD(setuid_threads) HAZARD(core_limits) HAZARD(vfork_exec) HAZARD(spawns)               \
	HAZARD(forks) HAZARD(fork_threads) HAZARD(daemonise) HAZARD(exec_itself)                   \
	HAZARD(wait_any) HAZARD(atfork_order) HAZARD(threads_churn) HAZARD(dlclose_loop)           \
	HAZARD(throws_and_loads) HAZARD(robust_mutex) HAZARD(name_clashes) HAZARD(exit_plain)      \
	HAZARD(exit_quick) HAZARD(exit_under) HAZARD(exit_abort) HAZARD(exit_terminated)           \
	HAZARD(exit_killed) HAZARD(exit_with_threads) HAZARD(mixed)
/* clang-format on */

#define HAZARD(name) void hazard_##name(void);
HAZARDS(HAZARD)
#undef HAZARD

#endif
