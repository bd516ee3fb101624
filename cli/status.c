/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth status [--json] [-q] [--server unix:PATH|URL]\n"
    "\n"
    "Says how the agent is doing, what is attached, and what was lost and why.\n"
    "\n"
    "  --json       the agent's answer as it is\n"
    "  -q, --quiet  nothing but the exit status: 0 when the agent answers\n" PAGER_HELP;

static void counts_print(const char *indent, const char *what, json_t *counts)
{
	const char *name;
	json_t *count;

	json_object_foreach(counts, name, count) if (json_integer_value(count))(void)
	    printf("%s%s %s: %lld\n", indent, what, name, (long long)json_integer_value(count));
}

/* Only what is out of the ordinary: a dimension that is sampled less than was asked for, or not at
 * all. */
static void budget_print(json_t *p)
{
	json_t *state, *times, *budget = json_object_get(p, "budget");
	const char *dimension;

	json_object_foreach(json_object_get(budget, "times_as_far_apart"), dimension, times)(void)
	    printf("    over budget: %s samples are %lld times as far apart\n", dimension,
		   (long long)json_integer_value(times));
	json_object_foreach(
	    json_object_get(p, "dimensions"), dimension,
	    state) if (!strcmp(json_string_value(state) ? json_string_value(state) : "",
			       "stopped by budget"))(void)
	    printf("    over budget: %s is stopped, and is tried again after five minutes\n",
		   dimension);
}

static void process_print(json_t *p)
{
	double cpu = answer_number(p, "cpu_ns"), cost = answer_number(p, "own_cost_ns");
	json_t *refused;
	char text[32];
	size_t i;

	(void)printf("  ");
	name_print(answer_text(p, "service"));
	value_format(cpu, "nanoseconds", text, sizeof(text));
	(void)printf("  pid %.0f, uid %.0f, %s, %s, %.0f threads, %.0f samples, cpu %s",
		     answer_number(p, "pid"), answer_number(p, "uid"), answer_text(p, "state"),
		     answer_text(p, "engine"), answer_number(p, "threads"),
		     answer_number(p, "samples"), text);
	if (cpu > 0)
		(void)printf(", own cost %.3f%%", 100 * cost / cpu);
	(void)putchar('\n');
	if (json_object_get(p, "engine_fallback"))
		(void)printf("    timers take CPU samples: %s\n",
			     answer_text(p, "engine_fallback"));
	if (answer_number(p, "threads_departing") + answer_number(p, "threads_unsampled") > 0)
		(void)printf("    %.0f threads whose samples do not follow their clock, %.0f never "
			     "sampled\n",
			     answer_number(p, "threads_departing"),
			     answer_number(p, "threads_unsampled"));
	budget_print(p);
	counts_print("    ", "lost", json_object_get(p, "lost"));
	json_array_foreach(json_object_get(p, "settings_refused"), i, refused)
	{
		(void)printf("    setting refused: ");
		name_print(json_string_value(refused));
		(void)putchar('\n');
	}
}

static void status_print(json_t *s)
{
	json_t *storage = json_object_get(s, "storage"),
	       *processes = json_object_get(s, "processes");
	json_t *native = json_object_get(s, "native"), *symbols = json_object_get(s, "symbols"), *p;
	char bytes[32];
	size_t i;

	(void)printf("hearthd %s on %s, pid %.0f\n", answer_text(s, "version"),
		     answer_text(s, "host"), answer_number(s, "pid"));
	value_format(answer_number(storage, "bytes"), "bytes", bytes, sizeof(bytes));
	(void)printf("store: %s, %s, %s, %.0f profiles and %.0f records since the start\n",
		     answer_text(storage, "location"), answer_text(storage, "version"), bytes,
		     answer_number(storage, "profiles"), answer_number(storage, "records"));
	if (answer_text(storage, "trouble")[0])
		(void)printf("store: TROUBLE: %s\n", answer_text(storage, "trouble"));
	if (answer_text(storage, "note")[0])
		(void)printf("store: %s\n", answer_text(storage, "note"));
	(void)printf("symbols: %.0f binaries read, %.0f failed, %.0f waiting\n",
		     answer_number(symbols, "read"), answer_number(symbols, "failed"),
		     answer_number(symbols, "queued"));
	(void)printf("processes: %zu attached, %.0f ended\n", json_array_size(processes),
		     answer_number(native, "ended"));
	json_array_foreach(processes, i, p) process_print(p);
	counts_print("", "stacks that ended at", json_object_get(native, "stacks"));
	counts_print("", "lost", json_object_get(native, "lost"));
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_status;
	struct place place;
	struct options o;
	struct buf body = {0};
	int rest, code = options_parse(&verb_status, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	code = place_find(o.server, &place);
	if (!code)
		code = ask(&place, "/api/v1/status", NULL, 0, NULL, 0, &body);
	json_t *status = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);

	if (!code && !status)
		code = complain(EXIT_RUNTIME, "the agent's answer is not JSON");
	if (!code && o.json)
		(void)printf("%.*s\n", (int)body.len, body.data);
	else if (!code && !o.quiet)
		status_print(status);
	json_decref(status);
	buf_release(&body);
	return code;
}

const struct verb verb_status = {.name = "status", .usage = usage, .pages = true, .run = run};
