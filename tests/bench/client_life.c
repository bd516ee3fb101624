/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_life - what beginning and ending cost, each in a process of its own: first start, a start
 * with other labels, stop, and the way from exit() to the parent's notice, with an agent that is
 * absent and with one that takes connections and never reads.  Then the calls that a request makes.
 *
 * Baselines: 1 ms for a start; for an exit, the same process without a profiler.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/hearth.h"

#define RUNS 101
#define CALLS 200000

enum figure { START, RESTART, STOP, LEFT, FIGURES };

static double now_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, RUNS, sizeof(*v), ascending);
	return v[RUNS / 2];
}

static void print(const char *metric, const char *agent, double value, const char *unit,
		  double baseline)
{
	printf("{\"bench\":\"client-life\",\"metric\":\"%s%s\",\"value\":%.3f,\"unit\":\"%s\","
	       "\"baseline\":%.3f}\n",
	       metric, agent, value, unit, baseline);
}

static void burn(double us)
{
	double until = now_us(CLOCK_THREAD_CPUTIME_ID) + us;

	while (now_us(CLOCK_THREAD_CPUTIME_ID) < until)
		;
}

static void live(double *figures)
{
	struct hearth_options other = {.size = sizeof(other), .service = "other"};
	struct hearth_profiler *p = hearth_profiler_new(NULL), *q = hearth_profiler_new(&other);
	double t = now_us(CLOCK_MONOTONIC);

	if (hearth_profiler_start(p, NULL))
		_exit(1);
	figures[START] = now_us(CLOCK_MONOTONIC) - t;
	burn(20000);
	t = now_us(CLOCK_MONOTONIC);
	(void)hearth_profiler_stop(p, false);
	figures[STOP] = now_us(CLOCK_MONOTONIC) - t;
	t = now_us(CLOCK_MONOTONIC);
	if (hearth_profiler_start(q, NULL))
		_exit(1);
	figures[RESTART] = now_us(CLOCK_MONOTONIC) - t;
	burn(20000);
}

/* Medians over processes of their own. */
static void measure(bool profiled, double medians[FIGURES])
{
	static double all[FIGURES][RUNS];
	double *shared =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		exit(1);
	for (int i = 0; i < RUNS; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			if (profiled)
				live(shared);
			else
				burn(40000);
			shared[LEFT] = now_us(CLOCK_MONOTONIC);
			exit(0);
		}
		if (waitpid(child, &status, 0) != child || status)
			exit(1);
		shared[LEFT] = now_us(CLOCK_MONOTONIC) - shared[LEFT];
		for (int f = 0; f < FIGURES; f++)
			all[f][i] = shared[f];
	}
	for (int f = 0; f < FIGURES; f++)
		medians[f] = median(all[f]);
}

static void lives(const char *agent, double exit_us)
{
	double m[FIGURES];

	measure(true, m);
	print("start_median_us_", agent, m[START], "us", 1000);
	print("start_with_other_labels_median_us_", agent, m[RESTART], "us", 1000);
	print("stop_median_us_", agent, m[STOP], "us", 2000);
	print("exit_median_us_", agent, m[LEFT], "us", exit_us);
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, strlen(path) + 1);
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1000) ? -1 : fd;
}

static void calls(void)
{
	struct hearth_profiler *p = hearth_profiler_new(NULL);
	char text[256];
	double t;

	if (hearth_profiler_start(p, NULL))
		exit(1);
	t = now_us(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < CALLS; i++)
		(void)hearth_span_end(hearth_span_begin("operation", "GET /", NULL, 0));
	print("span_pair_ns", "", (now_us(CLOCK_THREAD_CPUTIME_ID) - t) * 1e3 / CALLS, "ns", 0);
	t = now_us(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < CALLS; i++)
		(void)hearth_label_set("customer", i % 2 ? "one" : "two");
	print("label_set_ns", "", (now_us(CLOCK_THREAD_CPUTIME_ID) - t) * 1e3 / CALLS, "ns", 0);
	(void)hearth_span_begin("operation", NULL, NULL, 0);
	t = now_us(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < CALLS; i++)
		(void)hearth_log_context(text, sizeof(text));
	print("log_context_ns", "", (now_us(CLOCK_THREAD_CPUTIME_ID) - t) * 1e3 / CALLS, "ns", 0);
	hearth_profiler_free(p);
}

int main(void)
{
	char folder[] = "/tmp/hearth-bench-XXXXXX", path[64], agent[80];
	double without[FIGURES];
	int fd;

	if (!mkdtemp(folder))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
	(void)snprintf(agent, sizeof(agent), "unix:%s", path);
	(void)setenv("HEARTH_AGENT", agent, 1);
	(void)unsetenv("HEARTH_ENABLED");
	setvbuf(stdout, NULL, _IONBF, 0);
	measure(false, without);
	lives("agent_absent", without[LEFT]);
	fd = listen_at(path);
	if (fd < 0)
		return 1;
	lives("agent_hung", without[LEFT]);
	close(fd);
	(void)unlink(path);
	(void)rmdir(folder);
	calls();
	return 0;
}
