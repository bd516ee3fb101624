/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `hearth verify`: does what is shown on this host agree with what is true, and what does it cost?
 */
#include "cli/verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/preload.h"
#include "cli/value.h"
#include "base/time_parse.h"

static const char usage[] =
    "usage: hearth verify [--for TIME] [--json] [-q] [--server unix:PATH]\n"
    "\n"
    "Runs small programs that know what they did, with the profiler inside, and compares what is "
    "shown\n"
    "with what is true, on this host and its kernel: CPU, blocked time, allocations, live heap, "
    "locks\n"
    "and exceptions; whether a call was interrupted; and what it cost.  Asks the agent that runs "
    "here,\n"
    "or one of its own in a temporary directory.  Their profiles are kept as service "
    "hearth-verify.\n"
    "\n"
    "  --for TIME   how long each program works, 5s when not given; more makes errors smaller\n"
    "  --json       {\"host\":..., \"checks\":[...], \"failures\":n}\n"
    "  -q, --quiet  nothing but the exit status: 0 when all is true, 1 when something is not\n"
    "\n"
    "A figure from samples may be off by chance: se is its standard error, and beyond 5 of them it "
    "is\n"
    "called wrong.\n";

void verify_off(struct verify *v, const char *dimension, const char *why)
{
	json_t *check =
	    json_pack("{ss ss ss}", "dimension", dimension, "verdict", "off", "why", why);

	(void)json_array_append_new(v->checks, check);
}

void verify_check(struct verify *v, const char *dimension, const char *what, const char *unit,
		  double truth, double shown, double se, double tolerance)
{
	double off = fabs(shown - truth);
	bool holds = off <= VERIFY_ERRORS * se + tolerance; /* false for NaN */
	json_t *check =
	    json_pack("{ss ss ss sf sf sf sf ss}", "dimension", dimension, "what", what, "unit",
		      unit, "truth", truth, "shown", isfinite(shown) ? shown : 0.0, "se", se,
		      "tolerance", tolerance, "verdict", holds ? "true" : "WRONG");

	if (check && se > 0)
		(void)json_object_set_new(check, "bias_se",
					  json_real(isfinite(shown) ? (shown - truth) / se : 0));
	(void)json_array_append_new(v->checks, check);
	v->failures += !holds;
}

const char *verify_why_off(const struct verify *v, const char *dimension)
{
	const char *state = answer_text(json_object_get(v->process, "dimensions"), dimension);

	return *state && strcmp(state, "on") != 0 ? state : NULL;
}

static void number_format(double value, const char *unit, char *text, size_t max)
{
	if (!strcmp(unit, "share"))
		(void)snprintf(text, max, "%.3f%%", 100 * value);
	else
		value_format(value, unit, text, max);
}

static void check_print(json_t *c)
{
	const char *unit = answer_text(c, "unit");
	char truth[32], shown[32], se[32] = "";

	if (answer_text(c, "why")[0]) {
		(void)printf("%-10s %-40s %s: %s\n", answer_text(c, "dimension"), "", "off",
			     answer_text(c, "why"));
		return;
	}
	number_format(answer_number(c, "truth"), unit, truth, sizeof(truth));
	number_format(answer_number(c, "shown"), unit, shown, sizeof(shown));
	if (answer_number(c, "se") > 0)
		number_format(answer_number(c, "se"), unit, se, sizeof(se));
	(void)printf("%-10s %-40s %12s %12s %10s", answer_text(c, "dimension"),
		     answer_text(c, "what"), truth, shown, se);
	if (json_object_get(c, "bias_se"))
		(void)printf(" %+7.2f", answer_number(c, "bias_se"));
	else
		(void)printf(" %7s", "");
	(void)printf("  %s\n", answer_text(c, "verdict"));
}

/* What the figures hold for. */
static json_t *host_describe(const struct verify *v)
{
	struct utsname u;

	if (uname(&u))
		return json_object();
	return json_pack("{ss ss ss si sf ss sf}", "kernel", u.release, "machine", u.machine,
			 "system", u.version, "processors", (int)sysconf(_SC_NPROCESSORS_ONLN),
			 "tick_hz", answer_number(v->process, "hz"), "engine",
			 answer_text(v->process, "engine"), "interval_us",
			 answer_number(v->process, "interval_us"));
}

static void result_print(const struct verify *v, bool as_json)
{
	json_t *host = host_describe(v), *c;
	size_t i;

	if (as_json) {
		json_t *all =
		    json_pack("{so sO si ss}", "host", host, "checks", v->checks, "failures",
			      v->failures, "agent", v->own.pid ? "private" : v->place.directory);

		(void)json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
		(void)putchar('\n');
		json_decref(all);
		return;
	}
	(void)printf(
	    "kernel %s %s, %.0f processors, tick %.0f Hz, engine %s at %.0f us, agent %s\n\n",
	    answer_text(host, "kernel"), answer_text(host, "machine"),
	    answer_number(host, "processors"), answer_number(host, "tick_hz"),
	    answer_text(host, "engine"), answer_number(host, "interval_us"),
	    v->own.pid ? "of its own" : v->place.directory);
	(void)printf("%-10s %-40s %12s %12s %10s %7s\n", "", "", "truth", "shown", "se", "bias/se");
	json_array_foreach(v->checks, i, c) check_print(c);
	(void)printf(v->failures ? "\n%d of these are wrong\n" : "\nall of it is true\n",
		     v->failures);
	json_decref(host);
}

/* Our own file names, from where this program stands. */
static int files_find(struct verify *v)
{
	if (!preload_find("libhearth-preload.so", v->library, sizeof(v->library)))
		return complain(EXIT_RUNTIME,
				"verify: libhearth-preload.so is not beside this program");
	if (!preload_find("hearth-known", v->known, sizeof(v->known)))
		return complain(EXIT_RUNTIME, "verify: hearth-known is not beside this program");
	return 0;
}

static int measure_all(struct verify *v)
{
	static int (*const all[])(struct verify *
				  v) = {verify_cpu,  verify_block,     verify_alloc, verify_heap,
					verify_lock, verify_exception, verify_eintr, verify_cost};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		int code = all[i](v);

		if (code)
			return code;
	}
	if (v->progress)
		(void)fprintf(stderr, "\r%24s\r", "");
	return 0;
}

static bool seconds_parse(const char *text, double *ret_seconds)
{
	struct err err = {0};
	int64_t ns;

	if (duration_parse((struct str){text, strlen(text)}, &ns, &err) || ns < NS_PER_S)
		return false;
	*ret_seconds = (double)ns / (double)NS_PER_S;
	return true;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_verify;
	struct verify v = {.seconds = 5};
	struct options o;
	int rest, code = options_parse(&verb_verify, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return complain(EXIT_USAGE, "verify: \"%s\" is one word too many", argv[rest]);
	if (o.duration && !seconds_parse(o.duration, &v.seconds))
		return complain(EXIT_USAGE, "verify: --for \"%s\": write a time such as 5s or 1m",
				o.duration);
	v.progress = !o.quiet && isatty(STDERR_FILENO);
	v.checks = json_array();
	code = files_find(&v);
	if (!code)
		code = verify_agent_find(&v, o.server);
	if (!code)
		code = measure_all(&v);
	if (!code && !o.quiet)
		result_print(&v, o.json);
	verify_agent_release(&v);
	json_decref(v.checks);
	json_decref(v.process);
	return code ? code : v.failures ? EXIT_RUNTIME : EXIT_OK;
}

const struct verb verb_verify = {.name = "verify", .usage = usage, .run = run};
