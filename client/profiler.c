/* SPDX-License-Identifier: Apache-2.0 */
#include "client/profiler.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "client/budget.h"
#include "client/hearth.h"
#include "client/hello.h"
#include "client/module.h"
#include "client/otel.h"
#include "client/session.h"
#include "client/source.h"
#include "client/syscalls.h"
#include "client/thread.h"

#define FLUSH_POLL_NS 2000000

struct hearth_profiler {
	struct config config;
	bool started;
};

static struct {
	pthread_mutex_t lock; /* of start, stop and free; never taken by a handler */
	struct hearth_profiler *running, *last; /* `last` is compared, never followed */
	struct config config;
	uint32_t config_sequence; /* odd while it changes */
	uint32_t stop_on_exit;
	bool prepared;
	bool automatic; /* started by the preload: gives way to one that the program starts */
	int off[RING_DIMENSIONS]; /* hearth_code: why a dimension is off */
} active = {.lock = PTHREAD_MUTEX_INITIALIZER};

const struct config *profiler_config(void)
{
	return &active.config;
}

uint32_t profiler_config_sequence(void)
{
	return __atomic_load_n(&active.config_sequence, __ATOMIC_SEQ_CST);
}

static const char *environment(const char *name)
{
	return secure_getenv(name);
}

/* Only for who asked for it, and never to stdout. */
static void say_refused(const struct config *c)
{
	for (uint32_t at = 0; at < c->notes_bytes;) {
		const char *key = c->notes + at, *value = key + strlen(key) + 1;

		if (!strcmp(key, RING_HELLO_REFUSED))
			dprintf(STDERR_FILENO, "hearth: setting refused: %s\n", value);
		at = (uint32_t)(value + strlen(value) + 1 - c->notes);
	}
}

struct hearth_profiler *hearth_profiler_new(const struct hearth_options *options)
{
	struct hearth_profiler *p = calloc(1, sizeof(*p));
	char path[4096];
	ssize_t n;

	if (!p)
		return NULL;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	config_read(&p->config, options, environment, path);
	if (p->config.debug)
		say_refused(&p->config);
	return p;
}

/* Other threads of the parent may have been in the middle of something; here there is one. */
static void child_after_fork(void)
{
	pthread_mutex_init(&active.lock, NULL);
	session.opening = 0;
	thread_forked();
	source_cpu_forked();
	if (session_orphan() && load(&session.follow_forks) && load(&session.running)) {
		/* What goes on by itself gives way to a profiler that the child starts. */
		active.automatic = true;
		source_cpu_watch_child();
	} else {
		store(&session.running, 0);
		active.running = NULL;
	}
}

/* What is done once in a process. */
static void prepare(void)
{
	if (active.prepared)
		return;
	active.prepared = true;
	session.processors = (uint32_t)get_nprocs_conf();
	hello_note_seccomp();
	budget_start();
	module_start();
	(void)thread_start();
	(void)pthread_atfork(NULL, NULL, child_after_fork);
	(void)at_quick_exit(profiler_exit);
}

static bool forbidden(const struct config *c)
{
	return getauxval(AT_SECURE) || c->enabled == CONFIG_NO;
}

/* How to start: what the caller leaves open is as the settings say. */
static struct hearth_start read_start(const struct hearth_start *how, const struct config *c)
{
	struct hearth_start s = {0};

	if (how && how->size)
		memcpy(&s, how, how->size < sizeof(s) ? how->size : sizeof(s));
	if (s.stop_on_exit == HEARTH_DEFAULT)
		s.stop_on_exit = c->stop_on_exit ? HEARTH_ON : HEARTH_OFF;
	if (s.profile_children == HEARTH_DEFAULT)
		s.profile_children = c->profile_children ? HEARTH_ON : HEARTH_OFF;
	return s;
}

static const struct source *const sources[] = {
#define SOURCE(name) &source_##name,
#include "client/sources.def"
#undef SOURCE
};

#define SOURCES (sizeof(sources) / sizeof(sources[0]))

static void sources_start(const struct config *config)
{
	for (size_t i = 0; i < SOURCES; i++) {
		int off = sources[i]->wanted(config) ? sources[i]->start() : HEARTH_E_DISABLED;

		active.off[sources[i]->dimension] = off;
		store(&session.counters->off[sources[i]->dimension], (uint64_t)-off);
	}
}

static int stop_locked(struct hearth_profiler *p);

static uint64_t samples_taken(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < RING_DIMENSIONS; i++)
		sum += load(&session.counters->samples[i]);
	return sum;
}

/* What a start says: running without CPU samples is worth a word. */
static int start_code(void)
{
	return active.off[RING_CPU] == HEARTH_E_SIGNAL ? HEARTH_E_SIGNAL : HEARTH_OK;
}

static bool same_labels(const struct config *a, const struct config *b)
{
	return a->text_bytes == b->text_bytes && !memcmp(a->text, b->text, a->text_bytes);
}

/* A session for these settings: the one that was stopped goes on when its labels are the same, for
 * an agent keeps the labels that a session came with. */
static int open_for(const struct config *c)
{
	bool renew = session_live() && !same_labels(c, &active.config);
	int r;

	if (renew && samples_taken() && !load(&session.counters->attaches))
		hello_offer(true);
	hello_hold();
	add(&active.config_sequence, 1);
	store_fence();
	active.config = *c;
	store_fence();
	add(&active.config_sequence, 1);
	r = renew ? session_renew() : session_open();
	hello_reset();
	otel_switch(c->otel_context);
	if (r == 0)
		otel_publish_process();
	return r;
}

static int start_locked(struct hearth_profiler *p, const struct hearth_start *how)
{
	struct hearth_start start = read_start(how, &p->config);
	struct thread *t;

	if (active.running && active.automatic)
		(void)stop_locked(active.running);
	if (active.running)
		return active.running == p ? start_code() : HEARTH_E_ACTIVE;
	active.automatic = false;
	prepare();
	if (open_for(&p->config) < 0)
		return HEARTH_E_MEMORY;
	store(&session.follow_forks, start.profile_children != HEARTH_OFF);
	store(&active.stop_on_exit, start.stop_on_exit != HEARTH_OFF);
	sources_start(&p->config);
	if (active.off[RING_CPU])
		source_cpu_yield();
	active.running = active.last = p;
	p->started = true;
	store(&session.counters->state, (uint64_t)RING_RUNNING);
	store_release(&session.running, 1);
	thread_scan();
	t = thread_self_make();
	if (t) {
		/* Learn this stack now: the first sample may come on an alternate one. */
		(void)thread_stack(t, (uint64_t)(uintptr_t)__builtin_frame_address(0));
		source_cpu_arm(t);
	}
	return start_code();
}

int hearth_profiler_start(struct hearth_profiler *p, const struct hearth_start *how)
{
	int64_t began;
	int r;

	if (!p)
		return HEARTH_E_ARGUMENT;
	if (forbidden(&p->config))
		return HEARTH_E_DISABLED;
	began = budget_begin_rare();
	pthread_mutex_lock(&active.lock);
	r = start_locked(p, how);
	pthread_mutex_unlock(&active.lock);
	budget_end_rare(began, BUDGET_CHORES);
	return r;
}

/* Ask the agent to read everything, and wait until it has.  It is polled: the agent writes its page
 * with pwrite and can wake nobody. */
static int flush(void)
{
	uint64_t want = add(&session.counters->flush_wanted, 1) + 1;
	int64_t until = clock_exact_ns() + active.config.stop_timeout_ms * INT64_C(1000000);

	if (!hello_send(RING_HELLO_FLUSH))
		return HEARTH_E_TIMEOUT;
	while (load(&session.agent->flushed) < want) {
		if (clock_exact_ns() > until)
			return HEARTH_E_TIMEOUT;
		sys_pause_ns(FLUSH_POLL_NS);
	}
	return HEARTH_OK;
}

static int stop_locked(struct hearth_profiler *p)
{
	if (active.running != p)
		return p->started ? HEARTH_OK : HEARTH_E_STOPPED;
	active.running = NULL;
	store(&session.running, 0);
	if (!session_live())
		return HEARTH_OK; /* a forked child that never sampled */
	for (size_t i = 0; i < SOURCES; i++)
		sources[i]->stop();
	budget_publish();
	store(&session.counters->state, (uint64_t)RING_STOPPED);
	return HEARTH_OK;
}

int hearth_profiler_stop(struct hearth_profiler *p, bool flush_too)
{
	bool mine;
	int r;

	if (!p)
		return HEARTH_E_ARGUMENT;
	pthread_mutex_lock(&active.lock);
	r = stop_locked(p);
	mine = active.last == p;
	pthread_mutex_unlock(&active.lock);
	if (r != HEARTH_OK || !mine || !session_live())
		return r;
	if (flush_too)
		r = flush();
	else if (samples_taken())
		hello_offer(false);
	return r;
}

void hearth_profiler_free(struct hearth_profiler *p)
{
	if (!p)
		return;
	(void)hearth_profiler_stop(p, false);
	free(p);
}

const char *hearth_strerror(int code)
{
	switch (code) {
	case HEARTH_OK:
		return "no error";
	case HEARTH_E_ARGUMENT:
		return "an argument is missing or makes no sense";
	case HEARTH_E_MEMORY:
		return "the shared memory could not be made";
	case HEARTH_E_ACTIVE:
		return "a profiler is already running in this process";
	case HEARTH_E_STOPPED:
		return "no profiler is running";
	case HEARTH_E_DISABLED:
		return "profiling is switched off";
	case HEARTH_E_SIGNAL:
		return "the program uses SIGPROF itself, so CPU time is not sampled";
	case HEARTH_E_TIMEOUT:
		return "the agent did not answer in time";
	case HEARTH_E_LIMIT:
		return "a limit was reached";
	case HEARTH_E_NOT_YET:
		return "this version of the library does not do that yet";
	case HEARTH_E_SYSTEM:
		return "a system call failed";
	case HEARTH_E_NO_HOOKS:
		return "only libhearth-preload or a --wrap build sees these calls";
	case HEARTH_E_SHADOWED:
		return "shadowed by the program's own allocator";
	case HEARTH_E_SANITIZER:
		return "the program was built with a sanitizer";
	default:
		return "an unknown code";
	}
}

static void read_stats(struct hearth_stats *s)
{
	const struct ring_counters *c = session.counters;

	s->cpu_samples = load(&c->samples[RING_CPU]);
	s->blocked_samples = load(&c->samples[RING_WALL]);
	for (int d = 0; d < RING_DIMENSIONS; d++)
		for (int why = 0; why < RING_DROPS; why++)
			if (why != RING_DROP_FOREIGN_SIGNAL && why != RING_DROP_MODULES)
				s->dropped += load(&c->drops[d][why]);
	for (int i = 0; i < RING_ENDS; i++)
		*(i == RING_END_ROOT ? &s->stacks_complete : &s->stacks_cut) += load(&c->ends[i]);
	s->cost_ns = load(&c->cost_ns);
	s->interval_us = load(&c->interval_us);
	s->attached = hello_attached(clock_coarse_ns());
	s->cpu_off = (uint32_t)-active.off[RING_CPU];
}

int hearth_stats(struct hearth_stats *stats)
{
	struct hearth_stats s = {0};
	size_t size;

	if (!stats || stats->size < sizeof(stats->size))
		return HEARTH_E_ARGUMENT;
	size = stats->size < sizeof(s) ? stats->size : sizeof(s);
	s.size = stats->size;
	if (session_live()) {
		budget_publish();
		read_stats(&s);
	}
	memcpy(stats, &s, size);
	return session_live() ? HEARTH_OK : HEARTH_E_STOPPED;
}

void profiler_start_from_environment(void)
{
	struct hearth_profiler *p;

	session.preloaded = 1;
	if (getauxval(AT_SECURE))
		return;
	p = hearth_profiler_new(NULL);
	if (p && p->config.enabled == CONFIG_YES) {
		(void)hearth_profiler_start(p, NULL);
		active.automatic = true;
	} else {
		free(p);
	}
}

void profiler_exit(void)
{
	struct thread *t;
	bool was_running;

	if (!session_live() || !load(&active.stop_on_exit))
		return;
	was_running = load(&session.running);
	store(&session.running, 0);
	budget_publish();
	store(&session.counters->state, (uint64_t)RING_STOPPED);
	/* Timers end with the process.  Under the program's own filter a call could kill it. */
	if (load(&session.seccomp_set))
		return;
	t = was_running ? thread_self() : NULL;
	if (t)
		source_cpu_thread_end(t, RING_LAST);
	if (samples_taken())
		hello_offer(true);
}

/* Runs after the program's own atexit functions; at_quick_exit is for the other way. */
__attribute__((destructor)) static void at_exit(void)
{
	profiler_exit();
}
