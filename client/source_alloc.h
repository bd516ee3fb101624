/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/source_alloc.h - what stands between the program's malloc and the next one.
 *
 * Private to client/.  preload_alloc.c and wrap_alloc.c define the hooks out of the fast paths
 * below, which count and go on by a jump; one call in some thousand takes a slow path.  Any thread,
 * any handler, at any time: before main, after a stop, in a child of fork or vfork.  Results and
 * errno are the next allocator's.
 */
#ifndef CLIENT_SOURCE_ALLOC_H
#define CLIENT_SOURCE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/heap.h"
#include "client/thread.h"

/* The allocator behind the hooks. */
struct alloc_next {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *p, size_t size);
	void (*free)(void *p);
	int (*posix_memalign)(void **ret, size_t alignment, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void *(*memalign)(size_t alignment, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
};

extern struct alloc_next alloc_next;

/* The calling thread's state; never NULL.  Of one that is not counted only `left` is there, 0 or
 * less. */
extern __thread struct alloc_state *alloc_self;

/* The hooks are there: HEARTH_OK, or the hearth_code that says why they see nothing.  Before the
 * profiler starts. */
void source_alloc_hooked(int code);

/* The calling thread gives its slot back: it is not counted until a call finds that it has one. */
void source_alloc_forget(void);

/* Blocks handed out while the next allocator was being looked up: never given back to it. */
#define ALLOC_EARLY_BYTES 4096
void *source_alloc_early(size_t size, size_t alignment);

/* The slow paths: they make the call, with the hook's caller as theirs. */
void *source_alloc_malloc(size_t size);
void *source_alloc_calloc(size_t count, size_t size);
void *source_alloc_realloc(void *p, size_t size);
void source_alloc_free(void *p);
int source_alloc_posix_memalign(void **ret, size_t alignment, size_t size);
void *source_alloc_aligned_alloc(size_t alignment, size_t size);
void *source_alloc_memalign(size_t alignment, size_t size);
void *source_alloc_valloc(size_t size);
void *source_alloc_pvalloc(size_t size);

/*
 * Count a call.  False: take the slow path, which counts it.  `left` falls by one instruction, so
 * that a handler's call in between is counted right, and its flags say all at once: used up, out of
 * use (0 or less), or a size that no allocator can give.
 */
static inline __attribute__((always_inline)) bool alloc_count(size_t size)
{
	struct alloc_state *s = alloc_self;

#if defined(__x86_64__)
	__asm__ goto("subq %[size], %[left]\n\t"
		     "jbe %l[slow]\n\t"
		     "js %l[slow]"
		     :
		     : [size] "er"(size), [left] "m"(s->left)
		     : "cc", "memory"
		     : slow);
#else
	int64_t left = s->left;

	s->left = (int64_t)((uint64_t)left - size);
	if (left <= 0 || size >= (uint64_t)left)
		goto slow;
#endif
	/* Of this thread alone; the agent reads them, each in one piece. */
	s->slot->alloc_calls++;
	s->slot->alloc_bytes += size;
	return true;
slow:
	return false;
}

/* Whether a block may be in the table. */
static inline __attribute__((always_inline)) bool alloc_may_be_sampled(const void *p)
{
	return __builtin_expect(*heap_filter_at((uint64_t)(uintptr_t)p) != 0, 0);
}

#endif
