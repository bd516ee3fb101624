/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_db.h - one connection to one SQLite file: how it is opened, its statements, its
 * errors as errno.  Private to the sqlite backend.
 *
 * Up to 3.51.2 (but for 3.44.6 and 3.50.7 on) SQLite loses or damages pages of a WAL file when a
 * connection other than the writer's checkpoints.  So there are two ways to open and no third: the
 * writer's connection, which does every write and every checkpoint, and readers, which can do
 * neither.  A connection belongs to one thread at a time.
 */
#ifndef STORAGE_SQLITE_DB_H
#define STORAGE_SQLITE_DB_H

#include <sqlite3.h>

#include "base/err.h"
#include "profile/profile.h"

enum db_kind { DB_L0, DB_L1, DB_L2, DB_SYMBOLS }; /* a level's number is its kind's */

#define DB_STATEMENTS_MAX 40

struct db {
	sqlite3 *handle;
	struct {
		const char *sql; /* the literal itself is the key */
		sqlite3_stmt *stmt;
	} statements[DB_STATEMENTS_MAX];
	size_t statements_count;
	bool later;           /* commits are synced at a checkpoint, or when asked for */
	uint32_t frame_bytes; /* of the WAL */
	uint64_t wal_bytes;   /* of a writer's: as of its last commit or checkpoint */
};

/* Whether the library that runs has the WAL-reset bug. */
bool db_library_is_affected(void);

/* Open for writing and bring the schema up to date; creates the file when `create`.  `db` stays
 * where it is until it is closed. Returns 0, -EBADMSG (no database, or damaged), -ENOTSUP (from a
 * newer release), -ENOSPC, -EIO. */
MUST_CHECK int db_open_writer(struct db *db, const char *path, enum db_kind kind, bool create,
			      struct err *err);
/* The same of a file that no other connection has: without shared memory, which takes room that a
 * full disk has not. */
MUST_CHECK int db_open_alone(struct db *db, const char *path, enum db_kind kind, struct err *err);
/* From now on a commit is on disk at the next checkpoint or db_sync only, in order; a crash of the
 * process alone loses nothing. */
void db_sync_later(struct db *db);
/* What was committed is on disk, by whichever connection. */
MUST_CHECK int db_sync(struct db *db, struct err *err);
/* Open a file that nobody writes and whose WAL is empty, to read a little of it: no lock, no shared
 * memory, nothing is made beside it.  -ENOTSUP also when its schema is an older one. */
MUST_CHECK int db_open_still(struct db *db, const char *path, enum db_kind kind, struct err *err);
/* Close, and leave what is in the WAL there, for it would be synced into the file. */
void db_close_still(struct db *db);
/* Open read-only.  Returns 0, -ENOENT, -EBADMSG, -EIO, or -ENOSPC: there is no room for the shared
 * memory of a file that nobody has open, here or at the first statement. */
MUST_CHECK int db_open_reader(struct db *db, const char *path, struct err *err);
void db_close(struct db *db); /* a closed one is fine */

/* Give free pages back to the file system; what fails is tried again another time. */
void db_shrink(struct db *db);
/* Free the pages that the connection keeps; outside a transaction. */
void db_forget_pages(struct db *db);

/* 0 when SQLite's integrity check finds nothing, -EBADMSG with the finding, or another error. */
MUST_CHECK int db_check(struct db *db, struct err *err);

MUST_CHECK int db_exec(struct db *db, const char *sql, struct err *err);
/* A transaction that writes. */
MUST_CHECK int db_begin(struct db *db, struct err *err);
MUST_CHECK int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db); /* when there is a transaction */
/* Move what the WAL holds into the file.  Never waits; `shrink` also cuts the WAL off where no
 * reader is in the way.  Writer's connections only. */
void db_checkpoint(struct db *db, bool shrink);

/* The same, waiting for readers for so long. Returns whether the WAL is empty. */
bool db_checkpoint_within(struct db *db, int wait_ms);

/* The statement of a string literal, reset and ready to bind; the connection owns it. */
MUST_CHECK int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_stmt, struct err *err);
void db_bind_int(sqlite3_stmt *stmt, const char *name, int64_t value);
/* Borrowed until the statement is reset. NULL binds NULL. */
void db_bind_blob(sqlite3_stmt *stmt, const char *name, const void *bytes, size_t len);
/* Returns 1 (a row), 0 (done; the statement is reset) or an error. */
MUST_CHECK int db_step(struct db *db, sqlite3_stmt *stmt, struct err *err);
/* A statement without rows. */
MUST_CHECK int db_run(struct db *db, sqlite3_stmt *stmt, struct err *err);

struct str db_column_blob(sqlite3_stmt *stmt, int column);

/* The last error as errno, with what SQLite says. */
int db_fail(struct db *db, struct err *err);

#endif
