/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/corpus.h - the real profiles that tests read, where they are at hand.
 *
 * The folder is $HEARTH_CORPUS, else ../shared/corpus beside the source tree.
 */
#ifndef TESTS_CORPUS_H
#define TESTS_CORPUS_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "wire/decompress.h"

static inline const char *corpus_folder(void)
{
	const char *folder = getenv("HEARTH_CORPUS");

	return folder ? folder : HEARTH_SOURCE_DIR "/../shared/corpus";
}

/* The bytes of `folder`/`name` (malloc'ed), or NULL. */
static inline char *corpus_read(const char *folder, const char *name, size_t *ret_len)
{
	const size_t max = (size_t)64 << 20;
	char path[8192], *bytes = malloc(max);

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	ssize_t len = bytes ? fd_read_file(AT_FDCWD, path, bytes, max) : -1;

	if (len < 0) {
		free(bytes);
		return NULL;
	}
	*ret_len = (size_t)len;
	/* Exactly as long as the file, so that a sanitizer sees a read beyond it. */
	char *exact = malloc(*ret_len ? *ret_len : 1);

	memcpy(exact, bytes, *ret_len);
	free(bytes);
	return exact;
}

/* The same, decompressed into a buf whose memory is as long as its content. */
static inline int corpus_plain(const char *folder, const char *name, struct buf *ret_plain)
{
	const struct decompress_limits none = {0};
	size_t len;
	char *bytes = corpus_read(folder, name, &len);

	if (!bytes)
		return -1;
	int rc = wire_decompress(bytes, len, &none, ret_plain, NULL);

	free(bytes);
	if (!rc && ret_plain->len)
		ret_plain->data = realloc(ret_plain->data, ret_plain->len);
	return rc;
}

/* Call `visit` with every pprof of the corpus, decompressed. Returns how many there were. */
static inline size_t corpus_each_pprof(void (*visit)(const char *name, const struct buf *plain))
{
	char folder[4096];
	size_t count = 0;

	(void)snprintf(folder, sizeof(folder), "%s/pprof", corpus_folder());
	DIR *dir = opendir(folder);

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		struct buf plain;

		if (e->d_name[0] == '.' || corpus_plain(folder, e->d_name, &plain) < 0)
			continue;
		visit(e->d_name, &plain);
		buf_release(&plain);
		count++;
	}
	closedir(dir);
	return count;
}

/* A small generator with a seed that tests print: splitmix64. */
static inline uint64_t seeded_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Damage some bytes as a fuzzer would: flip, set, insert, delete, duplicate a run. */
static inline size_t seeded_mutate(uint64_t *seed, uint8_t *bytes, size_t len, size_t room)
{
	size_t edits = 1 + seeded_next(seed) % 4;

	for (size_t i = 0; i < edits && len; i++) {
		size_t at = seeded_next(seed) % len;
		static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x22};

		switch (seeded_next(seed) % 5) {
		case 0:
			bytes[at] ^= (uint8_t)(1u << seeded_next(seed) % 8);
			break;
		case 1:
			bytes[at] = edges[seeded_next(seed) % sizeof(edges)];
			break;
		case 2:
			if (len == room)
				break;
			memmove(bytes + at + 1, bytes + at, len - at);
			bytes[at] = (uint8_t)seeded_next(seed);
			len++;
			break;
		case 3:
			memmove(bytes + at, bytes + at + 1, len - at - 1);
			len--;
			break;
		default: {
			size_t run = 1 + seeded_next(seed) % 16;

			run = run < len - at ? run : len - at;
			if (run > room - len)
				break;
			memmove(bytes + at + run, bytes + at, len - at);
			len += run;
		}
		}
	}
	return len;
}

#endif
