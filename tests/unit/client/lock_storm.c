/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock_storm THREADS ROUNDS - locks of all kinds under contention, left in every way that there is:
 * by a time limit, by cancellation, by a jump out of a signal handler, by the end of a thread that
 * holds one, in a forked child.  Prints "done" when all that the locks guard is whole.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOCKS 3

static pthread_mutex_t locks[LOCKS] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
				       PTHREAD_MUTEX_INITIALIZER};
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static sem_t slots, never;
static pthread_mutex_t kept = PTHREAD_MUTEX_INITIALIZER, door = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static long guarded[LOCKS], in_table, in_spin, passed, rounds = 1000;
static _Atomic long got[LOCKS];

static void need(int ok, const char *what)
{
	if (!ok) {
		printf("wrong: %s\n", what);
		exit(1);
	}
}

static void *worker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (long i = 0; i < rounds; i++) {
		int k = rand_r(&seed) % LOCKS;
		struct timespec past = {0, 0};

		if (i % 16 == 0 && pthread_mutex_timedlock(&locks[k], &past) == ETIMEDOUT)
			continue;
		if (i % 16)
			(void)pthread_mutex_lock(&locks[k]);
		guarded[k]++;
		got[k]++;
		if (i % 64 == 0)
			(void)sched_yield();
		(void)pthread_mutex_unlock(&locks[k]);

		(void)pthread_rwlock_wrlock(&table);
		in_table++;
		(void)pthread_rwlock_unlock(&table);
		(void)pthread_rwlock_rdlock(&table);
		(void)pthread_rwlock_unlock(&table);
		(void)pthread_spin_lock(&spin);
		in_spin++;
		(void)pthread_spin_unlock(&spin);
		while (sem_wait(&slots))
			;
		(void)sem_post(&slots);
		(void)pthread_mutex_lock(&door);
		passed++;
		if (passed % 2)
			(void)pthread_cond_signal(&opened);
		else
			(void)pthread_cond_timedwait(&opened, &door, &past);
		(void)pthread_mutex_unlock(&door);
	}
	return NULL;
}

static void *wait_for_ever(void *arg)
{
	(void)sem_wait(&never);
	return arg;
}

static void cancelled_waits(void)
{
	for (int i = 0; i < 20; i++) {
		pthread_t t;
		void *result;

		need(!pthread_create(&t, NULL, wait_for_ever, NULL), "create");
		if (i % 2)
			(void)usleep(2000);
		(void)pthread_cancel(t);
		(void)pthread_join(t, &result);
		need(result == PTHREAD_CANCELED, "a cancelled wait");
	}
}

static sigjmp_buf back;
static sigset_t alarm_alone;

static void jump(int signal)
{
	siglongjmp(back, signal);
}

/* Out of a wait that never ends; the same thread then waits again and gets what it waits for. */
static void left_waits(void)
{
	struct sigaction action = {.sa_handler = jump};

	(void)sigaction(SIGALRM, &action, NULL);
	(void)pthread_sigmask(SIG_UNBLOCK, &alarm_alone, NULL);
	for (volatile int i = 0; i < 10; i++) {
		struct itimerval soon = {{0, 0}, {0, 2000}};

		if (!sigsetjmp(back, 1)) {
			(void)setitimer(ITIMER_REAL, &soon, NULL);
			(void)sem_wait(&never);
			need(0, "a wait that should not end");
		}
		(void)pthread_mutex_lock(&locks[i % LOCKS]);
		(void)pthread_mutex_unlock(&locks[i % LOCKS]);
	}
}

static void *keep(void *arg)
{
	(void)pthread_mutex_lock(&kept);
	return arg;
}

static void children(void)
{
	for (int i = 0; i < 4; i++) {
		int status;
		pid_t child = fork();

		if (child == 0) {
			pthread_t t;

			for (int k = 0; k < 1000; k++) {
				(void)pthread_mutex_lock(&door);
				(void)pthread_mutex_unlock(&door);
			}
			(void)pthread_mutex_lock(&door);
			need(!pthread_create(&t, NULL, worker, (void *)7), "create in a child");
			(void)usleep(2000);
			(void)pthread_mutex_unlock(&door);
			(void)pthread_join(t, NULL);
			_exit(0);
		}
		(void)waitpid(child, &status, 0);
		need(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child");
	}
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 16;
	pthread_t t[64], holder;

	rounds = argc > 2 ? atol(argv[2]) : rounds;
	(void)sigemptyset(&alarm_alone);
	(void)sigaddset(&alarm_alone, SIGALRM);
	(void)pthread_sigmask(SIG_BLOCK, &alarm_alone, NULL); /* the jump is of this thread alone */
	(void)pthread_spin_init(&spin, 0);
	(void)sem_init(&slots, 0, 2);
	(void)sem_init(&never, 0, 0);
	need(!pthread_create(&holder, NULL, keep, NULL), "create");
	(void)pthread_join(holder, NULL);
	for (int i = 0; i < threads; i++)
		need(!pthread_create(&t[i], NULL, worker, (void *)(uintptr_t)(i + 1)), "create");
	cancelled_waits();
	left_waits();
	for (int i = 0; i < threads; i++)
		(void)pthread_join(t[i], NULL);
	for (int k = 0; k < LOCKS; k++)
		need(guarded[k] == got[k], "what a mutex guards");
	need(in_table == in_spin && passed == in_table, "what the others guard");
	children();
	puts("done");
	return 0;
}
