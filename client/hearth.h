/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth.h - continuous profiling from inside a C or C++ program.
 *
 *	struct hearth_profiler *p = hearth_profiler_new(&(struct hearth_options){
 *		.size = sizeof(struct hearth_options), .service = "checkout" });
 *	hearth_profiler_start(p, NULL);
 *	...
 *	hearth_profiler_stop(p, true);
 *	hearth_profiler_free(p);
 *
 * The library samples the CPU time of every thread by POSIX CPU timers (SIGPROF) and leaves the
 * samples in memory that the agent, hearthd, reads.  It adds no thread, no child process and no
 * file to the program, keeps one descriptor (with perf's events one more for each thread), prints
 * nothing, and never calls abort or exit.  When the agent is away the program does not notice.
 *
 * Every function may be called with NULL, before a start and after a stop; what cannot be done is
 * then left undone and said by the return code.  Unless said otherwise functions are thread-safe,
 * but none may be called from a signal handler.  Strings are copied; the caller keeps its own.
 *
 * Define HEARTH_DISABLE before including this header to compile every call away.
 */
#ifndef HEARTH_H
#define HEARTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* struct hearth_stats and hearth_stats() */
#endif

/* What functions return: 0 or one of these. */
enum hearth_code {
	HEARTH_OK = 0,
	HEARTH_E_ARGUMENT = -1,  /* NULL, or a value that makes no sense */
	HEARTH_E_MEMORY = -2,    /* the shared memory could not be made */
	HEARTH_E_ACTIVE = -3,    /* another profiler of this process is running */
	HEARTH_E_STOPPED = -4,   /* the profiler is not running */
	HEARTH_E_DISABLED = -5,  /* switched off: HEARTH_ENABLED=0, or a set-uid program */
	HEARTH_E_SIGNAL = -6,    /* the program uses SIGPROF itself: no CPU samples */
	HEARTH_E_TIMEOUT = -7,   /* the agent did not answer in time; nothing was lost by that */
	HEARTH_E_LIMIT = -8,     /* too many threads, spans or labels, or too long a name */
	HEARTH_E_NOT_YET = -9,   /* this version of the library does not carry it to the agent */
	HEARTH_E_SYSTEM = -10,   /* a system call failed */
	HEARTH_E_NO_HOOKS = -11, /* only libhearth-preload or a --wrap build sees these calls */
	HEARTH_E_SHADOWED = -12, /* the program's own allocator stands before our hooks */
	HEARTH_E_SANITIZER =
	    -13 /* the program was built with a sanitizer, which has hooks of its own */
};

/* A label of all of the process's samples. */
struct hearth_tag {
	const char *key, *value;
};

/* What takes CPU samples; zero is the default, the timers. */
enum hearth_engine { HEARTH_ENGINE_DEFAULT, HEARTH_ENGINE_POSIX_TIMER, HEARTH_ENGINE_PERF };

/* Zero is the default, which is on. */
enum hearth_switch { HEARTH_DEFAULT, HEARTH_ON, HEARTH_OFF };

/*
 * Settings.  A zeroed field means: the environment variable HEARTH_<NAME>, then the Datadog
 * variable of the same meaning, then the default.  What cannot be used is replaced by the default,
 * or by the nearest number in range, and said in the agent's status.  libhearth(3) has the whole
 * table.
 */
struct hearth_options {
	size_t size;         /* sizeof(struct hearth_options) */
	const char *service; /* HEARTH_SERVICE, DD_SERVICE; the executable's file name */
	const char *env;     /* HEARTH_ENV, DD_ENV; none */
	const char *version; /* HEARTH_VERSION, DD_VERSION; none */
	/* before those of HEARTH_TAGS, or DD_TAGS and DD_PROFILING_TAGS: "key:value,key:value" */
	const struct hearth_tag *tags;
	size_t tags_count;
	/* HEARTH_AGENT; "unix:/path/agent.sock". By default the first of /run/hearth,
	 * $XDG_RUNTIME_DIR/hearth and /tmp/hearth-<uid> whose agent.sock belongs to root or to the
	 * caller */
	const char *agent;
	/* HEARTH_CPU_INTERVAL_US, or HEARTH_CPU_HZ; 9900. 1000..1000000 of each thread's CPU
	 * time */
	uint32_t cpu_interval_us;
	/* HEARTH_MAX_FRAMES, DD_PROFILING_MAX_FRAMES; 128, at most 512 */
	uint32_t max_frames;
	/* HEARTH_MAX_OVERHEAD_PCT, DD_PROFILING_MAX_TIME_USAGE_PCT; 1. When its own cost is above,
	 * the library samples less often */
	double max_overhead_percent;
	enum hearth_switch cpu; /* HEARTH_CPU_ENABLED, DD_PROFILING_CPU_ENABLED */
	/* With libhearth-preload only: blocking calls, allocations, live heap, locks, C++
	 * exceptions. */
	enum hearth_switch wall;      /* HEARTH_WALL_ENABLED, DD_PROFILING_WALLTIME_ENABLED */
	enum hearth_switch alloc;     /* HEARTH_MEMORY_ENABLED, DD_PROFILING_MEMORY_ENABLED */
	enum hearth_switch heap;      /* HEARTH_HEAP_ENABLED, DD_PROFILING_HEAP_ENABLED */
	enum hearth_switch lock;      /* HEARTH_LOCK_ENABLED, DD_PROFILING_LOCK_ENABLED */
	enum hearth_switch exception; /* HEARTH_EXCEPTION_ENABLED, DD_PROFILING_EXCEPTION_ENABLED */
	/* HEARTH_HEAP_SAMPLE_SIZE, DD_PROFILING_HEAP_SAMPLE_SIZE; 524288, 65536..1073741824 bytes
	 * from one sample to the next */
	uint32_t alloc_mean_bytes;
	/* HEARTH_EXCEPTION_SAMPLING_INTERVAL, DD_PROFILING_EXCEPTION_SAMPLING_INTERVAL; 100,
	 * 1..1000000 exceptions */
	uint32_t exception_interval;
	/* HEARTH_LOCK_CAPTURE_PCT, HEARTH_CAPTURE_PCT, DD_PROFILING_CAPTURE_PCT; 1, at most 100:
	 * how many of the locks taken have their hold timed */
	double lock_capture_percent;
	double cpu_hz; /* HEARTH_CPU_HZ; where no interval is given */
	/* HEARTH_ENDPOINT_COLLECTION_ENABLED, DD_PROFILING_ENDPOINT_COLLECTION_ENABLED */
	enum hearth_switch endpoint_collection;
	/* HEARTH_CODE_HOTSPOTS_COLLECTION_ENABLED, DD_PROFILING_CODE_HOTSPOTS_COLLECTION_ENABLED:
	 * span ids on samples */
	enum hearth_switch code_hotspots;
	/* HEARTH_OTEL_CONTEXT_ENABLED: publish the thread's and the process's context as
	 * OpenTelemetry's profilers read them */
	enum hearth_switch otel_context;
	uint32_t stop_timeout_ms; /* HEARTH_STOP_TIMEOUT_MS; 1000, at most 60000 */
	/* What struct hearth_start leaves open: HEARTH_STOP_ON_EXIT, DD_PROFILING_FLUSH_ON_EXIT;
	 * HEARTH_PROFILE_CHILDREN. */
	enum hearth_switch stop_on_exit, profile_children;
	/* HEARTH_ENABLED, DD_PROFILING_ENABLED; off: a start does nothing */
	enum hearth_switch enabled;
	/* HEARTH_DEBUG; off.  Say on stderr which settings were refused */
	enum hearth_switch debug;
	enum hearth_engine cpu_engine; /* HEARTH_CPU_ENGINE: posix-timer or perf */
};

struct hearth_start {
	size_t size; /* sizeof(struct hearth_start) */
	/* When the process ends, offer the agent what it has not stored yet: 2 ms at most. */
	enum hearth_switch stop_on_exit;
	/* Profile forked children too, each as a process of its own, once it has used some CPU. */
	enum hearth_switch profile_children;
};

/* Totals since the process started to be profiled. */
struct hearth_stats {
	size_t size; /* set by the caller to sizeof(struct hearth_stats) */
	uint64_t cpu_samples, blocked_samples;
	uint64_t dropped; /* samples lost, for whatever reason */
	uint64_t stacks_complete, stacks_cut;
	uint64_t cost_ns;     /* the library's own CPU time: measured, counted and scaled */
	uint64_t interval_us; /* the CPU sampling interval in force */
	uint32_t attached;    /* 1: the agent is reading */
	/* a hearth_code: why there are no CPU samples; 0: there are, as far as this process runs */
	uint32_t cpu_off;
};

struct hearth_profiler;
struct hearth_span;

#ifndef HEARTH_DISABLE

#pragma GCC visibility push(default)

/* Make a profiler from `options` (NULL: the environment) and read the environment, once.  Starts
 * nothing.  NULL when memory is out. */
struct hearth_profiler *hearth_profiler_new(const struct hearth_options *options);

/*
 * Start sampling every thread of the process.  One profiler runs at a time; the one that
 * libhearth-preload started gives way to the program's.  `how` may be NULL.
 * Does not wait for the agent: it is looked for after 50 ms of CPU time or one second.
 * Returns 0; HEARTH_E_ACTIVE; HEARTH_E_DISABLED; HEARTH_E_MEMORY; HEARTH_E_SIGNAL, and then runs
 * without CPU samples.
 */
int hearth_profiler_start(struct hearth_profiler *p, const struct hearth_start *how);

/*
 * Stop sampling.  With `flush` wait, one second at most, until the agent has read everything.
 * Returns 0, HEARTH_E_STOPPED, or HEARTH_E_TIMEOUT: samples stay in memory for the agent until the
 * process ends.
 */
int hearth_profiler_stop(struct hearth_profiler *p, bool flush);

/* Stop if needed and free.  Memory that signal handlers may be using stays until the process
 * ends. */
void hearth_profiler_free(struct hearth_profiler *p);

/* English words for a code; never NULL, static. */
const char *hearth_strerror(int code);

/*
 * Begin a span on the calling thread, as a child of the one that is open there, if any: until it
 * ends, samples of this thread carry its ids.  `trace_id` is 16 bytes, NULL for the parent's or a
 * random one; `span_id` 0 is replaced by a random one.  `endpoint` may be NULL.  Spans are ended on
 * the thread that began them, in reverse order.  Returns NULL when no profiler runs or memory is
 * out; the other functions take that.
 */
struct hearth_span *hearth_span_begin(const char *operation, const char *endpoint,
				      const unsigned char trace_id[16], uint64_t span_id);

/* End a span and those inside it that are still open.  Returns 0 or HEARTH_E_ARGUMENT. */
int hearth_span_end(struct hearth_span *span);

/* Name the endpoint that the outermost span of `span` serves, 200 bytes at most: samples carry it
 * from then on, and the span says it at its end.  The first span to name one in hearth_span_begin
 * does the same.  Returns 0, HEARTH_E_ARGUMENT (also on a thread where the span is not open) or
 * HEARTH_E_LIMIT. */
int hearth_span_endpoint(struct hearth_span *span, const char *endpoint);

/*
 * Write "trace_id=<32 hex> span_id=<16 hex> service=... env=... version=..." into `buffer`, for log
 * lines: the calling thread's span, if it has one, and what of the others is set.  A value with
 * spaces is quoted.  Always terminates.  Returns the length that was needed, as snprintf does, or
 * HEARTH_E_ARGUMENT.
 */
int hearth_log_context(char *buffer, size_t size);

/* Name the calling thread in profiles, up to 31 bytes; NULL: back to the kernel's name.  Returns 0,
 * HEARTH_E_STOPPED or HEARTH_E_LIMIT (too long, or no free slot). */
int hearth_thread_name(const char *name);

/* Name a lock, up to 63 bytes, or name it anew; "" forgets the name.  At most 1,024 locks have one
 * at a time.  Returns 0, HEARTH_E_ARGUMENT or HEARTH_E_LIMIT. */
int hearth_lock_name(const void *lock, const char *name);

/* Name the task that the calling thread works on, up to 200 bytes; NULL: none.  Returns as
 * hearth_label_set. */
int hearth_task_name(const char *name);

/* Set a label of the calling thread's samples, until it is set again; NULL takes it away.  At most
 * 10, a key of 64 and a value of 200 bytes, 768 bytes together with endpoint and task.  Returns 0,
 * HEARTH_E_ARGUMENT (keys that samples have anyway: "span id", "thread name"...), HEARTH_E_STOPPED
 * when no profiler ever ran, or HEARTH_E_LIMIT. */
int hearth_label_set(const char *key, const char *value);

/* Fill in `stats`, whose size the caller has set.  Returns 0, HEARTH_E_ARGUMENT, or
 * HEARTH_E_STOPPED when no profiler ever ran (all zero then). */
int hearth_stats(struct hearth_stats *stats);

#pragma GCC visibility pop

#else /* HEARTH_DISABLE */

static inline struct hearth_profiler *hearth_profiler_new(const struct hearth_options *options)
{
	(void)options;
	return NULL;
}
static inline int hearth_profiler_start(struct hearth_profiler *p, const struct hearth_start *how)
{
	(void)p, (void)how;
	return HEARTH_E_DISABLED;
}
static inline int hearth_profiler_stop(struct hearth_profiler *p, bool flush)
{
	(void)p, (void)flush;
	return HEARTH_E_DISABLED;
}
static inline void hearth_profiler_free(struct hearth_profiler *p)
{
	(void)p;
}
static inline const char *hearth_strerror(int code)
{
	(void)code;
	return "hearth is compiled out";
}
static inline struct hearth_span *hearth_span_begin(const char *operation, const char *endpoint,
						    const unsigned char trace_id[16],
						    uint64_t span_id)
{
	(void)operation, (void)endpoint, (void)trace_id, (void)span_id;
	return NULL;
}
static inline int hearth_span_end(struct hearth_span *span)
{
	(void)span;
	return HEARTH_E_DISABLED;
}
static inline int hearth_span_endpoint(struct hearth_span *span, const char *endpoint)
{
	(void)span, (void)endpoint;
	return HEARTH_E_DISABLED;
}
static inline int hearth_log_context(char *buffer, size_t size)
{
	if (buffer && size)
		buffer[0] = 0;
	return 0;
}
static inline int hearth_thread_name(const char *name)
{
	(void)name;
	return HEARTH_E_DISABLED;
}
static inline int hearth_task_name(const char *name)
{
	(void)name;
	return HEARTH_E_DISABLED;
}
static inline int hearth_lock_name(const void *lock, const char *name)
{
	(void)lock, (void)name;
	return HEARTH_E_DISABLED;
}
static inline int hearth_label_set(const char *key, const char *value)
{
	(void)key, (void)value;
	return HEARTH_E_DISABLED;
}
static inline int hearth_stats(struct hearth_stats *stats)
{
	(void)stats;
	return HEARTH_E_DISABLED;
}

#endif

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif
