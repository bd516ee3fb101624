/* SPDX-License-Identifier: Apache-2.0 */
/*
 * examples/simple.c - the least that a program does to be profiled.
 *
 *	cc simple.c -lhearth && ./a.out
 */
#include <stdio.h>

#include <hearth.h>

/* Something to see in a flame graph: about a second of it. */
static unsigned collatz_steps(unsigned long n)
{
	unsigned steps = 0;

	for (; n != 1; steps++)
		n = n % 2 ? 3 * n + 1 : n / 2;
	return steps;
}

int main(void)
{
	struct hearth_options options = {.size = sizeof(options), .service = "simple"};
	struct hearth_profiler *profiler = hearth_profiler_new(&options);
	struct hearth_stats stats = {.size = sizeof(stats)};
	unsigned most = 0;
	int code = hearth_profiler_start(profiler, NULL);

	if (code)
		fprintf(stderr, "no profile: %s\n", hearth_strerror(code));
	for (unsigned long n = 1; n < 2000000; n++) {
		unsigned steps = collatz_steps(n);

		most = steps > most ? steps : most;
	}
	(void)hearth_profiler_stop(profiler, true);
	(void)hearth_stats(&stats);
	printf("most steps: %u; samples: %llu\n", most, (unsigned long long)stats.cpu_samples);
	hearth_profiler_free(profiler);
	return 0;
}
