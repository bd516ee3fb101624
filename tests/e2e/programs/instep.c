/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bursts in step with the kernel's tick: the first part in burst_a, the second in burst_b.
 *
 *	instep sleep|spin PHASE_US SECONDS
 *
 * sleep: 1 ms of each, then asleep up to the next tick's phase.  spin: half a tick of each, by the
 * clock, without a pause.  Prints "a_ns b_ns total_ns" of CPU time.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static volatile uint64_t sink;

#define BURST(name, salt)                                                                          \
	__attribute__((noipa)) static int64_t name(int64_t until_ns)                               \
	{                                                                                          \
		int64_t began = now(CLOCK_THREAD_CPUTIME_ID);                                      \
                                                                                                   \
		while (now(CLOCK_MONOTONIC) < until_ns)                                            \
			for (int i = 0; i < 2000; i++)                                             \
				sink = sink * 3 + salt;                                            \
		return now(CLOCK_THREAD_CPUTIME_ID) - began;                                       \
	}

BURST(burst_a, 1)
BURST(burst_b, 2)

static void sleep_until(int64_t at_ns)
{
	const struct timespec ts = {at_ns / 1000000000, at_ns % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

int main(int argc, char **argv)
{
	int spin = argc > 1 && !strcmp(argv[1], "spin");
	int64_t phase = argc > 2 ? atol(argv[2]) * 1000 : 0;
	int64_t end = now(CLOCK_MONOTONIC) + (int64_t)((argc > 3 ? atof(argv[3]) : 1) * 1e9);
	int64_t a = 0, b = 0, tick, half, start;
	struct timespec resolution;

	clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
	tick = resolution.tv_nsec;
	half = spin ? tick / 2 : 1000000;
	while ((start = now(CLOCK_MONOTONIC)) < end) {
		start -= (start - phase) % tick;
		if (!spin)
			sleep_until(start += tick);
		a += burst_a(start + half);
		b += burst_b(start + 2 * half);
	}
	printf("%lld %lld %lld\n", (long long)a, (long long)b,
	       (long long)now(CLOCK_THREAD_CPUTIME_ID));
	return 0;
}
