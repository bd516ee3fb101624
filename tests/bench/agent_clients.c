/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_clients COUNT IDLE RATE STACKS SHARED: COUNT processes of ten services with IDLE sleeping
 * threads each, of which every one writes RATE CPU samples a second through the library's own
 * writer into its rings, until the standard input ends.  Run with HEARTH_AGENT;
 * tests/bench/agent.py measures the agent meanwhile.
 *
 * The stacks are real ones of this program: STACKS walks through calls that draw their way, of
 * which a sample takes one by Zipf's law; each process has its own, or, where SHARED is 1, those of
 * its service.  That a process writes more samples than it has CPU time for changes what they weigh
 * and not what they cost.
 */
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/hearth.h"
#include "client/session.h"
#include "client/stack.h"
#include "client/thread.h"
#include "client/write.h"

#define STACKS_MAX 20000
#define FRAMES 64
#define SERVICES 10
#define TURNS 20 /* of writing, in a second */
#define INTERVAL_NS UINT64_C(10000000)

static struct {
	uint64_t frames[FRAMES];
	uint32_t count;
} stacks[STACKS_MAX];
static unsigned stacks_count;
static double reach[STACKS_MAX]; /* the chance that a draw is this one or one before it */
static uint64_t state = 88172645463325252u;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* ---- stacks: functions that call each other at random, to a depth of some forty ---- */

static volatile int below; /* so that no call becomes a jump */

static __attribute__((noinline)) void keep(unsigned n)
{
	struct call_site from = {(uint64_t)(uintptr_t)__builtin_return_address(0),
				 (uint64_t)(uintptr_t)__builtin_dwarf_cfa(),
				 *(const uint64_t *)__builtin_frame_address(0)};

	stacks[n].count = stack_walk(thread_self(), &from, stacks[n].frames, FRAMES);
}

static void step(unsigned n, int depth);

#define FUNCTION(i)                                                                                \
	static __attribute__((noinline)) void handler_##i(unsigned n, int depth)                   \
	{                                                                                          \
		step(n, depth - 1);                                                                \
		below = i;                                                                         \
	}
/* clang-format off */
#define EIGHT(i)                                                                                   \
	FUNCTION(i##0) FUNCTION(i##1) FUNCTION(i##2) FUNCTION(i##3) FUNCTION(i##4) FUNCTION(i##5)  \
	FUNCTION(i##6) FUNCTION(i##7)
#define NAMES(i)                                                                                   \
	handler_##i##0, handler_##i##1, handler_##i##2, handler_##i##3, handler_##i##4,            \
		handler_##i##5, handler_##i##6, handler_##i##7
EIGHT(1) EIGHT(2) EIGHT(3) EIGHT(4)
    
static void (*const handlers[])(unsigned, int) = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};
/* clang-format on */

static __attribute__((noinline)) void step(unsigned n, int depth)
{
	if (depth <= 0)
		keep(n);
	else
		handlers[draw() % (sizeof(handlers) / sizeof(*handlers))](n, depth);
	below = depth;
}

static void stacks_make(void)
{
	double sum = 0;

	for (unsigned i = 0; i < stacks_count; i++) {
		step(i, 15 + (int)(draw() % 8));
		reach[i] = sum += pow(i + 1, -1.5);
	}
	for (unsigned i = 0; i < stacks_count; i++)
		reach[i] /= sum;
}

static unsigned drawn(void)
{
	double at = (double)(draw() >> 11) / 9007199254740992.0;
	unsigned low = 0, high = stacks_count - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (reach[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- a client ---- */

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Until the library has looked for its agent and at the threads, for which it waits for CPU
 * time. */
static void burn(int64_t ns)
{
	int64_t until = clock_thread_cpu_ns() + ns;

	while (clock_thread_cpu_ns() < until)
		;
}

static void write_one(void)
{
	unsigned i = drawn();
	struct ring_cpu payload = {INTERVAL_NS, 1};
	struct event e = {.type = RING_SAMPLE_CPU,
			  .dimension = RING_CPU,
			  .payload = &payload,
			  .payload_bytes = sizeof(payload),
			  .frames = stacks[i].frames,
			  .frames_count = (uint16_t)stacks[i].count,
			  .time_ns = clock_coarse_ns(),
			  .thread = thread_self()};

	(void)event_write(&e);
}

static void seed(unsigned number)
{
	state = UINT64_C(88172645463325252) + (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void client(unsigned number, unsigned threads, unsigned rate, bool shared)
{
	char service[32];
	struct hearth_options options = {.size = sizeof(options), .service = service};
	struct hearth_profiler *profiler;
	struct timespec pause_for = {0, 1000000000 / TURNS};
	pthread_attr_t attr;
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(service, sizeof(service), "bench-%u", number % SERVICES);
	profiler = hearth_profiler_new(&options);
	if (!profiler || hearth_profiler_start(profiler, NULL) != HEARTH_OK)
		_exit(1);
	seed(shared ? number % SERVICES : number);
	stacks_make();
	seed(number);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&t, &attr, idle, NULL))
			_exit(2);
	burn(60000000);
	for (;;) {
		for (unsigned i = 0; i < rate / TURNS; i++)
			write_one();
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause_for, NULL);
	}
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	unsigned rate = argc > 3 ? (unsigned)atoi(argv[3]) : 100;
	bool shared = argc > 5 && atoi(argv[5]);
	char byte;

	stacks_count = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
	if (!stacks_count || stacks_count > STACKS_MAX) {
		fprintf(stderr, "agent_clients: 1 to %d stacks\n", STACKS_MAX);
		return 2;
	}
	for (unsigned i = 0; i < count; i++)
		if (fork() == 0)
			client(i, threads, rate, shared);
	while (read(0, &byte, 1) > 0)
		;
	kill(0, SIGTERM); /* the group is this bench's own */
	return 0;
}
