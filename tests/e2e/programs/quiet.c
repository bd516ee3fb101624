/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that sleep for long, by system calls that nobody interposes, and then work: SECONDS after
 * the start one for a third of a second that is sampled, one for a second and a half with all
 * signals blocked, so that nothing but its clock says so.  Prints the CPU time of both and of the
 * process then, and waits for its input to end.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLEEPERS 6

static int64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static volatile uint64_t sink;
static double seconds;
static int64_t cpu_ns[2];

__attribute__((noinline)) static void work(int64_t ns)
{
	int64_t until = now(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (now(CLOCK_THREAD_CPUTIME_ID) < until)
		for (int i = 0; i < 20000; i++)
			sink = sink * 3 + 1;
}

static void quiet(double s)
{
	const struct timespec ts = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

	syscall(SYS_nanosleep, &ts, NULL);
}

static void *seen(void *arg)
{
	quiet(seconds);
	work(333000000);
	cpu_ns[0] = now(CLOCK_THREAD_CPUTIME_ID);
	return arg;
}

static void *unseen(void *arg)
{
	const uint64_t all = ~UINT64_C(0);

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof(all));
	quiet(seconds);
	work(1500000000);
	cpu_ns[1] = now(CLOCK_THREAD_CPUTIME_ID);
	quiet(1e6); /* it does not end: nothing but a look tells what it did */
	return arg;
}

static void *sleeper(void *arg)
{
	quiet(1e6);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t first, second, others;
	char byte;

	seconds = argc > 1 ? atof(argv[1]) : 1;
	for (int i = 0; i < SLEEPERS; i++)
		pthread_create(&others, NULL, sleeper, NULL);
	pthread_create(&first, NULL, seen, NULL);
	pthread_create(&second, NULL, unseen, NULL);
	work(200000000); /* the library looks for its agent */
	pthread_join(first, NULL);
	while (!*(volatile int64_t *)&cpu_ns[1])
		quiet(0.05);
	printf("%lld %lld %lld\n", (long long)cpu_ns[0], (long long)cpu_ns[1],
	       (long long)now(CLOCK_PROCESS_CPUTIME_ID));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
