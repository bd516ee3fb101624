/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/process.h - one attached process: its descriptors, its ring, its drains.
 *
 * Private to server/process*.c.  Loop thread.
 */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "ingest/native.h"
#include "server/processes.h"
#include "server/quiet.h"

#define PROCESS_SETTINGS_MAX 1024
#define PROCESS_REFUSED_MAX 2048
#define PROCESS_STAT_MAX 1024 /* 52 numbers and a name */

struct process {
	struct process *next;
	int perf_map;       /* /tmp/perf-PID.map as the client opened it, -1: none */
	uint64_t perf_read; /* bytes of it taken so far */
	int memfd, proc;    /* proc: a directory descriptor of its /proc/PID */
	uint32_t owner;
	int64_t pid;
	uint64_t file_bytes;
	struct ring_head head;
	struct native_process *native;
	struct native_stats stats; /* a copy for status */
	struct ring_counters counters;
	struct ring_heap heap; /* as last copied; zero: never */
	int64_t heap_due_ns;   /* CLOCK_MONOTONIC of the next snapshot of the live heap */
	char service[64], comm[32];
	/* What the client says of its settings, as the last hello has it: those in force, and one
	 * string after another of those that were refused. */
	char settings[PROCESS_SETTINGS_MAX], refused[PROCESS_REFUSED_MAX];
	size_t refused_bytes;
	uint64_t positions[RING_RINGS_MAX];  /* read so far */
	uint64_t tails[RING_RINGS_MAX];      /* as published */
	uint64_t heads_seen[RING_RINGS_MAX]; /* at the last tick */
	int64_t stalled_ns[RING_RINGS_MAX];  /* when an open claim was first seen, 0: none */
	uint64_t modules_read;
	uint32_t modules_sent;   /* files handed to the symbolizer */
	bool ready;              /* its cursors are known */
	bool busy;               /* a batch is on its way to the disk */
	bool gone;               /* the process has ended */
	bool ending;             /* it is gone, and the batch on its way is its last */
	bool finished;           /* its last batch is on disk */
	bool failed;             /* its memory made no sense; dropped */
	uint64_t flush_sent;     /* ring_counters.flush_wanted that the batch on its way covers */
	uint64_t flush_answered; /* as published */
	bool flush_asked;        /* by a hello, and no batch has been made since */
	int64_t attached_ns, drained_ns;
	int64_t looked_ns;        /* when /proc was last asked */
	uint64_t drained_threads; /* how many it had at its last drain */
	int64_t beaten_ns;        /* its last heartbeat */
	/* what /proc said when it was last asked; not of resident memory */
	struct native_vitals looked;
	struct processes *all;
	struct profile *waiting; /* a batch that the writer had no room for, or could not write */
	size_t held_bytes;       /* of the batch on its way or waiting */
	uint32_t first_ring;     /* where the next drain begins */
	bool foreign_tids;       /* its /proc is of another pid namespace than its own numbers */
	uint64_t batch_positions[RING_RINGS_MAX]; /* tails to publish when the batch is on disk */
	uint64_t generation;
	uint32_t rescan;
	struct quiet quiet;
	/* of its list of tasks: how many, and who has a slot; 0: unknown */
	uint64_t task_links, slots_mark;
	bool naming; /* names for its records are being looked for, since naming_ns */
	bool named;  /* they have just come */
	int64_t naming_ns;
	size_t unanswered;           /* of what was asked last */
	struct control_state obeyed; /* what its page says */
	bool obeyed_known;
};

/* Check and take over what came with a hello. Descriptors are taken only on success. */
MUST_CHECK int process_new(int memfd, int proc, uint32_t owner, int64_t pid,
			   const struct native_hello *hello, const char *host,
			   struct process **ret_process, struct err *err);
void process_free(struct process *process);

/* Keep what a hello says for status.  Under the lock once the process is listed. */
void process_notes(struct process *process, const struct native_hello *hello);

/* Where its rings were read up to, from the store (0: a new process). Makes it ready. */
MUST_CHECK int process_resume(struct process *process, const uint64_t *positions, struct err *err);

/* Take what the rings hold. Returns a batch to store, or NULL when nothing is due. */
struct profile *process_drain(struct process *process, bool force, struct err *err);

/* The batch is on disk: move the tails, answer a flush. */
void process_commit(struct process *process);

/* Whether what pending records want to be called is known, or is waited for no longer.  False: it
 * is being looked for, and process_turn will be called. */
bool process_names_ready(struct process *process);

/* Tell the client that the agent lives. */
void process_heartbeat(struct process *process);

/* Write what is in force for it into its page, when that changed. */
void process_obey(struct process *process, struct control_state state);

/* Tell it that the agent stops, so that it looks for another without waiting. */
void process_farewell(struct process *process);

/* Take over the perf map, if it is a plain file of this process's user. */
void process_perf_map(struct process *process, int fd);

/* Ask /proc whether it is gone. */
bool process_is_gone(struct process *process);

/* Whether it is drained at this tick, as one of `count`.  `watched`: somebody asks for what
 * comes. */
bool process_has_turn(struct process *process, bool watched, size_t count, int64_t now_ns);

/* Whether what waits in some ring should not wait for its turn.  For every tick. */
bool process_is_pressing(struct process *process);

/* Is half of some ring and its next taken up by what no batch has covered? */
bool process_is_half_full(struct process *process);

/* Read the exact counters and new modules. Returns 0 or -errno. */
MUST_CHECK int process_refresh(struct process *process);

/* Copy the live-heap table, for the next batch. Returns 0 or -errno. */
MUST_CHECK int process_heap(struct process *process);

/* Read what was added to the perf map, a MiB at a time. Returns 0 or -ENOMEM. */
MUST_CHECK int process_jit_read(struct process *process);

/* Everything that /proc and the slots say now, and the sums of allocations, which go to
 * process->native. `*ret_readings` is malloc'ed.  `all`: also of threads that are quiet. */
MUST_CHECK int process_readings(struct process *process, const struct native_clock *clock, bool all,
				struct native_reading **ret_readings, size_t *ret_count,
				struct native_sums *ret_sums, struct native_vitals *ret_vitals);

#endif
