/* SPDX-License-Identifier: Apache-2.0 */
/*
 * examples/spans.c - samples that belong to requests: each carries the ids of the span it fell
 * into.
 *
 *	cc spans.c -lhearth && ./a.out
 */
#include <stdio.h>

#include <hearth.h>

static volatile unsigned long sink;

static void work(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sink += i * i;
}

static void handle_request(unsigned number)
{
	struct hearth_span *request = hearth_span_begin("request", "GET /orders", NULL, 0);
	struct hearth_span *query = hearth_span_begin("query", NULL, NULL, 0);
	char context[80];

	work(20000000);
	(void)hearth_log_context(context, sizeof(context));
	printf("request %u %s\n", number, context);
	(void)hearth_span_end(query);
	work(10000000);
	(void)hearth_span_end(request);
}

int main(void)
{
	struct hearth_options options = {.size = sizeof(options), .service = "spans"};
	struct hearth_profiler *profiler = hearth_profiler_new(&options);

	(void)hearth_profiler_start(profiler, NULL);
	for (unsigned i = 0; i < 10; i++)
		handle_request(i);
	(void)hearth_profiler_stop(profiler, true);
	hearth_profiler_free(profiler);
	return 0;
}
