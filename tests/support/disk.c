/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/refused_malloc.h"

#define SECTOR 512
#define NAME_MAX_BYTES 200
#define FILES_MAX 4096

int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_fsync(int fd);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_fsync(int fd);
int __wrap_mkdir(const char *path, mode_t mode);

/* ---- the record ---- */

enum kind { MADE, WRITTEN, CUT, SYNCED, UNLINKED, RENAMED, FOLDER_MADE, FOLDER_SYNCED, MARKED };

struct entry {
	enum kind kind;
	int file;   /* number of the file as it was made, not of its name */
	int64_t at; /* offset, length, or the mark */
	size_t len;
	void *bytes;     /* WRITTEN */
	char *name, *to; /* below the watched folder */
};

static struct {
	pthread_mutex_t lock;
	char root[256];
	struct entry *entries;
	size_t count, capacity;
	char *names[FILES_MAX]; /* which file has this name now; NULL: none */
	int files;
	unsigned failing;
	uint64_t nth, calls;
	bool sticky, failed;
	int error;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static char *copy(const char *text)
{
	return strcpy(must(__real_malloc(strlen(text) + 1)), text);
}

static const char *below_root(const char *path)
{
	size_t len = strlen(disk.root);

	return path && len && !strncmp(path, disk.root, len) && path[len] == '/' ? path + len + 1
										 : NULL;
}

static void append(struct entry e)
{
	if (disk.count == disk.capacity) {
		disk.capacity = disk.capacity ? disk.capacity * 2 : 1024;
		disk.entries =
		    must(__real_realloc(disk.entries, disk.capacity * sizeof(*disk.entries)));
	}
	disk.entries[disk.count++] = e;
}

static int file_named(const char *name)
{
	for (int i = 0; i < disk.files; i++)
		if (disk.names[i] && !strcmp(disk.names[i], name))
			return i;
	return -1;
}

static void forget_name(int file)
{
	if (file < 0)
		return;
	free(disk.names[file]);
	disk.names[file] = NULL;
}

static int file_made(const char *name)
{
	int file = disk.files++;

	assert(file < FILES_MAX);
	disk.names[file] = copy(name);
	append((struct entry){.kind = MADE, .file = file, .name = copy(name)});
	return file;
}

void disk_watch(const char *dir)
{
	pthread_mutex_lock(&disk.lock);
	for (size_t i = 0; i < disk.count; i++) {
		free(disk.entries[i].bytes);
		free(disk.entries[i].name);
		free(disk.entries[i].to);
	}
	for (int i = 0; i < disk.files; i++)
		forget_name(i);
	disk.count = 0;
	disk.files = 0;
	(void)snprintf(disk.root, sizeof(disk.root), "%s", dir ? dir : "");
	pthread_mutex_unlock(&disk.lock);
}

void disk_mark(uint64_t number)
{
	pthread_mutex_lock(&disk.lock);
	append((struct entry){.kind = MARKED, .at = (int64_t)number});
	pthread_mutex_unlock(&disk.lock);
}

size_t disk_record_count(void)
{
	return disk.count;
}

/* ---- failures ---- */

void disk_fail(unsigned calls, uint64_t nth, bool sticky, int error)
{
	pthread_mutex_lock(&disk.lock);
	disk.failing = calls;
	disk.nth = nth;
	disk.sticky = sticky;
	disk.error = error;
	disk.calls = 0;
	disk.failed = false;
	pthread_mutex_unlock(&disk.lock);
}

uint64_t disk_calls(void)
{
	return disk.calls;
}

bool disk_failed(void)
{
	return disk.failed;
}

/* 0, or the errno with which this call fails. */
static int fails(unsigned call)
{
	int error = 0;

	if (!(disk.failing &
	      call)) /* what is read without the lock changes between two steps only */
		return 0;
	pthread_mutex_lock(&disk.lock);
	if (disk.failing & call) {
		disk.calls++;
		if (disk.nth &&
		    (disk.calls == disk.nth || (disk.sticky && disk.calls > disk.nth))) {
			error = disk.error;
			disk.failed = true;
		}
	}
	pthread_mutex_unlock(&disk.lock);
	return error;
}

/* ---- libc, as storage/ calls it ---- */

int __wrap_rename(const char *from, const char *to)
{
	int error = fails(DISK_RENAME);

	if (error) {
		errno = error;
		return -1;
	}
	int rc = __real_rename(from, to);

	if (!rc && below_root(from)) {
		pthread_mutex_lock(&disk.lock);
		int file = file_named(below_root(from));

		append((struct entry){.kind = RENAMED,
				      .file = file,
				      .name = copy(below_root(from)),
				      .to = copy(below_root(to))});
		forget_name(file_named(below_root(to)));
		if (file >= 0) {
			forget_name(file);
			disk.names[file] = copy(below_root(to));
		}
		pthread_mutex_unlock(&disk.lock);
	}
	return rc;
}

static void record_unlink(const char *path)
{
	const char *name = below_root(path);

	if (!name)
		return;
	pthread_mutex_lock(&disk.lock);
	int file = file_named(name);

	append((struct entry){.kind = UNLINKED, .file = file, .name = copy(name)});
	forget_name(file);
	pthread_mutex_unlock(&disk.lock);
}

int __wrap_unlink(const char *path)
{
	int error = fails(DISK_UNLINK);

	if (error) {
		errno = error;
		return -1;
	}
	int rc = __real_unlink(path);

	if (!rc)
		record_unlink(path);
	return rc;
}

static void record_folder(enum kind kind, const char *path)
{
	const char *name = below_root(path);

	if (!name && strcmp(path, disk.root))
		return;
	pthread_mutex_lock(&disk.lock);
	append((struct entry){.kind = kind, .name = copy(name ? name : "")});
	pthread_mutex_unlock(&disk.lock);
}

int __wrap_fsync(int fd)
{
	char link[64], path[512];
	int error = fails(DISK_SYNC);

	if (error) {
		errno = error;
		return -1;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof(path) - 1);

	if (len > 0) {
		path[len] = '\0';
		record_folder(FOLDER_SYNCED, path);
	}
	return __real_fsync(fd);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	int error = fails(DISK_MKDIR);

	if (error) {
		errno = error;
		return -1;
	}
	int rc = __real_mkdir(path, mode);

	if (!rc && below_root(path))
		record_folder(FOLDER_MADE, path);
	return rc;
}

static bool malloc_is_refused(void)
{
	return fails(DISK_MEMORY);
}

/* ---- SQLite's memory ---- */

static sqlite3_mem_methods memory;

static void *memory_new(int size)
{
	return fails(DISK_MEMORY) ? NULL : memory.xMalloc(size);
}

static void *memory_resize(void *old, int size)
{
	return fails(DISK_MEMORY) ? NULL : memory.xRealloc(old, size);
}

/* ---- SQLite's files ---- */

struct shim_file {
	sqlite3_file base;
	int file; /* in the record; -1: not watched */
	sqlite3_file *real;
};

static sqlite3_vfs shim, *real_vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct shim_file *)f)->real;
}

static int file_close(sqlite3_file *f)
{
	sqlite3_file *real = real_of(f);

	return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *to, int len, sqlite3_int64 at)
{
	if (fails(DISK_READ))
		return SQLITE_IOERR_READ;
	return real_of(f)->pMethods->xRead(real_of(f), to, len, at);
}

static int file_write(sqlite3_file *f, const void *from, int len, sqlite3_int64 at)
{
	struct shim_file *file = (struct shim_file *)f;
	int error = fails(DISK_WRITE);

	if (error)
		return error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	int rc = file->real->pMethods->xWrite(file->real, from, len, at);

	if (rc == SQLITE_OK && file->file >= 0) {
		void *bytes = memcpy(must(__real_malloc((size_t)len)), from, (size_t)len);

		pthread_mutex_lock(&disk.lock);
		append((struct entry){.kind = WRITTEN,
				      .file = file->file,
				      .at = at,
				      .len = (size_t)len,
				      .bytes = bytes});
		pthread_mutex_unlock(&disk.lock);
	}
	return rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct shim_file *file = (struct shim_file *)f;

	if (fails(DISK_TRUNCATE))
		return SQLITE_IOERR_TRUNCATE;
	int rc = file->real->pMethods->xTruncate(file->real, size);

	if (rc == SQLITE_OK && file->file >= 0) {
		pthread_mutex_lock(&disk.lock);
		append((struct entry){.kind = CUT, .file = file->file, .at = size});
		pthread_mutex_unlock(&disk.lock);
	}
	return rc;
}

static int file_sync(sqlite3_file *f, int flags)
{
	struct shim_file *file = (struct shim_file *)f;

	if (fails(DISK_SYNC))
		return SQLITE_IOERR_FSYNC;
	int rc = file->real->pMethods->xSync(file->real, flags);

	if (rc == SQLITE_OK && file->file >= 0) {
		pthread_mutex_lock(&disk.lock);
		append((struct entry){.kind = SYNCED, .file = file->file});
		/* The real one's first sync of a WAL or a journal also syncs its folder. */
		const char *name = disk.names[file->file];

		if (name && (strstr(name, "-wal") || strstr(name, "-journal")) &&
		    strchr(name, '/')) {
			char *folder = copy(name);

			*strrchr(folder, '/') = '\0';
			append((struct entry){.kind = FOLDER_SYNCED, .name = folder});
		}
		pthread_mutex_unlock(&disk.lock);
	}
	return rc;
}

#define PASS(name, params, ...)                                                                    \
	static int file_##name params                                                              \
	{                                                                                          \
		return real_of(f)->pMethods->x##name(real_of(f), ##__VA_ARGS__);                   \
	}

PASS(FileSize, (sqlite3_file * f, sqlite3_int64 *ret), ret)
PASS(Lock, (sqlite3_file * f, int level), level)
PASS(Unlock, (sqlite3_file * f, int level), level)
PASS(CheckReservedLock, (sqlite3_file * f, int *ret), ret)
PASS(FileControl, (sqlite3_file * f, int op, void *arg), op, arg)
PASS(SectorSize, (sqlite3_file * f))
PASS(DeviceCharacteristics, (sqlite3_file * f))
PASS(ShmMap, (sqlite3_file * f, int page, int size, int extend, void volatile **ret), page, size,
     extend, ret)
PASS(ShmLock, (sqlite3_file * f, int at, int n, int flags), at, n, flags)
PASS(ShmUnmap, (sqlite3_file * f, int remove), remove)

static void file_ShmBarrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_FileSize,
    .xLock = file_Lock,
    .xUnlock = file_Unlock,
    .xCheckReservedLock = file_CheckReservedLock,
    .xFileControl = file_FileControl,
    .xSectorSize = file_SectorSize,
    .xDeviceCharacteristics = file_DeviceCharacteristics,
    .xShmMap = file_ShmMap,
    .xShmLock = file_ShmLock,
    .xShmBarrier = file_ShmBarrier,
    .xShmUnmap = file_ShmUnmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
	struct shim_file *file = (struct shim_file *)f;
	struct stat st;
	const char *name = below_root(path);
	bool was_there = path && !stat(path, &st);

	(void)vfs;
	f->pMethods = NULL;
	file->file = -1;
	file->real = (sqlite3_file *)(file + 1);
	file->real->pMethods = NULL;
	if ((flags & SQLITE_OPEN_CREATE) && fails(DISK_OPEN))
		return SQLITE_CANTOPEN;
	int rc = real_vfs->xOpen(real_vfs, path, file->real, flags, ret_flags);

	if (rc != SQLITE_OK)
		return rc;
	f->pMethods = &methods;
	if (name) {
		pthread_mutex_lock(&disk.lock);
		file->file = was_there ? file_named(name) : -1;
		if (file->file < 0)
			file->file = file_made(name);
		pthread_mutex_unlock(&disk.lock);
	}
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	(void)vfs;
	if (fails(DISK_UNLINK))
		return SQLITE_IOERR_DELETE;
	int rc = real_vfs->xDelete(real_vfs, path, sync_folder);

	if (rc == SQLITE_OK)
		record_unlink(path);
	return rc;
}

void disk_install(void)
{
	sqlite3_mem_methods ours;

	(void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
	ours = memory;
	ours.xMalloc = memory_new;
	ours.xRealloc = memory_resize;
	(void)sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
	(void)sqlite3_initialize();
	real_vfs = sqlite3_vfs_find(NULL);
	shim = *real_vfs;
	shim.zName = "disk";
	shim.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
	shim.xOpen = vfs_open;
	shim.xDelete = vfs_delete;
	(void)sqlite3_vfs_register(&shim, 1);
}

/* ---- replay ---- */

struct content {
	uint8_t *bytes;
	size_t len, capacity;
	size_t *pending; /* entries since the last sync */
	size_t pending_count, pending_capacity;
};

struct name {
	char *name;
	int file;
	bool folder;
};

struct disk_replay {
	size_t at;
	uint64_t mark;
	struct content files[FILES_MAX];
	struct name *names; /* durable */
	size_t names_count, names_capacity;
	size_t *pending; /* changes of entries that no fsync of their folder followed */
	size_t pending_count, pending_capacity;
};

struct disk_replay *disk_replay_new(void)
{
	return must(__real_calloc(1, sizeof(struct disk_replay)));
}

void disk_replay_free(struct disk_replay *r)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		free(r->files[i].bytes);
		free(r->files[i].pending);
	}
	for (size_t i = 0; i < r->names_count; i++)
		free(r->names[i].name);
	free(r->names);
	free(r->pending);
	free(r);
}

static void push(size_t **list, size_t *count, size_t *capacity, size_t item)
{
	if (*count == *capacity) {
		*capacity = *capacity ? *capacity * 2 : 64;
		*list = must(__real_realloc(*list, *capacity * sizeof(**list)));
	}
	(*list)[(*count)++] = item;
}

static void room(struct content *c, size_t len)
{
	if (len > c->capacity) {
		c->capacity = len * 2;
		c->bytes = must(__real_realloc(c->bytes, c->capacity));
	}
	if (len > c->len) {
		memset(c->bytes + c->len, 0, len - c->len);
		c->len = len;
	}
}

static void put(struct content *c, size_t at, const uint8_t *from, size_t len)
{
	room(c, at + len);
	if (len)
		memcpy(c->bytes + at, from, len);
}

static uint64_t draw(uint64_t *random, uint64_t below)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return ((*random * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % below;
}

/* Some of the sectors of one write. */
static void put_torn(struct content *c, const struct entry *e, uint64_t *random)
{
	size_t at = (size_t)e->at, end = at + e->len;

	while (at < end) {
		size_t next = (at / SECTOR + 1) * SECTOR;

		next = next < end ? next : end;
		if (draw(random, 2))
			put(c, at, (const uint8_t *)e->bytes + (at - (size_t)e->at), next - at);
		at = next;
	}
}

static void apply(struct content *c, const struct entry *e, uint64_t *random)
{
	uint64_t how = random ? draw(random, 4) : 3; /* lost, torn, whole, whole */

	if (how == 0)
		return;
	if (e->kind == CUT) {
		room(c, (size_t)e->at);
		c->len = (size_t)e->at;
	} else if (how == 1) {
		put_torn(c, e, random);
	} else {
		put(c, (size_t)e->at, e->bytes, e->len);
	}
}

static void name_set(struct disk_replay *r, const char *name, int file, bool folder)
{
	if (r->names_count == r->names_capacity) {
		r->names_capacity = r->names_capacity ? r->names_capacity * 2 : 64;
		r->names = must(__real_realloc(r->names, r->names_capacity * sizeof(*r->names)));
	}
	r->names[r->names_count++] = (struct name){copy(name), file, folder};
}

static void name_unset(struct disk_replay *r, const char *name)
{
	for (size_t i = 0; i < r->names_count; i++) {
		if (strcmp(r->names[i].name, name))
			continue;
		free(r->names[i].name);
		r->names[i--] = r->names[--r->names_count];
	}
}

static void apply_name(struct disk_replay *r, const struct entry *e)
{
	switch (e->kind) {
	case MADE:
	case FOLDER_MADE:
		name_unset(r, e->name);
		name_set(r, e->name, e->file, e->kind == FOLDER_MADE);
		break;
	case UNLINKED:
		name_unset(r, e->name);
		break;
	default:
		name_unset(r, e->name);
		name_unset(r, e->to);
		if (e->file >= 0)
			name_set(r, e->to, e->file, false);
	}
}

/* Whether an entry's change is one of the folder `folder`. */
static bool is_in(const struct entry *e, const char *folder)
{
	size_t len = strlen(folder);

	if (!len)
		return !strchr(e->name, '/');
	return !strncmp(e->name, folder, len) && e->name[len] == '/';
}

static void settle_folder(struct disk_replay *r, const char *folder)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->pending_count; i++) {
		if (is_in(&disk.entries[r->pending[i]], folder))
			apply_name(r, &disk.entries[r->pending[i]]);
		else
			r->pending[kept++] = r->pending[i];
	}
	r->pending_count = kept;
}

static void settle_file(struct content *c)
{
	for (size_t i = 0; i < c->pending_count; i++)
		apply(c, &disk.entries[c->pending[i]], NULL);
	c->pending_count = 0;
}

uint64_t disk_replay_to(struct disk_replay *r, size_t count)
{
	for (; r->at < count && r->at < disk.count; r->at++) {
		const struct entry *e = &disk.entries[r->at];

		switch (e->kind) {
		case WRITTEN:
		case CUT:
			push(&r->files[e->file].pending, &r->files[e->file].pending_count,
			     &r->files[e->file].pending_capacity, r->at);
			break;
		case SYNCED:
			settle_file(&r->files[e->file]);
			break;
		case FOLDER_SYNCED:
			settle_folder(r, e->name);
			break;
		case MARKED:
			r->mark = (uint64_t)e->at;
			break;
		default:
			push(&r->pending, &r->pending_count, &r->pending_capacity, r->at);
		}
	}
	return r->mark;
}

static void write_file(const char *path, const struct content *c)
{
	FILE *to = must(fopen(path, "we"));

	if (c->len && fwrite(c->bytes, 1, c->len, to) != c->len)
		abort();
	if (fclose(to))
		abort();
}

static void image_of(const struct content *from, enum disk_loss loss, uint64_t *random,
		     const char *path)
{
	struct content c = {0};

	put(&c, 0, from->bytes ? from->bytes : (const uint8_t *)"", from->len);
	for (size_t i = 0; loss != DISK_LOSE_ALL && i < from->pending_count; i++)
		apply(&c, &disk.entries[from->pending[i]], loss == DISK_LOSE_SOME ? random : NULL);
	write_file(path, &c);
	free(c.bytes);
}

void disk_replay_image(const struct disk_replay *r, enum disk_loss loss, uint64_t *random,
		       const char *dir)
{
	struct disk_replay names = {0};
	size_t changes = loss == DISK_LOSE_ALL   ? 0
			 : loss == DISK_KEEP_ALL ? r->pending_count
						 : (size_t)draw(random, r->pending_count + 1);
	char path[1024];

	for (size_t i = 0; i < r->names_count; i++)
		name_set(&names, r->names[i].name, r->names[i].file, r->names[i].folder);
	for (size_t i = 0; i < changes; i++)
		apply_name(&names, &disk.entries[r->pending[i]]);
	for (int folders = 1; folders >= 0; folders--)
		for (size_t i = 0; i < names.names_count; i++) {
			const struct name *n = &names.names[i];

			if (n->folder != folders)
				continue;
			(void)snprintf(path, sizeof(path), "%s/%s", dir, n->name);
			if (folders)
				(void)__real_mkdir(path, 0700);
			else
				image_of(&r->files[n->file], loss, random, path);
		}
	for (size_t i = 0; i < names.names_count; i++)
		free(names.names[i].name);
	free(names.names);
}
