/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_sockets.c - the calls that an event loop makes without waiting: see hook.h.
 *
 * Compiled with sibling calls and without a frame pointer: where a call is known not to wait, on a
 * socket that does not block or with a timeout of 0, its hook is a comparison and a jump.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/hook.h"
#include "client/target.h"

/* `name`, which does not wait where `at_once` holds.  Who waits is jumped to, with the arguments
 * where they are and the caller of the hook as its own. */
#define HOOK_UNLESS(at_once, result, name, parameters, arguments, target_)                         \
	NEXT(name, result, parameters, NULL)                                                       \
	static __attribute__((noinline)) result name##_waits parameters                            \
	{                                                                                          \
		result result_;                                                                    \
                                                                                                   \
		WAITS(name, target_, result_ = find_##name() arguments);                           \
		return result_;                                                                    \
	}                                                                                          \
	EXPORT result name parameters;                                                             \
	result name parameters                                                                     \
	{                                                                                          \
		result(*next_) parameters = load(&next_##name);                                    \
                                                                                                   \
		return (at_once) && next_ ? next_ arguments : name##_waits arguments;              \
	}

/* On a descriptor, perhaps a socket that does not block.  Without flags, and with them. */
#define ON_SOCKET(result, name, parameters, arguments)                                             \
	HOOK_UNLESS(target_never_waits(fd), result, name, parameters, arguments, FD(fd))
#define ON_SOCKET_FLAGS(result, name, parameters, arguments)                                       \
	HOOK_UNLESS((f & MSG_DONTWAIT) || target_never_waits(fd), result, name, parameters,        \
		    arguments, FD(fd))

ON_SOCKET(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
ON_SOCKET(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
ON_SOCKET(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
ON_SOCKET(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
ON_SOCKET_FLAGS(ssize_t, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f))
ON_SOCKET_FLAGS(ssize_t, recvfrom,
		(int fd, void *restrict p, size_t n, int f, struct sockaddr *restrict a,
		 socklen_t *restrict l),
		(fd, p, n, f, a, l))
ON_SOCKET_FLAGS(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
ON_SOCKET_FLAGS(ssize_t, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f))
ON_SOCKET_FLAGS(ssize_t, sendto,
		(int fd, const void *p, size_t n, int f, const struct sockaddr *a, socklen_t l),
		(fd, p, n, f, a, l))
ON_SOCKET_FLAGS(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
ON_SOCKET(int, connect, (int fd, const struct sockaddr *a, socklen_t l), (fd, a, l))

/* What they return is a socket that blocks, unless the call says otherwise. */
#define HOOK_ACCEPT(name, parameters, arguments, nonblocking)                                      \
	NEXT(name, int, parameters, NULL)                                                          \
	EXPORT int name parameters;                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		int r;                                                                             \
                                                                                                   \
		if (target_never_waits(fd))                                                        \
			r = find_##name() arguments;                                               \
		else                                                                               \
			WAITS(name, FD(fd), r = find_##name() arguments);                          \
		target_is_socket(r, nonblocking);                                                  \
		return r;                                                                          \
	}

HOOK_ACCEPT(accept, (int fd, struct sockaddr *restrict a, socklen_t *restrict l), (fd, a, l), false)
HOOK_ACCEPT(accept4, (int fd, struct sockaddr *restrict a, socklen_t *restrict l, int f),
	    (fd, a, l, f), f &SOCK_NONBLOCK)

NEXT(socket, int, (int family, int type, int protocol), NULL)
EXPORT int socket(int family, int type, int protocol);
int socket(int family, int type, int protocol)
{
	int fd = find_socket()(family, type, protocol);

	target_is_socket(fd, type & SOCK_NONBLOCK);
	return fd;
}

NEXT(socketpair, int, (int family, int type, int protocol, int fds[2]), NULL)
EXPORT int socketpair(int family, int type, int protocol, int fds[2]);
int socketpair(int family, int type, int protocol, int fds[2])
{
	int r = find_socketpair()(family, type, protocol, fds);

	for (int i = 0; !r && i < 2; i++)
		target_is_socket(fds[i], type & SOCK_NONBLOCK);
	return r;
}

/* ---- what does not wait when it is told to come back at once ---- */

HOOK_UNLESS(ms == 0, int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms), 0)
HOOK_UNLESS(ms == 0, int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms),
	    (fd, e, n, ms), FD(fd))
HOOK_UNLESS(ms == 0, int, epoll_pwait,
	    (int fd, struct epoll_event *e, int n, int ms, const sigset_t *s), (fd, e, n, ms, s),
	    FD(fd))
