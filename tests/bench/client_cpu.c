/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_cpu.c - what one CPU sample costs the program, and what 100 a second do.
 *
 * handler: a signal to oneself with our handler less the same with an empty one, in turns within
 * one run; the baseline is a handler that calls libc's backtrace().  warm: again and again.  cold:
 * after 32 MB of other memory.  overhead: fixed work in slices, with and without the timer by
 * turns; a trimmed mean of each, and the interval of the ratio by bootstrap.
 */
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/hearth.h"
#include "client/session.h"
#include "client/source.h"
#include "client/thread.h"
#include "client_cpu.h"

#define WARM 100000
#define BLOCK 1000
#define COLD 300
#define FRAMES 40
#define SLICES 800
#define SLICE_MS 10
#define RESAMPLES 1000
#define OTHER_MEMORY (32u << 20)

static struct sigaction ours;
static unsigned char *other;

static void report(const char *metric, double value, const char *unit, double baseline)
{
	printf("{\"bench\":\"client-cpu\",\"metric\":\"%s\",\"value\":%.4f,\"unit\":\"%s\","
	       "\"baseline\":%.4f}\n",
	       metric, value, unit, baseline);
}

static void empty(int number, siginfo_t *si, void *context)
{
	(void)number, (void)si, (void)context;
}

static void libc_backtrace(int number, siginfo_t *si, void *context)
{
	void *frames[64];

	(void)number, (void)si, (void)context;
	(void)backtrace(frames, 64);
}

static void use(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction a = ours;

	if (handler)
		a.sa_sigaction = handler;
	sigaction(SIGPROF, &a, NULL);
}

/* A signal as this thread's timer sends it. */
static double signal_once(const struct thread *t)
{
	siginfo_t si = {.si_signo = SIGPROF, .si_code = SI_TIMER};
	int64_t began;

	si.si_timerid = t->timer;
	si.si_value.sival_ptr = (void *)(uintptr_t)t;
	began = clock_exact_ns();
	syscall(SYS_rt_tgsigqueueinfo, getpid(), t->tid, SIGPROF, &si);
	return (double)(clock_exact_ns() - began);
}

/* Nobody reads the rings here: declare them read. */
static void empty_rings(void)
{
	for (uint32_t i = 0; i < session.rings_count; i++) {
		const struct ring_control *c =
		    (const void *)(session.rings + (size_t)i * session.ring_stride);
		uint64_t head = load(&c->head);

		store(&session.agent->tail[i].a, head);
		store(&session.agent->tail[i].b, head);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(double *v, size_t n, double q)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[(size_t)(q * (double)(n - 1))];
}

static void collect(double *v, size_t n, void (*handler)(int, siginfo_t *, void *), bool cold)
{
	use(handler);
	for (size_t i = 0; i < n; i++) {
		if (i % 32 == 0)
			empty_rings();
		if (cold)
			memset(other, (int)i, OTHER_MEMORY);
		v[i] = signal_once(thread_self());
	}
}

static void compare(const char *metric, size_t count, size_t block, bool cold)
{
	double *with = malloc(count * sizeof(double)), *without = malloc(count * sizeof(double)),
	       *libc = malloc(count * sizeof(double)), none;
	char name[64];

	for (size_t i = 0; i < count; i += block) {
		collect(with + i, block, NULL, cold);
		collect(without + i, block, empty, cold);
		collect(libc + i, block, libc_backtrace, cold);
	}
	none = quantile(without, count, 0.5);
	snprintf(name, sizeof(name), "%s_median", metric);
	report(name, quantile(with, count, 0.5) - none, "ns", quantile(libc, count, 0.5) - none);
	snprintf(name, sizeof(name), "%s_p99", metric);
	report(name, quantile(with, count, 0.99) - none, "ns", quantile(libc, count, 0.99) - none);
	free(with);
	free(without);
	free(libc);
}

static void signals(void *arg)
{
	(void)arg;
	compare("handler_warm", WARM, BLOCK, false);
	compare("handler_cold", COLD, 10, true);
	use(NULL);
}

static volatile unsigned long sink;

/* In the thread's CPU time, which a busy machine changes least; it includes the handler's. */
static double work(unsigned long rounds)
{
	int64_t began = clock_thread_cpu_ns();

	for (unsigned long i = 0; i < rounds; i++)
		sink += i * i;
	return (double)(clock_thread_cpu_ns() - began);
}

static double trimmed_mean(const double *from, size_t n)
{
	double v[SLICES], sum = 0;
	size_t cut = n / 10;

	memcpy(v, from, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_value);
	for (size_t i = cut; i < n - cut; i++)
		sum += v[i];
	return sum / (double)(n - 2 * cut);
}

static void bootstrap(const double *on, const double *off, double *ret_low, double *ret_high)
{
	static double ratio[RESAMPLES];
	double a[SLICES], b[SLICES];
	unsigned seed = 1;

	for (int r = 0; r < RESAMPLES; r++) {
		for (int i = 0; i < SLICES; i++) {
			a[i] = on[(unsigned)rand_r(&seed) % SLICES];
			b[i] = off[(unsigned)rand_r(&seed) % SLICES];
		}
		ratio[r] = trimmed_mean(a, SLICES) / trimmed_mean(b, SLICES);
	}
	*ret_low = quantile(ratio, RESAMPLES, 0.025);
	*ret_high = quantile(ratio, RESAMPLES, 0.975);
}

static void overhead(void *arg)
{
	static double on[SLICES], off[SLICES];
	unsigned long rounds = 1000000;
	double low, high;
	uint64_t before = load(&session.counters->samples[RING_CPU]);

	(void)arg;
	for (int i = 0; i < 20; i++)
		rounds = (unsigned long)((double)rounds * SLICE_MS * 1e6 / work(rounds));
	for (int i = 0; i < 2 * SLICES; i++) {
		/* on off off on: a drift favours neither */
		bool with = (i & 3) == 0 || (i & 3) == 3;

		if (with)
			source_cpu_arm(thread_self());
		(with ? on : off)[i / 2] = work(rounds);
		source_cpu_disarm(thread_self());
		empty_rings();
	}
	bootstrap(on, off, &low, &high);
	report("overhead_100hz_ratio", trimmed_mean(on, SLICES) / trimmed_mean(off, SLICES),
	       "ratio", 1);
	report("overhead_100hz_ratio_low", low, "ratio", 1);
	report("overhead_100hz_ratio_high", high, "ratio", 1);
	report("overhead_samples", (double)(load(&session.counters->samples[RING_CPU]) - before),
	       "samples", SLICES);
}

int main(void)
{
	struct hearth_options slow = {
	    .size = sizeof(slow), .cpu_interval_us = 1000000, .service = "bench"};
	struct hearth_options normal = {
	    .size = sizeof(normal), .cpu_interval_us = 10000, .service = "bench"};
	struct hearth_profiler *p = hearth_profiler_new(&slow);
	void *frames[4];

	other = malloc(OTHER_MEMORY);
	if (!other || hearth_profiler_start(p, NULL))
		return 1;
	(void)backtrace(frames, 4); /* loads its library */
	sigaction(SIGPROF, NULL, &ours);
	with_frames(FRAMES, signals, NULL);
	hearth_profiler_free(p);

	p = hearth_profiler_new(&normal);
	if (hearth_profiler_start(p, NULL))
		return 1;
	source_cpu_disarm(thread_self());
	with_frames(FRAMES, overhead, NULL);
	hearth_profiler_free(p);
	free(other);
	return 0;
}
