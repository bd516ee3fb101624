/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks [SEED]: blocks in one libc function after the other and prints "NAME NANOSECONDS" for
 * each: how long its calls took by the exact clock.  A second thread, or a timeout, ends every wait
 * after 30 to 50 ms.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 8

ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);

static int bytes[2], pair[2], epoll, queue, semaphores, locked[2];
static FILE *stream;
static pthread_barrier_t barrier;
static uint32_t word;
static pthread_t blocker;
static sem_t wanted;
static void (*volatile wake)(void);
static unsigned seed = 1;

static struct timespec span(void)
{
	seed = seed * 1103515245 + 12345;
	return (struct timespec){0, 30000000 + (long)(seed >> 8) % 20000000};
}

static struct timespec later(clockid_t clock)
{
	struct timespec now, more = span();

	clock_gettime(clock, &now);
	now.tv_nsec += more.tv_nsec;
	now.tv_sec += now.tv_nsec / 1000000000;
	now.tv_nsec %= 1000000000;
	return now;
}

/* The other thread: waits a while, then ends the wait that was asked for. */
static void *waker(void *arg)
{
	(void)arg;
	for (;;) {
		while (sem_wait(&wanted))
			;
		struct timespec t = span();

		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
		if (!wake)
			return NULL;
		wake();
	}
}

static void wake_line(void)
{
	if (write(bytes[1], "12345678\n", 9) != 9)
		abort();
}
static void wake_pair(void)
{
	if (write(pair[1], "x", 1) != 1)
		abort();
}
static void wake_barrier(void)
{
	pthread_barrier_wait(&barrier);
}
static void wake_futex(void)
{
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static void wake_message(void)
{
	struct {
		long type;
		char text[1];
	} m = {1, "x"};

	if (msgsnd(queue, &m, 1, 0))
		abort();
}
static void wake_semop(void)
{
	struct sembuf op = {0, 1, 0};

	semop(semaphores, &op, 1);
}
static void wake_signal(void)
{
	pthread_kill(blocker, SIGUSR1);
}
static void wake_flock(void)
{
	flock(locked[1], LOCK_UN);
}
static void wake_ofd(void)
{
	struct flock l = {.l_type = F_UNLCK};

	fcntl(locked[1], F_OFD_SETLK, &l);
}

/* ---- the waits ---- */

static char buffer[64];

static void in_read(void)
{
	(void)!read(bytes[0], buffer, 9);
}
static void in_read_chk(void)
{
	(void)!__read_chk(bytes[0], buffer, 9, sizeof(buffer));
}
static void in_readv(void)
{
	struct iovec v = {buffer, 9};

	(void)!readv(bytes[0], &v, 1);
}
static void in_recv(void)
{
	recv(pair[0], buffer, 1, 0);
}
static void in_recv_chk(void)
{
	__recv_chk(pair[0], buffer, 1, sizeof(buffer), 0);
}
static void in_recvmsg(void)
{
	struct iovec v = {buffer, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	recvmsg(pair[0], &m, 0);
}
/* Sockets that did not block, and do again: by F_SETFL, by FIONBIO, and because the number is
 * another file's. */
static void in_recv_again(void)
{
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	recv(pair[0], buffer, 1, 0);
	fcntl(pair[0], F_SETFL, 0);
	recv(pair[0], buffer, 1, 0);
}
static void in_recvfrom(void)
{
	int on = 1, off = 0;

	ioctl(pair[0], FIONBIO, &on);
	recvfrom(pair[0], buffer, 1, 0, NULL, NULL);
	ioctl(pair[0], FIONBIO, &off);
	recvfrom(pair[0], buffer, 1, 0, NULL, NULL);
}
static void in_read_reused(void)
{
	int closed[2], replaced[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, closed) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, replaced) || close(closed[0]) ||
	    dup(bytes[0]) != closed[0] || dup2(bytes[0], replaced[0]) < 0)
		abort();
	(void)!read(seed & 256 ? closed[0] : replaced[0], buffer, 9);
	close(closed[0]);
	close(closed[1]);
	close(replaced[0]);
	close(replaced[1]);
}
static void in_poll(void)
{
	poll(NULL, 0, 40);
}
static void in_ppoll(void)
{
	struct timespec t = span();

	ppoll(NULL, 0, &t, NULL);
}
static void in_select(void)
{
	struct timeval t = {0, 35000};

	select(0, NULL, NULL, NULL, &t);
}
static void in_epoll_wait(void)
{
	struct epoll_event e;

	epoll_wait(epoll, &e, 1, 37);
}
static void in_nanosleep(void)
{
	struct timespec t = span();

	nanosleep(&t, NULL);
}
static void in_clock_nanosleep(void)
{
	struct timespec t = span();

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}
static void in_usleep(void)
{
	usleep(33000);
}
static void in_thrd_sleep(void)
{
	struct timespec t = span();

	thrd_sleep(&t, NULL);
}
static void in_fread(void)
{
	(void)!fread(buffer, 9, 1, stream);
}
static void in_fgets(void)
{
	(void)!fgets(buffer, sizeof(buffer), stream);
}
static void in_getc(void)
{
	for (int i = 0; i < 9; i++)
		getc(stream);
}
static void in_getline(void)
{
	static char *line;
	static size_t room;

	(void)!getline(&line, &room, stream);
}
static void in_fscanf(void)
{
	int n;

	(void)!fscanf(stream, "%d", &n);
}
static void in_system(void)
{
	(void)!system("sleep 0.04");
}
static void in_barrier(void)
{
	pthread_barrier_wait(&barrier);
}
static void in_syscall(void)
{
	__atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}
static void in_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} m;

	msgrcv(queue, &m, sizeof(m.text), 0, 0);
}
static void in_semop(void)
{
	struct sembuf op = {0, -1, 0};

	semop(semaphores, &op, 1);
}
static void in_sem_timedwait(void)
{
	static sem_t never;
	struct timespec t = later(CLOCK_REALTIME);

	sem_timedwait(&never, &t);
}
static void in_cond_timedwait(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec t = later(CLOCK_REALTIME);

	pthread_mutex_lock(&mutex);
	pthread_cond_timedwait(&cond, &mutex, &t);
	pthread_mutex_unlock(&mutex);
}
static void in_sigtimedwait(void)
{
	struct timespec t = span();
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	sigtimedwait(&s, NULL, &t);
}
static void in_pause(void)
{
	pause();
}
static void in_flock(void)
{
	flock(locked[0], LOCK_EX);
	flock(locked[0], LOCK_UN);
	flock(locked[1], LOCK_EX);
}
static void in_fcntl(void)
{
	struct flock write_lock = {.l_type = F_WRLCK}, none = {.l_type = F_UNLCK};

	fcntl(locked[0], F_OFD_SETLKW, &write_lock);
	fcntl(locked[0], F_OFD_SETLK, &none);
	fcntl(locked[1], F_OFD_SETLK, &write_lock);
}
static void *sleeper(void *arg)
{
	struct timespec t = span();

	(void)arg;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	return NULL;
}
static void in_join(void)
{
	pthread_t t;

	pthread_create(&t, NULL, sleeper, NULL);
	pthread_join(t, NULL);
}

static const struct {
	const char *name; /* of the function, as the profile has it */
	void (*in)(void), (*wake)(void);
} waits[] = {
    {"read", in_read, wake_line},
    {"read", in_read_chk, wake_line},
    {"readv", in_readv, wake_line},
    {"recv", in_recv, wake_pair},
    {"recv", in_recv_chk, wake_pair},
    {"recvmsg", in_recvmsg, wake_pair},
    {"recv", in_recv_again, wake_pair},
    {"recvfrom", in_recvfrom, wake_pair},
    {"read", in_read_reused, wake_line},
    {"poll", in_poll, NULL},
    {"ppoll", in_ppoll, NULL},
    {"select", in_select, NULL},
    {"epoll_wait", in_epoll_wait, NULL},
    {"nanosleep", in_nanosleep, NULL},
    {"clock_nanosleep", in_clock_nanosleep, NULL},
    {"usleep", in_usleep, NULL},
    {"thrd_sleep", in_thrd_sleep, NULL},
    {"fread", in_fread, wake_line},
    {"fgets", in_fgets, wake_line},
    {"getc", in_getc, wake_line},
    {"getdelim", in_getline, wake_line},
    {"__isoc99_vfscanf", in_fscanf, wake_line},
    {"system", in_system, NULL},
    {"pthread_barrier_wait", in_barrier, wake_barrier},
    {"syscall", in_syscall, wake_futex},
    {"msgrcv", in_msgrcv, wake_message},
    {"semop", in_semop, wake_semop},
    {"sem_timedwait", in_sem_timedwait, NULL},
    {"pthread_cond_timedwait", in_cond_timedwait, NULL},
    {"sigtimedwait", in_sigtimedwait, NULL},
    {"pause", in_pause, wake_signal},
    {"flock", in_flock, wake_flock},
    {"fcntl64", in_fcntl, wake_ofd},
    {"pthread_join", in_join, NULL},
};

static void nothing(int signal)
{
	(void)signal;
}

static void prepare(void)
{
	char path[] = "/tmp/hearth-blocks.XXXXXX";

	if (pipe(bytes) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	stream = fdopen(dup(bytes[0]), "r");
	epoll = epoll_create1(0);
	queue = msgget(IPC_PRIVATE, 0600);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	locked[0] = mkstemp(path);
	locked[1] = open(path, O_RDWR);
	unlink(path);
	pthread_barrier_init(&barrier, NULL, 2);
	signal(SIGUSR1, nothing);
	blocker = pthread_self();
	sem_init(&wanted, 0, 0);
	if (!stream || epoll < 0 || queue < 0 || semaphores < 0 || locked[1] < 0)
		abort();
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	sigset_t usr2;
	pthread_t t;

	if (argc > 1)
		seed = (unsigned)atoi(argv[1]);
	prepare();
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &usr2, NULL);
	pthread_create(&t, NULL, waker, NULL);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		int64_t sum = 0;

		if (waits[i].in == in_flock)
			flock(locked[1], LOCK_EX);
		if (waits[i].in == in_fcntl) {
			struct flock l = {.l_type = F_WRLCK};

			flock(locked[1], LOCK_UN);
			fcntl(locked[1], F_OFD_SETLK, &l);
		}
		for (int k = 0; k < ROUNDS; k++) {
			wake = waits[i].wake;
			if (wake)
				sem_post(&wanted);
			int64_t from = now_ns();

			waits[i].in();
			sum += now_ns() - from;
		}
		printf("%s %lld\n", waits[i].name, (long long)sum);
	}
	wake = NULL;
	sem_post(&wanted);
	pthread_join(t, NULL);
	msgctl(queue, IPC_RMID, NULL);
	semctl(semaphores, 0, IPC_RMID);
	return 0;
}
