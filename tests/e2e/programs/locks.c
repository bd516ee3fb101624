/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locks MODE ROUNDS [SEED] - a thread waits for locks that another one holds, every time, and says
 * for how long: what the profiler shows must agree.
 *
 *	blame   g_pool_lock, held by hold_long in one round of five and by hold_short in the others
 *	hold    uncontended holds of g_hold_lock of a known length
 *	names   a named lock, a member of a static object, a lock that make_lock initialized, a
 *	        rwlock, a spinlock, a semaphore and a C11 mutex
 *
 * Prints "NAME NUMBER" lines: counts, nanoseconds, and what a sampled sum may be off by (its
 * variance with a mean of 4 ms, the square root of it in nanoseconds).
 */
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#include "client/hearth.h"

#define PART __attribute__((noinline, noclone))
#define MEAN_NS 4e6

static pthread_mutex_t g_pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t g_hold_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char other[0x28];
	pthread_mutex_t lock;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_rwlock_t g_table_lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t g_spin_lock;
static sem_t g_slots;
static mtx_t g_c11_lock;

struct kind {
	const char *name;
	void *lock;
	int (*take)(void *), (*give)(void *);
};

static struct {
	const struct kind *kind;
	_Atomic int turn; /* 1: held, wait for it; 2: now waiting; 3: got it and gave it back */
	_Atomic bool over;
	int64_t waited_ns;
} shared;

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

PART static void spin_for(int64_t ns)
{
	int64_t until = now_ns() + ns;

	while (now_ns() < until)
		;
}

PART static void wait_for_lock(const struct kind *kind)
{
	int64_t began = now_ns();

	shared.turn = 2;
	(void)kind->take(kind->lock);
	shared.waited_ns = now_ns() - began;
	(void)kind->give(kind->lock);
}

static void *waiter(void *arg)
{
	while (!shared.over) {
		if (shared.turn != 1) {
			(void)sched_yield();
			continue;
		}
		wait_for_lock(shared.kind);
		shared.turn = 3;
	}
	return arg;
}

/* Held before the other one is told, and until it has waited for a while. */
static inline __attribute__((always_inline)) void hold_while_waited_for(const struct kind *kind,
									int64_t ns)
{
	struct timespec nap = {0, ns};

	(void)kind->take(kind->lock);
	shared.kind = kind;
	shared.turn = 1;
	while (shared.turn != 2)
		(void)sched_yield();
	(void)nanosleep(&nap, NULL);
	(void)kind->give(kind->lock);
	while (shared.turn != 3)
		(void)sched_yield();
	shared.turn = 0;
}

PART static void hold_long(const struct kind *kind)
{
	hold_while_waited_for(kind, 3000000);
	__asm__ volatile("");
}

PART static void hold_short(const struct kind *kind)
{
	hold_while_waited_for(kind, 400000);
	__asm__ volatile("");
}

static int mutex_take(void *l)
{
	return pthread_mutex_lock(l);
}
static int mutex_give(void *l)
{
	return pthread_mutex_unlock(l);
}
static int table_take(void *l)
{
	return pthread_rwlock_wrlock(l);
}
static int table_give(void *l)
{
	return pthread_rwlock_unlock(l);
}
static int spin_take(void *l)
{
	return pthread_spin_lock(l);
}
static int spin_give(void *l)
{
	return pthread_spin_unlock(l);
}
static int slot_take(void *l)
{
	return sem_wait(l);
}
static int slot_give(void *l)
{
	return sem_post(l);
}
static int c11_take(void *l)
{
	return mtx_lock(l);
}
static int c11_give(void *l)
{
	return mtx_unlock(l);
}

PART static pthread_mutex_t *make_lock(void)
{
	pthread_mutex_t *lock = malloc(sizeof(*lock));

	(void)pthread_mutex_init(lock, NULL);
	return lock;
}

static void blame(long rounds, unsigned seed)
{
	static const struct kind kind = {"g_pool_lock", &g_pool_lock, mutex_take, mutex_give};
	int64_t sums[2] = {0, 0};
	double variances[2] = {0, 0};

	for (long i = 0; i < rounds; i++) {
		bool is_long = rand_r(&seed) % 5 == 0;

		(is_long ? hold_long : hold_short)(&kind);
		double p = -expm1(-(double)shared.waited_ns / MEAN_NS);

		sums[is_long] += shared.waited_ns;
		variances[is_long] +=
		    (double)shared.waited_ns * (double)shared.waited_ns * (1 - p) / p;
	}
	printf("count %ld\nwait %lld\nlong %lld\nshort %lld\nlong_se %.0f\nshort_se %.0f\n", rounds,
	       (long long)(sums[0] + sums[1]), (long long)sums[1], (long long)sums[0],
	       sqrt(variances[1]), sqrt(variances[0]));
}

PART static void hold_known(int64_t *sum, double *squares)
{
	(void)pthread_mutex_lock(&g_hold_lock);
	int64_t began = now_ns();

	spin_for(200000);
	double ns = (double)(now_ns() - began);

	*sum += (int64_t)ns;
	*squares += ns * ns;
	(void)pthread_mutex_unlock(&g_hold_lock);
	__asm__ volatile(""); /* here, and no jump */
}

static void hold(long rounds)
{
	int64_t sum = 0;
	double squares = 0;

	for (long i = 0; i < rounds; i++)
		hold_known(&sum, &squares);
	printf("count %ld\nhold %lld\nroot_of_squares %.0f\n", rounds, (long long)sum,
	       sqrt(squares));
}

static void names(long rounds)
{
	pthread_mutex_t *named = malloc(sizeof(*named)), *made = make_lock();
	const struct kind kinds[] = {
	    {"named", named, mutex_take, mutex_give},
	    {"made", made, mutex_take, mutex_give},
	    {"member", &pool.lock, mutex_take, mutex_give},
	    {"table", &g_table_lock, table_take, table_give},
	    {"spin", (void *)(uintptr_t)&g_spin_lock, spin_take, spin_give},
	    {"slots", &g_slots, slot_take, slot_give},
	    {"c11", &g_c11_lock, c11_take, c11_give},
	};

	*named = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	(void)pthread_spin_init(&g_spin_lock, PTHREAD_PROCESS_PRIVATE);
	(void)sem_init(&g_slots, 0, 1);
	(void)mtx_init(&g_c11_lock, mtx_plain);
	if (hearth_lock_name(named, "orders.queue"))
		abort();
	for (long i = 0; i < rounds; i++)
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			hold_long(&kinds[k]);
	printf("count %ld\n", rounds * (long)(sizeof(kinds) / sizeof(kinds[0])));
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "blame";
	long rounds = argc > 2 ? atol(argv[2]) : 100;
	pthread_t thread;

	if (pthread_create(&thread, NULL, waiter, NULL))
		return 1;
	if (!strcmp(mode, "hold"))
		hold(rounds);
	else if (!strcmp(mode, "names"))
		names(rounds);
	else
		blame(rounds, argc > 3 ? (unsigned)atoi(argv[3]) : 1);
	shared.over = true;
	return pthread_join(thread, NULL);
}
