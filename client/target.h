/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/target.h - what a descriptor leads to, for the label "target" of blocked calls.
 *
 * Private to client/.  A descriptor is looked up once, by a few system calls, and remembered until the
 * program closes it or puts another in its place, which the preload's hooks tell.  A program that
 * closes descriptors by system calls of its own is shown the older name.  Async-signal-safe, any
 * thread.
 */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include <stdint.h>

#define TARGET_NAME_MAX 52 /* with its NUL; longer ones lose their beginning */
#define TARGET_TEXT_MAX (sizeof("target") + TARGET_NAME_MAX)

/*
 * Write "target\0<name>\0" and return its length, 0 when nothing is known.  Names: a path; "pipe:[7]",
 * "anon_inode:[eventpoll]" and the like as /proc/self/fd has them; "tcp 10.1.2.3:5432" of a connection
 * that was made, "tcp :8080 from 10.1.2.3" of one that was accepted, "listen 0.0.0.0:8080";
 * "unix /run/x.sock".
 */
uint16_t target_label(int fd, char to[TARGET_TEXT_MAX]);

/* The descriptor was closed, or is another's now. */
void target_forget(int fd);
void target_forget_range(unsigned first, unsigned last);

#endif
