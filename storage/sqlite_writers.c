/* SPDX-License-Identifier: Apache-2.0 */
/* Period files that are open for writing: a few at a time, each for as long as it is used. */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* A new file's name must be as durable as what will be in it. */
int files_sync_folder(const struct sqlite_store *s, int level, struct err *err)
{
	char path[SQLITE_PATH_MAX];

	files_path(s, files_level(level), "", path);
	int fd CLOSING = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return err_set(err, -EIO, "storage: %s: %s", path, strerror(errno));
	return 0;
}

void files_remove_leftovers(const struct sqlite_store *s, const char *name)
{
	char path[SQLITE_PATH_MAX];
	struct stat st;

	/* A file that is there has a WAL of its own, though it was not loaded: it is a newer
	 * release's. */
	files_path(s, name, "", path);
	if (!stat(path, &st) && st.st_size)
		return;
	files_path(s, name, "-wal", path);
	(void)unlink(path);
	files_path(s, name, "-shm", path);
	(void)unlink(path);
}

static int writer_open(struct sqlite_store *s, struct period_file *entry, bool create,
		       struct open_file **ret_file, struct err *err)
{
	char path[SQLITE_PATH_MAX];
	struct open_file *file = calloc(1, sizeof(*file));
	int rc = file ? dict_init(&file->catalogue.dict, true) : -ENOMEM;

	if (rc) {
		free(file);
		return err_set(err, rc, "storage: out of memory");
	}
	file->writing = true;
	if (create)
		files_remove_leftovers(s, entry->name);
	files_path(s, entry->name, "", path);
	entry->opened++;
	rc = db_open_writer(&file->db, path, (enum db_kind)entry->level, create, err);
	if (!rc && create)
		rc = files_meta(&file->db, entry, err);
	pthread_mutex_lock(&s->lock);
	file->entry = files_ref(s, entry);
	pthread_mutex_unlock(&s->lock);
	if (!rc)
		rc = open_file_load(file, s->codec, err);
	/* After a failed commit the file knows better than we do what is in it. */
	if (!rc && entry->level == 0)
		rc = files_last_batch(&file->db, entry, err);
	if (!rc && entry->level == 0)
		rc = known_load(&s->known, &file->db, entry, err);
	if (!rc && create)
		rc = files_sync_folder(s, entry->level, err);
	if (rc) {
		open_file_free(s, file);
		return rc;
	}
	if (s->options.sync_within_ns || entry->level == 1)
		db_sync_later(&file->db);
	*ret_file = file;
	return 0;
}

static struct open_file **writer_slot(struct sqlite_store *s)
{
	struct open_file **slot = &s->writing[0];

	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		if (!s->writing[i])
			return &s->writing[i];
		if (s->writing[i]->used < (*slot)->used)
			slot = &s->writing[i];
	}
	db_checkpoint(&(*slot)->db, true);
	open_file_free(s, *slot);
	*slot = NULL;
	return slot;
}

int files_writer(struct sqlite_store *s, int level, int64_t start_ns, bool create,
		 struct open_file **ret_file, struct err *err)
{
	struct period_file *entry = files_find(s, level, start_ns), *made = NULL;
	struct open_file *file;

	for (size_t i = 0; entry && i < SQLITE_WRITERS_MAX; i++)
		if (s->writing[i] && s->writing[i]->entry == entry) {
			s->writing[i]->used = ++s->used;
			*ret_file = s->writing[i];
			return 0;
		}
	if (!entry && !create)
		return -ENOENT;
	if (!entry)
		entry = made = files_new(level, start_ns);
	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	struct open_file **slot = writer_slot(s);
	int rc = writer_open(s, entry, made != NULL, &file, err);

	if (!rc && made && files_add(s, made)) {
		open_file_free(s, file);
		rc = err_set(err, -ENOMEM, "storage: out of memory");
	}
	if (rc == -EBADMSG && !made)
		files_damaged(s, entry);
	if (rc) {
		if (made)
			files_unref(s, made);
		return rc;
	}
	entry->bytes = 0;
	file->used = ++s->used;
	*slot = *ret_file = file;
	return 0;
}

void files_failed(struct sqlite_store *s, struct open_file *file, int rc)
{
	struct period_file *entry = file->entry;

	db_rollback(&file->db);
	if (rc == -ENOSPC)
		s->weighed_ns = 0;
	if (rc == -EBADMSG)
		files_damaged(s, entry);
	if (rc == -EBADMSG || open_file_reload(file, s->codec, NULL))
		files_writer_drop(s, entry);
}

void files_writer_drop(struct sqlite_store *s, const struct period_file *file)
{
	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		if (!s->writing[i] || s->writing[i]->entry != file)
			continue;
		db_rollback(&s->writing[i]->db);
		open_file_free(s, s->writing[i]);
		s->writing[i] = NULL;
	}
}

int files_sync_all(struct open_file *file, int wait_ms, struct err *err)
{
	struct err failed = {0};

	/* What the WAL could not keep, the file itself may. */
	if (!db_sync(&file->db, &failed) || db_checkpoint_within(&file->db, wait_ms))
		return 0;
	return err_set(err, failed.code, "%s", failed.message);
}

int files_sync(struct open_file *file, struct err *err)
{
	int rc = 0;

	if (file->entry->unsynced)
		rc = files_sync_all(file, SQLITE_WAL_WAIT_MS / 20, err);
	if (!rc)
		file->entry->unsynced = false;
	return rc;
}

int files_sync_derived(struct sqlite_store *s, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < s->files_count; i++) {
		struct open_file *file;

		if (s->files[i]->level != 1 || !s->files[i]->unsynced)
			continue;
		rc = files_writer(s, 1, s->files[i]->start_ns, false, &file, err);
		if (!rc)
			rc = files_sync(file, err);
	}
	return rc;
}

void files_bound_wal(struct open_file *file)
{
	if (file->db.wal_bytes < SQLITE_WAL_FULL)
		return;
	if (db_checkpoint_within(&file->db, SQLITE_WAL_WAIT_MS / 20))
		return;
	file->entry->hurries++;
	(void)db_checkpoint_within(&file->db, SQLITE_WAL_WAIT_MS - SQLITE_WAL_WAIT_MS / 20);
}
