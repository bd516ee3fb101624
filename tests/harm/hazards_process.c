/* SPDX-License-Identifier: Apache-2.0 */
/* Processes, threads, libraries, and how programs end. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harm/hazards.h"

extern char **environ;

static void *burn_thread(void *ms)
{
	burn((long)(intptr_t)ms);
	return NULL;
}

/* Wait for one child and say how it ended, as a shell would. */
static int ended(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		need(errno == EINTR, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void hazard_vfork_exec(void)
{
	volatile int good = 0;

	for (volatile int i = 0; i < 100; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		good += ended(pid) == 0;
	}
	for (volatile int i = 0; i < 20; i++) {
		pid_t pid = vfork();

		if (pid == 0)
			_exit(3);
		good += ended(pid) == 3;
		burn(2);
	}
	printf("good %d\n", good);
}

void hazard_spawns(void)
{
	char *const command[] = {(char *)"true", NULL};
	int good = 0;
	FILE *p;

	for (int i = 0; i < 50; i++) {
		pid_t pid;

		need(!posix_spawn(&pid, "/bin/true", NULL, NULL, command, environ), "posix_spawn");
		good += ended(pid) == 0;
	}
	for (int i = 0; i < 10; i++)
		good += system("exit 3") >> 8 == 3;
	p = popen("echo word; exit 5", "r");
	char word[16] = "";

	good += p && fgets(word, sizeof(word), p) && !strcmp(word, "word\n");
	good += p && pclose(p) >> 8 == 5;
	printf("good %d\n", good);
}

void hazard_forks(void)
{
	int good = 0;

	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			free(malloc(100000));
			if (i % 50 == 0) {
				pid_t grandchild = fork();

				burn(80);
				if (grandchild == 0)
					_exit(0);
				_exit(ended(grandchild) + i % 7);
			}
			_exit(i % 7);
		}
		good += ended(pid) == i % 7;
	}
	printf("good %d\n", good);
}

static void *fork_many(void *arg)
{
	int *good = arg;

	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			void *p = malloc(1000);

			free(p);
			_exit(p ? 5 : 6);
		}
		*good += ended(pid) == 5;
		burn(1);
	}
	return NULL;
}

void hazard_fork_threads(void)
{
	pthread_t t[8];
	int good[8] = {0}, sum = 0;

	for (int i = 0; i < 8; i++)
		need(!pthread_create(&t[i], NULL, fork_many, &good[i]), "thread");
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		sum += good[i];
	}
	printf("good %d\n", sum);
}

/* As daemons do it: the original ends at once, the grandchild works on. */
void hazard_daemonise(void)
{
	int result[2];
	char text[32] = "";
	pid_t pid;

	need(!pipe(result), "pipe");
	burn(80);
	pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		for (int fd = 0; fd < 256; fd++)
			if (fd != result[1])
				close(fd);
		open("/dev/null", O_RDWR);
		(void)!dup(0);
		(void)!dup(0);
		burn(300);
		_exit(write(result[1], "worked\n", 7) != 7);
	}
	close(result[1]);
	printf("original %d, ", ended(pid));
	(void)!read(result[0], text, sizeof(text) - 1);
	printf("%s", text);
}

void hazard_exec_itself(void)
{
	const char *left = getenv("HAZARD_LEFT");
	char path[4096], next[16];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int open_at_start = 0;

	need(n > 0, "readlink");
	path[n] = 0;
	for (int fd = 3; fd < 100; fd++)
		open_at_start += fcntl(fd, F_GETFD) >= 0;
	burn(60);
	if (left && !strcmp(left, "0")) {
		printf("executed, %d descriptors below 100\n", open_at_start);
		return;
	}
	snprintf(next, sizeof(next), "%d", left ? atoi(left) - 1 : 20);
	setenv("HAZARD_LEFT", next, 1);
	execl(path, "hazards", "exec_itself", (char *)NULL);
	need(false, "exec");
}

/* Somebody else's child would turn up here. */
void hazard_wait_any(void)
{
	burn(1200);
	printf("children: %s\n",
	       waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? "none" : "some");
}

static char order[64];

static void note(const char *what)
{
	strncat(order, what, sizeof(order) - strlen(order) - 1);
}

static void prepare_1(void)
{
	note("p1 ");
}
static void prepare_2(void)
{
	note("p2 ");
}
static void parent_1(void)
{
	note("P1 ");
}
static void parent_2(void)
{
	note("P2 ");
}
static void child_1(void)
{
	note("c1 ");
}
static void child_2(void)
{
	note("c2 ");
}

void hazard_atfork_order(void)
{
	pid_t pid;

	pthread_atfork(prepare_1, parent_1, child_1);
	pthread_atfork(prepare_2, parent_2, child_2);
	burn(50);
	fflush(stdout);
	pid = fork();
	if (pid)
		ended(pid); /* so that the child's line comes first */
	printf("%s: %s\n", pid ? "parent" : "child", order);
	fflush(stdout);
	if (pid == 0)
		_exit(0);
}

static int destroyed;

static void destroy(void *p)
{
	free(p);
	__atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
}

static pthread_key_t key;

static void *keep_and_end(void *arg)
{
	pthread_setspecific(key, malloc(64));
	return arg;
}

void hazard_threads_churn(void)
{
	int joined = 0;

	need(!pthread_key_create(&key, destroy), "key");
	for (int i = 0; i < 1000; i++) {
		pthread_t t[10];

		for (int k = 0; k < 10; k++)
			need(!pthread_create(&t[k], NULL, keep_and_end, &joined), "thread");
		for (int k = 0; k < 10; k++) {
			void *r = NULL;

			joined += !pthread_join(t[k], &r) && r == &joined;
		}
	}
	printf("joined %d, destroyed %d\n", joined, destroyed);
}

static volatile int stop_loads;
static const char *const libraries[] = {"libm.so.6", "libresolv.so.2", "libnss_files.so.2",
					"libutil.so.1"};

static void *load_and_unload(void *arg)
{
	for (int i = 0; i < 150; i++) {
		void *h = dlopen(libraries[(i + (int)(intptr_t)arg) % 4], RTLD_NOW | RTLD_LOCAL);

		if (h)
			dlclose(h);
	}
	return NULL;
}

static int walk(struct dl_phdr_info *info, size_t size, void *count)
{
	(void)info;
	(void)size;
	(*(int *)count)++;
	return 0;
}

static void *walk_and_burn(void *arg)
{
	int seen = 0;

	while (!__atomic_load_n(&stop_loads, __ATOMIC_ACQUIRE)) {
		burn(1);
		dl_iterate_phdr(walk, &seen);
	}
	return arg;
}

void hazard_dlclose_loop(void)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		need(!pthread_create(&t[i], NULL, i < 4 ? load_and_unload : walk_and_burn,
				     (void *)(intptr_t)i),
		     "thread");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	__atomic_store_n(&stop_loads, 1, __ATOMIC_RELEASE);
	for (int i = 4; i < 8; i++)
		pthread_join(t[i], NULL);
	puts("ended");
}

extern int throw_and_catch(int times); /* hazards_throw.cc */

static void *throws(void *arg)
{
	*(int *)arg = throw_and_catch(2000);
	return NULL;
}

void hazard_throws_and_loads(void)
{
	pthread_t t[6];
	int caught[3] = {0};

	for (int i = 0; i < 6; i++)
		need(!pthread_create(&t[i], NULL, i < 3 ? load_and_unload : throws,
				     i < 3 ? (void *)(intptr_t)i : (void *)&caught[i - 3]),
		     "thread");
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	printf("caught %d %d %d\n", caught[0], caught[1], caught[2]);
}

static pthread_mutex_t robust;

static void *die_with_it(void *arg)
{
	pthread_mutex_lock(&robust);
	return arg;
}

void hazard_robust_mutex(void)
{
	pthread_mutexattr_t a;
	pthread_t t;
	int first, consistent, second;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &a);
	pthread_create(&t, NULL, die_with_it, NULL);
	pthread_join(t, NULL);
	first = pthread_mutex_lock(&robust);
	consistent = pthread_mutex_consistent(&robust);
	pthread_mutex_unlock(&robust);
	second = pthread_mutex_lock(&robust);
	printf("%s, %d, %d\n", first == EOWNERDEAD ? "owner died" : strerror(first), consistent,
	       second);
}

/* Names that the client uses inside, as a program might. */
int session = 7, cpu = 8;
void *thread_self(void);
void *thread_self(void)
{
	return &session;
}
int unwind(int a);
int unwind(int a)
{
	return a + 1;
}
void drop(void);
void drop(void)
{
	session++;
}
int hello_send(void);
int hello_send(void)
{
	return session + cpu;
}

void hazard_name_clashes(void)
{
	burn(200);
	drop();
	printf("%d %d %d\n", hello_send(), unwind(1), thread_self() == &session);
}

void hazard_exit_plain(void)
{
	burn(60);
	exit(7);
}
void hazard_exit_quick(void)
{
	burn(60);
	quick_exit(8);
}
void hazard_exit_under(void)
{
	burn(60);
	_exit(9);
}
void hazard_exit_abort(void)
{
	burn(60);
	abort();
}
void hazard_exit_terminated(void)
{
	burn(60);
	raise(SIGTERM);
}
void hazard_exit_killed(void)
{
	burn(60);
	raise(SIGKILL);
}

void hazard_exit_with_threads(void)
{
	for (int i = 0; i < 8; i++) {
		pthread_t t;

		need(!pthread_create(&t, NULL, burn_thread, (void *)(intptr_t)100000), "thread");
		pthread_detach(t);
	}
	burn(60);
	puts("leaving");
}

/* A bit of everything, for agents that behave badly. */
void hazard_mixed(void)
{
	hazard_forks();
	hazard_robust_mutex();
	for (int i = 0; i < 30; i++) {
		pthread_t t[4];

		for (int k = 0; k < 4; k++)
			need(!pthread_create(&t[k], NULL, burn_thread, (void *)(intptr_t)10),
			     "thread");
		for (int k = 0; k < 4; k++)
			pthread_join(t[k], NULL);
	}
	puts("done");
}
