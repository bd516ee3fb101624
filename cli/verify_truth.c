/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The known answers.  Where a figure comes from samples its standard error is computed from what
 * was sampled; where it comes from exact counters the truth itself is asked for.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/value.h"
#include "cli/verify.h"

#define ALLOC_MEAN_BYTES 524288.0
#define DRAWN_MEAN_NS 500000.0 /* times how much further apart samples are */
/* of 200 ms: the live heap of what is old is looked at every ten seconds */
#define SNAPSHOT_POLLS 150
#define COARSE_HZ 250.0 /* of most kernels, where the agent does not say */

static const struct line *line_find(const struct load *load, const char *what, const char *name)
{
	static const struct line none;

	for (size_t i = 0; i < load->lines_count; i++)
		if (!strcmp(load->lines[i].what, what) &&
		    (!name || !strcmp(load->lines[i].name, name)))
			return &load->lines[i];
	return &none;
}

/* The next line "site ..." behind *at; NULL: no more. */
static const struct line *site_next(const struct load *load, size_t *at)
{
	while (*at < load->lines_count) {
		const struct line *line = &load->lines[(*at)++];

		if (!strcmp(line->what, "site"))
			return line;
	}
	return NULL;
}

static double tick_ns(const struct verify *v)
{
	double hz = answer_number(v->process, "hz");

	return 1e9 / (hz > 0 ? hz : COARSE_HZ);
}

static void cpu_check(struct verify *v, const struct load *load)
{
	double n = 0, shown = verify_shown(v, load, "cpu", NULL, NULL), sum = 0;
	double truth = line_find(load, "total", "cpu")->number[0];
	const struct line *site;

	verify_check(v, "cpu", "total", "nanoseconds", truth, shown, 0, 0.01 * truth);
	(void)verify_shown(v, load, "cpu_samples", NULL, &n);
	for (size_t i = 0; (site = site_next(load, &i));)
		sum += site->number[0];
	for (size_t i = 0; (site = site_next(load, &i));) {
		double share = site->number[0] / sum;

		verify_check(v, "cpu", site->name, "share", share,
			     verify_shown(v, load, "cpu", site->name, NULL) / shown,
			     sqrt(share * (1 - share) / n), 0);
	}
}

/*
 * Begun and ended anywhere between two ticks, a call is seen for as many ticks as it crossed.
 * Where the budget had fewer taken, each was drawn with the chance 1 - exp(-duration / mean), the
 * mean of decision 0014.
 */
static double block_error(const struct verify *v, const struct line *line)
{
	double tick = tick_ns(v), count = line->number[1], each = line->number[0] / fmax(count, 1);
	double apart = answer_number(
	    json_object_get(json_object_get(v->process, "budget"), "times_as_far_apart"), "wall");
	double chance = apart > 1 ? -expm1(-each / (DRAWN_MEAN_NS * apart)) : 1;

	return sqrt(tick * tick * count / 6 + count * each * each * (1 - chance) / chance);
}

static void block_check(struct verify *v, const struct load *load)
{
	double sum = 0;
	const struct line *site, *total = line_find(load, "total", "block");

	for (size_t i = 0; (site = site_next(load, &i));) {
		double shown = verify_shown(v, load, "block_delay", site->name, NULL);

		verify_check(v, "block", site->name, "nanoseconds", site->number[0], shown,
			     block_error(v, site), 0);
		sum += shown;
	}
	verify_check(v, "block", "total", "nanoseconds", total->number[0], sum,
		     block_error(v, total), 0.01 * total->number[0]);
}

static double bytes_error(double size, double count, double mean)
{
	double p = -expm1(-size / mean);

	return sqrt(count * (1 - p) / p) * size;
}

static void alloc_check(struct verify *v, const struct load *load)
{
	double sum = 0, mean = answer_number(v->process, "alloc_mean_bytes");
	const struct line *site;

	if (mean < 1)
		mean = ALLOC_MEAN_BYTES;
	for (size_t i = 0; (site = site_next(load, &i));) {
		double se = bytes_error(site->number[2], site->number[1], mean);

		sum += site->number[0];
		verify_check(v, "alloc", site->name, "bytes", site->number[0],
			     verify_shown(v, load, "alloc_space", site->name, NULL), se, mean);
	}
	/* The C library and the loader ask for memory, too: what is exact is the sum of all. */
	verify_check(v, "alloc", "total", "bytes", sum,
		     verify_shown(v, load, "alloc_space", NULL, NULL), 0, 262144);
}

static void lock_check(struct verify *v, const struct load *load)
{
	const struct line *site, *total = line_find(load, "total", "lock");
	double nobody = verify_shown(v, load, "lock_blame", "[holder not seen]", NULL);
	double wait = verify_shown(v, load, "lock_delay", NULL, NULL);

	verify_check(v, "lock", "total wait", "nanoseconds", total->number[0], wait, 0,
		     0.01 * total->number[0] + 2 * tick_ns(v));
	verify_check(v, "lock", "contended waits", "count", total->number[1],
		     verify_shown(v, load, "lock_contentions", NULL, NULL), 0, 0);
	/* The mean between two stacks doubles while they are many: the error is what their number
	 * says. */
	for (size_t i = 0; (site = site_next(load, &i));) {
		double n, shown = verify_shown(v, load, "lock_blame", site->name, &n);

		verify_check(v, "lock", site->name, "nanoseconds", site->number[0], shown,
			     n > 0 ? shown / sqrt(n) : 0, nobody);
	}
}

static void exception_check(struct verify *v, const struct load *load)
{
	verify_check(v, "exception", "thrown", "count",
		     line_find(load, "total", "exception")->number[0],
		     verify_shown(v, load, "exceptions", NULL, NULL), 0, 0);
}

static void eintr_check(struct verify *v, const struct load *load)
{
	char what[80];

	for (size_t i = 0; i < load->lines_count; i++) {
		const struct line *line = &load->lines[i];

		if (strcmp(line->what, "eintr"))
			continue;
		(void)snprintf(what, sizeof(what), "EINTR in %.0f %s", line->number[1], line->name);
		verify_check(v, "harm", what, "count", 0, line->number[0], 0, 0);
	}
}

static int measure(struct verify *v, const char *dimension, const char *name, double seconds,
		   void (*check)(struct verify *v, const struct load *load))
{
	struct load load;
	int code = verify_load_run(v, name, seconds, &load);
	const char *why = code ? NULL : verify_why_off(v, dimension);

	if (!code && why)
		verify_off(v, dimension, why);
	else if (!code)
		check(v, &load);
	verify_load_release(&load);
	return code;
}

int verify_cpu(struct verify *v)
{
	return measure(v, "cpu", "cpu", v->seconds, cpu_check);
}

int verify_block(struct verify *v)
{
	return measure(v, "wall", "block", v->seconds, block_check);
}

int verify_eintr(struct verify *v)
{
	return measure(v, "cpu", "eintr", v->seconds, eintr_check);
}

int verify_alloc(struct verify *v)
{
	return measure(v, "alloc", "alloc", v->seconds / 2, alloc_check);
}

int verify_lock(struct verify *v)
{
	return measure(v, "lock", "lock", v->seconds, lock_check);
}

int verify_exception(struct verify *v)
{
	return measure(v, "exception", "throw", v->seconds, exception_check);
}

/* Live heap is a gauge: it is looked at while the program holds it. */
int verify_heap(struct verify *v)
{
	struct load load;
	int code = verify_load_start(v, "heap", v->seconds, &load);
	double leaked = 0, tidy = 0;
	char *const names[] = {"known_leaks", "known_tidies"};

	if (!code)
		verify_load_wait(&load, v->seconds);
	/* What was there before all was taken does not count. */
	(void)snprintf(load.from, sizeof(load.from), "%lld", (long long)clock_real_ns());
	for (int i = 0; !code && i < SNAPSHOT_POLLS && leaked < 1; i++) {
		(void)usleep(200000);
		leaked = verify_shown(v, &load, "inuse_space", names[0], NULL);
		tidy = verify_shown(v, &load, "inuse_space", names[1], NULL);
	}
	if (!code)
		code = verify_load_finish(v, &load);
	const char *why = code ? NULL : verify_why_off(v, "heap");
	const struct line *line = line_find(&load, "site", names[0]);

	if (!code && why) {
		verify_off(v, "heap", why);
	} else if (!code) {
		/* The mean grew while the blocks came in: the agent knows what each was taken
		 * with. */
		verify_check(v, "heap", names[0], "bytes", line->number[0], leaked,
			     answer_number(json_object_get(v->process, "heap"), "se_bytes"), 0);
		verify_check(v, "heap", names[1], "bytes", 0, tidy, 0, 0);
	}
	verify_load_release(&load);
	return code;
}
