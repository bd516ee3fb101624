/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors, limits, filters, namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harm/hazards.h"

static void *burn_thread(void *ms)
{
	burn((long)(intptr_t)ms);
	return NULL;
}

static int threads(int count, long ms)
{
	pthread_t t[128];
	int made = 0;

	for (; made < count && made < 128; made++)
		if (pthread_create(&t[made], NULL, burn_thread, (void *)(intptr_t)ms))
			break;
	for (int i = 0; i < made; i++)
		pthread_join(t[i], NULL);
	return made;
}

static uint64_t sum_file(const char *path)
{
	uint64_t sum = 1469598103934665603u;
	FILE *f = fopen(path, "r");
	int c;

	need(f != NULL, "fopen");
	while ((c = getc(f)) != EOF)
		sum = (sum ^ (uint64_t)c) * 1099511628211u;
	fclose(f);
	return sum;
}

/* Files of the program's own under every number that was closed: nobody else may write there. */
static void fill_numbers(int up_to)
{
	char directory[] = "/tmp/hearth-harm.XXXXXX", path[64];
	uint64_t sums = 0;
	int opened = 0;

	need(mkdtemp(directory) != NULL, "mkdtemp");
	for (int i = 0; i < up_to; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%d", directory, i);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0)
			break;
		opened++;
		need(write(fd, path + strlen(directory), 2) == 2, "write");
	}
	for (int i = 0; i < 20; i++)
		/* time for the client to look for its agent, and to think that it has a
		 * descriptor */
		burn(60);
	threads(4, 20);
	for (int i = 0; i < opened; i++) {
		snprintf(path, sizeof(path), "%s/%d", directory, i);
		sums += sum_file(path);
		unlink(path);
	}
	rmdir(directory);
	printf("opened %d, sums %llx\n", opened, (unsigned long long)sums);
}

void hazard_closes_everything(void)
{
	burn(100);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	fill_numbers(200);
}

void hazard_closefrom_and_reuse(void)
{
	burn(100);
	closefrom(3);
	fill_numbers(200);
	syscall(SYS_close_range, 3, ~0u, 0); /* behind the back of libc */
	fill_numbers(120);
}

void hazard_nofile_tight(void)
{
	int opened = 0;

	burn(100);
	while (open("/dev/null", O_RDONLY) >= 0)
		opened++;
	printf("opened %d, then %s\n", opened, strerror(errno));
	printf("threads %d\n", threads(4, 20));
}

/* What a program sees that tries every number, and that opens what it may. */
static void count_files(const char *who)
{
	struct rlimit limit;
	int opened = 0;

	need(!getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	printf("%s: limits %lld, %lld; open:", who, (long long)limit.rlim_cur,
	       (long long)limit.rlim_max);
	for (int fd = 0; fd < sysconf(_SC_OPEN_MAX); fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf(" %d", fd);
	while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
		opened++;
	closefrom(3);
	printf("; %d more, then %s\n", opened, strerror(errno));
	fflush(stdout);
}

void hazard_files_counted(void)
{
	pid_t child;

	burn(100);
	count_files("a process");
	child = fork();
	if (!child) {
		burn(200);
		count_files("a child");
		_exit(0);
	}
	need(waitpid(child, NULL, 0) == child, "waitpid");
}

void hazard_as_tight(void)
{
	size_t most = 0;
	void *p;

	burn(100);
	for (size_t mib = 512; mib > 0; mib /= 2)
		while ((p = malloc(mib << 20)) != NULL)
			most += mib;
	/* What the client keeps for itself is 1 % or 4 MB. */
	printf("about %zu MiB\n", (most + 16) / 32 * 32);
}

/* The number of timers and queued signals of a user is one budget: the program's share is not
 * ours. */
void hazard_sigpending_tight(void)
{
	union sigval value = {.sival_int = 1};
	sigset_t set;
	int queued = 0;

	printf("threads %d\n", threads(64, 3));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	burn(50);
	while (queued < 8 && !sigqueue(getpid(), SIGRTMIN, value))
		queued++;
	printf("queued %d\n", queued);
}

void hazard_nproc_one(void)
{
	burn(100);
	printf("one more thread: %d\n", threads(1, 5) <= 1);
}

static void filter(uint32_t action)
{
	static const int refused[] = {SYS_timer_create, SYS_timer_settime, SYS_timer_delete,
				      SYS_memfd_create, SYS_connect,       SYS_sendmsg,
				      SYS_socket,       SYS_sigaltstack};
	struct sock_filter code[32];
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)refused[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = {n, code};

	need(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	need(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

void hazard_seccomp_errno(void)
{
	burn(100);
	filter(SECCOMP_RET_ERRNO | EPERM);
	burn(1500);
	printf("threads %d\n", threads(8, 20));
}

void hazard_seccomp_kill(void)
{
	burn(100);
	filter(SECCOMP_RET_KILL_PROCESS);
	burn(1500);
	printf("threads %d\n", threads(8, 20));
}

/* read, write, _exit and sigreturn are all that is left. */
void hazard_seccomp_strict(void)
{
	static const char text[] = "alive\n";

	burn(100);
	fflush(stdout);
	need(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), "seccomp");
	for (volatile uint64_t i = 0; i < 300000000; i++)
		;
	(void)!write(1, text, sizeof(text) - 1);
	syscall(SYS_exit, 0);
}

/* Reading the processor's counter, which the exact clock is made of, ends the program. */
void hazard_counter_forbidden(void)
{
	static const char text[] = "alive\n";

	burn(100);
	fflush(stdout);
	need(!prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0), "prctl");
	for (int i = 0; i < 200; i++)
		usleep(1000);
	for (volatile uint64_t i = 0; i < 300000000; i++)
		;
	(void)!write(1, text, sizeof(text) - 1);
	_exit(0);
}

/* Refused to a process with two threads. */
void hazard_unshare_user(void)
{
	burn(100);
	printf("unshare: %s\n", unshare(CLONE_NEWUSER) ? strerror(errno) : "done");
}

void hazard_chroot_empty(void)
{
	char directory[] = "/tmp/hearth-harm.XXXXXX";

	burn(100);
	need(mkdtemp(directory) && !chdir(directory), "mkdtemp");
	rmdir(directory);
	printf("chroot: %s\n", chroot(".") ? strerror(errno) : "done");
	burn(1500);
	printf("threads %d\n", threads(4, 20));
}

static volatile int over;

static void *wait_over(void *arg)
{
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		burn(1);
	*(int *)arg = geteuid() == 65534;
	return NULL;
}

/* glibc changes the user of all threads with a signal of its own. */
void hazard_setuid_threads(void)
{
	pthread_t t[8];
	int changed[8] = {0}, sum = 0;

	for (int i = 0; i < 8; i++)
		need(!pthread_create(&t[i], NULL, wait_over, &changed[i]), "thread");
	burn(50);
	printf("setgroups %d, setuid %d\n", setgroups(0, NULL), setuid(65534));
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		sum += changed[i];
	}
	burn(1200);
	printf("changed %d\n", sum);
}

/* What a program may do with its memory is what it was before. */
void hazard_core_limits(void)
{
	struct rlimit limit;
	void *p = malloc(1 << 20);

	need(p != NULL, "malloc");
	printf("dumpable %d", prctl(PR_GET_DUMPABLE));
	for (int i = 0; i < RLIM_NLIMITS; i++)
		printf(" %d", !getrlimit((enum __rlimit_resource)i, &limit));
	puts("");
	free(p);
}
