/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/fd.h - descriptors: scoped closing, whole reads and writes, descriptors over a socket.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

/* Close `*fd` when it is one and set it to -1; errno is kept. */
void fd_close(int *fd);
#define CLOSING CLEANUP(fd_close)

/* Whether accept failed for want of descriptors or memory, so that it would fail again at once. */
bool fd_is_short(int error);

/* Read or write all `len` bytes. Returns 0, -EPIPE at an early end, or -errno. */
MUST_CHECK int fd_read_all(int fd, void *to, size_t len);
MUST_CHECK int fd_write_all(int fd, const void *from, size_t len);

/* Read a whole small file (at most `max` bytes). Returns its length or -errno (-E2BIG). */
MUST_CHECK ssize_t fd_read_file(int dir, const char *path, char *to, size_t max);

/* Write a file beside `path` and rename it there, so that readers see all of it or the old one. */
MUST_CHECK int fd_replace_file(const char *path, const void *bytes, size_t len, mode_t mode,
			       struct err *err);

/* Send `len` bytes with `fds_count` descriptors in one message. Returns 0 or -errno. */
MUST_CHECK int fd_send(int socket, const void *bytes, size_t len, const int *fds, size_t fds_count);

/* Receive one message and up to *fds_count descriptors (close-on-exec), which become the
 * caller's; *fds_count is set to how many came.  Returns the length (0: end) or -errno;
 * -EMSGSIZE when bytes or descriptors were cut off (those that came are closed). */
MUST_CHECK ssize_t fd_receive(int socket, void *to, size_t max, int *fds, size_t *fds_count);

#endif
