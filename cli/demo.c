/* SPDX-License-Identifier: Apache-2.0 */
/* `hearth demo`: the demo service with an agent of its own, and the link to look at it. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/time_parse.h"
#include "cli/own_agent.h"
#include "cli/preload.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth demo [--for TIME]\n"
    "\n"
    "Runs a small shop with planted facts (a hot function, a contended lock, a leak) under the "
    "profiler, with\n"
    "an agent of its own, and prints a link to its page.  Nothing of it stays when it ends.\n"
    "\n"
    "  --for TIME   end after it (default: at SIGINT)\n"
    "  --json       {\"schema\":\"hearth.demo/1\",\"url\":...,\"server\":...} when it is ready\n";

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

static pid_t shop_start(const struct own_agent *agent, const char *program)
{
	char library[PATH_MAX], socket[300];
	pid_t child;

	if (!preload_find("libhearth-preload.so", library, sizeof(library))) {
		(void)complain(EXIT_RUNTIME,
			       "demo: libhearth-preload.so is not beside this program");
		return -1;
	}
	(void)fflush(NULL);
	child = fork();
	if (child)
		return child;
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)snprintf(socket, sizeof(socket), "unix:%s/agent.sock", agent->place.directory);
	if (!setenv("LD_PRELOAD", library, 1) && !setenv("HEARTH_ENABLED", "1", 1) &&
	    !setenv("HEARTH_SERVICE", "shop", 1) && !setenv("HEARTH_AGENT", socket, 1)) {
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		(void)execl(program, "hearth-demo", (char *)NULL);
	}
	_exit(127);
}

static int link_print(const struct own_agent *agent, bool as_json)
{
	struct buf body = {0};
	int code = ask(&agent->place, "/api/v1/login", NULL, 0, "", 0, &body);
	json_t *answer = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);

	if (!code && as_json)
		(void)printf("{\"schema\":\"hearth.demo/1\",\"url\":\"http://"
			     "%s%s\",\"server\":\"unix:%s\"}\n",
			     answer_text(answer, "address"), answer_text(answer, "path"),
			     agent->place.directory);
	else if (!code)
		(void)printf("The shop is open: http://%s%s\nFrom a shell:     hearth top --server "
			     "unix:%s\nClose it with Ctrl-C.\n",
			     answer_text(answer, "address"), answer_text(answer, "path"),
			     agent->place.directory);
	(void)fflush(stdout);
	json_decref(answer);
	buf_release(&body);
	return code;
}

/* Until a signal, the time is over, or the shop closed by itself. */
static int wait_for_end(pid_t shop, int64_t for_ns)
{
	int64_t until = clock_monotonic_ns() + for_ns;

	while (!stopped && clock_monotonic_ns() < until) {
		if (waitpid(shop, NULL, WNOHANG) == shop)
			return complain(EXIT_RUNTIME, "demo: the shop closed by itself");
		(void)usleep(100000);
	}
	(void)kill(shop, SIGTERM);
	(void)waitpid(shop, NULL, 0);
	return EXIT_OK;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_demo;
	const struct sigaction stop = {.sa_handler = on_signal};
	struct own_agent agent = {0};
	char program[PATH_MAX];
	int64_t for_ns = INT64_MAX / 2;
	struct err err = {0};
	struct options o;
	int rest, code = options_parse(&verb_demo, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc ||
	    (o.duration && (duration_parse(str_of(o.duration), &for_ns, &err) || for_ns <= 0)))
		return complain(EXIT_USAGE, "demo: \"%s\" is not understood",
				rest < argc ? argv[rest] : o.duration);
	if (!preload_find("hearth-demo", program, sizeof(program)))
		return complain(EXIT_RUNTIME, "demo: hearth-demo is not beside this program");
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	code = own_agent_start("demo", &agent);
	pid_t shop = code ? -1 : shop_start(&agent, program);

	if (!code && shop < 0)
		code = EXIT_RUNTIME;
	if (!code)
		code = link_print(&agent, o.json);
	if (shop > 0) {
		int ended = wait_for_end(shop, code ? 0 : for_ns);

		code = code ? code : ended;
	}
	own_agent_stop(&agent);
	return code;
}

const struct verb verb_demo = {.name = "demo", .usage = usage, .run = run};
