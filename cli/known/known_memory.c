/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations, a leak, and a program with much memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "known.h"

#define LEAK_BYTES 65536
#define TIDY_BYTES 24576

static void *volatile kept;

#define ALLOCATOR(name)                                                                            \
	SITE void *name(size_t bytes);                                                             \
	SITE void *name(size_t bytes)                                                              \
	{                                                                                          \
		kept = malloc(bytes);                                                              \
		STAY;                                                                              \
		return kept;                                                                       \
	}

ALLOCATOR(known_small)
ALLOCATOR(known_middle)
ALLOCATOR(known_large)
ALLOCATOR(known_leaks)
ALLOCATOR(known_tidies)

/* About 0.8 GB a second asked for. */
int known_alloc(double seconds)
{
	static const struct {
		const char *name;
		void *(*take)(size_t bytes);
		size_t bytes;
		long calls; /* in a round */
	} sites[] = {{"known_small", known_small, 96, 4000},
		     {"known_middle", known_middle, 8192, 40},
		     {"known_large", known_large, 300000, 2}};
	int64_t began = known_ns();
	long rounds = 0;

	do {
		for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
			for (long k = 0; k < sites[i].calls; k++)
				free(sites[i].take(sites[i].bytes));
		rounds++;
	} while (known_ns() - began < (int64_t)(seconds * 1e9));
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
		(void)printf("site %s %lld %ld %zu\n", sites[i].name,
			     (long long)sites[i].bytes * sites[i].calls * rounds,
			     sites[i].calls * rounds, sites[i].bytes);
	return 0;
}

/* 512 MB that are held, though never touched beyond what malloc writes, and as much that is
 * freed. */
int known_heap(double seconds)
{
	const long blocks = (512l << 20) / LEAK_BYTES;
	double pace_ns = (seconds > 2 ? seconds : 2) * 1e9 / (double)(blocks / 64);
	const struct timespec nap = {0, (long)pace_ns};

	for (long i = 0; i < blocks; i++) {
		void *tidy = known_tidies(TIDY_BYTES);

		/* Over some seconds, because a program that lives for less than one attaches at its
		 * end. */
		if (i % 64 == 0)
			(void)nanosleep(&nap, NULL);
		if (!known_leaks(LEAK_BYTES))
			return 1;
		free(tidy);
	}
	(void)printf("site known_leaks %lld %ld %d\n", (long long)LEAK_BYTES * blocks, blocks,
		     LEAK_BYTES);
	(void)printf("site known_tidies 0 0 %d\n", TIDY_BYTES);
	return 0;
}

int known_memory(double seconds)
{
	char *block = malloc(100u << 20);

	(void)seconds;
	if (!block)
		return 1;
	/* Long enough for the client to show itself to the agent. */
	for (int i = 0; i < 30; i++)
		memset(block, i, 100u << 20);
	kept = block;
	return 0;
}
