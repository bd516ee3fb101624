/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coarse clock that stands still: below valgrind, which has no vDSO, a hook finds this one.  How
 * many ticks a loop of instructions meets is the machine's business; what is between them can be
 * counted.
 */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *t)
{
	if (clock != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, clock, t);
	t->tv_sec = 1;
	t->tv_nsec = 0;
	return 0;
}
