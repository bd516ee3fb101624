/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/clock.h - the two clocks, as nanoseconds in int64_t.
 *
 * Code that decides by time takes the time as a parameter; these are for the edges that pass it in.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/util.h"

int64_t clock_real_ns(void);      /* since 1970, UTC */
int64_t clock_monotonic_ns(void); /* since boot, never steps back */

/* The start of the window of `width_ns` that holds `time_ns`; exact below zero too. */
static inline int64_t clock_window_ns(int64_t time_ns, int64_t width_ns)
{
	int64_t rest = time_ns % width_ns;

	return time_ns - (rest < 0 ? rest + width_ns : rest);
}

#endif
