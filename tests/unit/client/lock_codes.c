/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock_codes - every kind of lock through every call, in states that a program may meet, and what
 * each call says.  The test runs it with the preload and without: the two must print the same.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NEVER_ERRNO 4242

static struct timespec past, bad = {1, 1000000000}, negative = {1, -1};

static struct timespec soon(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	t.tv_nsec += 3000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/* One line a call: what it said, and what it did to errno. */
static const char *where = "";
#define SAY(call)                                                                                  \
	do {                                                                                       \
		errno = NEVER_ERRNO;                                                               \
		int r_ = (call);                                                                   \
		int e_ = errno;                                                                    \
		printf("%s: %s = %d errno %d\n", where, #call, r_, e_);                            \
	} while (0)

/* ---- mutexes ---- */

static pthread_mutex_t *make(int type, int robust, int protocol, int shared)
{
	pthread_mutexattr_t a;
	pthread_mutex_t *m =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)pthread_mutexattr_init(&a);
	SAY(pthread_mutexattr_settype(&a, type));
	SAY(pthread_mutexattr_setrobust(&a, robust));
	SAY(pthread_mutexattr_setprotocol(&a, protocol));
	if (protocol == PTHREAD_PRIO_PROTECT)
		SAY(pthread_mutexattr_setprioceiling(&a, 1));
	SAY(pthread_mutexattr_setpshared(&a, shared));
	SAY(pthread_mutex_init(m, &a));
	return m;
}

static void *try_all(void *arg)
{
	pthread_mutex_t *m = arg;
	struct timespec real = soon(CLOCK_REALTIME), mono = soon(CLOCK_MONOTONIC);

	where = "held by another";
	SAY(pthread_mutex_trylock(m));
	SAY(pthread_mutex_timedlock(m, &past));
	SAY(pthread_mutex_timedlock(m, &real));
	SAY(pthread_mutex_timedlock(m, &bad));
	SAY(pthread_mutex_timedlock(m, &negative));
	SAY(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono));
	SAY(pthread_mutex_clocklock(m, CLOCK_REALTIME, &past));
	SAY(pthread_mutex_clocklock(m, CLOCK_PROCESS_CPUTIME_ID, &mono));
	/* Where that is refused, and not simply done. */
	if ((m->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE ||
	    (m->__data.__kind & 3) == PTHREAD_MUTEX_ERRORCHECK)
		SAY(pthread_mutex_unlock(m));
	return NULL;
}

static void *lock_and_leave(void *arg)
{
	(void)pthread_mutex_lock(arg);
	return NULL;
}

static void in_thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, fn, arg);
	(void)pthread_join(t, NULL);
}

static void own(pthread_mutex_t *m, int type, int inherits)
{
	struct timespec real = soon(CLOCK_REALTIME), mono = soon(CLOCK_MONOTONIC);

	where = "held by the same thread";
	SAY(pthread_mutex_trylock(m));
	if (type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK) {
		SAY(pthread_mutex_lock(m));
		SAY(pthread_mutex_timedlock(m, &past));
	}
	/* With priority inheritance the others sleep for good. */
	if (type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK || !inherits) {
		SAY(pthread_mutex_timedlock(m, &real));
		SAY(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono));
		SAY(pthread_mutex_clocklock(m, CLOCK_THREAD_CPUTIME_ID, &mono));
	}
	if (type == PTHREAD_MUTEX_RECURSIVE)
		for (int i = 0; i < 5; i++)
			SAY(pthread_mutex_unlock(m));
}

static void free_ones(pthread_mutex_t *m)
{
	where = "free";
	SAY(pthread_mutex_lock(m));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_trylock(m));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_timedlock(m, &past));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_timedlock(m, &bad));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &past));
	SAY(pthread_mutex_unlock(m));
	SAY(pthread_mutex_clocklock(m, 99, &past));
}

/* The owner's thread ends, or its whole process does; each call finds that in its turn. */
static void dead_owner(int type, int protocol, int shared, int by_process)
{
	for (int how = 0; how < 5; how++) {
		pthread_mutex_t *m = make(type, PTHREAD_MUTEX_ROBUST, protocol, shared);
		struct timespec real = soon(CLOCK_REALTIME);
		int status;

		where = by_process ? "owner's process died" : "owner died";
		if (!by_process) {
			in_thread(lock_and_leave, m);
		} else if (fork() == 0) {
			(void)pthread_mutex_lock(m);
			_exit(0);
		} else {
			(void)wait(&status);
		}
		switch (how) {
		case 0:
			SAY(pthread_mutex_lock(m));
			SAY(pthread_mutex_consistent(m));
			break;
		case 1:
			SAY(pthread_mutex_trylock(m));
			SAY(pthread_mutex_consistent(m));
			break;
		case 2:
			SAY(pthread_mutex_timedlock(m, &real));
			break; /* never made consistent */
		case 3:
			SAY(pthread_mutex_clocklock(m, CLOCK_REALTIME, &past));
			SAY(pthread_mutex_consistent(m));
			SAY(pthread_mutex_unlock(m));
			SAY(pthread_mutex_lock(m));
			break;
		default:
			SAY(pthread_mutex_lock(m));
			break;
		}
		SAY(pthread_mutex_unlock(m));
		where = "after its owner died";
		SAY(pthread_mutex_trylock(m));
		SAY(pthread_mutex_timedlock(m, &past));
	}
}

static void mutexes(void)
{
	static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
				    PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
	static const int protocols[] = {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT,
					PTHREAD_PRIO_PROTECT};

	for (int t = 0; t < 4; t++)
		for (int robust = 0; robust < 2; robust++)
			for (int p = 0; p < 3 - robust;
			     p++) /* glibc hangs in robust ones with a ceiling */
				for (int shared = 0; shared < 2; shared++) {
					pthread_mutex_t *m;

					printf("type %d robust %d protocol %d shared %d\n", t,
					       robust, p, shared);
					m = make(types[t], robust, protocols[p], shared);
					free_ones(m);
					(void)pthread_mutex_lock(m);
					in_thread(try_all, m);
					own(m, types[t], protocols[p] == PTHREAD_PRIO_INHERIT);
					SAY(pthread_mutex_unlock(m));
					SAY(pthread_mutex_destroy(m));
					if (robust) {
						dead_owner(types[t], protocols[p], shared, 0);
						if (shared)
							dead_owner(types[t], protocols[p], shared,
								   1);
					}
				}
}

/* ---- the others ---- */

static void *read_write_all(void *arg)
{
	pthread_rwlock_t *l = arg;
	struct timespec real = soon(CLOCK_REALTIME), mono = soon(CLOCK_MONOTONIC);

	SAY(pthread_rwlock_trywrlock(l));
	SAY(pthread_rwlock_timedwrlock(l, &past));
	SAY(pthread_rwlock_timedwrlock(l, &real));
	SAY(pthread_rwlock_timedwrlock(l, &bad));
	SAY(pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &mono));
	SAY(pthread_rwlock_clockwrlock(l, 77, &mono));
	SAY(pthread_rwlock_tryrdlock(l));
	SAY(pthread_rwlock_timedrdlock(l, &past));
	SAY(pthread_rwlock_timedrdlock(l, &bad));
	SAY(pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &negative));
	SAY(pthread_rwlock_clockrdlock(l, 77, &mono));
	return NULL;
}

static void rwlocks(int kind)
{
	pthread_rwlockattr_t a;
	pthread_rwlock_t l;

	(void)pthread_rwlockattr_init(&a);
	(void)pthread_rwlockattr_setkind_np(&a, kind);
	SAY(pthread_rwlock_init(&l, &a));
	where = "free rwlock";
	SAY(pthread_rwlock_rdlock(&l));
	SAY(pthread_rwlock_rdlock(&l));
	SAY(pthread_rwlock_unlock(&l));
	SAY(pthread_rwlock_timedrdlock(&l, &past));
	SAY(pthread_rwlock_unlock(&l));
	where = "read by another";
	in_thread(read_write_all, &l);
	for (int i = 0; i < 2; i++)
		(void)pthread_rwlock_unlock(&l);
	(void)pthread_rwlock_destroy(&l);
	SAY(pthread_rwlock_init(&l, &a));
	where = "written by the same";
	SAY(pthread_rwlock_wrlock(&l));
	SAY(pthread_rwlock_wrlock(&l));
	SAY(pthread_rwlock_rdlock(&l));
	SAY(pthread_rwlock_timedwrlock(&l, &past));
	SAY(pthread_rwlock_clockrdlock(&l, CLOCK_REALTIME, &past));
	where = "written by another";
	in_thread(read_write_all, &l);
	SAY(pthread_rwlock_unlock(&l));
}

static void semaphores(void)
{
	struct timespec real = soon(CLOCK_REALTIME), mono = soon(CLOCK_MONOTONIC);
	sem_t s;

	where = "semaphore";
	SAY(sem_init(&s, 0, 3));
	SAY(sem_wait(&s));
	SAY(sem_timedwait(&s, &past));
	SAY(sem_timedwait(&s, &bad));
	SAY(sem_clockwait(&s, CLOCK_MONOTONIC, &past));
	SAY(sem_clockwait(&s, CLOCK_PROCESS_CPUTIME_ID, &past));
	SAY(sem_trywait(&s));
	SAY(sem_timedwait(&s, &past));
	SAY(sem_timedwait(&s, &real));
	SAY(sem_timedwait(&s, &negative));
	SAY(sem_clockwait(&s, CLOCK_MONOTONIC, &mono));
	SAY(sem_clockwait(&s, 55, &mono));
	SAY(sem_post(&s));
	SAY(sem_wait(&s));
}

static void spins_and_c11(void)
{
	struct timespec real = soon(CLOCK_REALTIME);
	pthread_spinlock_t s;
	mtx_t plain, recursive;
	cnd_t c;

	where = "spinlock";
	SAY(pthread_spin_init(&s, 0));
	SAY(pthread_spin_lock(&s));
	SAY(pthread_spin_trylock(&s));
	SAY(pthread_spin_unlock(&s));
	where = "C11";
	SAY(mtx_init(&plain, mtx_timed));
	SAY(mtx_init(&recursive, mtx_timed | mtx_recursive));
	SAY(mtx_lock(&plain));
	SAY(mtx_trylock(&plain));
	SAY(mtx_timedlock(&plain, &past));
	SAY(mtx_timedlock(&plain, &real));
	SAY(mtx_timedlock(&plain, &bad));
	SAY(mtx_unlock(&plain));
	SAY(mtx_lock(&recursive));
	SAY(mtx_timedlock(&recursive, &past));
	SAY(mtx_trylock(&recursive));
	for (int i = 0; i < 3; i++)
		SAY(mtx_unlock(&recursive));
	SAY(cnd_init(&c));
	(void)mtx_lock(&plain);
	SAY(cnd_timedwait(&c, &plain, &past));
	SAY(mtx_unlock(&plain));
}

static void conditions(void)
{
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	struct timespec mono = soon(CLOCK_MONOTONIC);

	where = "condition";
	(void)pthread_mutex_lock(&m);
	SAY(pthread_cond_timedwait(&c, &m, &past));
	SAY(pthread_cond_timedwait(&c, &m, &bad));
	SAY(pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &mono));
	SAY(pthread_cond_clockwait(&c, &m, 33, &mono));
	SAY(pthread_mutex_unlock(&m));
}

/* A request that is pending is acted upon even where nothing need be waited for. */
static void *cancelled(void *arg)
{
	sem_t s;

	(void)sem_init(&s, 0, 1);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	(void)pthread_cancel(pthread_self());
	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	if (arg)
		(void)sem_timedwait(&s, &past);
	else
		(void)sem_wait(&s);
	return arg;
}

static void cancellation(void)
{
	for (long i = 0; i < 2; i++) {
		pthread_t t;
		void *result;

		(void)pthread_create(&t, NULL, cancelled, (void *)i);
		(void)pthread_join(t, &result);
		printf("cancelled %d\n", result == PTHREAD_CANCELED);
	}
}

int main(void)
{
	setlinebuf(stdout);
	mutexes();
	rwlocks(PTHREAD_RWLOCK_PREFER_READER_NP);
	rwlocks(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	semaphores();
	spins_and_c11();
	conditions();
	cancellation();
	return 0;
}
