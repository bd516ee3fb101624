/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `hearth record`: an agent of its own, the command under `hearth run`, a file or a table at the
 * end.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/export.h"
#include "cli/own_agent.h"
#include "cli/rows.h"
#include "cli/value.h"

#define DRAIN_NS (INT64_C(30) * NS_PER_S)

static const char usage[] =
    "usage: hearth record [-o FILE] [-t TYPE] [-S NAME] [-q] -- COMMAND [ARGUMENT...]\n"
    "\n"
    "Profiles one command with an agent of its own, which needs nothing to be set up, and ends "
    "with the\n"
    "command's own status.  At the command's end, which may be SIGINT, the profile is written.\n"
    "\n"
    "  -o, --output FILE   .pb.gz, .svg, .html, .folded, .json, .speedscope.json, .txt, .csv, "
    ".dot, .afdo\n"
    "                      (default: a table on standard error)\n"
    "  --format FORMAT     what the file is (default: by its ending)\n"
    "  -t, --type TYPE     what is written (default cpu): wall, alloc_space, lock_delay, ...\n"
    "  -S, --service NAME  how the profile is called (default: the command's name)\n"
    "  --max-nodes N, --granularity G, and pprof's filters as in `hearth export`\n"
    "  -q, --quiet         say nothing of our own\n";

/* `hearth run` knows what can be preloaded and says what cannot. */
static void command_exec(const struct own_agent *agent, const struct options *o, char **command,
			 int count)
{
	char self[PATH_MAX], server[400];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char **argv = calloc((size_t)count + 8, sizeof(char *));
	int at = 0;

	if (n <= 0 || !argv)
		_exit(126);
	self[n] = '\0';
	(void)snprintf(server, sizeof(server), "unix:%s", agent->place.directory);
	argv[at++] = self;
	argv[at++] = (char[]){"run"};
	argv[at++] = (char[]){"-q"};
	argv[at++] = (char[]){"--server"};
	argv[at++] = server;
	char *service = strdup(o->service ? o->service : "");

	if (o->service) {
		argv[at++] = (char[]){"-S"};
		argv[at++] = service;
	}
	argv[at++] = (char[]){"--"};
	memcpy(argv + at, command, (size_t)count * sizeof(*argv));
	(void)execv(self, argv);
	_exit(126);
}

/* Wait until all of every process is in the store and every binary was read. */
static void drain(const struct own_agent *agent)
{
	int64_t until = clock_monotonic_ns() + DRAIN_NS;
	bool settled = false;

	while (!settled && clock_monotonic_ns() < until) {
		struct buf body = {0};

		if (ask(&agent->place, "/api/v1/status", NULL, 0, NULL, 0, &body)) {
			buf_release(&body);
			return;
		}
		json_t *status = json_loadb(body.data ? body.data : "", body.len, 0, NULL);

		settled = !json_array_size(json_object_get(status, "processes")) &&
			  answer_number(json_object_get(status, "symbols"), "queued") == 0 &&
			  answer_number(json_object_get(status, "storage"), "queued") == 0;
		json_decref(status);
		buf_release(&body);
		if (!settled)
			(void)usleep(50000);
	}
}

/* The table goes where the command's data does not. */
static int table_show(const struct options *o)
{
	const struct parameter extra[] = {{"type", o->type ? o->type : "cpu"},
					  {"limit", o->limit ? o->limit : "20"}};
	json_t *answer = NULL;
	int code = ask_json(o, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	if (!code && !o->quiet) {
		(void)fflush(stdout);
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		code = rows_print(answer);
		(void)fflush(stdout);
	}
	json_decref(answer);
	return code;
}

static int profile_show(const struct options *o, const struct own_agent *agent,
			const struct query_format *format, int64_t start_ns)
{
	struct options own = *o;
	char server[400], from[32];

	(void)snprintf(server, sizeof(server), "unix:%s", agent->place.directory);
	(void)snprintf(from, sizeof(from), "%lld", (long long)start_ns);
	own.server = server;
	own.service = own.select = NULL; /* it has nothing else */
	own.from = from;
	own.until = "now";
	drain(agent);
	return format ? export_write(&own, format, o->max_nodes ? o->max_nodes : "0")
		      : table_show(&own);
}

static int status_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The command gets the terminal's signals itself; we live to write what it did. */
static int command_run(const struct own_agent *agent, const struct options *o, char **command,
		       int count)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before[2];
	int status = 0;
	pid_t child;

	(void)fflush(NULL);
	(void)sigaction(SIGINT, &ignore, &before[0]);
	(void)sigaction(SIGQUIT, &ignore, &before[1]);
	child = fork();
	if (child == 0) {
		(void)sigaction(SIGINT, &before[0], NULL);
		(void)sigaction(SIGQUIT, &before[1], NULL);
		command_exec(agent, o, command, count);
	}
	if (child < 0)
		return complain(EXIT_RUNTIME, "record: fork: %s", strerror(errno));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status_of(status);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_record;
	const struct query_format *format = NULL;
	struct own_agent agent = {0};
	struct options o;
	int rest, code = options_parse(&verb_record, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest == argc)
		return complain(EXIT_USAGE, "record: name a command behind --");
	if (o.format)
		format = query_format_find(str_of(o.format));
	else if (o.output)
		format = export_format_of(o.output);
	if ((o.format || o.output) && !format)
		return complain(EXIT_USAGE, "record: %s is no format that is written here",
				o.format ? o.format : o.output);
	if (format && !o.output)
		return complain(EXIT_USAGE,
				"record: name a file with -o: standard output is the command's");
	code = own_agent_start("record", &agent);
	if (!code) {
		int64_t start_ns = clock_real_ns();
		int status = command_run(&agent, &o, argv + rest, argc - rest);

		code = profile_show(&o, &agent, format, start_ns);
		code = status ? status : code;
	}
	own_agent_stop(&agent);
	return code;
}

const struct verb verb_record = {.name = "record", .usage = usage, .run = run};
