/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FDS_MAX 253 /* SCM_MAX_FD of the kernel */

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

bool fd_is_short(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

int fd_read_all(int fd, void *to, size_t len)
{
	for (char *p = to; len;) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_write_all(int fd, const void *from, size_t len)
{
	for (const char *p = from; len;) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_file(int dir, const char *path, char *to, size_t max)
{
	int CLOSING fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < max) {
		ssize_t n = read(fd, to + len, max - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return (ssize_t)len;
		len += (size_t)n;
	}
	return -E2BIG;
}

int fd_replace_file(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err)
{
	char beside[4096];

	if (snprintf(beside, sizeof(beside), "%s.%d.tmp", path, (int)getpid()) >=
	    (int)sizeof(beside))
		return err_set(err, -ENAMETOOLONG, "%s: path too long", path);
	int CLOSING fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", beside, strerror(errno));
	int rc = fd_write_all(fd, bytes, len);

	if (!rc && fchmod(fd, mode) < 0)
		rc = -errno;
	if (!rc && rename(beside, path) < 0)
		rc = -errno;
	if (rc < 0) {
		(void)unlink(beside);
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	return 0;
}

int fd_send(int socket, const void *bytes, size_t len, const int *fds, size_t fds_count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control = {0};
	char *data = NULL;

	memcpy(&data, &bytes, sizeof(data)); /* iovec has no const; sendmsg only reads */
	struct iovec part = {.iov_base = data, .iov_len = len};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fds_count > FDS_MAX)
		return -EINVAL;
	if (fds_count) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fds_count);
	}
	ssize_t n;

	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

ssize_t fd_receive(int socket, void *to, size_t max, int *fds, size_t *fds_count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	struct iovec part = {.iov_base = to, .iov_len = max};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};
	size_t room = *fds_count, got = 0;
	bool cut;
	ssize_t n;

	*fds_count = 0;
	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	cut = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < room) {
				fds[got++] = fd;
			} else {
				(void)close(fd);
				cut = true;
			}
		}
	}
	if (cut) {
		while (got)
			(void)close(fds[--got]);
		return -EMSGSIZE;
	}
	*fds_count = got;
	return n;
}
