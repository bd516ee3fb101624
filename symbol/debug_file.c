/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"

bool debug_file_usable(int fd, uint64_t *ret_bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    (uint64_t)st.st_size > DEBUG_FILE_MAX)
		return false;
	*ret_bytes = (uint64_t)st.st_size;
	return true;
}

/* O_NONBLOCK: a FIFO of that name must not hold us up. */
static int open_beneath(const char *root, const char *path, uint64_t *ret_bytes)
{
	const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				     .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int CLOSING dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int CLOSING fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd < 0 || !debug_file_usable(fd, ret_bytes))
		return -ENOENT;
	int found = fd;

	fd = -1;
	return found;
}

static int by_build_id(const char *root, const struct symbol_answer *answer, uint64_t *ret_bytes)
{
	char path[sizeof(".build-id/xx/.debug") + 2 * SYMBOL_BUILD_ID_MAX];
	size_t at = (size_t)sprintf(path, ".build-id/%02x/", answer->build_id[0]);

	for (uint32_t i = 1; i < answer->build_id_len; i++)
		at += (size_t)sprintf(path + at, "%02x", answer->build_id[i]);
	strcpy(path + at, ".debug");
	return open_beneath(root, path, ret_bytes);
}

/* A link is a file's name, nothing more. */
static bool link_plain(const char *link)
{
	return *link && !strchr(link, '/') && strcmp(link, ".") != 0 && strcmp(link, "..") != 0;
}

static int by_link(const char *root, int fd, const char *link, uint64_t *ret_bytes)
{
	char self[64], binary[PATH_MAX], path[PATH_MAX + 300];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(self, binary, sizeof(binary) - 1);

	if (len > 0 && binary[0] == '/') {
		binary[len] = '\0';
		*(strrchr(binary, '/') + 1) = '\0';
		(void)snprintf(path, sizeof(path), "%s%s", binary + 1, link);
		int found = open_beneath(root, path, ret_bytes);

		if (found >= 0)
			return found;
	}
	return open_beneath(root, link, ret_bytes);
}

static int by_build_ids(const char *const *roots, size_t roots_count,
			const struct symbol_answer *answer, uint64_t *ret_bytes)
{
	int found = -ENOENT;

	if (answer->build_id_len < 2 || answer->build_id_len > SYMBOL_BUILD_ID_MAX)
		return -ENOENT;
	for (size_t i = 0; found < 0 && i < roots_count; i++)
		found = by_build_id(roots[i], answer, ret_bytes);
	return found;
}

int debug_file_open_alt(const char *const *roots, size_t roots_count,
			const struct symbol_answer *answer, uint64_t *ret_bytes)
{
	const char *path = strstr(answer->debug_link, ".dwz/");
	int found = by_build_ids(roots, roots_count, answer, ret_bytes);

	for (size_t i = 0; path && found < 0 && i < roots_count; i++)
		found = open_beneath(roots[i], path, ret_bytes);
	return found;
}

int debug_file_open(const char *const *roots, size_t roots_count, int fd,
		    const struct symbol_answer *answer, uint64_t *ret_bytes)
{
	int found = by_build_ids(roots, roots_count, answer, ret_bytes);

	for (size_t i = 0; link_plain(answer->debug_link) && found < 0 && i < roots_count; i++)
		found = by_link(roots[i], fd, answer->debug_link, ret_bytes);
	return found;
}
