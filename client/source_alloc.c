/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations: every call and byte is counted in the thread's slot, and a byte in `mean` is
 * sampled, at distances drawn from an exponential distribution.  That has no memory, so that a
 * block of `size` bytes is taken with the chance 1 - exp(-size / mean), whatever came before it.
 */
#include "client/source_alloc.h"

#include <errno.h>
#include <string.h>

#include "client/budget.h"
#include "client/draw.h"
#include "client/hearth.h"
#include "client/hello.h"
#include "client/profiler.h"
#include "client/source.h"
#include "client/write.h"

#define IDLE_BYTES (1 << 20) /* until a thread that is paused looks whether it still is */
#define MEAN_DEFAULT (UINT64_C(512) << 10)
#define MEAN_MIN (UINT64_C(4) << 10)
#define MEAN_MAX (UINT64_C(1) << 50)
#define RATE_MAX 100                  /* samples a second of the whole process */
#define RATE_LOW 40                   /* below which the mean comes back... */
#define WINDOW_NS INT64_C(1000000000) /* ...by half for each two windows */
#define FIND_AGAIN 64 /* calls of a thread without a slot between two looks for one */

/* In a build without hooks nobody defines it and nobody calls it. */
__attribute__((weak)) struct alloc_next alloc_next;

/* A thread begins as nobody, and becomes idle when it is not counted: with a `left` of its own, the
 * one member that is looked at, so that threads do not write to one cache line. */
static struct alloc_state nobody;
__thread struct alloc_state *alloc_self = &nobody;
static __thread int64_t idle_left;

static struct {
	int hooks; /* hearth_code of source_alloc_hooked */
	uint32_t alloc_on, heap_on;
	uint32_t round;     /* raised by each start: draws of an earlier one count no more */
	uint32_t found_out; /* calls of threads without a slot */
	/* The controller; one thread at a time. */
	uint32_t steering;
	uint32_t doublings;
	uint32_t window_samples;
	int64_t window_ns;
	/* What was handed out before the next allocator was known. */
	uint32_t early_used;
	_Alignas(64) unsigned char early[ALLOC_EARLY_BYTES];
} alloc = {.hooks = HEARTH_E_NO_HOOKS};

void source_alloc_hooked(int code)
{
	alloc.hooks = code;
	store(&session.heap_wanted, code == HEARTH_OK);
}

/* ---- blocks from before the beginning ---- */

void *source_alloc_early(size_t size, size_t alignment)
{
	uint32_t used = load(&alloc.early_used);
	uint64_t at;

	if (alignment < 16)
		alignment = 16;
	do {
		at = (used + 16 + alignment - 1) & ~(uint64_t)(alignment - 1);
		if (alignment > 64 || size > ALLOC_EARLY_BYTES || at + size > ALLOC_EARLY_BYTES) {
			errno = ENOMEM;
			return NULL;
		}
	} while (!replace(&alloc.early_used, &used, (uint32_t)(at + size)));
	memcpy(alloc.early + at - sizeof(size), &size, sizeof(size)); /* for realloc */
	store(heap_filter_at((uint64_t)(uintptr_t)(alloc.early + at)), HEAP_FILTER_STICKY);
	return alloc.early + at;
}

static bool is_early(const void *p)
{
	return (uintptr_t)p - (uintptr_t)alloc.early < ALLOC_EARLY_BYTES;
}

static void *early_realloc(void *p, size_t size)
{
	size_t had;
	void *to = alloc_next.malloc(size);

	memcpy(&had, (char *)p - sizeof(had), sizeof(had));
	if (to)
		memcpy(to, p, had < size ? had : size);
	return to;
}

/* ---- the mean ---- */

static uint64_t base_mean(int64_t now_ns)
{
	uint64_t mean = hello_attached(now_ns) ? load(&session.agent->alloc_mean_bytes) : 0;

	if (!mean)
		mean = profiler_config()->alloc_mean_bytes;
	if (!mean)
		mean = MEAN_DEFAULT;
	return mean < MEAN_MIN ? MEAN_MIN : mean;
}

static void draw(struct thread *t, int64_t now_ns)
{
	uint64_t mean = base_mean(now_ns) << (load(&alloc.doublings) + budget_shift(RING_ALLOC));
	uint64_t bytes;

	if (mean > MEAN_MAX)
		mean = MEAN_MAX;
	bytes = draw_exponential(&t->draws, mean);
	t->alloc.mean_bytes = mean;
	store(&session.counters->alloc_mean_bytes, mean);
	t->alloc.left = bytes ? (int64_t)bytes : 1;
}

/* A sample was due: more than RATE_MAX a second double the mean at once, few bring it back. */
static void steer(int64_t now_ns)
{
	int64_t lasted = now_ns - alloc.window_ns;
	uint32_t steps;

	if (!try_take(&alloc.steering))
		return;
	alloc.window_samples++;
	if (alloc.window_samples >= RATE_MAX && lasted < WINDOW_NS) {
		if (alloc.doublings < 24)
			add(&alloc.doublings, 1);
		lasted = 0;
		alloc.window_ns = now_ns;
		alloc.window_samples = 0;
	}
	if (lasted >= 2 * WINDOW_NS) {
		steps = (uint32_t)(lasted / (2 * WINDOW_NS));
		if ((int64_t)alloc.window_samples * WINDOW_NS < RATE_LOW * lasted &&
		    alloc.doublings)
			add(&alloc.doublings, -(steps < alloc.doublings ? steps : alloc.doublings));
		alloc.window_ns = now_ns;
		alloc.window_samples = 0;
	}
	give_back(&alloc.steering);
}

/* ---- samples ---- */

static bool off(enum ring_dimension d)
{
	return load(&session.agent->dimensions_off) & 1u << d;
}

static bool alloc_wanted_now(void)
{
	return load(&alloc.alloc_on) && !off(RING_ALLOC);
}

static bool heap_wanted_now(void)
{
	return load(&alloc.heap_on) && session.heap && !off(RING_HEAP);
}

static void keep_live(struct thread *t, const struct ring_alloc *a, int64_t now_ns,
		      const struct scratch *s, uint32_t frames)
{
	const struct heap_block b = {.address = a->address,
				     .size = a->size,
				     .mean_bytes = a->mean_bytes,
				     .time_ns = now_ns,
				     .tid = (uint32_t)t->tid,
				     .span_id = t->span_id,
				     .root_span_id = t->root_span_id,
				     .frames = s->frames,
				     .frames_count = (uint16_t)frames};

	add(&session.counters->samples[RING_HEAP], 1);
	if (heap_put(session.heap, &b, &t->draws) == HEAP_FULL)
		drop(RING_HEAP, RING_DROP_RING_FULL);
}

static void sample(struct thread *t, const struct call_site *from, const struct ring_alloc *a,
		   int64_t now_ns)
{
	struct event e = {.type = RING_SAMPLE_ALLOC,
			  .dimension = RING_ALLOC,
			  .payload = a,
			  .payload_bytes = sizeof(*a),
			  .time_ns = now_ns,
			  .thread = t};
	struct scratch *s = scratch_take();
	struct unwind_result r;

	if (!s) {
		drop(RING_ALLOC, RING_DROP_NESTED);
		return;
	}
	r = stack_unwind(t, from, s);
	e.end = (uint8_t)r.end;
	e.frames = s->frames;
	e.frames_count = (uint16_t)r.count;
	if (alloc_wanted_now())
		(void)event_write(&e);
	if (heap_wanted_now())
		keep_live(t, a, now_ns, s, r.count);
	scratch_give(s);
}

/* A handler may be in between; or one jumped out of an earlier sample: then its frame is gone. */
static bool nested(struct alloc_state *s, const struct call_site *from)
{
	return load(&s->busy_sp) && from->sp < load(&s->busy_sp);
}

/* `left` is used up. */
static void due(struct thread *t, const struct call_site *from, const void *p, size_t size)
{
	const struct ring_alloc a = {size, t->alloc.mean_bytes, (uint64_t)(uintptr_t)p};
	int64_t now_ns = clock_coarse_ns(), began;

	if (nested(&t->alloc, from)) {
		drop(RING_ALLOC, RING_DROP_NESTED);
	} else if (budget_stopped(RING_ALLOC)) {
		drop(RING_ALLOC, RING_DROP_BUDGET);
		source_chores(now_ns);
	} else if (size) {
		store(&t->alloc.busy_sp, from->sp);
		began = budget_begin(RING_ALLOC);
		sample(t, from, &a, now_ns);
		(void)budget_end(began, RING_ALLOC);
		store(&t->alloc.busy_sp, (uint64_t)0);
		steer(now_ns);
		source_chores(now_ns);
	}
	draw(t, now_ns);
}

void source_alloc_forget(void)
{
	idle_left = 0;
	alloc_self = (struct alloc_state *)(void *)&idle_left;
}

/* A thread that we do not know: one that is about to end, or for which there was no slot. */
static void count_unknown(const void *p, size_t size)
{
	source_alloc_forget();
	if (!p)
		return;
	add(&session.counters->alloc_calls, 1);
	add(&session.counters->alloc_bytes, size);
}

static struct thread *find_thread(void)
{
	struct thread *t = thread_self();

	if (t || add(&alloc.found_out, 1) % FIND_AGAIN || load(&session.seccomp_set))
		return t;
	return thread_self_find();
}

static void counted(struct thread *t, size_t size)
{
	struct ring_thread *slot = &session.slots[thread_slot(t)];

	slot->alloc_calls++;
	slot->alloc_bytes += size;
}

static void note_running(const struct call_site *from, const void *p, size_t size)
{
	struct thread *t = find_thread();
	struct alloc_state *s;

	if (!t) {
		count_unknown(p, size);
		return;
	}
	s = alloc_self = &t->alloc;
	if (load(&session.agent->kill) || (!alloc_wanted_now() && !heap_wanted_now())) {
		/* Not counted, and not asked again at each call: where nothing is wanted nothing is
		 * paid. */
		s->slot = &t->alloc_nowhere;
		s->left = IDLE_BYTES;
		s->round = 0;
		return;
	}
	if (s->round != load(&alloc.round)) {
		s->slot = &session.slots[thread_slot(t)];
		draw(t, clock_coarse_ns());
		s->round = load(&alloc.round);
	} else if (!p) {
		draw(t, clock_coarse_ns()); /* a size that nobody can have: the count is spoilt */
	}
	if (!p)
		return;
	counted(t, size);
	/* A first call, or a realloc that came for its old block: the fast path has not seen it. */
	if (s->left > 0)
		s->left -= (int64_t)size;
	if (s->left <= 0)
		due(t, from, p, size);
}

/* An allocation that the fast path left to us; `p` NULL: it failed. */
static void note(const struct call_site *from, const void *p, size_t size)
{
	int saved = errno;

	/* A child of fork is not entered for its allocations: most of them go on to exec at once.
	 */
	if (session_running() && (load(&alloc.alloc_on) || load(&alloc.heap_on)))
		note_running(from, p, size);
	else
		source_alloc_forget();
	errno = saved;
}

/* ---- the slow paths ---- */

#define SLOW(name, parameters, arguments, size)                                                    \
	void *source_alloc_##name parameters                                                       \
	{                                                                                          \
		const struct call_site from = CALL_SITE;                                           \
		void *p = alloc_next.name arguments;                                               \
                                                                                                   \
		note(&from, p, size);                                                              \
		return p;                                                                          \
	}

SLOW(malloc, (size_t n), (n), n)
SLOW(calloc, (size_t count, size_t n), (count, n), count *n) /* overflow: NULL, and not looked at */
SLOW(aligned_alloc, (size_t alignment, size_t n), (alignment, n), n)
SLOW(memalign, (size_t alignment, size_t n), (alignment, n), n)
SLOW(valloc, (size_t n), (n), n)
SLOW(pvalloc, (size_t n), (n), n)

int source_alloc_posix_memalign(void **ret, size_t alignment, size_t n)
{
	const struct call_site from = CALL_SITE;
	int r = alloc_next.posix_memalign(ret, alignment, n);

	note(&from, r ? NULL : *ret, n);
	return r;
}

/* The table is there while the session is ours, whether or not samples are taken. */
static struct ring_heap *live_table(void)
{
	return session_live() ? session.heap : NULL;
}

void *source_alloc_realloc(void *p, size_t n)
{
	const struct call_site from = CALL_SITE;
	uint64_t address = (uint64_t)(uintptr_t)p;
	struct ring_heap *heap = p ? live_table() : NULL;
	uint32_t place = UINT32_MAX;
	uint64_t epoch = session.epoch;
	void *r;

	if (is_early(p)) {
		r = early_realloc(p, n);
		note(&from, r, n);
		return r;
	}
	if (heap && *heap_filter_at(address))
		place = heap_hide(heap, address);
	r = alloc_next.realloc(p, n);
	if (place != UINT32_MAX && epoch == session.epoch) /* the table is still that one */
		heap_settle(heap, place, address, r || !n);
	if (!p || n || r) /* else a free */
		note(&from, r, n);
	return r;
}

void source_alloc_free(void *p)
{
	int saved = errno;
	struct ring_heap *heap = live_table();
	int64_t began;

	if (is_early(p))
		return;
	if (heap) {
		began = budget_begin(RING_HEAP);
		(void)heap_remove(heap, (uint64_t)(uintptr_t)p);
		(void)budget_end(began, RING_HEAP);
	}
	errno = saved;
	alloc_next.free(p);
}

/* ---- the two dimensions ---- */

static void stop_counting(void)
{
	uint32_t high = session_live() ? (uint32_t)load(&session.counters->threads_high) : 0;

	/* A thread that is just counting may write over this; it finds out at its next sample. */
	for (uint32_t i = 0; i < high; i++)
		store(&session.threads[i].alloc.left, (int64_t)0);
}

static int start(uint32_t *on)
{
	if (alloc.hooks != HEARTH_OK)
		return alloc.hooks;
	add(&alloc.round, 1);
	store(on, 1);
	return HEARTH_OK;
}

static bool wanted_alloc(const struct config *config)
{
	return config->alloc;
}

static int start_alloc(void)
{
	return start(&alloc.alloc_on);
}

static void stop_alloc(void)
{
	store(&alloc.alloc_on, 0);
	stop_counting();
}

static bool wanted_heap(const struct config *config)
{
	return config->heap;
}

static int start_heap(void)
{
	if (alloc.hooks == HEARTH_OK && !session.heap)
		return HEARTH_E_MEMORY;
	return start(&alloc.heap_on);
}

static void stop_heap(void)
{
	store(&alloc.heap_on, 0);
	stop_counting();
}

const struct source source_alloc = {
    .name = "alloc",
    .unit = "bytes",
    .dimension = RING_ALLOC,
    .wanted = wanted_alloc,
    .start = start_alloc,
    .stop = stop_alloc,
};

/* Live heap: what of the sampled allocations was not freed, in the table of heap.h.  What was
 * sampled before a stop stays there until it is freed. */
const struct source source_heap = {
    .name = "heap",
    .unit = "bytes",
    .dimension = RING_HEAP,
    .wanted = wanted_heap,
    .start = start_heap,
    .stop = stop_heap,
};
