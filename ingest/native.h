/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/native.h - what libhearth hands over becomes a profile.
 *
 * Pure: the caller reads the memfd, /proc and the clocks; this file checks bytes and does sums.
 * Nothing that a client wrote is believed: every length is checked on a private copy.  A struct
 * native_process belongs to one thread.
 *
 * Three parts, in the order in which they are used:
 *   native_hello_parse, native_head_check   what a process says when it attaches
 *   native_process_records                  bytes of a ring -> pending samples
 *   native_process_emit                     pending samples + readings of /proc -> records
 *
 * Exact clocks carry the totals and samples attribute them: a live thread's samples are scaled so
 * that they add up to its schedstat; what ended threads are owed is spread over the samples of the
 * drain; what no sample can carry stands under [not sampled].
 */
#ifndef INGEST_NATIVE_H
#define INGEST_NATIVE_H

#include "client/ring.h"
#include "ingest/ingest.h"

#define NATIVE_LABELS_MAX 32
#define NATIVE_NOTES_MAX 32
#define NATIVE_COMM_MAX 32
#define NATIVE_WALL_PERIOD_NS (INT64_C(10) * NS_PER_S) /* of an old process's wall accounting */

struct native_hello {
	uint8_t runtime_id[16];
	uint32_t flags; /* enum ring_hello_flags */
	uint32_t modules_from, modules_count;
	uint64_t no_file[4];
	struct ingest_label labels[NATIVE_LABELS_MAX]; /* borrow the message */
	size_t labels_count;
	/* RING_HELLO_NOTE; those beyond are left out */
	struct ingest_label notes[NATIVE_NOTES_MAX];
	size_t notes_count;
};

/* Check one message. Returns 0 or -EINVAL with what is wrong. */
MUST_CHECK int native_hello_parse(const void *bytes, size_t len, struct native_hello *ret_hello,
				  struct err *err);

/* Check a copy of the head against the size of the memfd: everything lies inside, nothing overlaps
 * what the agent writes. Returns 0 or -EINVAL. */
MUST_CHECK int native_head_check(const struct ring_head *head, uint64_t file_bytes,
				 struct err *err);

struct native_process;

struct native_options {
	uint32_t owner;                    /* uid, from the socket */
	int64_t pid;                       /* from the socket */
	const char *executable;            /* its path or base name */
	const struct ingest_label *labels; /* service, env, version, tags, host */
	size_t labels_count;
};

MUST_CHECK int native_process_new(const struct ring_head *head,
				  const struct native_options *options,
				  struct native_process **ret_process);
void native_process_free(struct native_process *process);

/* `resumed`: a cursor was found, so an earlier agent has written part of this process's history;
 * counters and clocks then start from what they show at the first batch. */
void native_process_resume(struct native_process *process, bool resumed);

/* Entries of the module table, in order, as they become valid. Each is checked and copied. */
MUST_CHECK int native_process_module(struct native_process *process,
				     const struct ring_module *module);

struct native_build_id {
	uint8_t bytes[RING_BUILD_ID_MAX];
	uint8_t len;
	bool is_hash;
};

/* The build id of module `number`; false when there is no such module or no id. */
bool native_process_build_id(const struct native_process *process, uint32_t number,
			     struct native_build_id *ret_id);
const char *native_process_module_path(const struct native_process *process, uint32_t number);

/*
 * Take the committed records from `bytes`, a private copy of ring `ring` from `position` on
 * (already unwrapped, on a multiple of eight bytes; `len` a multiple of RING_UNIT).  What was
 * consumed of it is borrowed until the next native_process_emit or native_process_keep.  `expired`
 * says that the oldest claim has stood open longer than RING_CLAIM_EXPIRES_NS.  *ret_consumed bytes
 * are done with.  Bad records are counted and skipped. Returns 0 or -ENOMEM.
 */
MUST_CHECK int native_process_records(struct native_process *process, uint32_t ring,
				      uint64_t position, const uint8_t *bytes, size_t len,
				      bool expired, size_t *ret_consumed);

/* No batch is made now: copy what was borrowed.  Returns 0 or -ENOMEM, after which the process is
 * dropped. */
MUST_CHECK int native_process_keep(struct native_process *process);

#define NATIVE_JIT_ENTRIES_MAX 262144
#define NATIVE_JIT_BYTES_MAX ((uint64_t)32 << 20)

/*
 * More of the process's perf map: lines "START SIZE NAME", the two in hexadecimal, as perf's
 * Documentation/jit-interface.txt has them.  Takes whole lines and says how many bytes that were;
 * lines that are not such are passed over.  A later line wins where two overlap.  Returns 0 or
 * -ENOMEM.
 */
MUST_CHECK int native_process_jit(struct native_process *process, const char *bytes, size_t len,
				  size_t *ret_consumed);

/* One live thread, as /proc and its slot show it. */
struct native_reading {
	struct ring_thread slot; /* a consistent copy; tid 0: the thread has no slot */
	uint32_t tid;
	bool has_schedstat;
	bool is_kept; /* the clocks are those of an earlier reading, since when it has not run */
	uint64_t cpu_ns, wait_ns; /* schedstat: time on a CPU, time waiting for one */
	bool has_switches;
	uint64_t voluntary, involuntary; /* context switches */
	char comm[NATIVE_COMM_MAX];      /* "" when not read */
};

/* The exact sums over all thread slots and the counters of threads without one: they only grow. */
struct native_totals {
	uint64_t alloc_calls, alloc_bytes;
};

/* The slots of a process that is gone, of which there are no readings any more: what its threads
 * counted since the last one. */
void native_process_last_slots(struct native_process *process, const struct ring_thread *slots,
			       size_t count);

/* What the next batch shall add up to. */
void native_process_totals(struct native_process *process, const struct native_totals *totals);

/*
 * Live heap for the next batch: `first` is a copy of the whole region at head.heap_at, `second` a
 * later one of its first native_heap_head_bytes(first).  Returns 0 or -ENOMEM.
 */
size_t native_heap_head_bytes(const uint8_t *bytes, size_t len);
MUST_CHECK int native_process_heap(struct native_process *process, const uint8_t *first,
				   size_t first_len, const uint8_t *second, size_t second_len);

/*
 * A name that the caller may find in the process's files before a batch is made: of the object at
 * `lock`, or else of the function at `creator` (both words as in struct ring_lock); or what the
 * mangled `type` says in C++.
 */
#define NATIVE_NAME_MAX 256

struct native_question {
	const char *type; /* borrowed until the next call on the process; NULL: a lock is meant */
	uint64_t lock, creator;
};

/* What pending records want to know and nobody has answered. Returns how many, at most `max`. */
size_t native_process_questions(const struct native_process *process, struct native_question *to,
				size_t max);

/* `name` "": there is none, do not ask again. Returns 0 or -ENOMEM. */
MUST_CHECK int native_process_answer(struct native_process *process,
				     const struct native_question *question, const char *name);

/* The module and ELF address that a word names; false when it names no module. */
bool native_process_place(const struct native_process *process, uint64_t word, uint32_t *ret_module,
			  uint64_t *ret_address);

/* The whole process, as /proc shows it. */
struct native_vitals {
	bool known;
	uint64_t resident_bytes;
	uint64_t minor_faults, major_faults; /* since it started */
	uint64_t cpu_ns;  /* likewise, of all its threads; in steps of the kernel's user tick */
	uint64_t threads; /* that it has now */
};

/* Exact sums over all thread slots, whose counters only grow. */
struct native_sums {
	uint64_t blocked_ns, blocked_calls;
};

struct native_clock {
	int64_t real_ns, monotonic_ns; /* read together */
};

/* Whether the next batch accounts wall time, for which everything is read again. */
bool native_process_accounts(const struct native_process *process,
			     const struct native_clock *clock);

/* What is costly to read of a thread, its name and switches, is due: it is new, or wall is
 * accounted. */
bool native_process_wants(const struct native_process *process, uint32_t tid,
			  const struct native_clock *clock);

/* Whether a record of this thread may be pending: only a no is certain. */
bool native_process_heard(const struct native_process *process, uint32_t tid);

/* Whether a drain has something to say: samples, or wall time that is due. */
bool native_process_due(const struct native_process *process, const struct native_clock *clock);

/*
 * Write what is pending into `out`, with cursors for every ring.  `ended`: the process is gone, so
 * this is its last batch.  Returns 0, -E2BIG or -ENOMEM; on failure the process's sums are
 * undefined and it should be dropped.
 */
MUST_CHECK int native_process_emit(struct native_process *process,
				   const struct ring_counters *counters,
				   const struct native_sums *sums,
				   const struct native_vitals *vitals,
				   const struct native_reading *readings, size_t readings_count,
				   const struct native_clock *clock, bool ended,
				   struct profile_builder *out, struct err *err);

struct native_stats {
	/* records taken since attach: CPU, blocked calls, the rest */
	uint64_t samples, blocks, others;
	uint64_t spans;                  /* RING_SPAN records; nothing is made of them yet */
	uint64_t bad_records;            /* malformed, skipped */
	uint64_t abandoned_bytes;        /* claims that were never committed */
	uint64_t ends[RING_ENDS];        /* CPU stacks by how their walk ended */
	uint64_t cpu_ns, cpu_sampled_ns; /* by the exact clocks, and by raw sample weights */
	uint64_t cpu_in_kernel_ns; /* of cpu_ns: samples whose leaf was inside a system call */
	uint64_t not_sampled_ns;   /* CPU time that no sample could carry */
	uint64_t alloc_calls, alloc_bytes; /* exact, by the client's counters */
	/* in the last snapshot; entries that could not be read, ever */
	uint64_t heap_blocks, heap_torn;
	/* live in the last snapshot, and that sum's standard error */
	double heap_bytes, heap_se_bytes;
	uint64_t threads, threads_departing; /* live; whose samples do not follow their clock */
	uint64_t threads_in_step;            /* of those: their bursts keep step with the tick */
	uint64_t threads_unsampled;          /* live, on CPU, and never sampled: signals blocked */
};

void native_process_stats(const struct native_process *process, struct native_stats *ret_stats);

/* Add what was taken and written; what is live now (threads, heap) and is shown by process stays
 * out. */
void native_stats_add(struct native_stats *sum, const struct native_stats *stats);

#endif
