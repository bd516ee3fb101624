/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `hearth record`: an agent of its own, the command under `hearth run`, a file or a table at the
 * end; or, with -p, a while of the agent that runs.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/time_parse.h"
#include "cli/export.h"
#include "cli/own_agent.h"
#include "cli/record.h"
#include "cli/selection_help.h"

/* Those of HEARTH_CPU_HZ: client/settings.def. */
#define HZ_MIN 1.0
#define HZ_MAX 1000.0

static const char usage[] =
    "usage: hearth record [-F HZ] [-d TIME] [--heap] [--lock] [-o FILE] [-q] -- COMMAND "
    "[ARGUMENT...]\n"
    "       hearth record -p SERVICE [-d TIME] [--heap] [--lock] [-o FILE] [-q]\n"
    "\n"
    "Profiles one command with an agent of its own, which needs nothing to be set up, and ends "
    "with the\n"
    "command's own status.  At the command's end, which may be SIGINT, the profile is written.\n"
    "With -p it is a service of the agent that runs, until SIGINT.\n"
    "\n"
    "  -o, --output FILE   .pb.gz, .svg, .html, .folded, .json, .speedscope.json, .txt, .csv, "
    ".dot, .afdo\n"
    "                      (default: a table on standard error; with -p on standard output)\n"
    "  --format FORMAT     what the file is (default: by its ending)\n"
    "  -F, --frequency HZ  CPU samples in a second of a thread's CPU time, 1 to 1000\n"
    "  -d, --duration TIME write after it (30s); the command goes on, unprofiled, and is waited "
    "for\n"
    "  -t, --type TYPE     what is written (default cpu): wall, alloc_space, lock_delay, ...\n"
    "  --heap, --lock      alloc_space, lock_delay too: out.html has out.heap.html beside it\n"
    "  -S, --service NAME  how the profile is called (default: the command's name)\n"
    "  -p, --service-of-agent NAME   that service, and no command; --server says which agent\n"
    "  -n, --limit COUNT, --max-nodes N, --granularity G   as in `hearth top` and `hearth "
    "export`\n" FILTER_HELP SHAPE_HELP "  -q, --quiet         say nothing of our own\n";

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
	if (o->cpu_hz) {
		(void)setenv("HEARTH_CPU_HZ", o->cpu_hz, 1);
		(void)unsetenv("HEARTH_CPU_INTERVAL_US"); /* would go before */
	}
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

static int profile_show(const struct options *o, const struct own_agent *agent,
			const struct query_format *format, const struct record_range *range)
{
	struct options own = *o;
	char server[400];

	(void)snprintf(server, sizeof(server), "unix:%s", agent->place.directory);
	own.server = server;
	own.service = own.select = NULL; /* it has nothing else */
	record_settle(&agent->place, !range->until_ns);
	/* The table goes where the command's data does not. */
	(void)fflush(stdout);
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
	return record_show(&own, format, range);
}

/* The command gets the terminal's signals itself; we live to write what it did. */
static int command_start(const struct own_agent *agent, const struct options *o, char **command,
			 int count, pid_t *ret_child)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before[2];

	(void)fflush(NULL);
	(void)sigaction(SIGINT, &ignore, &before[0]);
	(void)sigaction(SIGQUIT, &ignore, &before[1]);
	*ret_child = fork();
	if (*ret_child == 0) {
		(void)sigaction(SIGINT, &before[0], NULL);
		(void)sigaction(SIGQUIT, &before[1], NULL);
		command_exec(agent, o, command, count);
	}
	return *ret_child < 0 ? complain(EXIT_RUNTIME, "record: fork: %s", strerror(errno)) : 0;
}

/* Whether it ended; `until_ns` 0: it does. */
static bool command_wait(pid_t child, int64_t until_ns, int *ret_status)
{
	int status = 0;
	pid_t pid;

	while ((pid = waitpid(child, &status, until_ns ? WNOHANG : 0)) <= 0) {
		if (pid < 0 && errno != EINTR)
			break;
		if (until_ns && clock_monotonic_ns() >= until_ns)
			return false;
		if (until_ns)
			(void)usleep(20000);
	}
	*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

/* The agent stays while the command does: nobody else can then take the place that it knows. */
static void command_leave(const struct own_agent *agent, const struct options *o)
{
	const struct parameter order[] = {{"action", "pause"}, {"all", "true"}};
	struct buf body = {0};
	int code = ask(&agent->place, "/api/v1/control", order, ARRAY_LEN(order), "", 0, &body);

	buf_release(&body);
	if (!code && !o->quiet)
		(void)complain(0, "record: the time is over; the command goes on without samples");
}

static int command_record(const struct own_agent *agent, const struct options *o,
			  const struct query_format *format, int64_t duration_ns, char **command,
			  int count)
{
	struct record_range range = {.from_ns = clock_real_ns()};
	int64_t until_ns = duration_ns ? clock_monotonic_ns() + duration_ns : 0;
	int status = 0;
	pid_t child;
	int code = command_start(agent, o, command, count, &child);

	if (code)
		return code;
	bool ended = command_wait(child, until_ns, &status);

	range.until_ns = ended ? 0 : clock_real_ns();
	code = profile_show(o, agent, format, &range);
	if (!ended) {
		command_leave(agent, o);
		(void)command_wait(child, 0, &status);
	}
	return status ? status : code;
}

static int frequency_read(struct options *o, char *to, size_t max)
{
	char *end = NULL;
	double hz = o->cpu_hz ? strtod(o->cpu_hz, &end) : HZ_MIN;

	if (o->cpu_hz && (end == o->cpu_hz || *end || !(hz >= HZ_MIN && hz <= HZ_MAX)))
		return complain(EXIT_USAGE,
				"record: --frequency \"%s\" is not a number from %.0f to %.0f",
				o->cpu_hz, HZ_MIN, HZ_MAX);
	(void)snprintf(to, max, "%.3f", hz);
	o->cpu_hz = o->cpu_hz ? to : NULL;
	return 0;
}

static int duration_read(const char *text, int64_t *ret_ns)
{
	struct err err = {0};

	*ret_ns = 0;
	if (text && (duration_parse(str_of(text), ret_ns, &err) || *ret_ns <= 0))
		return complain(EXIT_USAGE, "record: --duration \"%s\" is not a time such as 30s",
				text);
	*ret_ns = MIN(*ret_ns, INT64_MAX / 2); /* a sum with the clock's */
	return 0;
}

static int format_find(const struct options *o, const struct query_format **ret_format)
{
	*ret_format = NULL;
	if (o->format)
		*ret_format = query_format_find(str_of(o->format));
	else if (o->output)
		*ret_format = export_format_of(o->output);
	if ((o->format || o->output) && !*ret_format)
		return complain(EXIT_USAGE, "record: %s is no format that is written here",
				o->format ? o->format : o->output);
	if (*ret_format && !o->output && !o->service_of_agent)
		return complain(EXIT_USAGE,
				"record: name a file with -o: standard output is the command's");
	if (*ret_format && !o->output && (o->heap || o->lock))
		return complain(
		    EXIT_USAGE,
		    "record: name a file with -o: --heap and --lock are files beside it");
	return 0;
}

static int whom_check(const struct options *o, bool command)
{
	if (o->service_of_agent && command)
		return complain(EXIT_USAGE,
				"record: -p is a service that runs; it takes no command");
	if (o->service_of_agent && o->service)
		return complain(EXIT_USAGE,
				"record: -S names a command's profile; with -p there is none");
	if (o->service_of_agent && o->cpu_hz)
		return complain(EXIT_USAGE,
				"record: --frequency is for a command; of a service that runs, "
				"`hearth zoom %s --cpu-hz %s --for TIME` changes it",
				o->service_of_agent, o->cpu_hz);
	if (!o->service_of_agent && !command)
		return complain(EXIT_USAGE,
				"record: name a command behind --, or a service with -p");
	return 0;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_record;
	const struct query_format *format;
	struct own_agent agent = {0};
	int64_t duration_ns;
	struct options o;
	char hz[32];
	int rest, code = options_parse(&verb_record, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	code = whom_check(&o, rest < argc);
	if (!code)
		code = format_find(&o, &format);
	if (!code)
		code = frequency_read(&o, hz, sizeof(hz));
	if (!code)
		code = duration_read(o.duration, &duration_ns);
	if (code)
		return code;
	if (o.service_of_agent)
		return record_service(&o, format, duration_ns);
	code = own_agent_start("record", &agent);
	if (!code)
		code = command_record(&agent, &o, format, duration_ns, argv + rest, argc - rest);
	own_agent_stop(&agent);
	return code;
}

const struct verb verb_record = {.name = "record", .usage = usage, .run = run};
