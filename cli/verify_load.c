/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/value.h"
#include "cli/verify.h"

#define PATIENCE_MS 60000 /* beside four times the time that a load should take */
#define SECONDS_MIN 1.5
#define TEXT_MAX (1u << 20)
#define STORED_NS (INT64_C(60) * NS_PER_S)
#define TICKS_US 500000 /* more than two of the agent's */

extern char **environ;

/* The defaults are verified, whatever is set here for other programs. */
static void environment_clear(void)
{
	for (size_t i = 0; environ[i];) {
		char name[128];

		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(environ[i], "="),
			       environ[i]);
		if ((strncmp(name, "HEARTH_", 7) && strncmp(name, "DD_", 3)) || unsetenv(name))
			i++;
	}
}

static void load_exec(const struct verify *v, const struct load *load, const char *name,
		      double seconds)
{
	char agent[300], number[32], seed[32];

	environment_clear();
	(void)snprintf(agent, sizeof(agent), "unix:%s/agent.sock", v->place.directory);
	(void)snprintf(number, sizeof(number), "%.3f", seconds);
	(void)snprintf(seed, sizeof(seed), "%lld", (long long)clock_real_ns());
	if (setenv("LD_PRELOAD", v->library, 1) || setenv("HEARTH_ENABLED", "1", 1) ||
	    setenv("HEARTH_SERVICE", VERIFY_SERVICE, 1) ||
	    setenv("HEARTH_VERSION", load->version, 1) || setenv("HEARTH_AGENT", agent, 1))
		_exit(126);
	(void)execl(v->known, "hearth-known", name, number, seed, (char *)NULL);
	_exit(127);
}

int verify_load_start(const struct verify *v, const char *name, double seconds,
		      struct load *ret_load)
{
	int in[2], out[2];

	*ret_load = (struct load){.in = -1, .out = -1};
	buf_init(&ret_load->text, TEXT_MAX);
	(void)snprintf(ret_load->from, sizeof(ret_load->from), "now-1h");
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return complain(EXIT_RUNTIME, "verify: pipe: %s", strerror(errno));
	(void)snprintf(ret_load->version, sizeof(ret_load->version), "%s-%d-%lld", name, getpid(),
		       (long long)(clock_real_ns() / NS_PER_S));
	if (v->progress)
		(void)fprintf(stderr, "\rhearth: %-12s", name);
	ret_load->pid = fork();
	if (ret_load->pid == 0) {
		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		load_exec(v, ret_load, name, seconds);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	ret_load->in = in[1];
	ret_load->out = out[0];
	return ret_load->pid < 0 ? complain(EXIT_RUNTIME, "verify: fork: %s", strerror(errno)) : 0;
}

static void lines_parse(struct load *load)
{
	const char *text = buf_cstr(&load->text);

	while (text && *text && strchr(text, '\n') && load->lines_count < VERIFY_LINES_MAX) {
		struct line *line = &load->lines[load->lines_count];

		*line = (struct line){0};
		if (sscanf(text, "%15s %47s %lf %lf %lf", line->what, line->name, &line->number[0],
			   &line->number[1], &line->number[2]) >= 3)
			load->lines_count++;
		if (!strcmp(line->what, "end"))
			load->ended = true;
		text = strchr(text, '\n') + 1;
	}
	buf_clear(&load->text);
}

void verify_load_read(struct load *load, int timeout_ms)
{
	int64_t until = clock_monotonic_ns() + timeout_ms * (int64_t)1000000;
	char bytes[4096];

	while (load->out >= 0 && !load->ended) {
		int64_t left = (until - clock_monotonic_ns()) / 1000000;
		struct pollfd p = {load->out, POLLIN, 0};

		if (left <= 0)
			return;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(load->out, bytes, sizeof(bytes));

		if (n > 0)
			(void)!buf_add(&load->text, bytes, (size_t)n);
		/* It writes all at once, at its end. */
		if (n <= 0 || memmem(load->text.data, load->text.len, "\nend ", 5))
			lines_parse(load);
		if (n <= 0)
			load->ended = true;
	}
}

void verify_load_wait(struct load *load, double seconds)
{
	verify_load_read(load, (int)(seconds * 4000) + PATIENCE_MS);
}

/* This process in the agent's status; NULL: not there, or no answer. Borrowed from *ret_status. */
static json_t *process_find(const struct verify *v, pid_t pid, json_t **ret_status)
{
	json_t *status = verify_ask(v, "/api/v1/status", NULL, 0), *p;
	size_t i;

	*ret_status = status;
	json_array_foreach(json_object_get(status, "processes"), i,
			   p) if ((pid_t)answer_number(p, "pid") == pid) return p;
	return NULL;
}

static int stored_wait(const struct verify *v, pid_t pid)
{
	int64_t until = clock_monotonic_ns() + STORED_NS;

	while (clock_monotonic_ns() < until) {
		json_t *status, *p = process_find(v, pid, &status);
		bool stored = status && !p &&
			      answer_number(json_object_get(status, "symbols"), "queued") == 0;

		json_decref(status);
		if (!status)
			return EXIT_NO_AGENT;
		if (stored)
			return 0;
		(void)usleep(50000);
	}
	return complain(EXIT_RUNTIME, "verify: the agent did not store a load within a minute");
}

int verify_load_finish(struct verify *v, struct load *load)
{
	json_t *status;
	int ended = -1;

	if (!load->ended)
		return complain(EXIT_RUNTIME, "verify: a load did not end: %s", load->version);
	(void)usleep(TICKS_US);
	json_t *p = process_find(v, load->pid, &status);

	json_decref(v->process);
	v->process = p ? json_deep_copy(p) : NULL;
	json_decref(status);
	(void)close(load->in);
	load->in = -1;
	(void)waitpid(load->pid, &ended, 0);
	pid_t pid = load->pid;

	load->pid = 0;
	if (ended != 0)
		return complain(EXIT_RUNTIME, "verify: %s ended with status %d", v->known, ended);
	if (!v->process)
		return complain(EXIT_RUNTIME,
				"verify: %s never attached to the agent at %s: may this user "
				"connect to it?",
				load->version, v->place.directory);
	return stored_wait(v, pid);
}

void verify_load_release(struct load *load)
{
	if (load->pid > 0) {
		(void)kill(load->pid, SIGKILL);
		(void)waitpid(load->pid, NULL, 0);
	}
	if (load->in >= 0)
		(void)close(load->in);
	if (load->out >= 0)
		(void)close(load->out);
	buf_release(&load->text);
	*load = (struct load){.in = -1, .out = -1};
}

int verify_load_run(struct verify *v, const char *name, double seconds, struct load *ret_load)
{
	int code;

	/* The library attaches after a second of life. */
	seconds = seconds < SECONDS_MIN ? SECONDS_MIN : seconds;
	code = verify_load_start(v, name, seconds, ret_load);
	if (code)
		return code;
	verify_load_wait(ret_load, seconds);
	return verify_load_finish(v, ret_load);
}

double verify_shown(const struct verify *v, const struct load *load, const char *type,
		    const char *function, double *ret_samples)
{
	char query[160];
	const struct parameter parameters[] = {{"type", type},       {"query", query},
					       {"from", load->from}, {"until", "now+1m"},
					       {"by", "function"},   {"limit", "0"}};

	(void)snprintf(query, sizeof(query), "{service=\"" VERIFY_SERVICE "\",version=\"%s\"}",
		       load->version);
	json_t *answer = verify_ask(v, "/api/v1/top", parameters, ARRAY_LEN(parameters)), *row;
	double sum = function ? 0 : answer_number(answer, "total");
	double samples = function ? 0 : answer_number(answer, "samples");
	size_t i;

	json_array_foreach(json_object_get(answer, "rows"), i, row)
	{
		if (!function || strcmp(answer_text(row, "name"), function) != 0)
			continue;
		sum += answer_number(row, "total");
		samples += answer_number(row, "samples_total");
	}
	if (ret_samples)
		*ret_samples = samples;
	json_decref(answer);
	return sum;
}
