/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that is dear to profile, for a given CPU time or a given number of rounds.
 *
 *	costs deep|malloc|calls|locks|mixed ROUNDS|0 [SECONDS]
 *
 * deep: computes below 400 frames.  malloc: blocks of 64 KiB below 400 frames.  calls: reads a byte
 * of /dev/zero, which never blocks.  locks: two threads and one mutex.  mixed: all of them by
 * turns. Prints "cpu_ns own_cost_ns rounds"; own cost is 0 without the library.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/hearth.h"

#pragma weak hearth_stats

#define NOINLINE __attribute__((noipa))
#define DEPTH 400

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static volatile uint64_t sink;
static int zero;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Each a tenth of a millisecond to one. */
NOINLINE static void compute(void)
{
	for (int i = 0; i < 200000; i++)
		sink = sink * 3 + 1;
}

NOINLINE static void allocate(void)
{
	for (int i = 0; i < 100; i++) {
		char *p = malloc(65536);

		if (p)
			memset(p, i, 65536);
		__asm__ volatile("" : : "r"(p) : "memory");
		free(p);
	}
}

NOINLINE static void call(void)
{
	char c;

	for (int i = 0; i < 1000; i++)
		if (read(zero, &c, 1) == 1)
			sink += (uint64_t)c;
}

static void *contend(void *rounds)
{
	for (int i = 0; i < *(int *)rounds; i++) {
		pthread_mutex_lock(&lock);
		for (int k = 0; k < 200; k++)
			sink = sink * 3 + 1;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

NOINLINE static void locks(void)
{
	pthread_t other;
	int rounds = 2000;

	if (pthread_create(&other, NULL, contend, &rounds))
		return;
	contend(&rounds);
	pthread_join(other, NULL);
}

NOINLINE static void below(int depth, void (*work)(void))
{
	if (depth)
		below(depth - 1, work);
	else
		work();
	__asm__ volatile("" : : : "memory"); /* no tail call */
}

static void mixed(void)
{
	compute();
	allocate();
	call();
	locks();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*work)(void);
		int depth;
	} kinds[] = {{"deep", compute, DEPTH},
		     {"malloc", allocate, DEPTH},
		     {"calls", call, 2},
		     {"locks", locks, 2},
		     {"mixed", mixed, 20}};
	long rounds = argc > 2 ? atol(argv[2]) : 0, done = 0;
	int64_t until = (int64_t)((argc > 3 ? atof(argv[3]) : 1) * 1e9);
	struct hearth_stats stats = {.size = sizeof(stats)};

	zero = open("/dev/zero", O_RDONLY);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		while (argc > 1 && !strcmp(argv[1], kinds[i].name) &&
		       (rounds ? done < rounds : cpu_ns() < until)) {
			below(kinds[i].depth, kinds[i].work);
			done++;
		}
	if (hearth_stats)
		(void)hearth_stats(&stats);
	printf("%lld %lld %ld\n", (long long)cpu_ns(), (long long)stats.cost_ns, done);
	return done ? 0 : 2;
}
