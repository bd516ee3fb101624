/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timer's signal that waits until the profiler has written the thread's end: SIGPROF is blocked
 * while the program works, and let in by what writes out the C library's last buffer, after every
 * destructor.
 *
 *	behind SECONDS
 *
 * Prints the nanoseconds of CPU time up to there, and waits for the end of its input before it lets
 * the signal in.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static sigset_t profiling;

static long long used(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static ssize_t at_the_end(void *cookie, const char *text, size_t len)
{
	char number[32];
	int n = snprintf(number, sizeof(number), "%lld\n", used());
	ssize_t wrote = write(STDOUT_FILENO, number, (size_t)n);

	(void)cookie;
	(void)text;
	while (read(STDIN_FILENO, number, sizeof(number)) > 0)
		;
	(void)sigprocmask(SIG_UNBLOCK, &profiling, NULL);
	return wrote == n ? (ssize_t)len : -1;
}

int main(int argc, char **argv)
{
	long long until = used() + (long long)((argc > 1 ? atof(argv[1]) : 1) * 1e9);
	FILE *last = fopencookie(NULL, "w", (cookie_io_functions_t){.write = at_the_end});

	if (!last)
		return 1;
	fputs("something that stays in its buffer", last);
	sigemptyset(&profiling);
	sigaddset(&profiling, SIGPROF);
	sigprocmask(SIG_BLOCK, &profiling, NULL);
	while (used() < until)
		;
	return 0;
}
