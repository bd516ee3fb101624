/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time, blocked time, and calls that a signal would interrupt. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

#include "known.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- CPU ---- */

static volatile uint64_t sink;

/* The same work under three names, with constants that differ so that none is folded into
 * another. */
#define BURNER(name, salt)                                                                         \
	SITE void name(int64_t until_ns);                                                          \
	SITE void name(int64_t until_ns)                                                           \
	{                                                                                          \
		uint64_t x = salt;                                                                 \
                                                                                                   \
		do {                                                                               \
			for (int i = 0; i < 40000; i++)                                            \
				x = x * UINT64_C(6364136223846793005) + salt;                      \
			sink = x;                                                                  \
		} while (known_cpu_ns() < until_ns);                                               \
	}

BURNER(known_sixty, 1)
BURNER(known_thirty, 3)
BURNER(known_ten, 5)

/* Bursts of random length: what runs in step with the kernel's tick is another question. */
int known_cpu(double seconds)
{
	static struct {
		const char *name;
		double share;
		void (*burn)(int64_t until_ns);
		int64_t got_ns;
	} parts[] = {{"known_sixty", 0.6, known_sixty, 0},
		     {"known_thirty", 0.3, known_thirty, 0},
		     {"known_ten", 0.1, known_ten, 0}};
	struct timespec whole;

	while (known_cpu_ns() < (int64_t)(seconds * 1e9)) {
		for (size_t i = 0; i < COUNT(parts); i++) {
			int64_t began = known_cpu_ns();

			parts[i].burn(began + (int64_t)known_draw(0.02e9 * parts[i].share));
			parts[i].got_ns += known_cpu_ns() - began;
		}
	}
	for (size_t i = 0; i < COUNT(parts); i++)
		(void)printf("site %s %lld\n", parts[i].name, (long long)parts[i].got_ns);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &whole);
	(void)printf("total cpu %lld\n", (long long)whole.tv_sec * 1000000000 + whole.tv_nsec);
	return 0;
}

/* ---- blocked ---- */

static int quiet[2], epoll;

static struct timespec span(double ns)
{
	return (struct timespec){(time_t)(ns / 1e9), (long)ns % 1000000000};
}

SITE void known_naps(double ns);
SITE void known_naps(double ns)
{
	struct timespec t = span(ns);

	(void)nanosleep(&t, NULL);
	STAY;
}

SITE void known_polls(double ns);
SITE void known_polls(double ns)
{
	struct pollfd p = {quiet[0], POLLIN, 0};

	(void)poll(&p, 1, (int)(ns / 1e6) + 1);
	STAY;
}

SITE void known_selects(double ns);
SITE void known_selects(double ns)
{
	struct timeval t = {0, (long)(ns / 1e3) % 1000000};

	(void)select(0, NULL, NULL, NULL, &t);
	STAY;
}

int known_block(double seconds)
{
	static struct {
		const char *name;
		double mean_ns;
		void (*block)(double ns);
		int64_t blocked_ns;
		long calls;
	} parts[] = {{"known_naps", 40e6, known_naps, 0, 0},
		     {"known_polls", 20e6, known_polls, 0, 0},
		     {"known_selects", 10e6, known_selects, 0, 0}};
	int64_t began = known_ns(), all = 0;
	long calls = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, quiet))
		return 1;
	while (known_ns() - began < (int64_t)(seconds * 1e9)) {
		for (size_t i = 0; i < COUNT(parts); i++) {
			double ns = 5e6 + known_draw(parts[i].mean_ns);
			int64_t from = known_ns();

			parts[i].block(ns);
			parts[i].blocked_ns += known_ns() - from;
			parts[i].calls++;
		}
	}
	for (size_t i = 0; i < COUNT(parts); i++) {
		(void)printf("site %s %lld %ld\n", parts[i].name, (long long)parts[i].blocked_ns,
			     parts[i].calls);
		all += parts[i].blocked_ns;
		calls += parts[i].calls;
	}
	(void)printf("total block %lld %ld\n", (long long)all, calls);
	return 0;
}

/* ---- EINTR ---- */

static sem_t never;

static int in_poll(void)
{
	return poll(NULL, 0, 3);
}

static int in_epoll(void)
{
	struct epoll_event e;

	return epoll_wait(epoll, &e, 1, 3);
}

static int in_nanosleep(void)
{
	struct timespec t = {0, 3000000};

	return nanosleep(&t, NULL);
}

static int in_select(void)
{
	struct timeval t = {0, 3000};

	return select(0, NULL, NULL, NULL, &t);
}

static int in_recv(void)
{
	char byte;

	return (int)recv(quiet[0], &byte, 1, 0);
}

static int in_sem(void)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 3000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return sem_timedwait(&never, &until);
}

static const struct {
	const char *name;
	int (*call)(void);
} interrupted[] = {{"poll", in_poll},     {"epoll_wait", in_epoll}, {"nanosleep", in_nanosleep},
		   {"select", in_select}, {"recv", in_recv},        {"sem_timedwait", in_sem}};

static uint64_t calls_made[COUNT(interrupted)], eintr[COUNT(interrupted)];
static int64_t eintr_until_ns;

/* Burns between the calls, so that its timer is due while it blocks. */
static void *interruptible(void *arg)
{
	uint64_t x = 1;

	for (size_t i = 0; known_ns() < eintr_until_ns; i++) {
		size_t k = i % COUNT(interrupted);

		errno = 0;
		if (interrupted[k].call() < 0 && errno == EINTR)
			__atomic_add_fetch(&eintr[k], 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&calls_made[k], 1, __ATOMIC_RELAXED);
		for (int n = 0; n < 100000; n++)
			x = x * UINT64_C(6364136223846793005) + 1;
		sink = x;
	}
	return arg;
}

int known_eintr(double seconds)
{
	struct timeval timeout = {0, 3000};
	pthread_t threads[8];

	epoll = epoll_create1(0);
	if (epoll < 0 || sem_init(&never, 0, 0) || socketpair(AF_UNIX, SOCK_STREAM, 0, quiet) ||
	    setsockopt(quiet[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)))
		return 1;
	eintr_until_ns = known_ns() + (int64_t)(seconds * 1e9);
	for (size_t i = 0; i < COUNT(threads); i++)
		if (pthread_create(&threads[i], NULL, interruptible, NULL))
			return 1;
	for (size_t i = 0; i < COUNT(threads); i++)
		(void)pthread_join(threads[i], NULL);
	for (size_t k = 0; k < COUNT(interrupted); k++)
		(void)printf("eintr %s %llu %llu\n", interrupted[k].name,
			     (unsigned long long)eintr[k], (unsigned long long)calls_made[k]);
	return 0;
}
