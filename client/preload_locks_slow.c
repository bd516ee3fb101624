/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_locks_slow.c - the locks of libc: waiting, waiting with a limit, conditions, and
 * what is marked or sampled.
 *
 * A hook gives the call's own result and errno, and holds nothing of ours while it waits.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/preload_locks.h"
#include "client/source_lock.h"

#define EXPORT __attribute__((visibility("default")))
#define NS_PER_S 1000000000
#define LOCK(l) ((const void *)(uintptr_t)(l))

/* clang-format off */
#define BLOCKED(call_, object)                                                                     \
	{ .call = RING_CALL_##call_, .target_kind = RING_TARGET_ADDRESS,                           \
	  .target = (uint64_t)(uintptr_t)(object), .from = CALL_SITE }
#define WAIT(call_, object, kind_)                                                                 \
	{ .blocked = BLOCKED(call_, object), .kind = RING_LOCK_##kind_ }

/* clang-format on */
static bool is_ours(int r)
{
	return r == 0 || r == EOWNERDEAD;
}

/* Others are refusals, which say at once that there is nothing to wait for. */
static bool is_waited(int r)
{
	return is_ours(r) || r == ETIMEDOUT || r == ENOTRECOVERABLE;
}

/* A recursive mutex that its owner has more than once: let go by the last unlock alone. */
static bool is_nested(const pthread_mutex_t *l)
{
	return (l->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE_NP && l->__data.__count > 1;
}

/* Count an acquisition.  The fast half has counted its own. */
static bool is_sampled(void)
{
	return --source_lock_left < 0;
}

/* ---- waiting ---- */

#define SLOW(name, type, kind, call, nested)                                                       \
	int name##_try(type *l, int r)                                                             \
	{                                                                                          \
		if (r == 0 || (r == EOWNERDEAD && is_sampled()))                                   \
			source_lock_hold(LOCK(l), RING_LOCK_##kind, nested);                       \
		return r;                                                                          \
	}                                                                                          \
	int name(type *l, int r)                                                                   \
	{                                                                                          \
		if (r != EBUSY)                                                                    \
			return name##_try(l, r);                                                   \
		struct lock_wait w = WAIT(call, l, kind);                                          \
                                                                                                   \
		source_lock_begin(&w);                                                             \
		r = next_lock.call(l);                                                             \
		source_lock_end(&w, is_waited(r));                                                 \
		if (is_ours(r) && is_sampled())                                                    \
			source_lock_hold(LOCK(l), RING_LOCK_##kind, nested);                       \
		return r;                                                                          \
	}

SLOW(lock_slow_mutex, pthread_mutex_t, MUTEX, pthread_mutex_lock, is_nested(l))
SLOW(lock_slow_read, pthread_rwlock_t, READ, pthread_rwlock_rdlock, false)
SLOW(lock_slow_write, pthread_rwlock_t, WRITE, pthread_rwlock_wrlock, false)

int lock_slow_spin_try(pthread_spinlock_t *l, int r)
{
	if (r == 0)
		source_lock_hold(LOCK(l), RING_LOCK_SPIN, false);
	return r;
}

/* The thread runs while it waits: its time is CPU time, and no blocked call. */
int lock_slow_spin(pthread_spinlock_t *l, int r)
{
	if (r != EBUSY)
		return lock_slow_spin_try(l, r);
	struct lock_wait w = WAIT(none, l, SPIN);

	source_lock_begin(&w);
	r = next_lock.pthread_spin_lock(l);
	source_lock_end(&w, is_waited(r));
	if (r == 0 && is_sampled())
		source_lock_hold(LOCK(l), RING_LOCK_SPIN, false);
	return r;
}

/* ---- C11, whose functions call libc's own inside libc ---- */

static bool is_nested_mtx(const mtx_t *l)
{
	_Static_assert(sizeof(mtx_t) >= offsetof(pthread_mutex_t, __data.__kind) + sizeof(int),
		       "a mtx_t is a pthread_mutex_t");
	return is_nested((const pthread_mutex_t *)(const void *)l);
}

int lock_slow_mtx_try(mtx_t *l, int r)
{
	if (r == thrd_success)
		source_lock_hold(l, RING_LOCK_MUTEX, is_nested_mtx(l));
	return r;
}

int lock_slow_mtx(mtx_t *l, int r)
{
	if (r != thrd_busy)
		return r == thrd_success ? lock_slow_mtx_try(l, r) : next_lock.mtx_lock(l);
	struct lock_wait w = WAIT(mtx_lock, l, MUTEX);

	source_lock_begin(&w);
	r = next_lock.mtx_lock(l);
	source_lock_end(&w, r == thrd_success);
	if (r == thrd_success && is_sampled())
		source_lock_hold(l, RING_LOCK_MUTEX, is_nested_mtx(l));
	return r;
}

EXPORT int mtx_timedlock(mtx_t *restrict l, const struct timespec *restrict t);
int mtx_timedlock(mtx_t *restrict l, const struct timespec *restrict t)
{
	int r = next_lock.mtx_trylock(l);

	if (r == thrd_busy) {
		struct lock_wait w = WAIT(mtx_timedlock, l, MUTEX);

		source_lock_begin(&w);
		r = next_lock.mtx_timedlock(l, t);
		source_lock_end(&w, r == thrd_success || r == thrd_timedout);
	} else if (r != thrd_success) {
		return next_lock.mtx_timedlock(l, t);
	}
	if (r == thrd_success && is_sampled())
		source_lock_hold(l, RING_LOCK_MUTEX, is_nested_mtx(l));
	return r;
}

/* ---- waiting with a limit ---- */

static bool is_clock(clockid_t c)
{
	return c == CLOCK_MONOTONIC || c == CLOCK_REALTIME;
}

static bool is_time(const struct timespec *t)
{
	return !t || (t->tv_nsec >= 0 && t->tv_nsec < NS_PER_S);
}

/*
 * TIMED(...): `sane` says whether libc looks at the lock at all; where it first refuses a clock or
 * a time, it is left to refuse it.
 */
#define TIMED(name, type, parameters, arguments, sane, try_name, kind, nested)                     \
	EXPORT int name parameters;                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		if (!(sane))                                                                       \
			return next_lock.name arguments;                                           \
		int r = next_lock.try_name(l);                                                     \
                                                                                                   \
		if (r == EBUSY) {                                                                  \
			struct lock_wait w = WAIT(name, l, kind);                                  \
                                                                                                   \
			source_lock_begin(&w);                                                     \
			r = next_lock.name arguments;                                              \
			source_lock_end(&w, is_waited(r));                                         \
		}                                                                                  \
		if (is_ours(r) && is_sampled())                                                    \
			source_lock_hold(LOCK(l), RING_LOCK_##kind, nested);                       \
		return r;                                                                          \
	}

TIMED(pthread_mutex_timedlock, pthread_mutex_t,
      (pthread_mutex_t *restrict l, const struct timespec *restrict t), (l, t), true,
      pthread_mutex_trylock, MUTEX, is_nested(l))
TIMED(pthread_mutex_clocklock, pthread_mutex_t,
      (pthread_mutex_t *restrict l, clockid_t c, const struct timespec *restrict t), (l, c, t),
      is_clock(c), pthread_mutex_trylock, MUTEX, is_nested(l))
TIMED(pthread_rwlock_timedrdlock, pthread_rwlock_t,
      (pthread_rwlock_t *restrict l, const struct timespec *restrict t), (l, t), is_time(t),
      pthread_rwlock_tryrdlock, READ, false)
TIMED(pthread_rwlock_timedwrlock, pthread_rwlock_t,
      (pthread_rwlock_t *restrict l, const struct timespec *restrict t), (l, t), is_time(t),
      pthread_rwlock_trywrlock, WRITE, false)
TIMED(pthread_rwlock_clockrdlock, pthread_rwlock_t,
      (pthread_rwlock_t *restrict l, clockid_t c, const struct timespec *restrict t), (l, c, t),
      is_clock(c) && is_time(t), pthread_rwlock_tryrdlock, READ, false)
TIMED(pthread_rwlock_clockwrlock, pthread_rwlock_t,
      (pthread_rwlock_t *restrict l, clockid_t c, const struct timespec *restrict t), (l, c, t),
      is_clock(c) && is_time(t), pthread_rwlock_trywrlock, WRITE, false)

/* ---- semaphores ---- */

/* Left by cancellation, it is forgotten when the thread ends. */
#define SEMAPHORE(call_, waits)                                                                    \
	struct lock_wait w = WAIT(call_, l, SEMAPHORE);                                            \
	int r;                                                                                     \
                                                                                                   \
	source_lock_begin(&w);                                                                     \
	r = next_lock.waits;                                                                       \
	source_lock_end(&w, r == 0 || errno == ETIMEDOUT);                                         \
	return r

int lock_slow_semaphore(sem_t *l, int saved)
{
	errno = saved;
	SEMAPHORE(sem_wait, sem_wait(l));
}

static bool try_semaphore(sem_t *l)
{
	int saved = errno;

	pthread_testcancel();
	if (next_lock.sem_trywait(l) == 0)
		return true;
	errno = saved;
	return false;
}

EXPORT int sem_timedwait(sem_t *restrict l, const struct timespec *restrict t);
int sem_timedwait(sem_t *restrict l, const struct timespec *restrict t)
{
	if (!is_time(t))
		return next_lock.sem_timedwait(l, t);
	if (try_semaphore(l))
		return 0;
	SEMAPHORE(sem_timedwait, sem_timedwait(l, t));
}

EXPORT int sem_clockwait(sem_t *restrict l, clockid_t c, const struct timespec *restrict t);
int sem_clockwait(sem_t *restrict l, clockid_t c, const struct timespec *restrict t)
{
	if (!is_clock(c) || !is_time(t))
		return next_lock.sem_clockwait(l, c, t);
	if (try_semaphore(l))
		return 0;
	SEMAPHORE(sem_clockwait, sem_clockwait(l, c, t));
}

/* ---- letting go ---- */

/* A hold is written once the lock is free: nobody waits for the walk of a stack. */
#define LET_GO(name, type, nested)                                                                 \
	int lock_slow_##name(type *l)                                                              \
	{                                                                                          \
		if (!source_lock_marked(LOCK(l)))                                                  \
			return UNLOCK_##name(l);                                                   \
		const struct call_site from = CALL_SITE;                                           \
		const void *address = LOCK(l);                                                     \
		struct lock_held held;                                                             \
		bool ended = !(nested) && source_lock_let_go(address, &from, &held);               \
		int r = UNLOCK_##name(l);                                                          \
                                                                                                   \
		if (ended)                                                                         \
			source_lock_held(&held, &from);                                            \
		return r;                                                                          \
	}

#define UNLOCK_mutex_unlock next_lock.pthread_mutex_unlock
#define UNLOCK_mtx_unlock next_lock.mtx_unlock
#define UNLOCK_rwlock_unlock next_lock.pthread_rwlock_unlock
#define UNLOCK_spin_unlock next_lock.pthread_spin_unlock
#define UNLOCK_post next_lock.sem_post

LET_GO(mutex_unlock, pthread_mutex_t, is_nested(l))
LET_GO(mtx_unlock, mtx_t, is_nested_mtx(l))
LET_GO(rwlock_unlock, pthread_rwlock_t, false)
LET_GO(spin_unlock, pthread_spinlock_t, false)
LET_GO(post, sem_t, false)

/*
 * Waiting for a condition is no contention: it is a blocked call, whose target is the condition.
 * But the mutex is let go meanwhile.  What is waited for it afterwards libc does inside the call.
 */
static void let_go_for_condition(const void *lock, const struct call_site *from)
{
	struct lock_held held;

	if (source_lock_marked(lock) && source_lock_let_go(lock, from, &held))
		source_lock_held(&held, from);
}

#define CONDITION(name, parameters, arguments, nested)                                             \
	EXPORT int name parameters;                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		struct blocked b = BLOCKED(name, d);                                               \
		int r;                                                                             \
                                                                                                   \
		let_go_for_condition(LOCK(l), &b.from);                                            \
		source_wall_begin(&b);                                                             \
		r = next_lock.name arguments;                                                      \
		source_wall_end(&b);                                                               \
		if (is_sampled())                                                                  \
			source_lock_hold(LOCK(l), RING_LOCK_MUTEX, nested);                        \
		return r;                                                                          \
	}

CONDITION(pthread_cond_wait, (pthread_cond_t *restrict d, pthread_mutex_t *restrict l), (d, l),
	  is_nested(l))
CONDITION(pthread_cond_timedwait,
	  (pthread_cond_t *restrict d, pthread_mutex_t *restrict l,
	   const struct timespec *restrict t),
	  (d, l, t), is_nested(l))
CONDITION(pthread_cond_clockwait,
	  (pthread_cond_t *restrict d, pthread_mutex_t *restrict l, clockid_t c,
	   const struct timespec *restrict t),
	  (d, l, c, t), is_nested(l))
CONDITION(cnd_wait, (cnd_t * d, mtx_t *l), (d, l), is_nested_mtx(l))
CONDITION(cnd_timedwait, (cnd_t *restrict d, mtx_t *restrict l, const struct timespec *restrict t),
	  (d, l, t), is_nested_mtx(l))
