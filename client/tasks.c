/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "client/syscalls.h"

/* What SYS_getdents64 writes. */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

int tasks_list(void *buffer, size_t bytes, void (*each)(void *arg, int32_t tid), void *arg)
{
	int fd = sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, fd, buffer, bytes)) > 0) {
		for (char *p = buffer; p < (char *)buffer + n;) {
			const struct entry *e = (const struct entry *)(const void *)p;
			int32_t tid = 0;

			for (const char *c = e->name; *c >= '0' && *c <= '9'; c++)
				tid = tid * 10 + (*c - '0');
			if (tid > 0)
				each(arg, tid);
			p += e->bytes;
		}
	}
	n = n < 0 ? -errno : 0;
	sys_close(fd);
	return (int)n;
}
