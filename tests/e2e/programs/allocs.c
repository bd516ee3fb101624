/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates in known places.  What it says it writes with write(2), and nothing else in it
 * allocates: the sums that it prints are all that its process asked for.
 *
 *	sites SECONDS SEED  at a pace of 25 MB a second of CPU time, freed at once
 *	leak MIB            beside sites that free; reads a line; frees all; reads a line
 *	exec MIB            leaks; reads a line; goes on as `leak 1`
 *	storm THREADS       blocks that other threads free and resize, their contents checked
 *	signals             a handler that allocates while allocations are interrupted
 *	edges               what odd arguments give
 *	forks               children that free what their parent allocated
 *	stops               1 MB under the profiler, 2 after a stop, 4 again (allocs_wrap)
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef ALLOCS_WRAP
#include <hearth.h>
#endif

#define NOINLINE __attribute__((noipa))
#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);

	va_end(args);
	if (write(1, text, (size_t)n) != n)
		_exit(3);
}

/* By polling, as a server does: a program that is blocked for good meets no agent. */
static void wait_line(void)
{
	struct pollfd in = {0, POLLIN, 0};
	char c;

	while (poll(&in, 1, 50) == 0)
		;

	while (read(0, &c, 1) > 0 && c != '\n')
		;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- sites ---- */

#define SITE(name, expression)                                                                     \
	NOINLINE static void *name(size_t n)                                                       \
	{                                                                                          \
		void *p = expression;                                                              \
                                                                                                   \
		HIDE(p);                                                                           \
		return p;                                                                          \
	}

SITE(site_tiny, malloc(n))
SITE(site_small, calloc(n / 50, 50))
SITE(site_middle, realloc(NULL, n))
SITE(site_large, aligned_alloc(64, n))
SITE(site_huge, reallocarray(NULL, n / 1000, 1000))

NOINLINE static void *site_mean(size_t n)
{
	void *p = NULL;

	return posix_memalign(&p, 256, n) ? NULL : p;
}

static const struct {
	const char *name;
	void *(*make)(size_t n);
	size_t size;
	unsigned share; /* of the bytes, in percent */
} sites[] = {
    {"site_tiny", site_tiny, 48, 5},        {"site_small", site_small, 350, 15},
    {"site_middle", site_middle, 5000, 20}, {"site_large", site_large, 65536, 20},
    {"site_mean", site_mean, 600000, 20},   {"site_huge", site_huge, 3000000, 20},
};

#define SITES (sizeof(sites) / sizeof(sites[0]))
#define SLICE_BYTES 100000 /* of a percent's share in one turn, on average */

static void run_sites(double seconds, uint64_t seed)
{
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1, bytes[SITES] = {0},
		 calls[SITES] = {0};
	int64_t began = cpu_ns();
	uint64_t total = 0, all = 0;

	while (cpu_ns() - began < (int64_t)(seconds * 1e9)) {
		size_t s = next_random(&state) % SITES;
		double count = (double)sites[s].share * SLICE_BYTES / 100 / (double)sites[s].size;
		uint64_t whole = (uint64_t)count;

		whole += (double)(next_random(&state) >> 11) * 0x1p-53 < count - (double)whole;
		for (uint64_t i = 0; i < whole; i++)
			free(sites[s].make(sites[s].size));
		bytes[s] += whole * sites[s].size;
		calls[s] += whole;
		total += whole * sites[s].size;
		while ((double)(cpu_ns() - began) < (double)total * 1e9 / 25e6)
			;
	}
	for (size_t s = 0; s < SITES; s++) {
		say("%s %llu %llu %zu\n", sites[s].name, (unsigned long long)bytes[s],
		    (unsigned long long)calls[s], sites[s].size);
		all += calls[s];
	}
	say("total %llu %llu 0\n", (unsigned long long)total, (unsigned long long)all);
}

/* ---- a leak ---- */

#define LEAK_BLOCK ((size_t)40 << 10)
#define CHURN 2000

SITE(leaky, malloc(n))
SITE(tidy, malloc(n))

static void run_leak(size_t mib)
{
	size_t count = (mib << 20) / LEAK_BLOCK;
	static void *churn[CHURN];
	void **blocks = malloc(count * sizeof(*blocks));
	uint64_t state = 77;

	for (size_t i = 0; i < count; i++) {
		blocks[i] = leaky(LEAK_BLOCK);
		for (int k = 0; k < 3; k++) {
			void **old = &churn[next_random(&state) % CHURN];

			free(*old);
			*old = tidy(20000);
		}
	}
	say("leaked %zu tidy %zu\n", count * LEAK_BLOCK, (size_t)CHURN * 20000);
	wait_line();
	for (size_t i = 0; i < count; i++)
		free(blocks[i]);
	for (size_t i = 0; i < CHURN; i++)
		free(churn[i]);
	free(blocks);
	say("freed\n");
	wait_line();
}

static void run_exec(char *self, size_t mib)
{
	char *next[] = {self, (char[]){"leak"}, (char[]){"1"}, NULL};

	for (size_t i = 0; i < (mib << 20) / LEAK_BLOCK; i++)
		(void)leaky(LEAK_BLOCK);
	say("leaked\n");
	wait_line();
	execv(self, next);
	_exit(6);
}

/* ---- threads ---- */

#define SHELVES 512

static _Atomic(uint64_t *) shelves[SHELVES];
static _Atomic int wrong;

/* A block begins with its size and ends with its complement. */
static void block_mark(uint64_t *p, size_t words)
{
	p[0] = words;
	p[words - 1] = ~(uint64_t)words;
}

static bool block_right(const uint64_t *p)
{
	return p[p[0] - 1] == ~p[0];
}

static void *stormer(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg * 7919 + 1;

	for (int i = 0; i < 30000; i++) {
		uint64_t r = next_random(&state);
		size_t words = 2 + (r % 64 ? r / 64 % 600 : r / 64 % 40000);
		uint64_t *p, *old = atomic_exchange(&shelves[r >> 40 & (SHELVES - 1)], NULL);

		if (old && !block_right(old))
			atomic_fetch_add(&wrong, 1);
		if (old && r & 1 << 20) {
			uint64_t had = old[0];

			p = realloc(old, words * 8);
			if (p[0] != had)
				atomic_fetch_add(&wrong, 1);
		} else {
			free(old);
			p = r & 1 << 21   ? calloc(words, 8)
			    : r & 1 << 22 ? memalign(64, words * 8)
					  : malloc(words * 8);
		}
		block_mark(p, words);
		free(atomic_exchange(&shelves[r >> 50 & (SHELVES - 1)], p));
	}
	return NULL;
}

static void run_storm(int threads)
{
	pthread_t list[64];

	for (int i = 0; i < threads; i++)
		if (pthread_create(&list[i], NULL, stormer, (void *)(uintptr_t)(i + 1)))
			_exit(4);
	for (int i = 0; i < threads; i++)
		pthread_join(list[i], NULL);
	for (int i = 0; i < SHELVES; i++)
		free(atomic_exchange(&shelves[i], NULL));
	say("wrong %d\n", wrong);
	wait_line();
}

/* ---- a handler ---- */

static volatile uint64_t handler_bytes, handler_calls;

static void on_alarm(int signal)
{
	(void)signal;
	for (size_t n = 1; n < 4000; n *= 3) {
		free(malloc(n));
		handler_bytes += n;
		handler_calls++;
	}
}

static void run_signals(void)
{
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	uint64_t bytes = 0, calls = 0;

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &often, NULL);
	while (handler_calls < 20000)
		for (size_t i = 0; i < 1000; i++) {
			void *p = malloc(i * 5);

			HIDE(p);
			p = realloc(p, i * 7 + 1);
			HIDE(p);
			free(p);
			bytes += i * 12 + 1;
			calls += 2;
		}
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_IGN);
	say("total %llu %llu\n", (unsigned long long)(bytes + handler_bytes),
	    (unsigned long long)(calls + handler_calls));
	wait_line();
}

/* ---- odd arguments ---- */

static void edge(const char *what, const void *p, size_t alignment)
{
	say("%s: %s errno %d aligned %d\n", what, p ? "a block" : "NULL", errno,
	    (int)(p && alignment && (uintptr_t)p % alignment == 0));
	errno = 0;
}

static void run_edges(void)
{
	volatile size_t most = SIZE_MAX, half = PTRDIFF_MAX;
	unsigned char *p, *q;
	void *v = &v;
	int r, same = 1;

	errno = 0;
	edge("malloc 0", malloc(0), 16);
	edge("malloc SIZE_MAX", malloc(most), 0);
	edge("malloc SIZE_MAX / 2 + 1", malloc(half + 1), 0);
	edge("malloc PTRDIFF_MAX", malloc(half), 0);
	edge("calloc overflow", calloc(most, 2), 0);
	edge("calloc overflow to 0", calloc(half + 1, 2), 0);
	edge("calloc 0", calloc(0, 5), 16);
	edge("realloc NULL 0", realloc(NULL, 0), 16);
	edge("reallocarray overflow", reallocarray(NULL, half, 3), 0);
	p = malloc(100000);
	memset(p, 0x5a, 100000);
	q = p;
	HIDE(q);
	edge("realloc SIZE_MAX", realloc(q, most - 5), 0);
	for (int i = 0; i < 100000; i++)
		same &= p[i] == 0x5a;
	say("kept %d\n", same);
	p = realloc(p, 200);
	for (int i = 0; i < 200; i++)
		same &= p[i] == 0x5a;
	say("kept %d\n", same);
	edge("realloc 0", realloc(p, 0), 0);
	r = posix_memalign(&v, 3, 100);
	say("posix_memalign 3: %d errno %d untouched %d\n", r, errno, v == (void *)&v);
	r = posix_memalign(&v, 64, most);
	say("posix_memalign SIZE_MAX: %d errno %d\n", r, errno);
	r = posix_memalign(&v, 4096, 100);
	say("posix_memalign: %d errno %d aligned %d\n", r, errno, (uintptr_t)v % 4096 == 0);
	free(v);
	edge("aligned_alloc", aligned_alloc(1024, 2048), 1024);
	edge("memalign", memalign(128, 77), 128);
	edge("memalign SIZE_MAX", memalign(128, most), 0);
	edge("valloc", valloc(10), 4096);
	p = pvalloc(10);
	say("pvalloc usable %d\n", malloc_usable_size(p) >= 4096);
	edge("pvalloc", p, 4096);
	errno = 77;
	free(malloc(300000)); /* munmap behind it */
	say("free keeps errno %d\n", errno);
	/* A block that was used before comes back clean. */
	for (int i = 0; i < 100; i++) {
		p = malloc(3000);
		memset(p, 0xff, 3000);
		free(p);
		p = calloc(30, 100);
		for (int k = 0; k < 3000; k++)
			same &= !p[k];
		free(p);
	}
	say("clean %d\n", same);
}

/* ---- children ---- */

static void run_forks(void)
{
	static void *blocks[400];
	static volatile int round, failed; /* vfork returns twice */
	int status;

	for (int i = 0; i < 400; i++)
		blocks[i] = malloc(100000);
	for (; round < 20; round++) {
		pid_t pid = round % 4 == 3 ? vfork() : fork();

		if (pid == 0 && round % 4 == 3)
			_exit(0);
		if (pid == 0) {
			for (int i = 0; i < 400; i++)
				free(blocks[i]);
			for (int i = 0; i < 20000; i++)
				free(realloc(malloc((size_t)i), (size_t)i * 2 + 1));
			if (round % 4 == 2)
				execl("/bin/true", "true", (char *)NULL);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			failed++;
	}
	say("failed %d\n", failed);
	wait_line();
	for (int i = 0; i < 400; i++)
		free(blocks[i]);
}

#ifdef ALLOCS_WRAP
static void run_stops(struct hearth_profiler *profiler)
{
	for (int stage = 1; stage <= 4; stage *= 2) {
		for (int i = 0; i < stage * 1000; i++)
			free(leaky(1000));
		if (stage == 1)
			hearth_profiler_stop(profiler, false);
		else if (stage == 2 && hearth_profiler_start(profiler, NULL))
			_exit(7);
	}
	say("total 5000000 5000\n");
	wait_line();
}
#endif

int main(int argc, char **argv)
{
#ifdef ALLOCS_WRAP
	/* Linked with the hooks: nothing is preloaded, so that it starts its profiler itself. */
	struct hearth_profiler *profiler = hearth_profiler_new(NULL);

	if (hearth_profiler_start(profiler, NULL))
		return 5;
	if (argc > 1 && !strcmp(argv[1], "stops")) {
		run_stops(profiler);
		return 0;
	}
#endif
	const char *mode = argc > 1 ? argv[1] : "";
	const char *first = argc > 2 ? argv[2] : "1";

	if (!strcmp(mode, "sites"))
		run_sites(strtod(first, NULL), argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
	else if (!strcmp(mode, "leak"))
		run_leak(strtoul(first, NULL, 10));
	else if (!strcmp(mode, "exec"))
		run_exec(argv[0], strtoul(first, NULL, 10));
	else if (!strcmp(mode, "storm"))
		run_storm(atoi(first));
	else if (!strcmp(mode, "signals"))
		run_signals();
	else if (!strcmp(mode, "edges"))
		run_edges();
	else if (!strcmp(mode, "forks"))
		run_forks();
	else
		return 2;
	return 0;
}
