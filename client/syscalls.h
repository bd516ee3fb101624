/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/syscalls.h - calls that the preload stands in front of, made without going through its own
 * hooks.
 *
 * Private to client/.  They set errno as libc's functions do, and are no cancellation points: a
 * handler must not be where a thread ends.
 */
#ifndef CLIENT_SYSCALLS_H
#define CLIENT_SYSCALLS_H

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline ssize_t sys_read(int fd, void *to, size_t bytes)
{
	return syscall(SYS_read, fd, to, bytes);
}

static inline int sys_socket(int family, int type)
{
	return (int)syscall(SYS_socket, family, type, 0);
}

static inline int sys_connect(int fd, const void *address, size_t bytes)
{
	return (int)syscall(SYS_connect, fd, address, bytes);
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return syscall(SYS_sendmsg, fd, m, flags);
}

/* Also for files: libc's open and close are cancellation points too. */
static inline int sys_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, -100 /* AT_FDCWD */, path, flags, 0);
}

static inline void sys_close(int fd)
{
	(void)syscall(SYS_close, fd);
}

static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

static inline int sys_fcntl(int fd, int command, long arg)
{
	return (int)syscall(SYS_fcntl, fd, command, arg);
}

/* Set the limit of the number of descriptors where `to` is not NULL; *ret_was may be NULL. */
static inline int sys_limit_files(const struct rlimit *to, struct rlimit *ret_was)
{
	return (int)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, to, ret_was);
}

static inline void sys_pause_ns(long ns)
{
	struct timespec t = {0, ns};

	(void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}

#endif
