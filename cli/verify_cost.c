/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What profiling costs a program: CPU time of one operation while it samples over that while it is
 * paused through the control page, in slices of one process by turns, and the interval of that
 * ratio by bootstrap over pairs of slices.  Beside it the cost that the client counted itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/value.h"
#include "cli/verify.h"

#define SAMPLED_MS 800
#define PAUSED_MS 600
#define RESAMPLES 2000

/* CPU nanoseconds an operation. */
struct pairs {
	double on[VERIFY_LINES_MAX], paused[VERIFY_LINES_MAX];
	size_t count;
};

static int order(const struct verify *v, const struct load *load, const char *action)
{
	char pid[16];
	const struct parameter parameters[] = {{"action", action}, {"pid", pid}, {"for", "60s"}};
	struct buf body = {0};
	bool pause = !strcmp(action, "pause");

	(void)snprintf(pid, sizeof(pid), "%d", load->pid);
	int code = ask(&v->place, "/api/v1/control", parameters, pause ? 3 : 2, "", 0, &body);

	buf_release(&body);
	return code;
}

/* Neighbours, one of each kind. */
static void pairs_collect(const struct load *load, struct pairs *pairs)
{
	const struct line *before = NULL;

	for (size_t i = 0; i < load->lines_count; i++) {
		const struct line *line = &load->lines[i];

		if (strcmp(line->what, "slice"))
			continue;
		if (!before || !strcmp(before->name, line->name)) {
			before = line;
			continue;
		}
		const struct line *on = strcmp(line->name, "on") ? before : line;
		const struct line *paused = on == line ? before : line;

		pairs->on[pairs->count] = on->number[1] / on->number[0];
		pairs->paused[pairs->count++] = paused->number[1] / paused->number[0];
		before = NULL;
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The mean of the pairs' ratios, a fifth left out at either end. */
static double ratio(const struct pairs *p, unsigned *seed)
{
	static double ratios[VERIFY_LINES_MAX];
	size_t cut = p->count / 5;
	double sum = 0;

	for (size_t i = 0; i < p->count; i++) {
		size_t k = seed ? (unsigned)rand_r(seed) % p->count : i;

		ratios[i] = p->on[k] / p->paused[k];
	}
	qsort(ratios, p->count, sizeof(*ratios), by_value);
	for (size_t i = cut; i < p->count - cut; i++)
		sum += ratios[i];
	return sum / (double)(p->count - 2 * cut);
}

static void cost_check(struct verify *v, const struct pairs *pairs)
{
	static double drawn[RESAMPLES];
	double cpu = answer_number(v->process, "cpu_ns"), own;
	unsigned seed = 1;
	char what[64];

	own = cpu > 0 ? answer_number(v->process, "own_cost_ns") / cpu : 0;
	verify_check(v, "cost", "counted by the client itself", "share", 0, own, 0, 0.01);
	if (pairs->count < 3) {
		verify_off(v, "cost", "too few slices; give --for more time");
		return;
	}
	for (int i = 0; i < RESAMPLES; i++)
		drawn[i] = ratio(pairs, &seed) - 1;
	qsort(drawn, RESAMPLES, sizeof(*drawn), by_value);
	(void)snprintf(what, sizeof(what), "sampling against a pause, %zu pairs", pairs->count);
	double middle = ratio(pairs, NULL) - 1, low = drawn[RESAMPLES / 40],
	       high = drawn[RESAMPLES - RESAMPLES / 40];

	/* A machine with other work on it makes the interval wide, and the verdict mild. */
	verify_check(v, "cost", what, "share", 0, middle, (high - low) / 3.92, 0.01);
}

int verify_cost(struct verify *v)
{
	static struct pairs pairs;
	struct load load;
	int code = verify_load_start(v, "loop-mix", 3 * v->seconds, &load);

	pairs.count = 0;
	verify_load_read(&load, 1000); /* attached, and its second rate in force */
	for (int i = 0; !code && !load.ended && i < VERIFY_LINES_MAX; i++) {
		code = order(v, &load, "pause");
		verify_load_read(&load, PAUSED_MS);
		if (!code)
			code = order(v, &load, "resume");
		verify_load_read(&load, SAMPLED_MS);
	}
	if (!code)
		code = verify_load_finish(v, &load);
	if (!code) {
		pairs_collect(&load, &pairs);
		cost_check(v, &pairs);
	}
	verify_load_release(&load);
	return code;
}
