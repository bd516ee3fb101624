/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_calls.c - the blocking calls of libc, each with a look at the clock around it.
 *
 * A hook gives the call's own result and errno.  It holds nothing while it waits, so that the call
 * stays a cancellation point and may be left by longjmp.  Compiled without sibling calls: dlsym with
 * RTLD_NEXT asks who its caller is, and the hook's frame is what source_wall.c starts from.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/preload.h"
#include "client/session.h"
#include "client/source.h"

#define EXPORT __attribute__((visibility("default")))

/* The kind of target of each call, from calls.def. */
enum {
#define CALL(name, target) TARGET_##name = RING_TARGET_##target,
#include "client/calls.def"
#undef CALL
};

/*
 * HOOK(result, name, parameters, arguments, call, target): define `name`, which calls the next
 * `name` and charges the time to `call`.  A function that is called before the constructor ran
 * looks its successor up itself.
 */
#define NEXT(name, result, parameters, version)                                                    \
	static result(*next_##name) parameters;                                                    \
	static result(*find_##name(void)) parameters                                               \
	{                                                                                          \
		if (__builtin_expect(!load(&next_##name), 0))                                      \
			store(&next_##name,                                                        \
			      (result(*) parameters)preload_next(#name, version));                 \
		return load(&next_##name);                                                         \
	}

#define HERE(call_, target_)                                                                       \
	{ .call = RING_CALL_##call_, .target_kind = (uint32_t)TARGET_##call_,                      \
	  .target = (uint64_t)(target_), .from = CALL_SITE }

#define HOOK_AS(result, name, parameters, arguments, call_, target_, version)                      \
	NEXT(name, result, parameters, version)                                                    \
	EXPORT result name parameters;                                                             \
	result name parameters                                                                     \
	{                                                                                          \
		struct blocked blocked_ = HERE(call_, target_);                                    \
		result result_;                                                                    \
                                                                                                   \
		source_wall_begin(&blocked_);                                                      \
		result_ = find_##name() arguments;                                                 \
		source_wall_end(&blocked_);                                                        \
		return result_;                                                                    \
	}

#define HOOK(result, name, parameters, arguments, target_)                                         \
	HOOK_AS(result, name, parameters, arguments, name, target_, NULL)

#define ADDRESS(p) ((uintptr_t)(p))

HOOK(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), (unsigned)fd)
HOOK(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), (unsigned)fd)
HOOK(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), (unsigned)fd)
HOOK(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), (unsigned)fd)
HOOK(ssize_t, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), (unsigned)fd)
HOOK(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), (unsigned)fd)
HOOK_AS(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), pread64,
	(unsigned)fd, NULL)
HOOK_AS(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), pwrite64,
	(unsigned)fd, NULL)
HOOK(ssize_t, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f), (unsigned)fd)
HOOK(ssize_t, recvfrom,
     (int fd, void *restrict p, size_t n, int f, struct sockaddr *restrict a, socklen_t *restrict l),
     (fd, p, n, f, a, l), (unsigned)fd)
HOOK(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), (unsigned)fd)
HOOK(ssize_t, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f), (unsigned)fd)
HOOK(ssize_t, sendto,
     (int fd, const void *p, size_t n, int f, const struct sockaddr *a, socklen_t l),
     (fd, p, n, f, a, l), (unsigned)fd)
HOOK(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), (unsigned)fd)
HOOK(int, accept, (int fd, struct sockaddr *restrict a, socklen_t *restrict l), (fd, a, l),
     (unsigned)fd)
HOOK(int, accept4, (int fd, struct sockaddr *restrict a, socklen_t *restrict l, int f),
     (fd, a, l, f), (unsigned)fd)
HOOK(int, connect, (int fd, const struct sockaddr *a, socklen_t l), (fd, a, l), (unsigned)fd)
HOOK(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms), 0)
HOOK(int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *s),
     (p, n, t, s), 0)
HOOK(int, select,
     (int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e, struct timeval *restrict t),
     (n, r, w, e, t), 0)
HOOK(int, pselect,
     (int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e,
      const struct timespec *restrict t, const sigset_t *restrict s),
     (n, r, w, e, t, s), 0)
HOOK(int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms), (unsigned)fd)
HOOK(int, epoll_pwait, (int fd, struct epoll_event *e, int n, int ms, const sigset_t *s),
     (fd, e, n, ms, s), (unsigned)fd)
HOOK(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left), 0)
HOOK(int, clock_nanosleep, (clockid_t c, int f, const struct timespec *t, struct timespec *left),
     (c, f, t, left), 0)
HOOK(int, usleep, (useconds_t us), (us), 0)
HOOK(unsigned, sleep, (unsigned s), (s), 0)
HOOK(int, fsync, (int fd), (fd), (unsigned)fd)
HOOK(int, fdatasync, (int fd), (fd), (unsigned)fd)
HOOK(pid_t, wait, (int *status), (status), (unsigned)-1)
HOOK(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), (unsigned)pid)
HOOK(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *u),
     (pid, status, options, u), (unsigned)pid)
HOOK(int, waitid, (idtype_t type, id_t id, siginfo_t *i, int options), (type, id, i, options), id)
HOOK(int, pthread_join, (pthread_t t, void **r), (t, r), t)
HOOK(int, flock, (int fd, int op), (fd, op), (unsigned)fd)
HOOK(size_t, fread, (void *restrict p, size_t size, size_t n, FILE *restrict f), (p, size, n, f),
     ADDRESS(f))
HOOK(size_t, fwrite, (const void *restrict p, size_t size, size_t n, FILE *restrict f),
     (p, size, n, f), ADDRESS(f))
HOOK(char *, fgets, (char *restrict p, int n, FILE *restrict f), (p, n, f), ADDRESS(f))
HOOK(int, fflush, (FILE * f), (f), ADDRESS(f))
HOOK(int, getaddrinfo,
     (const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
      struct addrinfo **restrict r),
     (node, service, hints, r), 0)
HOOK(int, system, (const char *command), (command), 0)

/* What _FORTIFY_SOURCE makes of them. */
HOOK_AS(ssize_t, __read_chk, (int fd, void *p, size_t n, size_t room), (fd, p, n, room), read,
	(unsigned)fd, NULL)
HOOK_AS(ssize_t, __pread64_chk, (int fd, void *p, size_t n, off64_t at, size_t room),
	(fd, p, n, at, room), pread64, (unsigned)fd, NULL)
HOOK_AS(ssize_t, __recv_chk, (int fd, void *p, size_t n, size_t room, int f), (fd, p, n, room, f),
	recv, (unsigned)fd, NULL)
HOOK_AS(ssize_t, __recvfrom_chk,
	(int fd, void *restrict p, size_t n, size_t room, int f, struct sockaddr *restrict a,
	 socklen_t *restrict l),
	(fd, p, n, room, f, a, l), recvfrom, (unsigned)fd, NULL)
HOOK_AS(int, __poll_chk, (struct pollfd * p, nfds_t n, int ms, size_t room), (p, n, ms, room), poll,
	0, NULL)
HOOK_AS(int, __ppoll_chk,
	(struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *s, size_t room),
	(p, n, t, s, room), ppoll, 0, NULL)
HOOK_AS(size_t, __fread_chk,
	(void *restrict p, size_t room, size_t size, size_t n, FILE *restrict f),
	(p, room, size, n, f), fread, ADDRESS(f), NULL)
HOOK_AS(char *, __fgets_chk, (char *restrict p, size_t room, int n, FILE *restrict f),
	(p, room, n, f), fgets, ADDRESS(f), NULL)

void preload_calls_start(void)
{
#define CALL(name, target) (void)find_##name();
#define LOCK_CALL(name, target)
#include "client/calls.def"
#undef CALL
}
