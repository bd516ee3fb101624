/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that works for 20 ms and sleeps for 20 ms, by turns, for a number of seconds.  Prints
 * "cpu_ns wall_ns asleep_ns waited_ns" of that thread, the last being what it waited for a CPU
 * around its naps.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static volatile uint64_t sink;

__attribute__((noinline)) static void work(int64_t ns)
{
	int64_t until = now(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (now(CLOCK_THREAD_CPUTIME_ID) < until)
		for (int i = 0; i < 20000; i++)
			sink = sink * 3 + 1;
}

/* How long this thread has waited for a CPU so far. */
static int64_t waited_ns(void)
{
	long long ran = 0, waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	if (!f || fscanf(f, "%lld %lld", &ran, &waited) != 2)
		waited = 0;
	if (f)
		fclose(f);
	return waited;
}

__attribute__((noinline)) static int64_t rest(void)
{
	const struct timespec ts = {0, 20000000};
	int64_t start = now(CLOCK_MONOTONIC);

	nanosleep(&ts, NULL);
	return now(CLOCK_MONOTONIC) - start;
}

static double seconds;

static void *half(void *arg)
{
	int64_t start = now(CLOCK_MONOTONIC), asleep = 0, waited = 0;

	(void)arg;
	pthread_setname_np(pthread_self(), "half");
	while (now(CLOCK_MONOTONIC) - start < (int64_t)(seconds * 1e9)) {
		work(20000000);
		waited -= waited_ns();
		asleep += rest();
		waited += waited_ns();
	}
	printf("%lld %lld %lld %lld\n", (long long)now(CLOCK_THREAD_CPUTIME_ID),
	       (long long)(now(CLOCK_MONOTONIC) - start), (long long)asleep, (long long)waited);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	seconds = argc > 1 ? atof(argv[1]) : 1;
	pthread_create(&thread, NULL, half, NULL);
	pthread_join(thread, NULL);
	return 0;
}
