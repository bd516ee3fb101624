/* SPDX-License-Identifier: Apache-2.0 */
#include "client/maps.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "client/syscalls.h"

static const char *hex(const char *p, const char *end, uint64_t *ret)
{
	*ret = 0;
	for (; p < end; p++) {
		unsigned digit = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
				 : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10
							  : 16;

		if (digit == 16)
			break;
		*ret = *ret << 4 | digit;
	}
	return p;
}

/* "7ffd1000-7ffd2000 rw-p 00000000 00:00 0    [stack]" */
static bool parse(const char *line, const char *end, uint64_t address, struct mapping *ret)
{
	static const char stack[] = "[stack]";
	const size_t n = sizeof(stack) - 1;
	const char *p = hex(line, end, &ret->lo);

	if (p >= end || *p != '-')
		return false;
	p = hex(p + 1, end, &ret->hi);
	if (end - p < 3 || p[0] != ' ' || p[1] != 'r' || p[2] != 'w')
		return false;
	ret->main_stack = (size_t)(end - p) > n && !memcmp(end - n, stack, n);
	return address >= ret->lo && address < ret->hi;
}

bool maps_find(uint64_t address, void *buffer, size_t bytes, struct mapping *ret)
{
	int fd = sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char *text = buffer;
	size_t have = 0;
	bool found = false;

	if (fd < 0)
		return false;
	while (!found) {
		ssize_t n = sys_read(fd, text + have, bytes - have);
		char *line = text, *newline;

		if (n <= 0)
			break;
		have += (size_t)n;
		while (!found && (newline = memchr(line, '\n', have - (size_t)(line - text)))) {
			found = parse(line, newline, address, ret);
			line = newline + 1;
		}
		have -= (size_t)(line - text);
		if (have == bytes)
			have = 0; /* a line longer than the buffer: its tail parses as nothing */
		memmove(text, line, have);
	}
	sys_close(fd);
	return found;
}

uint64_t maps_stack_limit(uint64_t most)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur > most)
		return most;
	return limit.rlim_cur;
}
