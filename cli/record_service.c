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

/* How many samples there are, and where the range ends by the clock of the agent's host. */
static int agent_look(const struct options *o, const char *type, int64_t *ret_until,
		      double *ret_samples)
{
	const struct parameter extra[] = {{"type", type}, {"limit", "1"}};
	json_t *answer = NULL;
	int code = ask_json(o, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	*ret_until = json_integer_value(json_object_get(answer, "until"));
	*ret_samples = answer_number(answer, "samples");
	json_decref(answer);
	if (!code && *ret_until <= 0)
		return complain(EXIT_RUNTIME, "record: the agent does not say what time it is");
	return code;
}

static int agent_now(const struct options *o, int64_t *ret_now)
{
	struct options own = *o;
	double samples;

	own.from = "now-1s";
	own.until = "now";
	return agent_look(&own, "cpu", ret_now, &samples);
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

/* Of any kind that is asked for. */
static int samples_check(const struct options *o, const struct record_range *range)
{
	const char *const types[] = {o->type ? o->type : "cpu", o->heap ? "alloc_space" : NULL,
				     o->lock ? "lock_delay" : NULL};
	struct options own = *o;
	char from[32], until[32];
	double samples = 0;
	int64_t end;

	(void)snprintf(from, sizeof(from), "%lld", (long long)range->from_ns);
	(void)snprintf(until, sizeof(until), "%lld", (long long)range->until_ns);
	own.from = from;
	own.until = until;
	for (size_t i = 0; i < ARRAY_LEN(types) && samples == 0; i++) {
		int code = types[i] ? agent_look(&own, types[i], &end, &samples) : 0;

		if (code)
			return code;
	}
	if (samples == 0)
		return complain(
		    EXIT_NO_DATA,
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
	int code = place_find(o->server, &place);

	own.service = o->service_of_agent;
	if (!code)
		code = agent_now(&own, &range.from_ns);
	if (code)
		return code;
	wait_out(duration_ns, !o->quiet && isatty(STDERR_FILENO));
	code = agent_now(&own, &range.until_ns);
	if (code)
		return code;
	record_settle(&place, false);
	code = samples_check(&own, &range);
	return code ? code : record_show(&own, format, &range);
}
