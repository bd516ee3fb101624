/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/target.h - what is known of a descriptor: what it leads to, for the label "target" of
 * blocked calls, and whether it is a socket that nobody waits for.
 *
 * Private to client/.  A descriptor is looked up once, by a few system calls, and remembered until
 * the program closes it or puts another in its place, which the preload's hooks tell.  A program
 * that closes descriptors by system calls of its own is shown the older name, and has the waits for
 * what takes the number of a socket among what is not explained.  Async-signal-safe, any thread.
 */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "client/atomics.h"

#define TARGET_NAME_MAX 52 /* with its NUL; longer ones lose their beginning */
#define TARGET_TEXT_MAX (sizeof("target") + TARGET_NAME_MAX)

/*
 * Write "target\0<name>\0" and return its length, 0 when nothing is known.  Names: a path;
 * "pipe:[7]", "anon_inode:[eventpoll]" and the like as /proc/self/fd has them; "tcp 10.1.2.3:5432"
 * of a connection that was made, "tcp :8080 from 10.1.2.3" of one that was accepted, "listen
 * 0.0.0.0:8080"; "unix /run/x.sock".
 */
uint16_t target_label(int fd, char to[TARGET_TEXT_MAX]);

/*
 * Sockets that do not block: the program made them so in a call that is interposed, so that no
 * system call is needed to know it.  Calls on them are not timed.  One that becomes blocking
 * through another descriptor or in another process is not told to be, and its waits are among what
 * is not explained; higher numbers are never known.
 */
#define TARGET_SOCKETS 65536

enum target_socket { TARGET_NO_SOCKET, TARGET_SOCKET, TARGET_NONBLOCKING };

extern uint8_t target_sockets[TARGET_SOCKETS] __attribute__((visibility("hidden")));

static inline bool target_never_waits(int fd)
{
	return (unsigned)fd < TARGET_SOCKETS && load(&target_sockets[fd]) == TARGET_NONBLOCKING;
}

/* A socket was made; `fd` -1: it was not. */
static inline void target_is_socket(int fd, bool nonblocking)
{
	if ((unsigned)fd < TARGET_SOCKETS)
		store(&target_sockets[fd], nonblocking ? TARGET_NONBLOCKING : TARGET_SOCKET);
}

/* Calls on this descriptor block from here on, or do not, if it is a socket. */
static inline void target_set_nonblocking(int fd, bool nonblocking)
{
	if ((unsigned)fd < TARGET_SOCKETS && load(&target_sockets[fd]) != TARGET_NO_SOCKET)
		target_is_socket(fd, nonblocking);
}

/* Before these are closed, after which another thread may make a socket that is one of them. */
static inline void target_closing(int fd)
{
	if ((unsigned)fd < TARGET_SOCKETS && load(&target_sockets[fd]) != TARGET_NO_SOCKET)
		store(&target_sockets[fd], TARGET_NO_SOCKET);
}

void target_closing_range(unsigned first, unsigned last);

/* After they were closed, or have become another's: what they led to is known no more. */
void target_forget(int fd);
void target_forget_range(unsigned first, unsigned last);

#endif
