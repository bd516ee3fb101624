/* SPDX-License-Identifier: Apache-2.0 */
/* `hearth record -p`: a while of a service that the agent watches anyway. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/record.h"
#include "cli/value.h"

#define STEP_NS (INT64_C(100) * NS_PER_MS)

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

/* The agent may be on another host: what it calls now, and how many samples there are since. */
static int agent_look(const struct options *o, const char *from, const char *type, int64_t *ret_now,
		      double *ret_samples)
{
	const struct parameter extra[] = {{"type", type}, {"limit", "1"}};
	struct options own = *o;
	json_t *answer = NULL;

	own.from = from;
	own.until = "now";
	int code = ask_json(&own, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	*ret_now = json_integer_value(json_object_get(answer, "until"));
	*ret_samples = answer_number(answer, "samples");
	json_decref(answer);
	if (!code && *ret_now <= 0)
		return complain(EXIT_RUNTIME, "record: the agent does not say what time it is");
	return code;
}

static void progress_print(int64_t passed_ns, int64_t duration_ns)
{
	if (duration_ns)
		(void)fprintf(stderr, "\rhearth: %lld of %.3g s", (long long)(passed_ns / NS_PER_S),
			      (double)duration_ns / 1e9);
	else
		(void)fprintf(stderr, "\rhearth: %lld s, until SIGINT",
			      (long long)(passed_ns / NS_PER_S));
}

/* A second signal ends us as it would without a handler. */
static void wait_out(int64_t duration_ns, bool progress)
{
	const struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	int64_t begun = clock_monotonic_ns(), passed = 0, shown = -1;

	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	while (!stopped && (!duration_ns || passed < duration_ns)) {
		int64_t left = duration_ns ? duration_ns - passed : STEP_NS;
		const struct timespec step = {0, MIN(left, STEP_NS)};

		if (progress && passed >= NS_PER_S / 2 && passed / NS_PER_S != shown) {
			shown = passed / NS_PER_S;
			progress_print(passed, duration_ns);
		}
		(void)nanosleep(&step, NULL);
		passed = clock_monotonic_ns() - begun;
	}
	if (progress)
		(void)fputs("\r\033[K", stderr);
}

static int any_check(const struct options *o, const char *from)
{
	const char *const types[] = {o->type ? o->type : "cpu", o->heap ? "alloc_space" : NULL,
				     o->lock ? "lock_delay" : NULL};
	double samples = 0;
	int64_t now;

	for (size_t i = 0; i < ARRAY_LEN(types) && samples == 0; i++) {
		int code = types[i] ? agent_look(o, from, types[i], &now, &samples) : 0;

		if (code)
			return code;
	}
	if (samples == 0)
		return complain(EXIT_NO_DATA,
				"record: no samples of %s by \"%s\" in that time; `hearth services` lists "
				"what the agent has, `hearth run` starts a program with the profiler",
				types[0], o->service);
	return 0;
}

int record_service(const struct options *o, const struct query_format *format, int64_t duration_ns)
{
	struct options own = *o;
	struct record_range range;
	struct place place;
	double samples;
	char from[32];

	own.service = o->service_of_agent;
	int code = place_find(o->server, &place);

	if (!code)
		code = agent_look(&own, "now-1s", "cpu", &range.from_ns, &samples);
	if (code)
		return code;
	wait_out(duration_ns, !o->quiet && isatty(STDERR_FILENO));
	code = agent_look(&own, "now-1s", "cpu", &range.until_ns, &samples);
	if (code)
		return code;
	record_settle(&place, false);
	(void)snprintf(from, sizeof(from), "%lld", (long long)range.from_ns);
	code = any_check(&own, from);
	return code ? code : record_show(&own, format, &range);
}
