/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/disk.h - a disk that fails when told to, remembers all that was written, and can
 * say what a loss of power would have left of it.
 *
 * It is an SQLite VFS over the real one, and stands (by the linker's --wrap) before the calls that
 * storage/ makes itself: mkdir, rename, unlink and fsync; and before malloc, calloc and realloc.
 * What lies below the folder of disk_watch is recorded.
 *
 * Power loss.  A file's content is what its last sync left, plus any of the writes since: each one
 * there, not there, or there in part (in sectors of 512 bytes), in whatever order.  A folder's
 * entries are those of its last fsync, plus the first few of the changes since.
 *
 * One test program, one disk; all calls from one thread but for those of the store.
 */
#ifndef TESTS_SUPPORT_DISK_H
#define TESTS_SUPPORT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_call {
	DISK_READ = 1,
	DISK_WRITE = 2,
	DISK_TRUNCATE = 4,
	DISK_SYNC = 8,  /* of files and folders */
	DISK_OPEN = 16, /* by SQLite */
	DISK_UNLINK = 32,
	DISK_RENAME = 64,
	DISK_MKDIR = 128,
	DISK_MEMORY = 256, /* malloc, calloc, realloc, and SQLite's */
	DISK_CHANGES = DISK_WRITE | DISK_TRUNCATE | DISK_SYNC | DISK_OPEN | DISK_UNLINK |
		       DISK_RENAME | DISK_MKDIR,
};

/* Make this the VFS of every connection. Before the first use of SQLite. */
void disk_install(void);

/* Record what happens below `dir` from now on; NULL: forget the record. */
void disk_watch(const char *dir);

/* The nth call (from 1) of the kinds in `calls` fails with `error` (ENOSPC, EIO, ENOMEM), and with
 * `sticky` every one after it. nth 0: none does. */
void disk_fail(unsigned calls, uint64_t nth, bool sticky, int error);
/* How many calls of these kinds there were since disk_fail, and whether one failed. */
uint64_t disk_calls(void);
bool disk_failed(void);

/* Put a number into the record: what was acknowledged so far. */
void disk_mark(uint64_t number);
size_t disk_record_count(void);

/* A walk over the record, forwards. */
struct disk_replay;
struct disk_replay *disk_replay_new(void);
void disk_replay_free(struct disk_replay *replay);
/* Go on to `count` records from the start. Returns the last mark on the way. */
uint64_t disk_replay_to(struct disk_replay *replay, size_t count);
/* Write into the empty folder `dir` what power lost here may leave. */
enum disk_loss { DISK_LOSE_ALL, DISK_KEEP_ALL, DISK_LOSE_SOME };
void disk_replay_image(const struct disk_replay *replay, enum disk_loss loss, uint64_t *random,
		       const char *dir);

#endif
