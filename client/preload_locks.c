/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_locks.c - the locks of libc: the half of the hooks that runs all the time.
 *
 * A lock is tried first, and only EBUSY is contention.  Every other answer is the answer: a robust
 * mutex whose owner died, say, is ours by then and must not be locked again.  Each function counts
 * in instructions (a test does): it is compiled without a frame and leaves by a jump.
 */
#include "client/preload_locks.h"

#include <errno.h>

#include "client/arch.h"
#include "client/lock_names.h"
#include "client/preload.h"
#include "client/source_lock.h"

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(x) __builtin_expect(!!(x), 1)

#define NEXT(name, version, parameters, arguments)                                                 \
	static int first_##name parameters                                                         \
	{                                                                                          \
		preload_locks_start();                                                             \
		return load(&next_lock.name) arguments;                                            \
	}                                                                                          \
	static int none_##name parameters                                                          \
	{                                                                                          \
		return ENOSYS;                                                                     \
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
PRELOAD_LOCKS(NEXT)
#pragma GCC diagnostic pop
#undef NEXT

struct preload_locks next_lock = {
#define NEXT(name, version, parameters, arguments) .name = first_##name,
    PRELOAD_LOCKS(NEXT)
#undef NEXT
};

void preload_locks_start(void)
{
	void *found;

	/* A processor that came to glibc later has one version only. */
#define NEXT(name, version, parameters, arguments)                                                 \
	found = version ? preload_next(#name, version) : NULL;                                     \
	if (!found)                                                                                \
		found = preload_next(#name, NULL);                                                 \
	store(&next_lock.name, found ? (int(*) parameters)found : none_##name);
	PRELOAD_LOCKS(NEXT)
#undef NEXT
}

/* The compiler knows that it is 0 and would write it anew. */
#define AS_IT_IS(r)                                                                                \
	({                                                                                         \
		__asm__("" : "+r"(r));                                                             \
		r;                                                                                 \
	})

#define LOCK(name, type, try_name, slow)                                                           \
	EXPORT int name(type *l);                                                                  \
	int name(type *l)                                                                          \
	{                                                                                          \
		int r = next_lock.try_name(l);                                                     \
                                                                                                   \
		if (LIKELY(r == 0) && LIKELY(--source_lock_left >= 0))                             \
			return AS_IT_IS(r);                                                        \
		return slow(l, r);                                                                 \
	}

#define UNLOCK(name, type, slow_unlock)                                                            \
	EXPORT int name(type *l);                                                                  \
	int name(type *l)                                                                          \
	{                                                                                          \
		ARCH_UNLESS_ZERO(source_lock_marks, slow);                                         \
		return next_lock.name(l);                                                          \
	slow:                                                                                      \
		return slow_unlock(l);                                                             \
	}

LOCK(pthread_mutex_lock, pthread_mutex_t, pthread_mutex_trylock, lock_slow_mutex)
LOCK(pthread_mutex_trylock, pthread_mutex_t, pthread_mutex_trylock, lock_slow_mutex_try)
UNLOCK(pthread_mutex_unlock, pthread_mutex_t, lock_slow_mutex_unlock)
LOCK(pthread_rwlock_rdlock, pthread_rwlock_t, pthread_rwlock_tryrdlock, lock_slow_read)
LOCK(pthread_rwlock_tryrdlock, pthread_rwlock_t, pthread_rwlock_tryrdlock, lock_slow_read_try)
LOCK(pthread_rwlock_wrlock, pthread_rwlock_t, pthread_rwlock_trywrlock, lock_slow_write)
LOCK(pthread_rwlock_trywrlock, pthread_rwlock_t, pthread_rwlock_trywrlock, lock_slow_write_try)
UNLOCK(pthread_rwlock_unlock, pthread_rwlock_t, lock_slow_rwlock_unlock)
LOCK(mtx_lock, mtx_t, mtx_trylock, lock_slow_mtx)
LOCK(mtx_trylock, mtx_t, mtx_trylock, lock_slow_mtx_try)
UNLOCK(mtx_unlock, mtx_t, lock_slow_mtx_unlock)
UNLOCK(sem_post, sem_t, lock_slow_post)

LOCK(pthread_spin_lock, pthread_spinlock_t, pthread_spin_trylock, lock_slow_spin)
LOCK(pthread_spin_trylock, pthread_spinlock_t, pthread_spin_trylock, lock_slow_spin_try)
UNLOCK(pthread_spin_unlock, pthread_spinlock_t, lock_slow_spin_unlock)

/* A cancellation point even when it need not wait: sem_trywait would not be one. */
EXPORT int sem_wait(sem_t *l);
int sem_wait(sem_t *l)
{
	int saved = errno;

	pthread_testcancel();
	if (LIKELY(next_lock.sem_trywait(l) == 0))
		return 0;
	return lock_slow_semaphore(l, saved);
}

/* Where locks are made. */
#define MADE(name, type, more, arguments)                                                          \
	EXPORT int name(type *l, more);                                                            \
	int name(type *l, more)                                                                    \
	{                                                                                          \
		lock_creator_set((const void *)(uintptr_t)l,                                       \
				 (uint64_t)(uintptr_t)__builtin_return_address(0));                \
		return next_lock.name arguments;                                                   \
	}

MADE(pthread_mutex_init, pthread_mutex_t, const pthread_mutexattr_t *a, (l, a))
MADE(pthread_rwlock_init, pthread_rwlock_t, const pthread_rwlockattr_t *restrict a, (l, a))
MADE(pthread_spin_init, pthread_spinlock_t, int shared, (l, shared))
MADE(mtx_init, mtx_t, int type, (l, type))

EXPORT int sem_init(sem_t *l, int shared, unsigned value);
int sem_init(sem_t *l, int shared, unsigned value)
{
	lock_creator_set(l, (uint64_t)(uintptr_t)__builtin_return_address(0));
	return next_lock.sem_init(l, shared, value);
}
