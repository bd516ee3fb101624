/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t pager;

bool output_is_terminal(void)
{
	return pager || isatty(STDOUT_FILENO);
}

static void pager_wait(void)
{
	(void)close(STDOUT_FILENO);
	while (waitpid(pager, NULL, 0) < 0 && errno == EINTR)
		;
}

static void on_exit_wait(void)
{
	(void)fflush(stdout);
	pager_wait();
}

/* The terminal belongs to the pager as long as it is there. */
static void on_signal(int number)
{
	pager_wait();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

/* Whether the first word of a command can be executed; what only a shell understands is left to
 * it. */
static bool is_there(const char *command)
{
	size_t len = strcspn(command, " \t");
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	if (strpbrk(command, "|&;<>()$`\\\"'*?[#~=%"))
		return true;
	if (memchr(command, '/', len)) {
		(void)snprintf(file, sizeof(file), "%.*s", (int)len, command);
		return access(file, X_OK) == 0;
	}
	for (const char *at = path ? path : ""; *at; at += *at == ':') {
		size_t folder = strcspn(at, ":");

		(void)snprintf(file, sizeof(file), "%.*s/%.*s", (int)folder, at, (int)len, command);
		if (access(file, X_OK) == 0)
			return true;
		at += folder;
	}
	return false;
}

static const char *command_find(void)
{
	const char *command = getenv("HEARTH_PAGER");

	if (!command)
		command = getenv("PAGER");
	if (!command)
		command = "less";
	return !*command || !strcmp(command, "cat") || !is_there(command) ? NULL : command;
}

static void pager_exec(const char *command, int input)
{
	if (dup2(input, STDIN_FILENO) < 0)
		_exit(127);
	(void)setenv("LESS", "FRX", 0);
	(void)setenv("LV", "-c", 0);
	(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

void pager_start(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	const char *command = isatty(STDOUT_FILENO) ? command_find() : NULL;
	int ends[2];

	if (!command || pipe2(ends, O_CLOEXEC) != 0)
		return;
	(void)fflush(NULL);
	pager = fork();
	if (pager == 0)
		pager_exec(command, ends[0]);
	(void)close(ends[0]);
	if (pager > 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		(void)atexit(on_exit_wait);
		for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
			(void)signal(signals[i], on_signal);
	} else {
		pager = 0;
	}
	(void)close(ends[1]);
}
