/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth-known LOAD [SECONDS [SEED]] - see known.h.
 */
#include "known.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	int (*run)(double seconds);
} loads[] = {
    {"cpu", known_cpu},           /* 60, 30 and 10 % of the CPU time in three functions */
    {"block", known_block},       /* three functions that block for random times */
    {"eintr", known_eintr},       /* eight threads that count interrupted calls */
    {"alloc", known_alloc},       /* three sites of allocations */
    {"heap", known_heap},         /* a leak */
    {"lock", known_lock},         /* a lock that two functions hold for others to wait */
    {"throw", known_throw},       /* C++ exceptions */
    {"loop-cpu", known_loop_cpu}, /* slices of work, labelled by the control page */
    {"loop-mix", known_loop_mix},
    {"mix", known_mix}, /* the same work without a system call */
    {"loop-malloc", known_loop_malloc},
    {"loop-lock", known_loop_lock},
    {"idle", known_idle},     /* 200 threads that wait */
    {"poll", known_poll},     /* 500 threads that poll ten times a second */
    {"memory", known_memory}, /* 100 MB that are held */
};

static uint64_t state = 1;

static int64_t clock_read(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t known_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int64_t known_cpu_ns(void)
{
	return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

/* splitmix64 */
uint64_t known_random(void)
{
	uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

double known_draw(double mean)
{
	return -log1p(-(double)(known_random() >> 11) / 9007199254740992.0) * mean;
}

/* Done: whoever started us may look at us until our stdin ends. */
static int stay(int status)
{
	char byte;

	(void)printf("end status %d\n", status);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return status;
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 5;

	if (argc > 3)
		state = strtoull(argv[3], NULL, 10);
	for (size_t i = 0; argc > 1 && i < sizeof(loads) / sizeof(loads[0]); i++)
		if (!strcmp(argv[1], loads[i].name))
			return stay(loads[i].run(seconds));
	(void)fputs("usage: hearth-known LOAD [SECONDS [SEED]]: for `hearth verify`\n", stderr);
	return 2;
}
