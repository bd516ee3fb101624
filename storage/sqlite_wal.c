/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_wal.h"

#include <pthread.h>
#include <string.h>

#include "base/util.h"

#define PIECE_MAX (128 << 10) /* bytes; a commit of more goes out in several */
#define WAL_HEAD 32           /* bytes at the start of a WAL: which generation it is */

struct wal_file {
	sqlite3_file base;
	char *piece; /* what is to be written at `at`; NULL: nothing yet, or no memory */
	int len;
	sqlite3_int64 at;
	bool put_off;
	/* its head was written since the last sync: what follows must not come before it */
	bool begins;
	bool owed; /* a sync was put off */
	/* and one has failed since, or may have in the hands of who wrote what was there when it
	 * was opened: the kernel tells once, and then forgets what it could not write */
	bool torn;
	sqlite3_int64 real[]; /* the file below */
};

static sqlite3_file *below(struct wal_file *f)
{
	return (sqlite3_file *)(void *)f->real;
}

static struct wal_file *wal_of(sqlite3_file *file)
{
	return (struct wal_file *)(void *)file;
}

static int flush(struct wal_file *f)
{
	int len = f->len;

	f->len = 0;
	return len ? below(f)->pMethods->xWrite(below(f), f->piece, len, f->at) : SQLITE_OK;
}

static int wal_close(sqlite3_file *file)
{
	struct wal_file *f = wal_of(file);
	int rc = flush(f), closed = below(f)->pMethods->xClose(below(f));

	sqlite3_free(f->piece);
	f->piece = NULL;
	return rc ? rc : closed;
}

static int wal_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	int rc = flush(wal_of(file));

	return rc ? rc : below(wal_of(file))->pMethods->xRead(below(wal_of(file)), to, len, at);
}

static int wal_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	struct wal_file *f = wal_of(file);
	int rc = SQLITE_OK;

	/* A new generation: all of the one before is in the database. */
	if (at < WAL_HEAD) {
		f->begins = true;
		f->owed = f->torn = false;
	}
	if (f->len && (at != f->at + f->len || len > PIECE_MAX - f->len))
		rc = flush(f);
	if (!f->piece)
		f->piece = sqlite3_malloc(PIECE_MAX);
	if (rc)
		return rc;
	if (!f->piece || len > PIECE_MAX)
		return below(f)->pMethods->xWrite(below(f), bytes, len, at);
	if (!f->len)
		f->at = at;
	memcpy(f->piece + f->len, bytes, (size_t)len);
	f->len += len;
	return SQLITE_OK;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = flush(wal_of(file));

	return rc ? rc : below(wal_of(file))->pMethods->xTruncate(below(wal_of(file)), size);
}

static int sync_now(struct wal_file *f, int flags)
{
	int rc = below(f)->pMethods->xSync(below(f), flags);

	f->torn |= rc != SQLITE_OK && f->owed;
	f->begins &= rc != SQLITE_OK;
	f->owed &= rc != SQLITE_OK;
	return rc;
}

static int wal_sync_file(sqlite3_file *file, int flags)
{
	struct wal_file *f = wal_of(file);
	int rc = flush(f);

	if (rc)
		return rc;
	if (!f->put_off || f->begins)
		return sync_now(f, flags);
	f->owed = true;
	return SQLITE_OK;
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	int rc = flush(wal_of(file));

	return rc ? rc : below(wal_of(file))->pMethods->xFileSize(below(wal_of(file)), ret_size);
}

/* A WAL is locked by its index alone. */
static int wal_lock(sqlite3_file *file, int level)
{
	return below(wal_of(file))->pMethods->xLock(below(wal_of(file)), level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
	return below(wal_of(file))->pMethods->xUnlock(below(wal_of(file)), level);
}

static int wal_is_reserved(sqlite3_file *file, int *ret_yes)
{
	return below(wal_of(file))->pMethods->xCheckReservedLock(below(wal_of(file)), ret_yes);
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
	return below(wal_of(file))->pMethods->xFileControl(below(wal_of(file)), op, arg);
}

static int wal_sector(sqlite3_file *file)
{
	return below(wal_of(file))->pMethods->xSectorSize(below(wal_of(file)));
}

static int wal_traits(sqlite3_file *file)
{
	return below(wal_of(file))->pMethods->xDeviceCharacteristics(below(wal_of(file)));
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync_file,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_is_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_traits,
};

/* ---- the VFS: the default one, but for files that are WALs ---- */

static sqlite3_vfs vfs, *default_vfs;

static int open_wal(const char *path, struct wal_file *f, int flags, int *ret_flags)
{
	memset(f, 0, sizeof(*f) + (size_t)default_vfs->szOsFile);
	int rc = default_vfs->xOpen(default_vfs, path, below(f), flags, ret_flags);
	sqlite3_int64 size = 0;

	if (below(f)->pMethods)
		f->base.pMethods = &methods;
	if (!rc)
		f->torn = below(f)->pMethods->xFileSize(below(f), &size) || size > 0;
	return rc;
}

static int vfs_open(sqlite3_vfs *self, const char *path, sqlite3_file *file, int flags,
		    int *ret_flags)
{
	(void)self;
	return flags & SQLITE_OPEN_WAL
		   ? open_wal(path, wal_of(file), flags, ret_flags)
		   : default_vfs->xOpen(default_vfs, path, file, flags, ret_flags);
}

static int vfs_delete(sqlite3_vfs *self, const char *path, int sync_folder)
{
	(void)self;
	return default_vfs->xDelete(default_vfs, path, sync_folder);
}

static int vfs_access(sqlite3_vfs *self, const char *path, int flags, int *ret_yes)
{
	(void)self;
	return default_vfs->xAccess(default_vfs, path, flags, ret_yes);
}

static int vfs_full_path(sqlite3_vfs *self, const char *path, int size, char *to)
{
	(void)self;
	return default_vfs->xFullPathname(default_vfs, path, size, to);
}

static int vfs_randomness(sqlite3_vfs *self, int len, char *to)
{
	(void)self;
	return default_vfs->xRandomness(default_vfs, len, to);
}

static int vfs_sleep(sqlite3_vfs *self, int us)
{
	(void)self;
	return default_vfs->xSleep(default_vfs, us);
}

static int vfs_time(sqlite3_vfs *self, double *ret_days)
{
	(void)self;
	return default_vfs->xCurrentTime(default_vfs, ret_days);
}

static int vfs_last_error(sqlite3_vfs *self, int size, char *to)
{
	(void)self;
	return default_vfs->xGetLastError ? default_vfs->xGetLastError(default_vfs, size, to) : 0;
}

static void vfs_register(void)
{
	default_vfs = sqlite3_vfs_find(NULL);
	if (!default_vfs)
		return;
	vfs = (sqlite3_vfs){
	    .iVersion = 1,
	    .szOsFile = (int)sizeof(struct wal_file) + default_vfs->szOsFile,
	    .mxPathname = default_vfs->mxPathname,
	    .zName = "hearth",
	    .xOpen = vfs_open,
	    .xDelete = vfs_delete,
	    .xAccess = vfs_access,
	    .xFullPathname = vfs_full_path,
	    .xRandomness = vfs_randomness,
	    .xSleep = vfs_sleep,
	    .xCurrentTime = vfs_time,
	    .xGetLastError = vfs_last_error,
	};
	if (sqlite3_vfs_register(&vfs, 0))
		vfs.zName = NULL;
}

const char *wal_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, vfs_register);
	return vfs.zName;
}

/* ---- by connection ---- */

static sqlite3_file *file_of(sqlite3 *handle)
{
	sqlite3_file *file = NULL;

	(void)sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
	return file && file->pMethods ? file : NULL;
}

void wal_put_off(sqlite3 *handle, bool on)
{
	sqlite3_file *file = file_of(handle);

	if (file && file->pMethods == &methods)
		wal_of(file)->put_off = on;
}

int wal_sync(sqlite3 *handle)
{
	sqlite3_file *file = file_of(handle);

	if (file && file->pMethods == &methods && wal_of(file)->torn)
		return SQLITE_IOERR_FSYNC;
	return file ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : SQLITE_OK;
}
