/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/own_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define READY_NS (INT64_C(20) * NS_PER_S)

static void agent_exec(const struct own_agent *agent)
{
	char program[PATH_MAX], run[96], data[96];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 16);

	(void)snprintf(run, sizeof(run), "%s/run", agent->temporary);
	(void)snprintf(data, sizeof(data), "%s/data", agent->temporary);
	/* A terminal's SIGINT is for the command; this one ends when we say so, or when we are
	 * gone. */
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (n > 0) {
		program[n] = '\0';
		char *name = strrchr(program, '/') + 1;

		memcpy(name, "hearthd", sizeof("hearthd"));
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)execl(program, "hearthd", "--run", run, "--data", data, "--listen",
			    "127.0.0.1:0", (char *)NULL);
	}
	_exit(127);
}

int own_agent_start(const char *who, struct own_agent *agent)
{
	int64_t until = clock_monotonic_ns() + READY_NS;
	char ready[96];

	*agent = (struct own_agent){0};
	(void)snprintf(agent->temporary, sizeof(agent->temporary), "/tmp/hearth-%.20s.XXXXXX", who);
	if (!mkdtemp(agent->temporary)) {
		agent->temporary[0] = '\0';
		return complain(EXIT_RUNTIME, "%s: /tmp: %s", who, strerror(errno));
	}
	agent->pid = fork();
	if (agent->pid == 0)
		agent_exec(agent);
	(void)snprintf(ready, sizeof(ready), "%s/run/hearthd.json", agent->temporary);
	while (agent->pid > 0 && access(ready, F_OK) != 0) {
		if (waitpid(agent->pid, NULL, WNOHANG) == agent->pid) {
			agent->pid = 0;
			return complain(EXIT_NO_AGENT, "%s: hearthd did not start", who);
		}
		if (clock_monotonic_ns() > until)
			return complain(EXIT_NO_AGENT, "%s: hearthd does not become ready", who);
		(void)usleep(20000);
	}
	(void)snprintf(ready, sizeof(ready), "%s/run", agent->temporary);
	return agent->pid < 0 ? complain(EXIT_RUNTIME, "%s: fork: %s", who, strerror(errno))
			      : place_find(ready, &agent->place);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	(void)remove(path);
	return 0;
}

void own_agent_stop(struct own_agent *agent)
{
	if (agent->pid > 0) {
		(void)kill(agent->pid, SIGTERM);
		(void)waitpid(agent->pid, NULL, 0);
	}
	if (agent->temporary[0])
		(void)nftw(agent->temporary, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*agent = (struct own_agent){0};
}
