/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/session.h - the one session of this process: its shared memory and what is known of it.
 *
 * Private to client/.  Hides how the memory of ring.h is laid out, sealed, mapped and kept out of
 * forked children.  Opened outside or inside a signal handler: it makes system calls and nothing
 * else, because a forked child opens its own from its first timer signal.  Never unmapped, and a
 * new session of the same process takes the very place of the old: a handler on another thread may
 * be using it.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/atomics.h"
#include "client/cfi.h"
#include "client/config.h"
#include "client/ring.h"

struct thread;

#define SESSION_COOKIE UINT64_C(0x6b6f6f63206e6168)
#define SESSION_SCRATCHES 64
#define SESSION_WORK_BYTES 4096

/* Room that a sample needs and that is too much for the program's stack. */
struct scratch {
	uint64_t frames[RING_FRAMES_MAX];
	union {
		struct cfi_work cfi;
		_Alignas(16) unsigned char work[SESSION_WORK_BYTES];
	};
};

struct session {
	/* Views into the shared memory; valid while session_live(). */
	struct ring_head *head;
	struct ring_agent *agent;
	struct ring_counters *counters;
	struct ring_module *modules;
	struct ring_thread *slots;
	struct ring_heap *heap; /* NULL: none */
	unsigned char *rings;
	uint32_t rings_count, ring_bytes, ring_stride;
	uint32_t modules_max, threads_max;

	/* Private memory, wiped in a forked child.  The page of the cookie also holds the gates. */
	uint64_t *cookie;        /* SESSION_COOKIE while this process owns the session */
	struct thread *threads;  /* beside `slots` */
	struct scratch *scratch; /* SESSION_SCRATCHES */
	uint64_t scratch_used;   /* a bit for each */

	uint64_t epoch; /* raised when a session opens: tells what an earlier one began */
	/* raised when `threads` starts anew: tells stale pointers into it */
	uint64_t threads_epoch;
	uint32_t opening; /* taken while one thread opens the session of a forked child */
	uint32_t running; /* 1: take samples */
	uint32_t preloaded;
	uint32_t heap_wanted; /* lay out a table for live heap; set before the session opens */
	uint32_t follow_forks;
	int fd; /* the memfd; checked by dev and ino before each use */
	dev_t fd_dev;
	ino_t fd_ino;
	int64_t start_ns;
	uint32_t processors;
	uint32_t unknown_code; /* a stack led through code of no file: a JIT's, perhaps */
	uint32_t seccomp_set;  /* the program set a filter: no system call of ours any more */
	int seccomp_at_start;
	/* strict seccomp or PR_SET_TSC: rdtsc, which the exact clock is, faults */
	uint32_t counter_forbidden;
};

extern struct session session;

/* The memory is ours: mapped, and not a parent's.  Any other member is looked at only then. */
static inline bool session_live(void)
{
	uint64_t *cookie = load_acquire(&session.cookie);

	return cookie && load(cookie) == SESSION_COOKIE;
}

/* A forked child of a process that had a session. */
static inline bool session_orphan(void)
{
	uint64_t *cookie = load_acquire(&session.cookie);

	return cookie && load(cookie) != SESSION_COOKIE;
}

static inline bool session_running(void)
{
	return load(&session.running) && session_live();
}

/*
 * A gate is a word beside the cookie, which holds threads_epoch while hooks of a kind are to
 * record, and 0 otherwise: also in a forked child, where the page is wiped.  A thread that knows
 * its own state passes when its epoch is the same: one comparison tells that the session is live,
 * of this process, running, and that the thread's state belongs to it.
 */
enum session_gate { SESSION_GATE_WALL = 1, SESSION_GATES };

extern const uint64_t session_closed; /* what gates are before the first session */

static inline void session_gate_set(enum session_gate gate, bool open)
{
	store_release(&session.cookie[gate], open ? session.threads_epoch : 0);
}

/* Make and map the memory, fill in the head.  Async-signal-safe.  Returns 0 or a negative errno,
 * after which nothing is left behind. */
int session_open(void);

/* Sampling is stopped: close the live session and open another in its place, with the same layout,
 * so that a handler that is late writes into the new one at worst.  The agent keeps what it was
 * shown of the old memory; samples that no agent was shown are counted as dropped.  Returns 0 or a
 * negative errno, after which the old session goes on. */
int session_renew(void);

/* In a forked child: open a session of its own when children are to be profiled, else switch off.
 * Returns whether there is a live session now.  Async-signal-safe; needs no lock of the parent. */
bool session_adopt_child(void);

/* Borrow a scratch, NULL when all are in use (more than SESSION_SCRATCHES samples at once). */
struct scratch *scratch_take(void);
void scratch_give(struct scratch *s);

/* Clocks.  The coarse one costs 5 ns and moves with the kernel's tick. */
int64_t clock_ns(clockid_t clock); /* 0: no such clock */
int64_t clock_coarse_ns(void);
int64_t clock_exact_ns(void);
int64_t clock_thread_cpu_ns(void);

static inline void drop(enum ring_dimension dimension, enum ring_drop why)
{
	add(&session.counters->drops[dimension][why], 1);
}

#endif
