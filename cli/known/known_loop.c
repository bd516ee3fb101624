/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work in slices, each told apart by what the control page says at the time: sampling, or paused.
 *
 * Prints "slice on|paused OPERATIONS CPU_NS BLOCKS" whenever the page changes, or BLOCKS_MAX are
 * over. Of the blocks of work in which it changed nothing is said.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/ring.h"
#include "known.h"

#define BLOCK_NS 20e6
#define BLOCKS_MAX 25
#define PAUSED_INTERVAL_US 100000 /* no setting is as slow as a paused timer */

static const struct ring_agent *page;
static const struct ring_counters *counters;

/* The client's shared memory, in this very process: where its head's magic number stands. */
static bool pages_find(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps && !page && fgets(line, sizeof(line), maps)) {
		const struct ring_head *head;
		uintptr_t from, offset;

		if (!strstr(line, "/memfd:") ||
		    sscanf(line, "%" SCNxPTR "-%*x %*s %" SCNxPTR, &from, &offset) != 2 || offset)
			continue;
		head = (const void *)from;
		if (head->magic != RING_MAGIC)
			continue;
		page = (const void *)(from + RING_PAGE);
		counters = (const void *)(from + 2 * RING_PAGE);
	}
	if (maps)
		(void)fclose(maps);
	return page;
}

enum slice { CHANGING, ON, PAUSED };

/* A timer obeys at its next signal. */
static enum slice slice_now(void)
{
	bool killed, slow;

	if (!page && !pages_find())
		return CHANGING;
	killed = __atomic_load_n(&page->kill, __ATOMIC_RELAXED) != 0;
	slow = __atomic_load_n(&counters->interval_us, __ATOMIC_RELAXED) > PAUSED_INTERVAL_US;
	return killed && slow ? PAUSED : !killed && !slow ? ON : CHANGING;
}

/* One slice: the cost of an operation in each of its blocks. */
static double costs[BLOCKS_MAX];
static size_t blocks;

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * A fifth is left out at either end: what other programs did to the caches in some blocks is not
 * the cost that is asked for.  A block is long enough for two samples, so theirs is in all of them.
 */
static void slice_print(enum slice slice, long operations)
{
	size_t cut = blocks / 5, used = blocks - 2 * cut;
	double sum = 0;

	qsort(costs, blocks, sizeof(*costs), by_value);
	for (size_t i = cut; i < blocks - cut; i++)
		sum += costs[i];
	if (slice != CHANGING && blocks >= 5)
		(void)printf("slice %s %ld %.0f %zu\n", slice == ON ? "on" : "paused", operations,
			     sum / (double)used * (double)operations, blocks);
	(void)fflush(stdout);
	blocks = 0;
}

/* Without the library there are no pages, and all is one kind of slice: "on" means as the program
 * is. */
static int loop(double seconds, void (*operation)(void))
{
	int64_t began = known_ns(), from;
	bool watched = pages_find();
	enum slice slice = CHANGING, next;
	long block = 1;

	while (known_ns() - began < (int64_t)(seconds * 1e9)) {
		from = known_cpu_ns();
		for (long i = 0; i < block; i++)
			operation();
		from = known_cpu_ns() - from;
		if ((double)from < BLOCK_NS / 2) { /* still finding out how long a block is */
			block = (double)from < BLOCK_NS / 50 ? block * 10 : block * 2;
			continue;
		}
		next = watched ? slice_now() : ON;
		if (next != slice || blocks == BLOCKS_MAX)
			slice_print(slice, block);
		else
			costs[blocks++] = (double)from / (double)block;
		slice = next;
	}
	slice_print(slice, block);
	return 0;
}

static volatile uint64_t sink;

SITE void known_computes(int rounds);
SITE void known_computes(int rounds)
{
	uint64_t x = sink;

	for (int i = 0; i < rounds; i++)
		x = x * UINT64_C(6364136223846793005) + 1;
	sink = x;
}

static pthread_mutex_t locks[16];
static void *volatile block_kept;

/* A request of a small service: some work, ten blocks of memory, four locks that nobody else
 * wants. */
static void mix(void)
{
	static unsigned n;
	void *held[10];

	n++;
	for (unsigned i = 0; i < 10; i++) {
		held[i] = malloc(16 + (n * 7 + i * 131) % 1000);
		*(volatile char *)held[i] = 1;
	}
	for (unsigned i = 0; i < 4; i++) {
		(void)pthread_mutex_lock(&locks[(n + i) % 16]);
		known_computes(2000);
		(void)pthread_mutex_unlock(&locks[(n + i) % 16]);
	}
	for (unsigned i = 0; i < 10; i++)
		free(held[i]);
}

static void cpu(void)
{
	known_computes(10000);
}

static void pair_of_malloc(void)
{
	for (int i = 0; i < 100; i++) {
		block_kept = malloc(64);
		free(block_kept);
	}
}

static void pair_of_lock(void)
{
	for (int i = 0; i < 100; i++) {
		(void)pthread_mutex_lock(&locks[0]);
		(void)pthread_mutex_unlock(&locks[0]);
	}
}

int known_loop_cpu(double seconds)
{
	return loop(seconds, cpu);
}

int known_loop_mix(double seconds)
{
	return loop(seconds, mix);
}

/* The mix, and no system call: what strace(1) sees is not the program's. */
int known_mix(double seconds)
{
	int64_t began = known_ns();

	while (known_ns() - began < (int64_t)(seconds * 1e9))
		mix();
	return 0;
}

int known_loop_malloc(double seconds)
{
	return loop(seconds, pair_of_malloc);
}

int known_loop_lock(double seconds)
{
	return loop(seconds, pair_of_lock);
}

/* ---- threads ---- */

static int64_t until_ns;

static void *sleeper(void *arg)
{
	struct timespec t = {(until_ns - known_ns()) / 1000000000 + 1, 0};

	(void)nanosleep(&t, NULL);
	return arg;
}

static void *poller(void *arg)
{
	(void)poll(NULL, 0, (int)(known_random() % 100)); /* not in step */
	while (known_ns() < until_ns)
		(void)poll(NULL, 0, 100);
	return arg;
}

/* "cpu NAME NS WALL_NS": what the process used once all threads are there. */
static int threads(double seconds, size_t count, void *(*body)(void *), const char *name)
{
	pthread_t *all = calloc(count, sizeof(*all));
	struct timespec settle = {1, 0}, rest = {(time_t)seconds, 0}, a, b;
	pthread_attr_t small;

	if (!all || pthread_attr_init(&small) || pthread_attr_setstacksize(&small, 65536))
		return 1;
	until_ns = known_ns() + (int64_t)((seconds + 1) * 1e9);
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&all[i], &small, body, NULL))
			return 1;
	(void)nanosleep(&settle, NULL);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	int64_t began = known_ns();

	(void)nanosleep(&rest, NULL);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	(void)printf("cpu %s %lld %lld\n", name,
		     (long long)(b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec,
		     (long long)(known_ns() - began));
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(all[i], NULL);
	free(all);
	return 0;
}

int known_idle(double seconds)
{
	return threads(seconds, 200, sleeper, "idle");
}

int known_poll(double seconds)
{
	return threads(seconds, 500, poller, "poll");
}
