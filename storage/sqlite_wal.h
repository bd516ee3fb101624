/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_wal.h - how a WAL is written: what a commit adds goes to the file in one piece,
 * and a file that can be made again need not be synced at once.  Private to the sqlite backend.
 * Writer thread.
 *
 * SQLite writes each page of a commit as two small writes, twenty and more a commit, though they
 * follow one another and mean nothing before the sync.  An SQLite VFS over the default one keeps
 * them until they are synced, or read. Nobody else looks there before: the index of the WAL names a
 * frame only after its commit was synced.
 */
#ifndef STORAGE_SQLITE_WAL_H
#define STORAGE_SQLITE_WAL_H

#include <sqlite3.h>
#include <stdbool.h>

/* The VFS for a writer's connection; NULL: it could not be made, and the default one serves. */
const char *wal_vfs(void);

/* While it is on, a sync of the WAL is put off: a commit is in the file, and readers and a crash of
 * the process find it there, but a loss of power may take it, and all that came after.  What SQLite
 * needs for that order is synced. */
void wal_put_off(sqlite3 *handle, bool on);

/* Sync what this connection put off.  Once that has failed, or when the WAL was there before it,
 * only a checkpoint of all of it will do.  Returns an SQLite code. */
int wal_sync(sqlite3 *handle);

#endif
