/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.c - what test_live.py profiles: one small program, a mode for each hazard.
 *
 * It spends CPU time by the thread's own clock, so that a loaded machine changes nothing, and
 * prints "done" at the end; with the argument "api" before the mode it starts the profiler itself.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <hearth.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static volatile unsigned long sink;
static struct hearth_profiler *profiler;

static __attribute__((noinline)) double cpu_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((noinline)) void burn_a(double seconds)
{
	double until = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) + seconds;

	while (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) < until)
		for (int i = 0; i < 20000; i++)
			sink += (unsigned long)i * i;
}

__attribute__((noinline)) void burn_b(double seconds)
{
	double until = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) + seconds;

	while (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) < until)
		for (int i = 0; i < 20000; i++)
			sink ^= (unsigned long)i << 3;
}

/* 70 : 30, in pieces that are long beside the interval: what a sample is worth at their ends is all
 * that can be wrong. */
static void split(void)
{
	for (int i = 0; i < 5; i++) {
		burn_a(0.28);
		burn_b(0.12);
	}
}

static void *burner(void *seconds)
{
	burn_a(*(double *)seconds);
	return NULL;
}

static void threads(void)
{
	double seconds = 0.4;
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, burner, &seconds);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* Threads that start after the profiler, beside a main thread that works too. */
static void late(void)
{
	double seconds = 0.5;
	pthread_t t[2];

	burn_b(0.1);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, burner, &seconds);
	burn_b(0.6);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void *nothing(void *arg)
{
	return arg;
}

static void churn(void)
{
	for (int i = 0; i < 20000; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, nothing, NULL))
			abort();
		pthread_join(t, NULL);
	}
	burn_a(0.2);
}

static void forks(void)
{
	for (int i = 0; i < 3; i++) {
		if (fork() == 0) {
			burn_b(0.3);
			exit(0);
		}
	}
	for (int i = 0; i < 500; i++)
		if (fork() == 0)
			_exit(0);
	burn_a(0.2);
	while (wait(NULL) > 0)
		;
}

static void execs(void)
{
	burn_a(0.1);
	for (int i = 0; i < 200; i++) {
		int status;

		if (fork() == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		if (wait(&status) < 0 || status)
			abort();
	}
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int pipe_fd[2];

__attribute__((noinline)) static void *locker(void *arg)
{
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	return arg;
}

__attribute__((noinline)) static void *reader(void *arg)
{
	char byte;

	return read(pipe_fd[0], &byte, 1) == 1 ? arg : NULL;
}

static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t))
		;
}

/* A contended lock and a read that wait 300 ms each, then a read that never returns. */
static void block(void)
{
	pthread_t a, b, c;

	if (pipe(pipe_fd))
		abort();
	pthread_mutex_lock(&mutex);
	pthread_create(&a, NULL, locker, NULL);
	pthread_create(&b, NULL, reader, NULL);
	pause_ms(300);
	pthread_mutex_unlock(&mutex);
	if (write(pipe_fd[1], "x", 1) != 1)
		abort();
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	burn_a(0.1);
	pthread_create(&c, NULL, reader, NULL);
	pause_ms(1500);
	pthread_cancel(c);
	pthread_join(c, NULL);
}

static sigjmp_buf left;

static void on_alarm(int number)
{
	(void)number;
	siglongjmp(left, 1);
}

/* A call left by a jump must not look blocked for ever. */
static void jump(void)
{
	if (pipe(pipe_fd))
		abort();
	signal(SIGALRM, on_alarm);
	if (!sigsetjmp(left, 1)) {
		ualarm(20000, 0);
		(void)reader(NULL);
	}
	burn_a(2.0);
}

__attribute__((noinline)) static void nap_below(int depth)
{
	const struct timespec six_ms = {0, 6000000};
	volatile char frame[64];

	frame[0] = (char)depth;
	if (depth)
		nap_below(depth - 1);
	else
		nanosleep(&six_ms, NULL);
	frame[1] = frame[0];
}

/* More places to sleep at than a thread's table of sites has; a read before each nap takes the
 * tick's first call. */
static void naps(void)
{
	char byte;

	if (pipe(pipe_fd))
		abort();
	for (int i = 0; i < 160; i++) {
		burn_a(0.002);
		if (write(pipe_fd[1], "", 1) != 1 || read(pipe_fd[0], &byte, 1) != 1)
			abort();
		nap_below(i % 20);
	}
}

/* A robust mutex whose owner died: trylock has it by then, and must be believed. */
static void *dies_holding(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}

static void robust(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t m;
	pthread_t t;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &attr);
	pthread_create(&t, NULL, dies_holding, &m);
	pthread_join(t, NULL);
	if (pthread_mutex_lock(&m) != EOWNERDEAD)
		abort();
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&m, &attr);
	if (pthread_mutex_lock(&m) || pthread_mutex_lock(&m) != EDEADLK)
		abort();
}

/* A daemon closes all descriptors and opens its own: ours must not be mistaken for one of them. */
static void closeall(void)
{
	char path[] = "/tmp/hearth-test-XXXXXX", text[64] = {0};
	int file;

	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	file = mkstemp(path);
	unlink(path);
	for (int fd = 100; fd < 110; fd++)
		dup2(file, fd);
	if (write(file, "precious", 8) != 8)
		abort();
	if (write(1, "closed\n", 7) != 7)
		abort();
	burn_a(1.5);
	if (pread(file, text, sizeof(text), 0) != 8 || memcmp(text, "precious", 8))
		abort();
}

static volatile sig_atomic_t taken;

static void on_prof(int number)
{
	(void)number;
	taken++;
}

/* The program takes SIGPROF: before it, it sees the default; after it, only its own signals. */
static void takes_sigprof(void)
{
	struct sigaction old, action = {.sa_handler = on_prof};

	burn_a(0.1);
	if (sigaction(SIGPROF, NULL, &old) || old.sa_handler != SIG_DFL)
		abort();
	signal(SIGPROF, SIG_IGN);
	burn_a(0.1);
	if (signal(SIGPROF, SIG_DFL) != SIG_IGN)
		abort();
	if (sigaction(SIGPROF, &action, &old) || old.sa_handler != SIG_DFL)
		abort();
	burn_a(0.3);
	if (taken)
		abort();
	raise(SIGPROF);
	if (taken != 1)
		abort();
}

#define ALLOW(name)                                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1),                                     \
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Anything but these kills the program. */
static void sandbox(void)
{
	struct sock_filter rules[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    ALLOW(write),
	    ALLOW(exit_group),
	    ALLOW(exit),
	    ALLOW(rt_sigreturn),
	    ALLOW(newfstatat),
	    ALLOW(clock_gettime),
	    ALLOW(munmap),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof(rules) / sizeof(*rules), rules};
	struct timespec began, now;

	clock_gettime(CLOCK_MONOTONIC, &began);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
		abort();
	do {
		for (int i = 0; i < 100000; i++)
			sink += (unsigned long)i * i;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - began.tv_sec < 3);
}

/* Long enough for an agent to go away and another to come. */
static void slow(void)
{
	burn_a(6.0);
}

/* What OTEP 4947 lays down, as a profiler outside would read it. */
struct otel {
	uint8_t trace_id[16], span_id[8], valid, flags;
	uint16_t bytes;
	uint8_t key, key_bytes;
	char root[16];
};

static struct otel **otel_place(void)
{
	struct otel **place = dlsym(RTLD_DEFAULT, "otel_thread_ctx_v1");

	if (!place)
		abort();
	return place;
}

static void check_otel(const char *trace_id, unsigned span_id, const char *root)
{
	const struct otel *o = *otel_place();

	if (!trace_id) {
		if (o)
			abort();
		return;
	}
	if (!o || !o->valid || memcmp(o->trace_id, trace_id, 16) ||
	    o->span_id[7] != span_id % 256 || o->span_id[6] != span_id / 256 || o->bytes != 18 ||
	    o->key != 0 || o->key_bytes != 16 || memcmp(o->root, root, 16))
		abort();
}

static void label_limits(void)
{
	char key[66], value[202];

	memset(key, 'k', sizeof(key));
	memset(value, 'v', sizeof(value));
	key[65] = value[201] = 0;
	if (hearth_label_set(key, "x") != HEARTH_E_LIMIT ||
	    hearth_label_set("k", value) != HEARTH_E_LIMIT ||
	    hearth_label_set("span id", "x") != HEARTH_E_ARGUMENT ||
	    hearth_label_set(NULL, "x") != HEARTH_E_ARGUMENT ||
	    hearth_label_set("", "x") != HEARTH_E_ARGUMENT)
		abort();
	for (int i = 0; i < 9; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		if (hearth_label_set(key, "1"))
			abort();
	}
	if (hearth_label_set("eleventh", "1") != HEARTH_E_LIMIT || hearth_label_set("k3", NULL) ||
	    hearth_label_set("tenth", "1"))
		abort();
	value[200] = 0;
	for (int i = 4; i < 6; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		if (hearth_label_set(key, value))
			abort();
	}
	if (hearth_label_set("k7", value) || hearth_label_set("k8", value) != HEARTH_E_LIMIT)
		abort(); /* 768 bytes together */
	for (int i = 0; i < 9; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		hearth_label_set(key, NULL);
	}
	hearth_label_set("tenth", NULL);
	hearth_label_set("customer", NULL);
	hearth_task_name(NULL);
}

/* Samples outside our spans carry the ids of another tracer; a span of ours becomes its child, and
 * gives the place back. */
static void spans_of_another_tracer(void)
{
	static struct otel theirs = {
	    .trace_id = "ABCDEFGHIJKLMNOP", .span_id = {0, 0, 0, 0, 0, 0, 0x33, 0x33}, .valid = 1};
	struct hearth_span *child;

	*otel_place() = &theirs;
	burn_b(0.3);
	child = hearth_span_begin("child", NULL, NULL, 0x44);
	check_otel("ABCDEFGHIJKLMNOP", 0x44, "0000000000000044");
	hearth_span_end(child);
	if (*otel_place() != &theirs)
		abort();
	*otel_place() = NULL;
}

static void spans(void)
{
	const unsigned char trace[16] = "0123456789abcdef";
	struct hearth_span *outer = hearth_span_begin("request", "GET /early", trace, 0x1111),
			   *inner;
	char context[160];

	hearth_thread_name("worker of spans");
	burn_a(0.3);
	inner = hearth_span_begin("query", NULL, NULL, 0x2222);
	hearth_log_context(context, sizeof(context));
	if (strcmp(context, "trace_id=30313233343536373839616263646566 span_id=0000000000002222 "
			    "service=client_program env=\"two words\""))
		abort();
	if (hearth_span_endpoint(inner, "GET /late") || hearth_label_set("customer", "acme") ||
	    hearth_label_set("gone", "x") || hearth_label_set("gone", NULL) ||
	    hearth_task_name("job 7"))
		abort();
	check_otel("0123456789abcdef", 0x2222, "0000000000001111");
	burn_b(0.3);
	hearth_span_end(inner);
	check_otel("0123456789abcdef", 0x1111, "0000000000001111");
	hearth_span_end(outer);
	check_otel(NULL, 0, NULL);
	if (hearth_log_context(context, 12) != 38 || strcmp(context, "service=cli") ||
	    hearth_span_end(outer) == 0)
		abort();
	burn_a(0.2);
	label_limits();
	spans_of_another_tracer();
}

static int ascending(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

/* Ids are drawn by each thread, and no two are the same. */
static char drawn[4][1000][32];

static void *draws(void *to)
{
	char text[160];

	for (int i = 0; i < 1000; i++) {
		struct hearth_span *s = hearth_span_begin("x", NULL, NULL, 0);

		if (hearth_log_context(text, sizeof(text)) < 60)
			abort();
		memcpy((char *)to + (ptrdiff_t)i * 32, text + 9, 32);
		hearth_span_end(s);
	}
	return NULL;
}

static void distinct(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, draws, drawn[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	qsort(drawn, 4000, 32, ascending);
	for (int i = 1; i < 4000; i++)
		if (!ascending((char *)drawn + (ptrdiff_t)32 * i,
			       (char *)drawn + (ptrdiff_t)32 * (i - 1)))
			abort();
}

static void storm(void)
{
	burn_a(0.2);
	for (int i = 0; i < 100000; i++)
		hearth_span_end(hearth_span_begin("one of many", "GET /", NULL, 0));
	burn_b(0.2);
}

static void nospans(void)
{
	struct hearth_span *s = hearth_span_begin("request", "GET /", NULL, 0x55);

	burn_a(0.3);
	check_otel(NULL, 0, NULL);
	hearth_span_end(s);
}

/* Starting, stopping and misuse. */
static void cycles(void)
{
	struct hearth_profiler *second = hearth_profiler_new(NULL);

	if (hearth_profiler_start(second, NULL) != HEARTH_E_ACTIVE ||
	    hearth_profiler_stop(second, false) != HEARTH_E_STOPPED ||
	    hearth_profiler_start(NULL, NULL) != HEARTH_E_ARGUMENT)
		abort();
	if (hearth_profiler_start(profiler, NULL) || hearth_profiler_stop(profiler, false) ||
	    hearth_profiler_stop(profiler, false))
		abort();
	for (int i = 0; i < 2000; i++) {
		if (hearth_profiler_start(second, NULL) || hearth_profiler_stop(second, false))
			abort();
	}
	if (hearth_profiler_start(profiler, NULL))
		abort();
	hearth_profiler_free(second);
	hearth_profiler_free(NULL);
	burn_a(0.5);
}

static struct hearth_profiler *named(const char *service)
{
	struct hearth_options o = {.size = sizeof(o), .service = service};

	return hearth_profiler_new(&o);
}

static long address_space_kb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmSize: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static volatile bool over;

static void *spinner(void *name)
{
	hearth_thread_name(name);
	while (!over)
		burn_a(0.01);
	return NULL;
}

/* Profilers with different services, one after another, while another thread works all the time. */
static void services(void)
{
	struct hearth_profiler *p[2] = {named("first"), named("second")};
	char name[] = "spinner";
	pthread_t t;
	long before;

	hearth_profiler_stop(profiler, true);
	hearth_profiler_start(p[0], NULL);
	pthread_create(&t, NULL, spinner, name);
	burn_a(0.3);
	for (int i = 0; i < 2; i++) {
		if (hearth_profiler_start(p[i], NULL) || hearth_profiler_start(p[i], NULL) ||
		    hearth_profiler_start(p[1 - i], NULL) != HEARTH_E_ACTIVE)
			abort();
		burn_b(0.4);
		if (hearth_profiler_stop(p[i], true) || hearth_profiler_stop(p[i], true))
			abort();
	}
	before = address_space_kb();
	for (int i = 0; i < 1000; i++)
		if (hearth_profiler_start(p[i % 2], NULL) || hearth_profiler_stop(p[i % 2], false))
			abort();
	if (address_space_kb() - before > 4096)
		abort();
	over = true;
	pthread_join(t, NULL);
	hearth_profiler_free(p[0]);
	hearth_profiler_free(p[1]);
}

/* Without an agent a session that gives way to another takes its samples with it, and says so. */
static void unseen(void)
{
	struct hearth_profiler *p = named("other");
	struct hearth_stats one = {.size = sizeof(one)}, two = {.size = sizeof(two)};

	burn_a(0.3);
	hearth_profiler_stop(profiler, false);
	hearth_stats(&one);
	if (hearth_profiler_start(p, NULL) || hearth_stats(&two) || one.cpu_samples < 10 ||
	    two.dropped != one.dropped + one.cpu_samples)
		abort();
	hearth_profiler_free(p);
}

/* Ends in the way that the next argument says, once somebody closes its input. */
static const char *how;

static void ends(void)
{
	char c;

	burn_a(0.25);
	while (read(0, &c, 1) > 0)
		;
	if (!strcmp(how, "exit"))
		exit(0);
	if (!strcmp(how, "quick_exit"))
		quick_exit(0);
	if (!strcmp(how, "_exit"))
		_exit(0);
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "SIGTERM"))
		kill(getpid(), SIGTERM);
	if (!strcmp(how, "SIGKILL"))
		kill(getpid(), SIGKILL);
	if (!strcmp(how, "SIGSEGV"))
		*(volatile int *)NULL = 1;
}

static void mark(void)
{
	if (write(1, "mark\n", 5) != 5)
		abort();
}

static void await(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || status)
		abort();
}

static void forkexec(void)
{
	mark();
	for (int i = 0; i < 3; i++) {
		pid_t child = fork();

		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		await(child);
	}
	mark();
}

static void vforks(void)
{
	mark();
	for (int i = 0; i < 3; i++) {
		pid_t child = vfork();

		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		await(child);
	}
	mark();
}

static void spawns(void)
{
	static char name[] = "true";
	static char *const argv[] = {name, NULL};
	pid_t child;

	mark();
	if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ))
		abort();
	await(child);
	mark();
}

/* A child that has little to do ends as it would without us. */
static void idlechild(void)
{
	burn_a(0.1);
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();

		if (child == 0) {
			pause_ms(2);
			exit(0);
		}
		await(child);
	}
}

/* A child that starts a profiler of its own, whether or not children are profiled anyway. */
static void forkstart(void)
{
	burn_a(0.2);
	for (int i = 0; i < 2; i++) {
		struct hearth_start start = {.size = sizeof(start),
					     .profile_children = i ? HEARTH_OFF : HEARTH_ON};
		pid_t child;

		hearth_profiler_stop(profiler, false);
		if (hearth_profiler_start(profiler, &start))
			abort();
		child = fork();
		if (child == 0) {
			struct hearth_profiler *p = named(i ? "second" : "first");

			if (hearth_profiler_start(p, NULL) || hearth_profiler_start(p, NULL) ||
			    hearth_profiler_start(profiler, NULL) != HEARTH_E_ACTIVE)
				abort();
			burn_b(0.3);
			if (hearth_profiler_stop(p, true))
				abort();
			exit(0);
		}
		await(child);
	}
}

/* How long starting and stopping take here; whoever runs this knows what agent there is. */
static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void timed(void)
{
	struct hearth_profiler *p = hearth_profiler_new(NULL);
	int64_t start = now_ns(), started, stop, stopped, flushed;
	int code;

	if (hearth_profiler_start(p, NULL))
		abort();
	started = now_ns();
	burn_a(0.2);
	stop = now_ns();
	hearth_profiler_stop(p, false);
	stopped = now_ns();
	code = hearth_profiler_stop(p, true);
	flushed = now_ns();
	if (hearth_profiler_start(p, NULL))
		abort();
	burn_a(0.05);
	printf("%lld %lld %lld %d %lld\n", (long long)(started - start),
	       (long long)(stopped - stop), (long long)(flushed - stopped), code,
	       (long long)now_ns());
	exit(0);
}

static void flush(void)
{
	struct hearth_stats stats = {.size = sizeof(stats)};

	burn_a(0.3);
	printf("stop %d\n", hearth_profiler_stop(profiler, true));
	if (hearth_stats(&stats) || stats.cpu_samples == 0)
		abort();
	burn_b(0.2);
}

/* Many blocking calls: none may be interrupted. */
static void eintr(void)
{
	struct timespec ms = {0, 1000000};

	for (int i = 0; i < 400; i++) {
		burn_a(0.0005);
		if (nanosleep(&ms, NULL))
			abort();
	}
}

/* SIGPROF on an alternate stack, and on a handler's frame. */
static void on_usr1(int number)
{
	(void)number;
	burn_b(0.3);
}

static void altstack(void)
{
	static char memory[65536];
	stack_t s = {.ss_sp = memory, .ss_size = sizeof(memory)};
	struct sigaction action = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};

	sigaltstack(&s, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

/* Stacks of 16 KB, on which a signal's frame alone takes 3. */
static void small_stacks(void)
{
	double seconds = 0.3;
	pthread_attr_t attr;
	pthread_t t[4];

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16384);
	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], &attr, burner, &seconds))
			abort();
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* Libraries that come and go while other threads are in the loader and in the allocator. */
static void *loads(void *arg)
{
	static const char *const names[] = {"libz.so.1", "libm.so.6", "libbz2.so.1.0"};

	for (int i = 0; i < 3000; i++) {
		void *library = dlopen(names[i % 3], RTLD_NOW | RTLD_LOCAL);
		char *(*version)(void) =
		    library ? (char *(*)(void))dlsym(library, "zlibVersion") : NULL;

		if (version)
			sink += strlen(version());
		free(malloc((size_t)i + 100));
		if (library)
			dlclose(library);
	}
	return arg;
}

static void dlopens(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, loads, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* Nearly everything is refused: no descriptors, no timers. */
static void limits(void)
{
	struct rlimit none = {0, 0};

	hearth_profiler_stop(profiler, false);
	setrlimit(RLIMIT_NOFILE, &none);
	setrlimit(RLIMIT_SIGPENDING, &none);
	for (int i = 0; i < 100; i++) {
		hearth_profiler_start(profiler, NULL);
		burn_a(0.002);
		hearth_profiler_stop(profiler, true);
	}
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void fds(void)
{
	burn_a(0.3);
	printf("fds %d\n", descriptors());
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
    {"split", split},         {"threads", threads},
    {"churn", churn},         {"forks", forks},
    {"execs", execs},         {"block", block},
    {"jump", jump},           {"robust", robust},
    {"closeall", closeall},   {"sigprof", takes_sigprof},
    {"sandbox", sandbox},     {"slow", slow},
    {"spans", spans},         {"cycles", cycles},
    {"services", services},   {"unseen", unseen},
    {"ends", ends},           {"forkexec", forkexec},
    {"vforks", vforks},       {"spawns", spawns},
    {"idlechild", idlechild}, {"timed", timed},
    {"forkstart", forkstart}, {"storm", storm},
    {"distinct", distinct},   {"nospans", nospans},
    {"flush", flush},         {"small", small_stacks},
    {"dlopens", dlopens},     {"limits", limits},
    {"late", late},           {"eintr", eintr},
    {"altstack", altstack},   {"fds", fds},
    {"naps", naps},
};

int main(int argc, char **argv)
{
	int at = argc > 1 && !strcmp(argv[1], "api") ? 2 : 1;

	how = argc > at + 1 ? argv[at + 1] : "";
	setvbuf(stdout, NULL, _IONBF, 0);
	if (at == 2) {
		profiler = hearth_profiler_new(NULL);
		if (hearth_profiler_start(profiler, NULL))
			return 3;
	}
	for (size_t i = 0; argc > at && i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(modes[i].name, argv[at]))
			continue;
		modes[i].run();
		if (write(1, "done\n", 5) != 5)
			return 4;
		return 0;
	}
	return 2;
}
