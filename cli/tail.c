/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/time_parse.h"
#include "cli/rows.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth tail [--interval 2s] [--for TIME] [SELECTION] [--json]\n"
    "\n"
    "Prints again and again what costs most just now.  On a terminal each table replaces the one "
    "before;\n"
    "elsewhere they follow each other, each behind a line with its time.\n"
    "\n"
    "  --interval TIME    between two tables (default 2s)\n"
    "  --for TIME         end after it (default: at SIGINT)\n"
    "  --since TIME       how much of the past each shows (default 30s)\n"
    "  --by WHAT, -n, --limit COUNT  as in `hearth top` (default 10 rows)\n" SELECTION_HELP
    "  --json             the agent's answers, one a line\n";

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

static void time_print(void)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[32];

	(void)gmtime_r(&now, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)printf("%s\n", text);
}

static int one(const struct options *o, bool terminal)
{
	const struct parameter extra[] = {{"type", o->type ? o->type : "cpu"},
					  {"by", o->by},
					  {"limit", o->limit ? o->limit : "10"}};
	json_t *answer = NULL;
	int code = ask_json(o, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	if (code)
		return code;
	if (o->json) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else {
		(void)fputs(terminal ? "\033[H\033[2J" : "", stdout);
		time_print();
		if (answer_number(answer, "total") == 0)
			(void)printf("nothing was sampled\n");
		else
			(void)rows_print(answer);
	}
	json_decref(answer);
	return fflush(stdout) ? EXIT_RUNTIME : 0;
}

static int duration_read(const char *text, const char *name, int64_t initial_ns, int64_t *ret_ns)
{
	struct err err = {0};

	*ret_ns = initial_ns;
	if (text && (duration_parse(str_of(text), ret_ns, &err) || *ret_ns <= 0))
		return complain(EXIT_USAGE, "tail: %s \"%s\" is not a time such as 2s", name, text);
	return 0;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_tail;
	const struct sigaction stop = {.sa_handler = on_signal};
	int64_t interval_ns, for_ns;
	struct options o;
	int rest, code = options_parse(&verb_tail, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return complain(EXIT_USAGE, "tail: \"%s\" is not understood", argv[rest]);
	code = duration_read(o.interval, "--interval", 2 * NS_PER_S, &interval_ns);
	if (!code)
		code = duration_read(o.duration, "--for", INT64_MAX / 2, &for_ns);
	if (code)
		return code;
	o.since = o.since ? o.since : "30s";
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	int64_t until = clock_monotonic_ns() + for_ns;
	const struct timespec pause = {interval_ns / NS_PER_S, interval_ns % NS_PER_S};

	for (;;) {
		code = one(&o, isatty(STDOUT_FILENO));
		if (code || stopped || clock_monotonic_ns() + interval_ns > until)
			return code;
		(void)nanosleep(&pause, NULL);
		if (stopped)
			return EXIT_OK;
	}
}

const struct verb verb_tail = {.name = "tail", .usage = usage, .run = run};
