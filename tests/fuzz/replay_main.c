/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of a folder, each in memory of exactly its size. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "tests/fuzz/fuzz.h"

#define FILE_MAX ((size_t)16 << 20)

static int replay(const char *folder, const char *name, char *room)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return -1;
	ssize_t len = fd_read_file(AT_FDCWD, path, room, FILE_MAX);

	if (len < 0)
		return -1;
	uint8_t *exact = malloc(len ? (size_t)len : 1);

	if (!exact)
		return -1;
	memcpy(exact, room, (size_t)len);
	(void)LLVMFuzzerTestOneInput(exact, (size_t)len);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	const char *target = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	char *room = malloc(FILE_MAX);
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	size_t count = 0, failed = 0;

	if (!dir || !room) {
		printf("not ok %s: no corpus folder\n", target);
		return 1;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		count++;
		if (replay(argv[1], e->d_name, room) < 0)
			failed++;
	}
	closedir(dir);
	free(room);
	/* A crash ends the program before this line; an empty folder proves nothing. */
	printf("%s %s_replay (%zu inputs, %zu unreadable)\n", count && !failed ? "ok" : "not ok",
	       target, count, failed);
	return !count || failed;
}
