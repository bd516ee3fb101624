/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/quiet.h - which threads of a process need no look at their files in this drain.
 *
 * Most threads of a server sleep, and to read what /proc says of one costs as much as several
 * samples.  A thread is quiet when its clocks stood still between its last two readings, its slot
 * is the same as then, and no record of it has come.  It may have run since, for less than a
 * sampling interval.  So all are read whenever wall time is accounted (every ten seconds), and
 * sooner when the clock of the whole process runs ahead of its threads' by more than
 * QUIET_SLACK_NS.  The account of a thread goes by its clock, so what was not looked at is late and
 * not lost.
 *
 * Private to server/process*.c.  Loop thread; pure.
 */
#ifndef SERVER_QUIET_H
#define SERVER_QUIET_H

#include "ingest/native.h"

#define QUIET_SLACK_NS (INT64_C(50) * NS_PER_MS) /* the process's clock goes in two tens of them */

struct quiet_task {
	uint32_t tid;
	bool has_slot, has_clocks, has_switches;
	bool stood_still; /* the last reading's clocks were those of the one before it */
	uint64_t slot_hash, cpu_ns, wait_ns, voluntary, involuntary;
};

struct quiet {
	struct quiet_task *tasks; /* as last read, by tid */
	size_t count;
	bool beyond_known;
	uint64_t beyond_ns; /* the process's clock less its tasks', when all were read; may wrap */
};

/* The task of this tid as it was last read, or NULL. */
const struct quiet_task *quiet_find(const struct quiet *quiet, uint32_t tid);

/* Whether the task of `reading`, whose slot is filled in, needs no look; then it gets the clocks
 * that it had.  `heard`: a record of it may have come. */
bool quiet_take(const struct quiet *quiet, struct native_reading *reading, bool heard);

/* Whether some thread that was not looked at must have run. */
bool quiet_overrun(const struct quiet *quiet, const struct native_reading *readings, size_t count,
		   const struct native_vitals *vitals);

/* Keep what was read, in order of tid.  `all`: no reading is_kept.  Without memory nobody is
 * quiet. */
void quiet_keep(struct quiet *quiet, const struct native_reading *readings, size_t count,
		const struct native_vitals *vitals, bool all);

void quiet_release(struct quiet *quiet);

#endif
