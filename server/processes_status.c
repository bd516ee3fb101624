/* SPDX-License-Identifier: Apache-2.0 */
/* The native side's part of /api/v1/status. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/processes_private.h"

static const char *const end_names[RING_ENDS] = RING_END_NAMES;
static const char *const drop_names[RING_DROPS] = RING_DROP_NAMES;
static const char *const dimension_names[RING_DIMENSIONS] = RING_DIMENSION_NAMES;

static void ends_json(struct json *json, const struct native_stats *stats)
{
	json_key(json, "stacks");
	json_open(json, '{');
	for (size_t i = 0; i < RING_ENDS; i++) {
		json_key_uint(json, end_names[i], stats->ends[i]);
	}
	json_close(json, '}');
}

static void drops_json(struct json *json, const struct ring_counters *counters)
{
	json_key(json, "lost");
	json_open(json, '{');
	for (size_t d = 0; d < RING_DIMENSIONS; d++)
		for (size_t r = 0; r < RING_DROPS; r++) {
			char name[48];

			if (!counters->drops[d][r])
				continue;
			(void)snprintf(name, sizeof(name), "%s.%s", dimension_names[d],
				       drop_names[r]);
			json_key_uint(json, name, counters->drops[d][r]);
		}
	json_close(json, '}');
}

static void native_json(struct json *json, const struct native_stats *stats)
{
	json_key_uint(json, "samples", stats->samples);
	json_key_uint(json, "blocks", stats->blocks);
	json_key_uint(json, "spans", stats->spans);
	json_key_uint(json, "cpu_ns", stats->cpu_ns);
	json_key_uint(json, "cpu_in_kernel_ns", stats->cpu_in_kernel_ns);
	json_key_uint(json, "cpu_sampled_ns", stats->cpu_sampled_ns);
	json_key_uint(json, "cpu_not_sampled_ns", stats->not_sampled_ns);
	json_key_uint(json, "bad_records", stats->bad_records);
	json_key_uint(json, "abandoned_bytes", stats->abandoned_bytes);
	ends_json(json, stats);
}

/* "name=value name=value" as an object; refused settings as they were said. */
static void settings_json(struct json *json, const struct process *p)
{
	json_key(json, "settings");
	json_open(json, '{');
	for (const char *at = p->settings; *at;) {
		size_t bytes = strcspn(at, " ");
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", (int)MIN(strcspn(at, "= "), (size_t)63),
			       at);
		if (at[strcspn(at, "= ")] == '=') {
			const char *value = at + strcspn(at, "=") + 1;

			json_key(json, name);
			json_text(json, value, (size_t)(at + bytes - value));
		}
		at += bytes + (at[bytes] == ' ');
	}
	json_close(json, '}');
	json_key(json, "settings_refused");
	json_open(json, '[');
	for (size_t at = 0; at < p->refused_bytes; at += strlen(p->refused + at) + 1)
		json_cstring(json, p->refused + at);
	json_close(json, ']');
}

/* Why a dimension is off: hearth_code of client/hearth.h, without its sign. */
static const char *off_text(uint64_t code)
{
	static const char *const texts[] = {
	    [2] = "no memory for it",
	    [5] = "switched off",
	    [6] = "the program uses SIGPROF itself",
	    [9] = "not there yet",
	    [10] = "a system call failed",
	    [11] = "not seen without libhearth-preload",
	    [12] = "shadowed by the program's own allocator",
	    [13] = "the program was built with a sanitizer",
	};

	return code < ARRAY_LEN(texts) && texts[code] ? texts[code] : "off";
}

static void dimensions_json(struct json *json, const struct process *p)
{
	json_key(json, "dimensions");
	json_open(json, '{');
	for (size_t d = 0; d < RING_DIMENSIONS; d++) {
		const char *state = p->counters.budget_off >> d & 1 ? "stopped by budget" : "on";

		json_key_text(json, dimension_names[d],
			      p->counters.off[d] ? off_text(p->counters.off[d]) : state);
	}
	json_close(json, '}');
}

/* Quantiles of what one sample's handler took: the upper edge of the bucket that they fall into. */
static void handler_json(struct json *json, const struct ring_counters *counters)
{
	static const struct {
		const char *name;
		unsigned permille;
	} wanted[] = {{"p50", 500}, {"p99", 990}, {"p999", 999}};
	uint64_t all = 0;

	for (size_t i = 0; i < RING_HISTOGRAM; i++)
		all += counters->handler_ns[i];
	json_key(json, "handler_ns");
	json_open(json, '{');
	json_key_uint(json, "measured", all);
	for (size_t w = 0; all && w < ARRAY_LEN(wanted); w++) {
		uint64_t below = 0;
		size_t i = 0;

		while (i < RING_HISTOGRAM - 1 &&
		       (below += counters->handler_ns[i]) * 1000 < all * wanted[w].permille)
			i++;
		json_key_uint(json, wanted[w].name, UINT64_C(2) << i);
	}
	json_close(json, '}');
}

static void heap_json(struct json *json, const struct process *p)
{
	json_key_uint(json, "alloc_calls", p->stats.alloc_calls);
	json_key_uint(json, "alloc_bytes", p->stats.alloc_bytes);
	json_key_uint(json, "alloc_mean_bytes", p->counters.alloc_mean_bytes);
	json_key(json, "heap");
	json_open(json, '{');
	json_key_uint(json, "bytes", (uint64_t)p->stats.heap_bytes);
	json_key_uint(json, "se_bytes", (uint64_t)p->stats.heap_se_bytes);
	json_key_uint(json, "entries", p->heap.used);
	json_key_uint(json, "entries_max", p->heap.entries_max);
	json_key_uint(json, "mean_bytes", p->heap.mean_bytes);
	json_key_uint(json, "thinned", p->heap.thinned);
	json_key_uint(json, "full", p->heap.full);
	json_key_uint(json, "missed_frees", p->heap.missed_frees);
	json_key_uint(json, "torn", p->stats.heap_torn);
	json_close(json, '}');
}

/* What profiling costs the process, and what it did to stay inside its budget. */
static void cost_json(struct json *json, const struct ring_counters *c)
{
	json_key_uint(json, "own_cost_ns", c->cost_ns);
	json_key(json, "own_cost");
	json_open(json, '{');
	for (size_t d = 0; d < RING_DIMENSIONS; d++)
		json_key_uint(json, dimension_names[d], c->cost[d]);
	json_key_uint(json, "chores", c->cost[RING_DIMENSIONS]);
	json_close(json, '}');
	json_key(json, "budget");
	json_open(json, '{');
	json_key_uint(json, "ppm", c->budget_ppm);
	json_key_uint(json, "lengthened", c->budget_raised);
	json_key_uint(json, "shortened", c->budget_lowered);
	json_key_uint(json, "stopped", c->budget_stops);
	json_key_uint(json, "tried_again", c->budget_retries);
	json_key(json, "times_as_far_apart");
	json_open(json, '{');
	for (size_t d = 0; d < RING_DIMENSIONS; d++)
		if (c->budget_shifts >> 8 * d & 0xff)
			json_key_uint(json, dimension_names[d],
				      (uint64_t)1 << (c->budget_shifts >> 8 * d & 31));
	json_close(json, '}');
	json_close(json, '}');
}

static void process_json(struct json *json, const struct process *p)
{
	static const char *const engines[] = {"none", "posix-timer", "perf"};
	static const char *const fallbacks[] = {
	    "",
	    "perf_event_open was refused",
	    "started under a filter of system calls",
	    "RLIMIT_NOFILE is too low for all threads",
	    "the program closed descriptors of perf",
	    "not known",
	};
	static const char *const states[] = {"starting", "running", "throttled",
					     "stopped",  "closed",  "stopped by budget"};

	json_open(json, '{');
	json_key_text(json, "service", p->service);
	json_key_text(json, "command", p->comm);
	json_key_int(json, "pid", p->pid);
	json_key_uint(json, "uid", p->owner);
	json_key_text(json, "engine", engines[MIN(p->counters.engine, (uint64_t)2)]);
	if (p->counters.engine_why)
		json_key_text(json, "engine_fallback",
			      fallbacks[MIN(p->counters.engine_why, (uint64_t)RING_ENGINE_WHYS)]);
	json_key_text(json, "state", states[MIN(p->counters.state, (uint64_t)RING_OVER_BUDGET)]);
	json_key(json, "preloaded");
	json_bool(json, p->counters.preloaded);
	json_key_uint(json, "interval_us", p->counters.interval_us);
	json_key_uint(json, "hz", p->head.hz);
	handler_json(json, &p->counters);
	cost_json(json, &p->counters);
	json_key_uint(json, "threads", p->stats.threads);
	json_key_uint(json, "threads_departing", p->stats.threads_departing);
	json_key_uint(json, "threads_in_step", p->stats.threads_in_step);
	json_key_uint(json, "threads_unsampled", p->stats.threads_unsampled);
	json_key_uint(json, "modules", p->modules_read);
	json_key_uint(json, "ring_bytes", (uint64_t)p->head.rings_count * p->head.ring_bytes);
	json_key_uint(json, "memory_bytes", p->file_bytes);
	settings_json(json, p);
	native_json(json, &p->stats);
	json_key_uint(json, "spans_lost", p->counters.spans_dropped);
	dimensions_json(json, p);
	heap_json(json, p);
	drops_json(json, &p->counters);
	json_close(json, '}');
}

void processes_status(struct processes *all, struct json *json)
{
	(void)pthread_mutex_lock(&all->lock);
	struct native_stats sum = all->sums.native;

	json_key(json, "processes");
	json_open(json, '[');
	for (const struct process *p = all->first; p; p = p->next) {
		process_json(json, p);
		native_stats_add(&sum, &p->stats);
	}
	json_close(json, ']');
	json_key(json, "native");
	json_open(json, '{');
	json_key_uint(json, "attached", all->sums.attached);
	json_key_uint(json, "ended", all->sums.ended);
	json_key_uint(json, "refused", all->sums.refused);
	json_key_uint(json, "hellos", all->sums.hellos);
	json_key_uint(json, "batches", all->sums.batches);
	json_key(json, "watched");
	json_bool(json, watch_is_on(&all->watch, clock_monotonic_ns()));
	native_json(json, &sum);
	drops_json(json, &all->sums.counters);
	json_close(json, '}');
	(void)pthread_mutex_unlock(&all->lock);
}
