/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/pace.h - keeps a kind of sample to about a hundred a second in the whole process.
 *
 * Private to client/.  The mean of what is sampled is shifted left by pace_shift(); every sample
 * carries the mean that it was drawn with, so that changing it makes nothing wrong.
 * Async-signal-safe.
 */
#ifndef CLIENT_PACE_H
#define CLIENT_PACE_H

#include "client/atomics.h"

#define PACE_SAMPLES 100 /* a second */
#define PACE_SHIFT_MAX 16
#define PACE_WINDOW_NS INT64_C(1000000000)

struct pace {
	uint32_t shift, count;
	int64_t since_ns;
};

static inline uint32_t pace_shift(const struct pace *p)
{
	return load(&p->shift);
}

/* A sample was taken at `now_ns`. */
static inline void pace_count(struct pace *p, int64_t now_ns)
{
	uint32_t count = add(&p->count, 1) + 1, shift = load(&p->shift);
	int64_t since = load(&p->since_ns), ns = now_ns - since;

	if (ns < PACE_WINDOW_NS && count < PACE_SAMPLES)
		return;
	/* One of those who see the window's end turns it over. */
	if (!replace(&p->since_ns, &since, now_ns))
		return;
	store(&p->count, 0);
	if (ns < PACE_WINDOW_NS) {
		shift += shift < PACE_SHIFT_MAX;
	} else {
		/* Samples a second, doubled with each halving of the mean: stay below a half. */
		double rate = count * 1e9 / (double)ns;

		for (; shift && rate < PACE_SAMPLES / 4; rate *= 2)
			shift--;
	}
	store(&p->shift, shift);
}

#endif
