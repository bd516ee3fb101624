/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/in_step.h - does a thread run in short bursts that keep step with the kernel's tick?
 *
 * A POSIX CPU timer fires at ticks alone.  Where the moments at which a thread runs are spread
 * evenly over the time from one tick to the next, ticks hit every place of its bursts as often as
 * it is due; where they are not, samples may show one place for all.  Two ways to know: the phases
 * at which its calls returned (struct ring_thread), which say it of single bursts, whatever happens
 * to others; and the pace of its bursts, for a program without hooks, which needs all of them in
 * step.
 *
 * Private to ingest/.  Pure; all of its input may be nonsense, which leads to nonsense and no harm.
 */
#ifndef INGEST_IN_STEP_H
#define INGEST_IN_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "client/ring.h"

struct in_step {
	bool known; /* `seen` was seen once */
	uint64_t seen[RING_PHASE_WORDS];
	uint32_t counts[RING_PHASES]; /* of the last few hundred */
	bool uneven, pace;            /* by the one and by the other */
	bool brief;                   /* it runs in short bursts, and often enough to matter */
	uint64_t brief_from, brief_cpu_from_ns;

	int64_t bursts_from_ns; /* CLOCK_MONOTONIC when counting bursts began, 0: not yet */
	uint64_t bursts_from, bursts_cpu_from_ns;
};

/* Whether these counts are too uneven for chance, once in 10^8, and uneven enough to matter. */
bool in_step_uneven(const uint32_t counts[RING_PHASES]);

/* A reading of the words of the thread's slot. `fresh`: they have counted this thread alone. */
void in_step_phases(struct in_step *s, const uint64_t words[RING_PHASE_WORDS], bool fresh);

/* A reading of how often the thread went to sleep, and of its CPU time: where a burst ends because
 * another thread gets the CPU, its places do not keep step with anything. */
void in_step_bursts(struct in_step *s, int64_t now_ns, uint64_t bursts, uint64_t cpu_ns,
		    double tick_ns);

/* The verdict: by phases where there are enough, else by pace. */
bool in_step_judged(const struct in_step *s);

#endif
