/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/ring.h - the memory that a program and the agent share, and the one message between them.
 *
 * The client makes one memfd, seals its size, maps it and hands the descriptor to the agent in a
 * hello message.  The agent never maps it: it reads with pread and writes its own page with pwrite,
 * checks every byte, and believes nothing.  docs/formats/ring.md draws the layout and gives
 * reasons.
 *
 * Who writes what: the agent writes struct ring_agent and nothing else; the client writes all the
 * rest.  Every multi-byte value is in the host's order; both ends run on one host.
 *
 *	0          struct ring_head      written once, before the hello
 *	4096       struct ring_agent     agent -> client: heartbeat, rates, switches, tails
 *	8192       struct ring_counters  client -> agent: exact totals, drops by reason
 *	modules_at struct ring_module[]  append only: an entry is valid once its number is below
 *	                                 ring_counters.modules
 *	threads_at struct ring_thread[]  one slot a thread, reused after its thread ended
 *	heap_at    struct ring_heap      sampled blocks that were not freed (heap_bytes 0: none)
 *	rings_at   rings_count rings of ring_bytes each
 *
 * This header needs libc alone, so that client/ and the agent share it.
 */
#ifndef CLIENT_RING_H
#define CLIENT_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_MAGIC UINT64_C(0x31676e6972726168) /* "harring1" */
#define RING_VERSION 2
#define RING_PAGE 4096
#define RING_UNIT 64 /* records start at multiples of this and are padded to it */
#define RING_RINGS_MAX 64
#define RING_MODULES_MAX 4095
#define RING_THREADS_MAX 4096
#define RING_FRAMES_MAX 512
#define RING_BYTES_MAX (64u << 20) /* of the whole memfd: the agent refuses more */
#define RING_PATH_MAX 232
#define RING_TEXT_MAX 1024 /* bytes of text that one record carries */
#define RING_BUILD_ID_MAX 32
#define RING_HEARTBEAT_STALE_NS INT64_C(3000000000)

struct ring_head {
	uint64_t magic;                            /* RING_MAGIC, written last */
	uint32_t version, head_bytes;              /* RING_VERSION, sizeof(struct ring_head) */
	uint64_t total_bytes;                      /* of the memfd; fstat must agree */
	uint8_t runtime_id[16];                    /* random; new after fork */
	int64_t start_real_ns, start_monotonic_ns; /* when the profiler started */
	int32_t pid, tid; /* as the client sees them: inside its own pid namespace */
	uint32_t modules_at, modules_max;
	uint32_t threads_at, threads_max;
	uint32_t heap_at, heap_bytes;
	uint32_t rings_at, rings_count, ring_bytes; /* ring_bytes: a power of two */
	uint32_t hz; /* ticks of the kernel's coarse clock a second, as found at start */
};

/*
 * The agent's page.  A tail is written twice, a before b, by two system calls: a pwrite may be seen
 * half done, so the client takes min(a, b), which is never above the true tail.
 */
struct ring_agent {
	/* CLOCK_MONOTONIC, at least once a second; 0: never attached, or gone in good order. */
	int64_t heartbeat_ns;
	/* The agent's own random number: a new one means a new agent, 0 that none ever attached. */
	uint64_t generation;
	uint32_t kill;            /* not 0: stop sampling until it is 0 again */
	uint32_t cpu_interval_us; /* 0: the client's own setting; likewise below */
	uint32_t dimensions_off;  /* 1 << enum ring_dimension: switched off */
	uint32_t alloc_mean_bytes;
	uint32_t lock_capture_ppm;
	uint32_t rescan;  /* changes when the agent saw threads that have no slot */
	uint64_t flushed; /* ring_counters.flush_wanted that has been met: all committed */
	/* Of the whole process, by /proc, as it was at this CLOCK_MONOTONIC; 0: never read. */
	uint64_t cpu_ns;
	int64_t cpu_at_ns;
	uint64_t reserved[22];
	struct {
		uint64_t a, b;
	} tail[RING_RINGS_MAX];
};

enum ring_dimension {
	RING_CPU,
	RING_WALL, /* blocked calls */
	RING_ALLOC,
	RING_HEAP,
	RING_LOCK,
	RING_EXCEPTION,
	RING_DIMENSIONS
};

/* Why something did not come through.  Names for status: ring_drop_names. */
enum ring_drop {
	RING_DROP_RING_FULL,      /* the agent is slow or gone */
	RING_DROP_NO_SLOT,        /* more threads than slots */
	RING_DROP_NO_TIMER,       /* timer_create refused: RLIMIT_SIGPENDING */
	RING_DROP_NESTED,         /* a signal inside our own code */
	RING_DROP_ALTSTACK,       /* the thread ran on an alternate signal stack */
	RING_DROP_FOREIGN_SIGNAL, /* a SIGPROF that is not ours; passed on */
	RING_DROP_BUDGET,         /* own cost stayed above the ceiling */
	RING_DROP_MODULES,        /* more modules than entries; frames become raw addresses */
	RING_DROP_KILLED,         /* the kill switch */
	RING_DROPS
};

/* How a stack's walk ended. */
enum ring_end {
	RING_END_ROOT,    /* at a thread's first frame: complete */
	RING_END_DEPTH,   /* max_frames reached */
	RING_END_NO_CFI,  /* an address without unwind rules */
	RING_END_BAD_CFI, /* rules that we do not follow */
	RING_END_BOUNDS,  /* a frame outside the thread's stack */
	RING_END_LOOP,    /* the stack pointer did not rise */
	RING_END_BUDGET,  /* too many steps */
	RING_ENDS
};

/* clang-format off */
#define RING_DROP_NAMES                                                                            \
	{ "ring_full", "no_slot", "no_timer", "nested", "altstack", "foreign_signal", "budget",    \
	  "modules", "killed" }
#define RING_END_NAMES { "root", "depth", "no_cfi", "bad_cfi", "bounds", "loop", "budget" }
#define RING_DIMENSION_NAMES { "cpu", "wall", "alloc", "heap", "lock", "exception" }
/* clang-format on */

#define RING_HISTOGRAM 32 /* bucket i counts costs in [2^i, 2^(i+1)) nanoseconds */

/* Exact, monotonic, written with relaxed atomics.  Totals come from here; samples attribute
 * them. */
struct ring_counters {
	uint64_t modules;                  /* entries of the module table that are valid */
	uint64_t threads_high;             /* slots ever used: the agent scans no further */
	uint64_t flush_wanted;             /* raised by one to ask for ring_agent.flushed */
	uint64_t attaches;                 /* hello messages sent */
	uint64_t samples[RING_DIMENSIONS]; /* CPU: with overruns, as the records' `samples` */
	uint64_t drops[RING_DIMENSIONS][RING_DROPS];
	uint64_t ends[RING_ENDS]; /* stacks by how their walk ended */
	uint64_t claims_open;     /* records claimed and not yet committed, for tests */
	uint64_t cost_ns;         /* own cost in all: the sum of `cost`, once a second */
	uint64_t handler_ns[RING_HISTOGRAM];
	uint64_t unused[2];
	uint64_t alloc_calls, alloc_bytes; /* of threads without a slot; see ring_thread */
	uint64_t lock_contended, lock_wait_ns;
	uint64_t exceptions;
	uint64_t engine;               /* enum ring_engine of the CPU dimension */
	uint64_t interval_us;          /* the CPU sampling interval in force */
	uint64_t preloaded;            /* 1: libhearth-preload; hooks are there */
	uint64_t state;                /* enum ring_state */
	uint64_t off[RING_DIMENSIONS]; /* why a dimension is off: a hearth_code without its sign */
	/* RING_SPAN records: written, and left out for want of room */
	uint64_t spans, spans_dropped;
	uint64_t alloc_mean_bytes; /* between two sampled allocations, as last drawn */
	/* Own cost by dimension and, last, of what serves them all; client/budget.h. */
	uint64_t cost[RING_DIMENSIONS + 1];
	uint64_t budget_ppm;    /* own cost of the last seconds, of the process's CPU time */
	uint64_t budget_off;    /* 1 << enum ring_dimension: stopped, to be tried again */
	uint64_t budget_shifts; /* a byte each: samples are 2^n times as far apart as asked for */
	uint64_t budget_raised, budget_lowered, budget_stops, budget_retries; /* how often */
	uint64_t engine_why; /* enum ring_engine_why */
	uint64_t reserved[8];
};

enum ring_engine { RING_ENGINE_NONE, RING_ENGINE_TIMER, RING_ENGINE_PERF };

/* Why threads are sampled by timers though the other engine was asked for. */
enum ring_engine_why {
	RING_ENGINE_AS_ASKED,
	/* perf_event_open: perf_event_paranoid, a capability, an old kernel */
	RING_ENGINE_REFUSED,
	RING_ENGINE_FILTERED, /* the process was started under a filter of system calls */
	RING_ENGINE_FILES,    /* some: RLIMIT_NOFILE is low for so many */
	RING_ENGINE_CLOSED,   /* some: the program closed their descriptors */
	RING_ENGINE_WHYS
};
enum ring_state {
	RING_STARTING,
	RING_RUNNING,
	RING_THROTTLED,
	RING_STOPPED,
	RING_CLOSED, /* for good: a session with other labels took its place in the same process */
	RING_OVER_BUDGET /* running, but for a dimension that costs too much: budget_off */
};

enum ring_module_flags {
	RING_MODULE_VDSO = 1,
	RING_MODULE_BUILD_ID_HASH = 2, /* no build id: a hash of the text segment's start */
	RING_MODULE_MAIN = 4           /* the executable */
};

struct ring_module {
	uint64_t start, end; /* where it was mapped */
	uint64_t bias;       /* run-time address - ELF virtual address */
	uint32_t flags;
	uint8_t build_id[RING_BUILD_ID_MAX];
	uint32_t build_id_len;
	char path[RING_PATH_MAX]; /* NUL-terminated; cut from the front when too long */
};

/*
 * What a thread is doing, for the agent to read at any time.  `sequence` is odd while the ids or
 * the name change.  The published call has no such number: a reader that finds call, since_ns, site
 * and target the same twice has read a state that was.
 */
#define RING_PHASES 12
#define RING_PHASE_WORDS 3

struct ring_thread {
	uint32_t tid;        /* 0: free */
	uint32_t generation; /* raised at each reuse */
	uint32_t sequence;
	uint32_t call;    /* enum ring_call while blocked, 0: running */
	int64_t since_ns; /* CLOCK_MONOTONIC at the start of the blocked call */
	uint64_t site;    /* key of the RING_SITE record that has its stack */
	uint64_t target;  /* descriptor or address, as in struct ring_block */
	uint64_t trace_id[2], span_id, root_span_id; /* 0: none */
	char name[32];        /* given by hearth_thread_name; "": the agent reads comm */
	uint64_t signals;     /* timer signals that it took, with overruns */
	uint64_t cpu_base_ns; /* CPU time that is not sampled: before its timer, or while stopped */
	uint64_t cpu_stop_ns; /* not 0: stopped when its CPU clock was here */
	/* Of all threads that ever had this slot: never set back, so that the sum over all slots
	 * only grows and needs no lock to be read. */
	uint64_t alloc_calls, alloc_bytes;
	/* interposed calls that returned; their time: ring_block */
	uint64_t blocked_calls, blocked_ns;
	uint64_t blocked_base_ns; /* blocked_ns when this thread got the slot */
	/*
	 * Where between two ticks of the kernel the thread was when an interposed call returned:
	 * RING_PHASES counts of 16 bits, which wrap.  Drawn so that what it does has no say in
	 * when.
	 */
	uint64_t phases[RING_PHASE_WORDS];
};

static inline uint16_t ring_phase(const uint64_t *words, unsigned i)
{
	return (uint16_t)(words[i / 4] >> i % 4 * 16);
}

/* The word that has count `i` one higher; the counts beside it stay as they are. */
static inline uint64_t ring_phase_counted(uint64_t word, unsigned i)
{
	unsigned shift = i % 4 * 16;
	uint64_t mask = UINT64_C(0xffff) << shift;

	return (word & ~mask) | ((word + (UINT64_C(1) << shift)) & mask);
}

/*
 * Live heap: sampled blocks that were not freed, at head.heap_at:
 *
 *	struct ring_heap        sizes and sums
 *	uint64_t keys[]         entries_max words: an address and flags in its low bits, 0: free
 *	struct ring_heap_entry  entries_max of them; entry i belongs to key i
 *	struct ring_heap_block  blocks_max of them: the entries' frames, in chains
 *
 * The key says whose the entry is, and is changed by compare-and-swap alone; a free clears it
 * before the block is given back.  A reader copies all, then keys and entries again: an entry whose
 * key and sequence are the same in both, and the sequence even, is whole.  client/heap.h.
 */
#define RING_HEAP_BYTES_MAX (4u << 20)
#define RING_HEAP_BUCKET 8 /* keys that an address may have, twice */
#define RING_HEAP_FLAGS UINT64_C(7)

enum ring_heap_flag {
	/* alone: being filled or emptied; with an address: being looked at, and live */
	RING_HEAP_HELD = 1,
	RING_HEAP_FREED = 2, /* freed while it was held */
	RING_HEAP_MOVING = 4 /* inside a realloc, which may fail */
};

struct ring_heap {
	uint32_t entries_max; /* a power of two, at least RING_HEAP_BUCKET */
	uint32_t blocks_max;
	uint64_t used;         /* entries that are not free */
	uint64_t mean_bytes;   /* of a new entry, at least; 0: none was made yet */
	uint64_t missed_frees; /* entries whose address malloc gave out again */
	/* entries given up when the table was nearly full: others stand for them */
	uint64_t thinned;
	uint64_t full; /* samples that found no place */
	/* The client's own: */
	uint64_t free_blocks; /* changes << 32 | block + 1 */
	uint32_t fresh_blocks, busy_blocks;
	uint32_t thinning, thin_left;
	uint64_t reserved[7];
};

struct ring_heap_entry {
	uint32_t sequence; /* odd while the entry is filled in */
	uint32_t tid;
	uint64_t size;
	/* The entry stands for size / p bytes, p = 1 - exp(-size / mean_bytes).  A thinning raises
	 * it. */
	uint64_t mean_bytes;
	int64_t time_ns;                /* CLOCK_MONOTONIC_COARSE of the allocation */
	uint64_t span_id, root_span_id; /* 0: none */
	uint32_t block;                 /* the first, + 1; 0: none */
	uint16_t frames;
	uint16_t reserved;
};

#define RING_HEAP_FRAMES 7

struct ring_heap_block {
	uint64_t frames[RING_HEAP_FRAMES];
	uint32_t next; /* + 1; 0: the last */
	uint32_t reserved;
};

/* Where the parts stand, counted from the region's start. */
static inline uint64_t ring_heap_entries_at(uint32_t entries_max)
{
	return sizeof(struct ring_heap) + entries_max * (uint64_t)sizeof(uint64_t);
}

static inline uint64_t ring_heap_blocks_at(uint32_t entries_max)
{
	return ring_heap_entries_at(entries_max) +
	       entries_max * (uint64_t)sizeof(struct ring_heap_entry);
}

/*
 * A ring: `head` at its start (one cache line), then ring_bytes of records.  A record is claimed by
 * a compare-and-swap on `head`, filled, and committed by storing its own position + 1 into `commit`
 * with release order.  The reader trusts a header only where commit == position + 1, so stale bytes
 * of an earlier lap never pass.  A claim that is never committed (longjmp, a killed thread)
 * expires: after RING_CLAIM_EXPIRES_NS the reader looks for the next committed record a unit at a
 * time and counts what it skipped.
 */
#define RING_HEAD_BYTES 64
#define RING_CLAIM_EXPIRES_NS INT64_C(2000000000)

struct ring_control {
	/* bytes ever claimed; the byte at position p is data[p & (ring_bytes - 1)] */
	uint64_t head;
	uint64_t reserved[7];
};

enum ring_type {
	RING_PAD,          /* fills a ring's end; no payload */
	RING_SAMPLE_CPU,   /* struct ring_cpu + frames */
	RING_BLOCK,        /* struct ring_block + frames: a blocking call that returned */
	RING_SITE,         /* struct ring_block + frames: where a thread blocks, by its key */
	RING_THREAD_END,   /* struct ring_cpu, no frames: exact CPU time of a thread at its end */
	RING_SAMPLE_ALLOC, /* struct ring_alloc + frames */
	RING_SAMPLE_LOCK,  /* struct ring_lock + frames */
	RING_SAMPLE_EXCEPTION, /* struct ring_exception + frames; text "exception type" */
	/* struct ring_span, no frames: a span that ended; text "operation", "endpoint" */
	RING_SPAN,
	RING_TYPES
};

/*
 * Every record: header, payload, then `frames` words, leaf first, then `text_bytes` of text: pairs
 * of NUL-terminated strings, key and value by turns, labels of this one record ("trace endpoint",
 * "task name", "lock name", "exception type" and those of hearth_label_set).
 */
struct ring_record {
	uint64_t commit; /* position + 1 */
	uint32_t bytes;  /* whole record, a multiple of RING_UNIT, at most a quarter of the ring */
	uint16_t type;   /* enum ring_type */
	uint16_t frames;
	uint32_t tid;
	uint32_t slot;                               /* thread slot; UINT32_MAX: none */
	int64_t time_ns;                             /* CLOCK_MONOTONIC, coarse or not */
	uint64_t trace_id[2], span_id, root_span_id; /* 0: none */
	uint8_t end;                                 /* enum ring_end */
	uint8_t flags;                               /* enum ring_record_flags */
	uint16_t generation;                         /* low bits of the slot's generation */
	uint16_t text_bytes;                         /* at most RING_TEXT_MAX */
	uint16_t reserved;
};

enum ring_record_flags {
	RING_IN_KERNEL = 1,  /* the leaf was inside a system call */
	RING_LAST = 2,       /* the process is ending */
	RING_HOLDER_SEEN = 4 /* a RING_LOCK_WAIT whose RING_LOCK_BLAME was written */
};

struct ring_cpu {
	uint64_t weight_ns; /* interval x (1 + overrun); in RING_THREAD_END the thread's CPU time */
	uint64_t samples;   /* 1 + overrun; in RING_THREAD_END ring_thread.cpu_base_ns */
};

struct ring_block {
	uint32_t call;        /* enum ring_call */
	uint32_t target_kind; /* enum ring_target */
	uint64_t target;      /* descriptor, address of a lock... */
	uint64_t duration_ns; /* ticks crossed, or exact (docs/decisions/0014); 0 in RING_SITE */
	uint64_t site;        /* key of (return address, stack pointer) */
	int64_t since_ns;     /* at entry, by the same clock */
	/* it was taken with the chance 1 - exp(-duration / mean); 0: for certain */
	uint64_t mean_ns;
};

/*
 * A sampled allocation.  One of `size` bytes is taken with the chance p = 1 - exp(-size / mean), so
 * that it stands for size / p bytes and 1 / p objects.
 */
struct ring_alloc {
	uint64_t size, mean_bytes;
	uint64_t address;
};

enum ring_lock_what {
	RING_LOCK_WAIT,  /* the stack that waited */
	RING_LOCK_BLAME, /* the stack that let the lock go for which a sampled waiter waited */
	RING_LOCK_HOLD   /* the stack that kept the lock, where it let go */
};

enum ring_lock_kind {
	RING_LOCK_MUTEX,
	RING_LOCK_READ, /* of a rwlock */
	RING_LOCK_WRITE,
	RING_LOCK_SPIN,
	RING_LOCK_SEMAPHORE,
	RING_LOCK_KINDS
};

/* clang-format off */
#define RING_LOCK_KIND_NAMES { "mutex", "rwlock, read", "rwlock, write", "spinlock", "semaphore" }
/* clang-format on */

/*
 * A sampled wait or hold of duration_ns.  A wait is taken with the chance
 * p = 1 - exp(-duration_ns / mean), and stands for duration_ns / p and 1 / p waits; a hold is one
 * of `mean` of them on average, whatever its length.
 */
struct ring_lock {
	uint32_t what, kind;
	uint64_t lock;    /* ring_frame: module and offset of a static lock, else its address */
	uint64_t creator; /* ring_frame of the call that initialized it, 0: not known */
	uint64_t duration_ns, mean;
};

/* A sampled exception, which stands for `count`. */
struct ring_exception {
	uint64_t count;
};

/*
 * A span that ended, with its ids, which the record's head may lack.  Written while its ring is
 * less than half full, so that samples go first; ring_counters.spans_dropped counts the others.
 */
struct ring_span {
	uint64_t trace_id[2], span_id, parent_span_id, root_span_id; /* parent 0: none */
	int64_t start_ns;                                            /* CLOCK_MONOTONIC */
	uint64_t duration_ns;
};

/* What stands between a record's header and its frames; 0 for a type that nobody knows. */
static inline size_t ring_payload_bytes(uint16_t type)
{
	static const size_t bytes[RING_TYPES] = {
	    [RING_SAMPLE_CPU] = sizeof(struct ring_cpu),
	    [RING_THREAD_END] = sizeof(struct ring_cpu),
	    [RING_BLOCK] = sizeof(struct ring_block),
	    [RING_SITE] = sizeof(struct ring_block),
	    [RING_SAMPLE_ALLOC] = sizeof(struct ring_alloc),
	    [RING_SAMPLE_LOCK] = sizeof(struct ring_lock),
	    [RING_SAMPLE_EXCEPTION] = sizeof(struct ring_exception),
	    [RING_SPAN] = sizeof(struct ring_span),
	};

	return type < RING_TYPES ? bytes[type] : 0;
}

/* A thread's sites: both ends keep one in each place, so that what the client takes for known is
 * known. */
#define RING_SITES 16

static inline uint32_t ring_site_place(uint64_t site)
{
	return (uint32_t)(site >> 1) % RING_SITES; /* the lowest bit is always set */
}

enum ring_target {
	RING_TARGET_NONE,
	RING_TARGET_FD,
	RING_TARGET_ADDRESS,
	RING_TARGET_PID,
	RING_TARGET_TIMER
};

/* The interposed calls, client/calls.def: RING_CALL_poll and so on; 0 is none. */
enum ring_call {
	RING_CALL_none,
#define CALL(name, target) RING_CALL_##name,
#include "client/calls.def"
#undef CALL
	RING_CALLS
};

/*
 * A frame: module number + 1 in the upper 16 bits and the ELF virtual address to look up in the
 * lower 48; upper bits 0: no module, the lower 48 are the raw address.  A caller's address already
 * points into its call instruction (return address - 1), the leaf's and an interrupted frame's
 * is exact.
 */
#define RING_FRAME_ADDRESS_BITS 48
#define RING_FRAME_ADDRESS ((UINT64_C(1) << RING_FRAME_ADDRESS_BITS) - 1)

static inline uint64_t ring_frame(uint32_t module_plus_1, uint64_t address)
{
	return (uint64_t)module_plus_1 << RING_FRAME_ADDRESS_BITS | (address & RING_FRAME_ADDRESS);
}

/*
 * The hello: one SOCK_SEQPACKET message on <run>/agent.sock, sent without blocking, after which the
 * client closes.  Descriptors follow in this order: the memfd, a directory descriptor of
 * /proc/self, then one read-only descriptor for each module from modules_from on, as far as they go
 * (a module whose file could not be opened has its bit set in no_file).  The same message serves a
 * first attach, a reconnect to a new agent, new modules and a flush.  Text follows the struct:
 * NUL-terminated strings, key and value by turns: "service", "checkout", "env", ...; at most
 * RING_HELLO_MAX bytes in all.
 */
#define RING_HELLO_MAX 8192
#define RING_HELLO_MAGIC UINT32_C(0x6f6c6c48) /* "Hllo" */
#define RING_HELLO_FDS_MAX 250
#define RING_HELLO_MODULES_MAX 240

enum ring_hello_flags {
	RING_HELLO_FLUSH = 1,
	RING_HELLO_EXIT = 2,
	RING_HELLO_PERF_MAP =
	    4 /* the last descriptor is /tmp/perf-PID.map: names of a JIT's code */
};

/* Keys that begin with RING_HELLO_NOTE are not labels but notes for status. */
#define RING_HELLO_NOTE '@'
#define RING_HELLO_SETTINGS "@settings" /* "name=value name=value ..." */
#define RING_HELLO_REFUSED "@refused"   /* "VARIABLE=value: reason"; any number of them */

struct ring_hello {
	uint32_t magic, version;
	uint32_t flags;
	uint32_t text_bytes;
	uint8_t runtime_id[16];
	uint32_t modules_from, modules_count;
	uint64_t no_file[4]; /* bit i: module modules_from + i comes without a descriptor */
};

_Static_assert(sizeof(struct ring_head) <= RING_PAGE, "the head is one page");
_Static_assert(sizeof(struct ring_agent) <= RING_PAGE, "the agent's part is one page");
_Static_assert(sizeof(struct ring_counters) <= RING_PAGE, "the counters are one page");
_Static_assert(sizeof(struct ring_control) == RING_HEAD_BYTES, "a ring's head is one line");
_Static_assert(sizeof(struct ring_record) == 72, "the record's header is shared");
_Static_assert(sizeof(struct ring_thread) == 192, "thread slots are shared");
_Static_assert(sizeof(struct ring_module) == 296, "module entries are shared");
_Static_assert(sizeof(struct ring_heap) == 128, "the heap table is shared");
_Static_assert(sizeof(struct ring_heap_entry) == 56, "heap entries are shared");
_Static_assert(sizeof(struct ring_heap_block) == 64, "heap frames are shared");

#endif
