/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/atomics.h - short names for the atomic accesses that the client makes.
 *
 * Counters and switches are relaxed; publishing an object is a release, looking at one an acquire.
 * Nothing here calls a function, so all of it may be used inside a signal handler.
 */
#ifndef CLIENT_ATOMICS_H
#define CLIENT_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

#define load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define swap(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define replace(p, old, v)                                                                         \
	__atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)

/* Stores before it are seen before stores after it.  ThreadSanitizer knows no fences; what it
 * guards is read by another process only. */
static inline void store_fence(void)
{
#ifdef __SANITIZE_THREAD__
	__atomic_signal_fence(__ATOMIC_RELEASE);
#else
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/* Loads before it are done before loads after it.  Likewise. */
static inline void load_fence(void)
{
#ifdef __SANITIZE_THREAD__
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/* Take a flag without waiting.  False when somebody else, perhaps the code that we interrupted,
 * holds it. */
static inline bool try_take(uint32_t *flag)
{
	return load(flag) == 0 && swap(flag, 1) == 0;
}

static inline void give_back(uint32_t *flag)
{
	store_release(flag, 0);
}

#endif
