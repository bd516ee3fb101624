/* SPDX-License-Identifier: Apache-2.0 */
/* client/preload_calls.c - the blocking calls of libc on descriptors, processes and time: see
 * hook.h. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "client/hook.h"
#include "client/session.h"
#include "client/target.h"

HOOK(ssize_t, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), FD(fd))
HOOK(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), FD(fd))
HOOK_AS(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), pread64, FD(fd),
	NULL)
HOOK_AS(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), pwrite64,
	FD(fd), NULL)
HOOK(int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *s),
     (p, n, t, s), 0)
HOOK(int, select,
     (int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e,
      struct timeval *restrict t),
     (n, r, w, e, t), 0)
HOOK(int, pselect,
     (int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e,
      const struct timespec *restrict t, const sigset_t *restrict s),
     (n, r, w, e, t, s), 0)
HOOK(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left), 0)
HOOK(int, clock_nanosleep, (clockid_t c, int f, const struct timespec *t, struct timespec *left),
     (c, f, t, left), 0)
HOOK(int, usleep, (useconds_t us), (us), 0)
HOOK(unsigned, sleep, (unsigned s), (s), 0)
HOOK(int, fsync, (int fd), (fd), FD(fd))
HOOK(int, fdatasync, (int fd), (fd), FD(fd))
HOOK(pid_t, wait, (int *status), (status), (unsigned)-1)
HOOK(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), (unsigned)pid)
HOOK(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *u),
     (pid, status, options, u), (unsigned)pid)
HOOK(int, waitid, (idtype_t type, id_t id, siginfo_t *i, int options), (type, id, i, options), id)
HOOK(int, pthread_join, (pthread_t t, void **r), (t, r), t)
HOOK(int, flock, (int fd, int op), (fd, op), FD(fd))
HOOK(ssize_t, preadv64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at), FD(fd))
HOOK(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at), FD(fd))
HOOK(ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off64_t at, int f),
     (fd, v, n, at, f), FD(fd))
HOOK(ssize_t, pwritev64v2, (int fd, const struct iovec *v, int n, off64_t at, int f),
     (fd, v, n, at, f), FD(fd))
HOOK_AS(ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at), preadv64,
	FD(fd), NULL)
HOOK_AS(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at),
	pwritev64, FD(fd), NULL)
HOOK_AS(ssize_t, preadv2, (int fd, const struct iovec *v, int n, off_t at, int f),
	(fd, v, n, at, f), preadv64v2, FD(fd), NULL)
HOOK_AS(ssize_t, pwritev2, (int fd, const struct iovec *v, int n, off_t at, int f),
	(fd, v, n, at, f), pwritev64v2, FD(fd), NULL)
HOOK(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t),
     (fd, m, n, f, t), FD(fd))
HOOK(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int f), (fd, m, n, f), FD(fd))
HOOK(int, epoll_pwait2,
     (int fd, struct epoll_event *e, int n, const struct timespec *t, const sigset_t *s),
     (fd, e, n, t, s), FD(fd))

HOOK(int, pause, (void), (), 0)
HOOK(int, sigsuspend, (const sigset_t *s), (s), 0)
HOOK(int, sigwait, (const sigset_t *restrict s, int *restrict n), (s, n), 0)
HOOK(int, sigwaitinfo, (const sigset_t *restrict s, siginfo_t *restrict i), (s, i), 0)
HOOK(int, sigtimedwait,
     (const sigset_t *restrict s, siginfo_t *restrict i, const struct timespec *restrict t),
     (s, i, t), 0)
HOOK(pid_t, wait3, (int *status, int options, struct rusage *u), (status, options, u), FD(-1))

/* ---- files: what may wait for a disk, a server or a lock ---- */

static mode_t mode_of(int flags, va_list arguments)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

#define HOOK_OPEN(name, parameters, ...)                                                           \
	NEXT(name, int, parameters, NULL)                                                          \
	EXPORT int name parameters;                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		va_list arguments;                                                                 \
		mode_t mode;                                                                       \
		int r;                                                                             \
                                                                                                   \
		va_start(arguments, flags);                                                        \
		mode = mode_of(flags, arguments);                                                  \
		va_end(arguments);                                                                 \
		WAITS(name, 0, r = find_##name()(__VA_ARGS__, mode));                              \
		return r;                                                                          \
	}

HOOK_OPEN(open, (const char *path, int flags, ...), path, flags)
HOOK_OPEN(open64, (const char *path, int flags, ...), path, flags)
HOOK_OPEN(openat, (int at, const char *path, int flags, ...), at, path, flags)
HOOK_OPEN(openat64, (int at, const char *path, int flags, ...), at, path, flags)
HOOK_AS(int, __open_2, (const char *path, int flags), (path, flags), open, 0, NULL)
HOOK_AS(int, __open64_2, (const char *path, int flags), (path, flags), open64, 0, NULL)
HOOK_AS(int, __openat_2, (int at, const char *path, int flags), (at, path, flags), openat, 0, NULL)
HOOK_AS(int, __openat64_2, (int at, const char *path, int flags), (at, path, flags), openat64, 0,
	NULL)
HOOK(int, creat, (const char *path, mode_t mode), (path, mode), 0)
HOOK(int, creat64, (const char *path, mode_t mode), (path, mode), 0)

/* A number may be another file's from here on, in another thread before the call is back:
 * target.h. */
NEXT(close, int, (int fd), NULL)
HOOK_CALL(int, close, (int fd), (target_closing(fd), find_close()(fd)), close, FD(fd),
	  target_forget(fd))

#define CLOSES(result, name, parameters, arguments, closing, forget)                               \
	NEXT(name, result, parameters, NULL)                                                       \
	EXPORT result name parameters;                                                             \
	result name parameters                                                                     \
	{                                                                                          \
		result r;                                                                          \
                                                                                                   \
		closing;                                                                           \
		r = find_##name() arguments;                                                       \
		forget;                                                                            \
		return r;                                                                          \
	}

CLOSES(int, dup2, (int from, int to), (from, to), target_closing(to), target_forget(to))
CLOSES(int, dup3, (int from, int to, int flags), (from, to, flags), target_closing(to),
       target_forget(to))
CLOSES(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags),
       target_closing_range(first, last), target_forget_range(first, last))

NEXT(closefrom, void, (int first), NULL)
EXPORT void closefrom(int first);
void closefrom(int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;

	target_closing_range(from, ~0u);
	find_closefrom()(first);
	target_forget_range(from, ~0u);
}

NEXT(sync, void, (void), NULL)
EXPORT void sync(void);
void sync(void)
{
	WAITS(sync, 0, find_sync()());
}

HOOK(int, syncfs, (int fd), (fd), FD(fd))
HOOK(int, msync, (void *p, size_t n, int f), (p, n, f), ADDRESS(p))
HOOK(int, sync_file_range, (int fd, off64_t at, off64_t n, unsigned f), (fd, at, n, f), FD(fd))
HOOK(int, fallocate64, (int fd, int mode, off64_t at, off64_t n), (fd, mode, at, n), FD(fd))
HOOK_AS(int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n), fallocate64,
	FD(fd), NULL)
HOOK(int, posix_fallocate64, (int fd, off64_t at, off64_t n), (fd, at, n), FD(fd))
HOOK_AS(int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n), posix_fallocate64, FD(fd),
	NULL)
HOOK(int, ftruncate64, (int fd, off64_t n), (fd, n), FD(fd))
HOOK_AS(int, ftruncate, (int fd, off_t n), (fd, n), ftruncate64, FD(fd), NULL)
HOOK(int, truncate64, (const char *path, off64_t n), (path, n), 0)
HOOK_AS(int, truncate, (const char *path, off_t n), (path, n), truncate64, 0, NULL)
HOOK(int, rename, (const char *from, const char *to), (from, to), 0)
HOOK(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), 0)
HOOK(int, unlink, (const char *path), (path), 0)
HOOK(int, unlinkat, (int at, const char *path, int f), (at, path, f), 0)
HOOK(int, mkdir, (const char *path, mode_t mode), (path, mode), 0)
HOOK(int, rmdir, (const char *path), (path), 0)
HOOK(int, lockf64, (int fd, int op, off64_t n), (fd, op, n), FD(fd))
HOOK_AS(int, lockf, (int fd, int op, off_t n), (fd, op, n), lockf64, FD(fd), NULL)
HOOK(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t n), (to, from, at, n), FD(to))
HOOK_AS(ssize_t, sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n), sendfile64,
	FD(to), NULL)
HOOK(ssize_t, splice, (int from, off64_t *a, int to, off64_t *b, size_t n, unsigned f),
     (from, a, to, b, n, f), FD(from))
HOOK(ssize_t, tee, (int from, int to, size_t n, unsigned f), (from, to, n, f), FD(from))
HOOK(ssize_t, vmsplice, (int fd, const struct iovec *v, size_t n, unsigned f), (fd, v, n, f),
     FD(fd))
HOOK(ssize_t, copy_file_range, (int from, off64_t *a, int to, off64_t *b, size_t n, unsigned f),
     (from, a, to, b, n, f), FD(from))
HOOK(ssize_t, getrandom, (void *p, size_t n, unsigned f), (p, n, f), 0)
HOOK(int, getentropy, (void *p, size_t n), (p, n), 0)
HOOK(int, tcdrain, (int fd), (fd), FD(fd))

/* Of these many commands few wait; the others pass. */
#define HOOK_COMMAND(name, charged, type, waits, after)                                            \
	NEXT(name, int, (int fd, type command, ...), NULL)                                         \
	EXPORT int name(int fd, type command, ...);                                                \
	int name(int fd, type command, ...)                                                        \
	{                                                                                          \
		va_list arguments;                                                                 \
		void *argument;                                                                    \
		int r;                                                                             \
                                                                                                   \
		va_start(arguments, command);                                                      \
		argument = va_arg(arguments, void *);                                              \
		va_end(arguments);                                                                 \
		if (!(waits))                                                                      \
			r = find_##name()(fd, command, argument);                                  \
		else                                                                               \
			WAITS(charged, FD(fd), r = find_##name()(fd, command, argument));          \
		if (!r)                                                                            \
			after;                                                                     \
		return r;                                                                          \
	}

static void fcntl_done(int fd, int command, const void *argument)
{
	if (command == F_SETFL)
		target_set_nonblocking(fd, (uintptr_t)argument & O_NONBLOCK);
}

static void ioctl_done(int fd, unsigned long command, const void *argument)
{
	if (command == FIONBIO)
		target_set_nonblocking(fd, *(const int *)argument);
}

#define IS_LOCK(command) ((command) == F_SETLKW || (command) == F_OFD_SETLKW)

HOOK_COMMAND(fcntl, fcntl64, int, IS_LOCK(command), fcntl_done(fd, command, argument))
HOOK_COMMAND(fcntl64, fcntl64, int, IS_LOCK(command), fcntl_done(fd, command, argument))
HOOK_COMMAND(ioctl, ioctl, unsigned long, command != FIONBIO, ioctl_done(fd, command, argument))

/* ---- System V and POSIX queues ---- */

HOOK(ssize_t, msgrcv, (int q, void *p, size_t n, long type, int f), (q, p, n, type, f), 0)
HOOK(int, msgsnd, (int q, const void *p, size_t n, int f), (q, p, n, f), 0)
HOOK(int, semop, (int s, struct sembuf *op, size_t n), (s, op, n), 0)
HOOK(int, semtimedop, (int s, struct sembuf *op, size_t n, const struct timespec *t), (s, op, n, t),
     0)
HOOK(ssize_t, mq_receive, (mqd_t q, char *p, size_t n, unsigned *priority), (q, p, n, priority),
     FD(q))
HOOK(ssize_t, mq_timedreceive,
     (mqd_t q, char *restrict p, size_t n, unsigned *restrict priority,
      const struct timespec *restrict t),
     (q, p, n, priority, t), FD(q))
HOOK(int, mq_send, (mqd_t q, const char *p, size_t n, unsigned priority), (q, p, n, priority),
     FD(q))
HOOK(int, mq_timedsend,
     (mqd_t q, const char *p, size_t n, unsigned priority, const struct timespec *t),
     (q, p, n, priority, t), FD(q))

HOOK(int, aio_suspend64, (const struct aiocb64 *const list[], int n, const struct timespec *t),
     (list, n, t), 0)
HOOK_AS(int, aio_suspend, (const struct aiocb *const list[], int n, const struct timespec *t),
	(list, n, t), aio_suspend64, 0, NULL)

/* ---- threads ---- */

HOOK(int, pthread_timedjoin_np, (pthread_t t, void **r, const struct timespec *until),
     (t, r, until), t)
HOOK(int, pthread_clockjoin_np, (pthread_t t, void **r, clockid_t c, const struct timespec *until),
     (t, r, c, until), t)
HOOK(int, pthread_barrier_wait, (pthread_barrier_t * p), (p), ADDRESS(p))
HOOK(int, thrd_join, (thrd_t t, int *r), (t, r), t)
HOOK(int, thrd_sleep, (const struct timespec *t, struct timespec *left), (t, left), 0)

/*
 * Code with locks of its own (Abseil, Rust's library, Go's through C) asks the kernel to wait.
 * Other calls by number pass through; an argument that was not given is passed on as it is found,
 * as libc does.
 */
NEXT(syscall, long, (long number, ...), NULL)
EXPORT long syscall(long number, ...);
long syscall(long number, ...)
{
	va_list arguments;
	long a[6], r;
	int command;

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_seccomp)
		store(&session.seccomp_set, 1); /* as prctl does it: preload_signals.c */
	if (number == SYS_seccomp && a[0] == 0) /* SECCOMP_SET_MODE_STRICT */
		store(&session.counter_forbidden, 1);
	command = (int)a[1] & FUTEX_CMD_MASK;
	if (number != SYS_futex ||
	    (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI))
		return find_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	WAITS(syscall, a[0], r = find_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]));
	return r;
}

/* What _FORTIFY_SOURCE makes of them. */
HOOK_AS(ssize_t, __read_chk, (int fd, void *p, size_t n, size_t room), (fd, p, n, room), read,
	FD(fd), NULL)
HOOK_AS(ssize_t, __pread64_chk, (int fd, void *p, size_t n, off64_t at, size_t room),
	(fd, p, n, at, room), pread64, FD(fd), NULL)
HOOK_AS(ssize_t, __recv_chk, (int fd, void *p, size_t n, size_t room, int f), (fd, p, n, room, f),
	recv, FD(fd), NULL)
HOOK_AS(ssize_t, __recvfrom_chk,
	(int fd, void *restrict p, size_t n, size_t room, int f, struct sockaddr *restrict a,
	 socklen_t *restrict l),
	(fd, p, n, room, f, a, l), recvfrom, FD(fd), NULL)
HOOK_AS(int, __poll_chk, (struct pollfd * p, nfds_t n, int ms, size_t room), (p, n, ms, room), poll,
	0, NULL)
HOOK_AS(int, __ppoll_chk,
	(struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *s, size_t room),
	(p, n, t, s, room), ppoll, 0, NULL)
