/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works for a second of CPU time in each of four stages, on the main thread and on a second one:
 * before the profiler starts, under it, after it stopped, and under it again.  Prints what the two
 * threads' clocks say was used under the profiler, in nanoseconds.  Linked with libhearth.
 */
#include <hearth.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

static volatile uint64_t sink;
static pthread_barrier_t gate;

static int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

#define STAGE(name)                                                                                \
	__attribute__((noinline)) static void name(void)                                           \
	{                                                                                          \
		int64_t until = thread_ns() + SECOND;                                              \
                                                                                                   \
		while (thread_ns() < until)                                                        \
			for (int i = 0; i < 20000; i++)                                            \
				sink = sink * 3 + 1;                                               \
	}

STAGE(stage_before)
STAGE(stage_under)
STAGE(stage_between)
STAGE(stage_again)

static void (*const stages[])(void) = {stage_before, stage_under, stage_between, stage_again};

static void *other(void *arg)
{
	for (int i = 0; i < 4; i++) {
		pthread_barrier_wait(&gate);
		stages[i]();
		pthread_barrier_wait(&gate);
	}
	return arg;
}

int main(void)
{
	struct hearth_options options = {.size = sizeof(options), .service = "stages"};
	struct hearth_profiler *profiler = hearth_profiler_new(&options);
	int64_t under = 0, began = 0;
	pthread_t thread;

	pthread_barrier_init(&gate, NULL, 2);
	if (!profiler || pthread_create(&thread, NULL, other, NULL))
		return 1;
	for (int i = 0; i < 4; i++) {
		if (i & 1) {
			began = clock_ns();
			if (hearth_profiler_start(profiler, NULL))
				return 1;
		}
		pthread_barrier_wait(&gate);
		stages[i]();
		pthread_barrier_wait(&gate);
		if (i & 1) {
			hearth_profiler_stop(profiler, false);
			under += clock_ns() - began;
		}
	}
	pthread_join(thread, NULL);
	printf("%" PRId64 "\n", under);
	hearth_profiler_free(profiler);
	return 0;
}
