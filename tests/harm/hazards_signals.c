/* SPDX-License-Identifier: Apache-2.0 */
/* Signals, stacks and what interrupts them. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/harm/hazards.h"

static volatile sig_atomic_t seen;
static sigjmp_buf back;

static void count(int signal)
{
	(void)signal;
	seen++;
}

static void set_handler(int signal, void (*handler)(int), int flags)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = flags};

	sigemptyset(&a.sa_mask);
	need(!sigaction(signal, &a, NULL), "sigaction");
}

/* A program that uses SIGPROF itself gets its own signals and no others. */
void hazard_own_sigprof(void)
{
	struct sigaction now;

	set_handler(SIGPROF, count, SA_RESTART);
	burn(200);
	printf("before any: %d\n", (int)seen);
	for (int i = 0; i < 5; i++)
		raise(SIGPROF);
	need(!sigaction(SIGPROF, NULL, &now), "sigaction");
	printf("seen %d, handler is %s, flags %x\n", (int)seen,
	       now.sa_handler == count ? "its own" : "another",
	       (unsigned)now.sa_flags & SA_RESTART);
}

void hazard_sigprof_by_setitimer(void)
{
	const struct itimerval each = {{0, 5000}, {0, 5000}}, none = {0};
	struct itimerval now;

	need(!getitimer(ITIMER_PROF, &now), "getitimer");
	printf("armed at start: %d\n", now.it_value.tv_usec != 0);
	set_handler(SIGPROF, count, SA_RESTART);
	need(!setitimer(ITIMER_PROF, &each, NULL), "setitimer");
	burn(300);
	need(!setitimer(ITIMER_PROF, &none, NULL), "setitimer");
	printf("enough: %d\n", seen > 10);
}

static volatile int *volatile nowhere = NULL;

static void jump_back(int signal)
{
	siglongjmp(back, signal);
}

void hazard_segv_longjmp(void)
{
	volatile int caught = 0;

	set_handler(SIGSEGV, jump_back, 0);
	for (volatile int i = 0; i < 300; i++) {
		if (sigsetjmp(back, 1) == 0) {
			burn(1);
			*nowhere = 1;
		} else {
			caught++;
		}
	}
	printf("caught %d\n", caught);
}

static void burn_in_handler(int signal)
{
	(void)signal;
	burn(30);
	seen++;
}

/* The profiler's signal comes while a handler runs on as small a stack as is allowed. */
void hazard_altstack(void)
{
	size_t bytes = (size_t)sysconf(_SC_MINSIGSTKSZ) + 2048;
	stack_t mine = {.ss_sp = malloc(bytes), .ss_size = bytes}, now;

	need(mine.ss_sp && !sigaltstack(&mine, NULL), "sigaltstack");
	set_handler(SIGUSR1, burn_in_handler, SA_ONSTACK);
	for (int i = 0; i < 10; i++)
		raise(SIGUSR1);
	need(!sigaltstack(NULL, &now), "sigaltstack");
	printf("handled %d, stack kept %d\n", (int)seen,
	       now.ss_sp == mine.ss_sp && now.ss_size == bytes);
}

static void *burn_thread(void *ms)
{
	burn((long)(intptr_t)ms);
	return ms;
}

void hazard_small_stacks(void)
{
	pthread_attr_t attr;
	pthread_t t[16];
	void *result;
	int joined = 0;

	pthread_attr_init(&attr);
	need(!pthread_attr_setstacksize(&attr, 16384), "stack size");
	for (int i = 0; i < 16; i++)
		need(!pthread_create(&t[i], &attr, burn_thread, (void *)(intptr_t)30), "thread");
	for (int i = 0; i < 16; i++)
		joined += !pthread_join(t[i], &result) && result == (void *)(intptr_t)30;
	printf("joined %d\n", joined);
}

static volatile int depth;

static __attribute__((noinline)) int recurse(volatile char *above)
{
	volatile char here[256];

	here[0] = *above;
	depth++;
	if (depth % 64 == 0)
		burn(1);
	return recurse(here) + here[0];
}

/* Down to the guard page, where only the alternate stack is left. */
void hazard_deep_recursion(void)
{
	stack_t mine = {.ss_sp = malloc(65536), .ss_size = 65536};
	volatile char top = 0;
	need(mine.ss_sp && !sigaltstack(&mine, NULL), "sigaltstack");
	set_handler(SIGSEGV, jump_back, SA_ONSTACK);
	if (sigsetjmp(back, 1) == 0)
		printf("%d\n", recurse(&top));
	printf("came back: %d\n", depth > 1000);
}

#define COROUTINES 16
static ucontext_t scheduler, coroutine[COROUTINES];
static int turns;

static void coroutine_body(int number)
{
	for (int i = 0; i < 20; i++) {
		char *p = malloc((size_t)number * 100 + 1);

		burn(1);
		free(p);
		turns++;
		swapcontext(&coroutine[number], &scheduler);
	}
}

void hazard_coroutines(void)
{
	for (int i = 0; i < COROUTINES; i++) {
		need(!getcontext(&coroutine[i]), "getcontext");
		coroutine[i].uc_stack.ss_sp = malloc(16384);
		coroutine[i].uc_stack.ss_size = 16384;
		coroutine[i].uc_link = &scheduler;
		makecontext(&coroutine[i], (void (*)(void))(void *)coroutine_body, 1, i);
	}
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < COROUTINES; i++)
			swapcontext(&scheduler, &coroutine[i]);
	printf("turns %d\n", turns);
}

static volatile int stop_storm;

static void *storm_target(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop_storm, __ATOMIC_ACQUIRE))
		burn(1);
	return NULL;
}

static void real_time(int signal, siginfo_t *si, void *context)
{
	(void)signal;
	(void)context;
	if (si->si_code == SI_QUEUE)
		__atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED);
}

/* Queued signals are counted by the kernel: none may be lost, and none may be refused. */
void hazard_signal_storm(void)
{
	struct sigaction a = {.sa_sigaction = real_time, .sa_flags = SA_SIGINFO | SA_RESTART};
	union sigval value = {.sival_int = 7};
	pthread_t t;
	int refused = 0;

	need(!sigaction(SIGRTMIN, &a, NULL), "sigaction");
	need(!pthread_create(&t, NULL, storm_target, NULL), "thread");
	for (int i = 0; i < 5000; i++)
		refused += pthread_sigqueue(t, SIGRTMIN, value) != 0;
	__atomic_store_n(&stop_storm, 1, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	printf("refused %d, handled %d\n", refused, turns);
}

static void allocate(int signal)
{
	void *p[8];

	(void)signal;
	for (int i = 0; i < 8; i++)
		p[i] = malloc((size_t)1 << (10 + i));
	for (int i = 0; i < 8; i++)
		free(p[i]);
	seen++;
}

/* The interrupted code does not allocate, so that this is allowed. */
void hazard_malloc_in_handler(void)
{
	const struct itimerval each = {{0, 1000}, {0, 1000}}, none = {0};

	set_handler(SIGALRM, allocate, SA_RESTART);
	setitimer(ITIMER_REAL, &each, NULL);
	burn(300);
	setitimer(ITIMER_REAL, &none, NULL);
	printf("enough: %d\n", seen > 20);
}

void hazard_errno_kept(void)
{
	int changed = 0;

	for (int i = 0; i < 300; i++) {
		errno = 77;
		burn(1);
		changed += errno != 77;
	}
	printf("changed %d\n", changed);
}

/* What a program finds installed, masked, armed and open at its start. */
void hazard_signals_read_back(void)
{
	stack_t stack;
	sigset_t mask;
	int handlers = 0, masked = 0;

	for (int i = 1; i < 65; i++) {
		struct sigaction a;

		if (i != 32 && i != 33 && !sigaction(i, NULL, &a))
			handlers += a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN;
	}
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 65; i++)
		masked += sigismember(&mask, i) == 1;
	need(!sigaltstack(NULL, &stack), "sigaltstack");
	printf("handlers %d, masked %d, altstack %d\n", handlers, masked,
	       !(stack.ss_flags & SS_DISABLE));
	printf("default: %d\n", signal(SIGPROF, SIG_IGN) == SIG_DFL);
	printf("ignored: %d\n", signal(SIGPROF, SIG_DFL) == SIG_IGN);
}

static void fork_now(int signal)
{
	pid_t child = fork();
	int status;

	(void)signal;
	if (child == 0)
		_exit(7);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	seen += WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

void hazard_fork_in_handler(void)
{
	set_handler(SIGUSR1, fork_now, 0);
	for (int i = 0; i < 50; i++) {
		burn(2);
		raise(SIGUSR1);
	}
	printf("children %d\n", (int)seen);
}

void hazard_sigpipe(void)
{
	int fd[2];

	need(!pipe(fd), "pipe");
	close(fd[0]);
	burn(100);
	puts("writing");
	fflush(stdout);
	if (write(fd[1], "x", 1) < 0)
		puts("survived");
}

/* ---- EINTR: code that does not expect it ---- */

static int interrupted, waits;

static void note(int r, int error)
{
	__atomic_fetch_add(&waits, 1, __ATOMIC_RELAXED);
	if (r < 0 && error == EINTR)
		__atomic_fetch_add(&interrupted, 1, __ATOMIC_RELAXED);
}

static void *naive(void *arg)
{
	int kind = (int)(intptr_t)arg, pair[2], epoll = epoll_create1(0), r = 0;
	struct timeval wait = {0, 3000};
	struct epoll_event event;
	sem_t never;
	char byte;

	sem_init(&never, 0, 0);
	need(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (int i = 0; i < 250; i++) {
		struct timespec t = {0, 3000000}, until;

		burn(3);
		errno = 0;
		switch (kind % 6) {
		case 0:
			r = poll(NULL, 0, 3);
			break;
		case 1:
			r = epoll_wait(epoll, &event, 1, 3);
			break;
		case 2:
			r = nanosleep(&t, NULL);
			break;
		case 3:
			wait = (struct timeval){0, 3000};
			r = select(0, NULL, NULL, NULL, &wait);
			break;
		case 4:
			r = (int)recv(pair[0], &byte, 1, 0);
			break;
		default:
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += 3000000;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
			r = sem_timedwait(&never, &until);
		}
		note(r, errno);
	}
	return NULL;
}

void hazard_eintr(void)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		need(!pthread_create(&t[i], NULL, naive, (void *)(intptr_t)i), "thread");
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	printf("waits %d, interrupted %d\n", waits, interrupted);
}

/* ---- cancellation ---- */

static void cleanup(void *arg)
{
	(*(int *)arg)++;
}

static int cleaned[4], pipes[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;

static void cleanup_mutex(void *arg)
{
	pthread_mutex_unlock(&mutex);
	cleanup(arg);
}

static void *cancelled(void *arg)
{
	int kind = (int)(intptr_t)arg;
	char byte;

	if (kind == 2) {
		pthread_mutex_lock(&mutex);
		pthread_cleanup_push(cleanup_mutex, &cleaned[kind]);
		for (;;)
			pthread_cond_wait(&cond, &mutex);
		pthread_cleanup_pop(0);
	}
	pthread_cleanup_push(cleanup, &cleaned[kind]);
	if (kind == 0)
		(void)!read(pipes[0], &byte, 1);
	else if (kind == 1)
		sem_wait(&semaphore);
	else
		sleep(1000);
	pthread_cleanup_pop(0);
	return NULL;
}

void hazard_cancel(void)
{
	need(!pipe(pipes), "pipe");
	sem_init(&semaphore, 0, 0);
	for (int round = 0; round < 20; round++)
		for (int kind = 0; kind < 4; kind++) {
			pthread_t t;
			void *result;

			need(!pthread_create(&t, NULL, cancelled, (void *)(intptr_t)kind),
			     "thread");
			burn(2);
			pthread_cancel(t);
			pthread_join(t, &result);
			need(result == PTHREAD_CANCELED, "a thread was not cancelled");
		}
	printf("cleaned %d %d %d %d\n", cleaned[0], cleaned[1], cleaned[2], cleaned[3]);
}
