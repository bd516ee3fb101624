/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/delta.h - from what a program has counted since its start to what it counted since last time.
 *
 * Go's allocs, block and mutex profiles only grow.  Each value is replaced by its difference from
 * the value that the same series, stack and labels had before, never below 0.  When any sum of a
 * series and column is smaller than before, the program has started again and counts from 0.
 * Gauges stay.  Of the first profile nothing but gauges is left: what was counted before is not of
 * this time.  Pure; one thread.
 */
#ifndef INGEST_DELTA_H
#define INGEST_DELTA_H

#include "profile/profile.h"

#define DELTA_VALUES_MAX (1 << 18) /* of one profile; Go's have some ten thousand */

struct delta;

MUST_CHECK int delta_new(struct delta **ret_delta);
void delta_free(struct delta *delta);

/*
 * Replace the values of `profile`, which nobody else has yet, and leave out records without any.
 * What they are compared with changes only with delta_keep: a profile that was not stored is part of
 * the next difference.  Returns 0, -E2BIG or -ENOMEM.
 */
MUST_CHECK int delta_apply(struct delta *delta, struct profile *profile, struct err *err);

/* The last profile was stored. */
void delta_keep(struct delta *delta);

/* Whether the last profile was seen as a program's that has started again. */
bool delta_restarted(const struct delta *delta);

#endif
