/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/steady.h - the time by which old data goes.
 *
 * A clock that is set forward by mistake would make everything too old at once.  So a jump of more
 * than STEADY_JUMP_NS counts only when it has lasted for STEADY_DOUBT_NS; until then time goes on
 * from where it was.  A jump back counts at once: nothing goes by it.  Times are passed in.
 */
#ifndef SERVER_STEADY_H
#define SERVER_STEADY_H

#include "base/util.h"

#define STEADY_JUMP_NS (INT64_C(3600) * NS_PER_S)
#define STEADY_DOUBT_NS (INT64_C(600) * NS_PER_S)

struct steady {
	int64_t real_ns, monotonic_ns; /* when both were last believed; 0: never */
	int64_t doubted_ns;            /* monotonic, since when the clock is not; 0: it is */
};

/* The time to go by, now that the clocks say `real_ns` and `monotonic_ns` (not 0). */
int64_t steady_now(struct steady *steady, int64_t real_ns, int64_t monotonic_ns);

#endif
