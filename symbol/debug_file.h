/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/debug_file.h - finds the separate debug file of a binary.  Private to symbol/.
 *
 * What the names are made of comes from a hostile file, so every open is beneath a root: no path
 * can leave it by "..", by a symbolic link or through /proc.
 */
#ifndef SYMBOL_DEBUG_FILE_H
#define SYMBOL_DEBUG_FILE_H

#include "symbol/protocol.h"
#include "symbol/symbol.h"

#define DEBUG_FILE_MAX ((uint64_t)4 << 30)

/* Open the debug file that `answer` speaks of for the binary `fd`: by build id, then by link name
 * beside the binary's own folder and at the root's top.  Returns the descriptor and its size, or
 * -ENOENT. */
int debug_file_open(const char *const *roots, size_t roots_count, int fd,
		    const struct symbol_answer *answer, uint64_t *ret_bytes);

/* The same for the alt that `answer` speaks of: by build id, then by its path behind ".dwz/". */
int debug_file_open_alt(const char *const *roots, size_t roots_count,
			const struct symbol_answer *answer, uint64_t *ret_bytes);

/* Whether `fd` is a regular file of 1 byte to DEBUG_FILE_MAX; sets its size. */
bool debug_file_usable(int fd, uint64_t *ret_bytes);

#endif
