/* SPDX-License-Identifier: Apache-2.0 */
#include "client/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/budget.h"
#include "client/draw.h"
#include "client/maps.h"
#include "client/source.h"
#include "client/source_alloc.h"
#include "client/tasks.h"

#define STACK_TRIES 4
#define STACK_UNLIMITED (UINT64_C(128) << 20) /* the kernel keeps that much free below the stack */
#define KEYS_INLINE 32 /* keys below this have their value inside the thread's descriptor */

/* No gate ever holds this epoch. */
__thread struct thread_words thread_words = {NULL, UINT64_MAX};

static pthread_key_t end_key;
static bool end_key_made;
static uint32_t scanning, scan_number;

static void thread_end(void *value);

int thread_start(void)
{
	if (end_key_made)
		return 0;
	if (pthread_key_create(&end_key, thread_end))
		return -EAGAIN;
	end_key_made = true;
	return 0;
}

struct thread *thread_self(void)
{
	struct thread *t = thread_words.thread;

	return t && thread_words.epoch == session.threads_epoch && load(&t->tid) ? t : NULL;
}

static void set_self(struct thread *t)
{
	thread_words.thread = t;
	thread_words.epoch = session.threads_epoch;
}

static struct thread *claim(void)
{
	for (uint32_t i = 0; i < session.threads_max; i++) {
		struct thread *t = &session.threads[i];

		if (load(&t->claimed) || !try_take(&t->claimed))
			continue;
		memset((char *)t + sizeof(t->claimed), 0, sizeof(*t) - sizeof(t->claimed));
		return t;
	}
	drop(RING_CPU, RING_DROP_NO_SLOT);
	return NULL;
}

/* Fill in the shared slot; `tid` last, since a reader goes by that. */
static void publish(struct thread *t, int32_t tid)
{
	uint32_t slot = thread_slot(t);
	struct ring_thread *out = &session.slots[slot];
	uint32_t generation = out->generation + 1;
	uint64_t high = load(&session.counters->threads_high);

	memset(out, 0, offsetof(struct ring_thread, alloc_calls));
	out->generation = generation;
	store(&out->blocked_base_ns, load(&out->blocked_ns));
	t->draws = draw_seed((uint64_t)clock_exact_ns() ^ (uint64_t)tid << 32,
			     *(const uint64_t *)(const void *)session.head->runtime_id);
	t->slot = out;
	t->seen = load(&scan_number);
	store(&t->tid, tid);
	store_release(&out->tid, (uint32_t)tid);
	while (high < slot + 1 && !replace(&session.counters->threads_high, &high, slot + 1))
		;
}

static void release(struct thread *t)
{
	struct ring_thread *out = &session.slots[thread_slot(t)];

	source_cpu_disarm(t);
	source_lock_thread_end(t);
	store_release(&out->tid, 0);
	store(&t->tid, 0);
	give_back(&t->claimed);
}

struct thread *thread_reserve(void)
{
	return claim();
}

void thread_cancel(struct thread *t)
{
	give_back(&t->claimed);
}

static void own_stack_bounds(struct thread *t)
{
	pthread_attr_t attr;
	void *lo;
	size_t bytes;

	if (pthread_getattr_np(pthread_self(), &attr))
		return;
	if (!pthread_attr_getstack(&attr, &lo, &bytes)) {
		t->stack_lo = (uint64_t)(uintptr_t)lo;
		t->stack_hi = t->stack_lo + bytes;
	}
	pthread_attr_destroy(&attr);
}

void thread_begin(struct thread *t)
{
	int64_t began = budget_begin(BUDGET_CHORES);
	int32_t tid = (int32_t)syscall(SYS_gettid);

	if (tid != getpid())
		own_stack_bounds(t); /* the main thread's would be read from a file */
	publish(t, tid);
	set_self(t);
	if (end_key_made && !pthread_setspecific(end_key, t))
		t->key_set = 1;
	source_cpu_arm(t);
	(void)budget_end(began, BUDGET_CHORES);
}

struct thread *thread_self_find(void)
{
	struct thread *t = thread_self();
	uint32_t tid;

	if (t || !session_live())
		return t;
	tid = (uint32_t)syscall(SYS_gettid);
	for (uint32_t i = 0; i < load(&session.counters->threads_high); i++) {
		/* A scan has seen this thread, which has taken no signal since. */
		if (load(&session.slots[i].tid) != tid)
			continue;
		thread_adopt(&session.threads[i]);
		return &session.threads[i];
	}
	return NULL;
}

struct thread *thread_self_make(void)
{
	struct thread *t = thread_self_find();

	if (t || !session_live())
		return t;
	t = claim();
	if (t)
		thread_begin(t);
	return t;
}

void thread_adopt(struct thread *t)
{
	set_self(t);
	/* A key this low needs no memory for its value, so that setting it is safe anywhere. */
	if (!t->key_set && end_key_made && end_key < KEYS_INLINE &&
	    !pthread_setspecific(end_key, t))
		t->key_set = 1;
}

static void thread_end(void *value)
{
	struct thread *t = thread_self();
	int64_t began;

	/* A value from before a fork, or of a thread that a scan took for gone, is not ours.  Under
	 * a seccomp filter the slot and the timer are left to the process's end. */
	if (!session_live() || load(&session.seccomp_set) || t != value ||
	    t->tid != (int32_t)syscall(SYS_gettid))
		return;
	began = budget_begin(BUDGET_CHORES);
	thread_words = (struct thread_words){NULL, UINT64_MAX};
	source_alloc_forget();
	source_cpu_disarm(t);
	if (load(&session.running))
		source_cpu_thread_end(t, 0);
	release(t);
	(void)budget_end(began, BUDGET_CHORES);
}

static struct thread *by_tid(int32_t tid)
{
	uint32_t high = (uint32_t)load(&session.counters->threads_high);

	for (uint32_t i = 0; i < high; i++)
		if (load(&session.slots[i].tid) == (uint32_t)tid)
			return &session.threads[i];
	return NULL;
}

static void scan_one(void *arg, int32_t tid)
{
	struct thread *t = by_tid(tid);

	(void)arg;
	if (!t && (t = claim()))
		publish(t, tid);
	if (!t)
		return;
	store(&t->seen, load(&scan_number));
	source_cpu_arm(t); /* has none yet, or lost it when the profiler was stopped */
}

void thread_scan(void)
{
	struct scratch *s;
	uint32_t high;

	if (!session_live() || !try_take(&scanning))
		return;
	s = scratch_take();
	if (s) {
		add(&scan_number, 1);
		high = (uint32_t)load(&session.counters->threads_high);
		if (tasks_list(s->work, sizeof(s->work), scan_one, NULL) == 0)
			for (uint32_t i = 0; i < high; i++) {
				struct thread *t = &session.threads[i];

				/* A thread with a destructor will say itself that it ends. */
				if (load(&t->tid) && !t->key_set &&
				    load(&t->seen) != load(&scan_number))
					release(t);
			}
		scratch_give(s);
	}
	give_back(&scanning);
}

uint32_t thread_carry_over(struct ring_thread *fresh)
{
	uint32_t high = 0;

	for (uint32_t i = 0; i < session.threads_max; i++) {
		struct thread *t = &session.threads[i];
		const struct ring_thread *old = &session.slots[i];
		int32_t tid = load(&t->tid);

		if (!tid)
			continue;
		high = i + 1;
		if (load(&fresh[i].tid))
			continue;
		fresh[i].generation = old->generation + 1;
		memcpy(fresh[i].trace_id, old->trace_id, sizeof(old->trace_id));
		fresh[i].span_id = old->span_id;
		fresh[i].root_span_id = old->root_span_id;
		memcpy(fresh[i].name, old->name, sizeof(old->name));
		memset(t->sites, 0, sizeof(t->sites));
		store_release(&fresh[i].tid, (uint32_t)tid);
	}
	return high;
}

void thread_forked(void)
{
	scanning = 0;
}

void thread_child_started(void)
{
	scanning = 0;
	thread_scan();
	(void)thread_self_make();
	/* Clocks start with a process: what a child used until it was looked at is to be shown
	 * too. */
	for (uint32_t i = 0; i < load(&session.counters->threads_high); i++)
		store(&session.slots[i].cpu_base_ns, 0);
}

/* Learn the bounds of a stack from /proc/self/maps, if it can be told whose it is. */
static void learn_stack(struct thread *t, uint64_t sp)
{
	uint64_t own = (uint64_t)(uintptr_t)pthread_self();
	struct mapping m;
	struct scratch *s = scratch_take();

	t->stack_tries++;
	if (!s)
		return;
	if (maps_find(sp, s->work, sizeof(s->work), &m)) {
		if (m.main_stack && t->tid == session.head->pid) {
			uint64_t most = maps_stack_limit(STACK_UNLIMITED);

			t->stack_hi = m.hi;
			t->stack_lo = m.hi > most ? m.hi - most : 0;
		} else if (own > sp && own < m.hi) {
			/* The thread's descriptor lies at the upper end of its own stack. */
			t->stack_hi = own;
			t->stack_lo = m.lo;
		}
	}
	scratch_give(s);
}

struct cfi_memory thread_stack(struct thread *t, uint64_t sp)
{
	if (!t->stack_hi && t->stack_tries < STACK_TRIES && !load(&session.seccomp_set))
		learn_stack(t, sp);
	if (sp >= t->stack_lo && sp < t->stack_hi)
		return thread_stack_within(sp, t->stack_lo, t->stack_hi);
	return thread_stack_within(sp, sp & ~(uint64_t)(RING_PAGE - 1), (sp | (RING_PAGE - 1)) + 1);
}

struct cfi_memory thread_stack_within(uint64_t sp, uint64_t lo, uint64_t hi)
{
	uint64_t from = sp - ARCH_RED_ZONE;

	if (from > sp)
		from = 0;
	return (struct cfi_memory){from > lo ? from : lo, hi, 0};
}

struct thread *thread_of_value(const void *value)
{
	uintptr_t at = (uintptr_t)value, base = (uintptr_t)session.threads;
	size_t bytes = sizeof(struct thread);

	if (at < base || (at - base) % bytes || (at - base) / bytes >= session.threads_max)
		return NULL;
	return &session.threads[(at - base) / bytes];
}
