/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_locks.h - what the two halves of the lock hooks share.
 *
 * Private to client/preload*.c.  preload_locks.c is the half that a program runs all the time: it
 * tries the lock, and jumps to the other half, preload_locks_slow.c, when there is something to do.
 *  By that jump, which leaves no frame, the slow half is called by the program itself and finds its
 * call site.
 */
#ifndef CLIENT_PRELOAD_LOCKS_H
#define CLIENT_PRELOAD_LOCKS_H

#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

/* NEXT(name, version that has the meaning of today or NULL, parameters, arguments) */
#define PRELOAD_LOCKS(NEXT)                                                                        \
	NEXT(pthread_mutex_init, NULL, (pthread_mutex_t * l, const pthread_mutexattr_t *a),        \
	     (l, a))                                                                               \
	NEXT(pthread_mutex_lock, NULL, (pthread_mutex_t * l), (l))                                 \
	NEXT(pthread_mutex_trylock, NULL, (pthread_mutex_t * l), (l))                              \
	NEXT(pthread_mutex_timedlock, NULL, (pthread_mutex_t * l, const struct timespec *t),       \
	     (l, t))                                                                               \
	NEXT(pthread_mutex_clocklock, NULL,                                                        \
	     (pthread_mutex_t * l, clockid_t c, const struct timespec *t), (l, c, t))              \
	NEXT(pthread_mutex_unlock, NULL, (pthread_mutex_t * l), (l))                               \
	NEXT(pthread_cond_wait, "GLIBC_2.3.2", (pthread_cond_t * d, pthread_mutex_t * l), (d, l))  \
	NEXT(pthread_cond_timedwait, "GLIBC_2.3.2",                                                \
	     (pthread_cond_t * d, pthread_mutex_t * l, const struct timespec *t), (d, l, t))       \
	NEXT(pthread_cond_clockwait, NULL,                                                         \
	     (pthread_cond_t * d, pthread_mutex_t * l, clockid_t c, const struct timespec *t),     \
	     (d, l, c, t))                                                                         \
	NEXT(pthread_rwlock_init, NULL, (pthread_rwlock_t * l, const pthread_rwlockattr_t *a),     \
	     (l, a))                                                                               \
	NEXT(pthread_rwlock_rdlock, NULL, (pthread_rwlock_t * l), (l))                             \
	NEXT(pthread_rwlock_tryrdlock, NULL, (pthread_rwlock_t * l), (l))                          \
	NEXT(pthread_rwlock_timedrdlock, NULL, (pthread_rwlock_t * l, const struct timespec *t),   \
	     (l, t))                                                                               \
	NEXT(pthread_rwlock_clockrdlock, NULL,                                                     \
	     (pthread_rwlock_t * l, clockid_t c, const struct timespec *t), (l, c, t))             \
	NEXT(pthread_rwlock_wrlock, NULL, (pthread_rwlock_t * l), (l))                             \
	NEXT(pthread_rwlock_trywrlock, NULL, (pthread_rwlock_t * l), (l))                          \
	NEXT(pthread_rwlock_timedwrlock, NULL, (pthread_rwlock_t * l, const struct timespec *t),   \
	     (l, t))                                                                               \
	NEXT(pthread_rwlock_clockwrlock, NULL,                                                     \
	     (pthread_rwlock_t * l, clockid_t c, const struct timespec *t), (l, c, t))             \
	NEXT(pthread_rwlock_unlock, NULL, (pthread_rwlock_t * l), (l))                             \
	NEXT(pthread_spin_init, NULL, (pthread_spinlock_t * l, int shared), (l, shared))           \
	NEXT(pthread_spin_lock, NULL, (pthread_spinlock_t * l), (l))                               \
	NEXT(pthread_spin_trylock, NULL, (pthread_spinlock_t * l), (l))                            \
	NEXT(pthread_spin_unlock, NULL, (pthread_spinlock_t * l), (l))                             \
	NEXT(sem_init, NULL, (sem_t * l, int shared, unsigned value), (l, shared, value))          \
	NEXT(sem_wait, NULL, (sem_t * l), (l))                                                     \
	NEXT(sem_trywait, NULL, (sem_t * l), (l))                                                  \
	NEXT(sem_timedwait, NULL, (sem_t * l, const struct timespec *t), (l, t))                   \
	NEXT(sem_clockwait, NULL, (sem_t * l, clockid_t c, const struct timespec *t), (l, c, t))   \
	NEXT(sem_post, NULL, (sem_t * l), (l))                                                     \
	NEXT(mtx_init, NULL, (mtx_t * l, int type), (l, type))                                     \
	NEXT(mtx_lock, NULL, (mtx_t * l), (l))                                                     \
	NEXT(mtx_trylock, NULL, (mtx_t * l), (l))                                                  \
	NEXT(mtx_timedlock, NULL, (mtx_t * l, const struct timespec *t), (l, t))                   \
	NEXT(mtx_unlock, NULL, (mtx_t * l), (l))                                                   \
	NEXT(cnd_wait, NULL, (cnd_t * d, mtx_t * l), (d, l))                                       \
	NEXT(cnd_timedwait, NULL, (cnd_t * d, mtx_t * l, const struct timespec *t), (d, l, t))

/* Before they were looked up each points to a function that does so and goes on. */
struct preload_locks {
#define NEXT(name, version, parameters, arguments) int(*name) parameters;
	PRELOAD_LOCKS(NEXT)
#undef NEXT
};

extern struct preload_locks next_lock;

/* The lock was tried with the result `r`: not 0, or 0 and its hold is to be followed. */
int lock_slow_mutex(pthread_mutex_t *l, int r);
int lock_slow_mtx(mtx_t *l, int r);
int lock_slow_read(pthread_rwlock_t *l, int r);
int lock_slow_write(pthread_rwlock_t *l, int r);
int lock_slow_spin(pthread_spinlock_t *l, int r);

/* The same where the program only tries. */
int lock_slow_mutex_try(pthread_mutex_t *l, int r);
int lock_slow_mtx_try(mtx_t *l, int r);
int lock_slow_read_try(pthread_rwlock_t *l, int r);
int lock_slow_write_try(pthread_rwlock_t *l, int r);
int lock_slow_spin_try(pthread_spinlock_t *l, int r);

/* A semaphore that has nothing to give; errno was `saved`. */
int lock_slow_semaphore(sem_t *l, int saved);

/* A lock that is marked is let go. */
int lock_slow_mutex_unlock(pthread_mutex_t *l);
int lock_slow_mtx_unlock(mtx_t *l);
int lock_slow_rwlock_unlock(pthread_rwlock_t *l);
int lock_slow_spin_unlock(pthread_spinlock_t *l);
int lock_slow_post(sem_t *l);

#endif
