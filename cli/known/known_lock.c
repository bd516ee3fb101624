/* SPDX-License-Identifier: Apache-2.0 */
/* A lock that one thread holds, and waits for the other to wait; exceptions. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "known.h"

static pthread_mutex_t known_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int turn; /* 1: held, wait for it; 2: now waiting; 3: got it and gave it back */
static atomic_bool over;
static int64_t waited_ns;

SITE void known_waits(void);
SITE void known_waits(void)
{
	int64_t began = known_ns();

	turn = 2;
	(void)pthread_mutex_lock(&known_mutex);
	waited_ns = known_ns() - began;
	(void)pthread_mutex_unlock(&known_mutex);
	STAY;
}

static void *waiter(void *arg)
{
	while (!over) {
		if (turn != 1) {
			(void)sched_yield();
			continue;
		}
		known_waits();
		turn = 3;
	}
	return arg;
}

/* Held before the other one is told, and until it has waited for a while. */
static inline __attribute__((always_inline)) void hold(long ns)
{
	struct timespec nap = {0, ns};

	(void)pthread_mutex_lock(&known_mutex);
	turn = 1;
	while (turn != 2)
		(void)sched_yield();
	(void)nanosleep(&nap, NULL);
	(void)pthread_mutex_unlock(&known_mutex);
	while (turn != 3)
		(void)sched_yield();
	turn = 0;
}

SITE void known_holds_long(void);
SITE void known_holds_long(void)
{
	hold(3000000);
	STAY;
}

SITE void known_holds_short(void);
SITE void known_holds_short(void)
{
	hold(400000);
	STAY;
}

/* What each holder made the other wait. */
int known_lock(double seconds)
{
	int64_t began = known_ns(), sums[2] = {0, 0};
	long rounds = 0;
	pthread_t thread;

	if (pthread_create(&thread, NULL, waiter, NULL))
		return 1;
	for (; known_ns() - began < (int64_t)(seconds * 1e9); rounds++) {
		bool is_long = known_random() % 5 == 0;

		(is_long ? known_holds_long : known_holds_short)();
		sums[is_long] += waited_ns;
	}
	over = true;
	(void)pthread_join(thread, NULL);
	(void)printf("site known_holds_long %lld\n", (long long)sums[1]);
	(void)printf("site known_holds_short %lld\n", (long long)sums[0]);
	(void)printf("total lock %lld %ld\n", (long long)(sums[0] + sums[1]), rounds);
	return 0;
}

int known_throw(double seconds)
{
	const struct timespec nap = {0, 10000000};
	int64_t began = known_ns();
	long thrown = 0;

	while (known_ns() - began < (int64_t)(seconds * 1e9)) {
		thrown += known_throw_all(100);
		(void)nanosleep(&nap, NULL);
	}
	(void)printf("total exception %ld\n", thrown);
	return 0;
}
