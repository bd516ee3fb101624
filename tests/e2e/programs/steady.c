/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works until a line comes on stdin, sleeping a millisecond now and then, then prints how many CPU
 * samples its own profiler counted and how many it dropped.  Linked with libhearth.
 */
#include <hearth.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static volatile uint64_t sink;

__attribute__((noinline)) static void work(void)
{
	for (int i = 0; i < 5000000; i++)
		sink = sink * 3 + 1;
}

int main(void)
{
	struct hearth_options options = {.size = sizeof(options), .service = "steady"};
	struct hearth_profiler *profiler = hearth_profiler_new(&options);
	struct pollfd in = {.fd = 0, .events = POLLIN};

	if (!profiler || hearth_profiler_start(profiler, NULL))
		return 1;
	do
		work();
	while (poll(&in, 1, 1) == 0);

	struct hearth_stats stats = {.size = sizeof(stats)};

	hearth_profiler_stop(profiler, false);
	if (hearth_stats(&stats))
		return 1;
	printf("%" PRIu64 " %" PRIu64 "\n", stats.cpu_samples, stats.dropped);
	hearth_profiler_free(profiler);
	return 0;
}
