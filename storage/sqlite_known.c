/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <string.h>

void known_release(struct known *k)
{
	index_release(&k->cursor_index);
	index_release(&k->upload_index);
	free(k->cursors);
	free(k->uploads);
	memset(k, 0, sizeof(*k));
}

static struct hash128 cursor_key(const uint8_t runtime_id[16], uint32_t ring)
{
	uint8_t bytes[20];

	memcpy(bytes, runtime_id, 16);
	memcpy(bytes + 16, &ring, sizeof(ring));
	return hash128(bytes, sizeof(bytes));
}

static int put_cursor(struct known *k, struct known_cursor cursor)
{
	uint32_t at = index_find(&k->cursor_index, cursor.key);

	if (at != INDEX_NONE) {
		struct known_cursor *c = &k->cursors[at];

		c->position = MAX(c->position, cursor.position);
		c->file_ns = MAX(c->file_ns, cursor.file_ns);
		return 0;
	}
	int rc = array_grow(&k->cursors, sizeof(*k->cursors), &k->cursors_capacity,
			    k->cursors_count + 1);

	if (!rc)
		rc = index_put(&k->cursor_index, cursor.key, (uint32_t)k->cursors_count);
	if (!rc)
		k->cursors[k->cursors_count++] = cursor;
	return rc;
}

int known_add_cursor(struct known *k, const uint8_t runtime_id[16], uint32_t ring,
		     uint64_t position, int64_t file_ns)
{
	return put_cursor(k,
			  (struct known_cursor){cursor_key(runtime_id, ring), position, file_ns});
}

uint64_t known_cursor(const struct known *k, const uint8_t runtime_id[16], uint32_t ring)
{
	uint32_t at = index_find(&k->cursor_index, cursor_key(runtime_id, ring));

	return at == INDEX_NONE ? 0 : k->cursors[at].position;
}

int known_add_upload(struct known *k, struct hash128 key, int64_t arrived_ns)
{
	uint32_t at = index_find(&k->upload_index, key);

	if (at != INDEX_NONE) {
		k->uploads[at].arrived_ns = MAX(k->uploads[at].arrived_ns, arrived_ns);
		return 0;
	}
	int rc = array_grow(&k->uploads, sizeof(*k->uploads), &k->uploads_capacity,
			    k->uploads_count + 1);

	if (!rc)
		rc = index_put(&k->upload_index, key, (uint32_t)k->uploads_count);
	if (!rc)
		k->uploads[k->uploads_count++] = (struct known_upload){key, arrived_ns};
	return rc;
}

bool known_has_upload(const struct known *k, struct hash128 key, int64_t arrived_ns)
{
	uint32_t at = index_find(&k->upload_index, key);

	if (at == INDEX_NONE)
		return false;
	int64_t apart = arrived_ns - k->uploads[at].arrived_ns;

	return apart < STORAGE_UPLOAD_ID_NS && apart > -STORAGE_UPLOAD_ID_NS;
}

/* The tables cannot shrink, so what stays moves into new ones. */
int known_forget(struct known *k, int64_t arrived_before_ns, int64_t file_before_ns)
{
	struct known kept = {0};
	int rc = 0;

	for (size_t i = 0; !rc && i < k->cursors_count; i++)
		if (k->cursors[i].file_ns >= file_before_ns)
			rc = put_cursor(&kept, k->cursors[i]);
	for (size_t i = 0; !rc && i < k->uploads_count; i++)
		if (k->uploads[i].arrived_ns >= arrived_before_ns)
			rc = known_add_upload(&kept, k->uploads[i].key, k->uploads[i].arrived_ns);
	if (rc) {
		known_release(&kept);
		return rc;
	}
	known_release(k);
	*k = kept;
	return 0;
}

static int load_cursors(struct known *k, struct db *db, int64_t file_ns, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(db, "SELECT runtime_id, ring, position FROM cursor", &stmt, err);

	while (!rc && (rc = db_step(db, stmt, err)) > 0) {
		struct str id = db_column_blob(stmt, 0);

		rc = id.len == 16
			 ? known_add_cursor(k, (const uint8_t *)id.ptr,
					    (uint32_t)sqlite3_column_int64(stmt, 1),
					    (uint64_t)sqlite3_column_int64(stmt, 2), file_ns)
			 : 0;
	}
	return rc;
}

/* A statement with keys and when they arrived. */
static int load_keys(struct known *k, struct db *db, const char *sql, int64_t *last_ns,
		     struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(db, sql, &stmt, err);

	while (!rc && (rc = db_step(db, stmt, err)) > 0) {
		struct str key = db_column_blob(stmt, 0);
		int64_t arrived_ns = sqlite3_column_int64(stmt, 1);
		struct hash128 h;

		rc = 0;
		if (key.len != sizeof(h))
			continue;
		memcpy(&h, key.ptr, sizeof(h));
		rc = known_add_upload(k, h, arrived_ns);
		*last_ns = MAX(*last_ns, arrived_ns);
	}
	return rc;
}

/* Two statements: of a damaged file the one may still answer. */
static int load_uploads(struct known *k, struct db *db, int64_t *last_ns, struct err *err)
{
	static const char own[] = "SELECT upload, arrived_ns FROM batch WHERE upload IS NOT NULL";
	static const char carried[] = "SELECT key, arrived_ns FROM upload";
	int rc = load_keys(k, db, own, last_ns, err);

	return rc ? rc : load_keys(k, db, carried, last_ns, err);
}

static int load(struct known *k, struct db *db, struct period_file *file, unsigned what,
		struct err *err)
{
	int rc = what & KNOWN_CURSORS ? load_cursors(k, db, file->start_ns, err) : 0;

	if (!rc && what & KNOWN_UPLOADS)
		rc = load_uploads(k, db, &file->uploads_ns, err);
	if (!rc)
		file->unknown &= ~what;
	return rc;
}

int known_load(struct known *k, struct db *db, struct period_file *file, struct err *err)
{
	return load(k, db, file, KNOWN_ALL, err);
}

/* A file that the writer has not open, for then it is known: nobody changes it meanwhile. */
static int open_closed(struct sqlite_store *s, const struct period_file *file, struct db *db,
		       struct err *err)
{
	char path[SQLITE_PATH_MAX];

	files_path(s, file->name, "", path);
	if (!files_has_wal(s, file->name))
		return db_open_still(db, path, DB_L0, err);
	int rc = db_open_reader(db, path, err);

	if (!rc)
		rc = db_exec(db, "SELECT file_id FROM meta", err);
	if (rc != -ENOSPC)
		return rc;
	/* There is no room for the memory that connections share, so no reader has it either. */
	db_close(db);
	return db_open_alone(db, path, DB_L0, err);
}

int known_read(struct sqlite_store *s, struct period_file *file, unsigned what, struct err *err)
{
	struct db db = {0};

	what &= file->unknown;
	if (!what)
		return 0;
	int rc = open_closed(s, file, &db, err);

	if (!rc)
		rc = load(&s->known, &db, file, what, err);
	db_close_still(&db);
	return rc;
}

int known_want(struct sqlite_store *s, unsigned what, struct err *err)
{
	struct err why = {0};

	for (size_t i = 0; i < s->files_count; i++) {
		struct period_file *file = s->files[i];
		int rc = known_read(s, file, what, &why);

		if (rc == -ENOENT) {
			file->unknown = 0; /* somebody took it away */
			continue;
		}
		if (rc == -EBADMSG) {
			files_damaged(s, file);
			rc = retain_damaged(s, &why);
			i = (size_t)-1; /* it is gone, and so may others be: from the start */
		}
		if (rc)
			return err_set(err, rc == -EBADMSG ? -EIO : rc, "%s", why.message);
	}
	return 0;
}

/* The ids of `from` that are still asked for, into the table that holds those of files that
 * went. */
static int carry_rows(struct db *from, struct db *to, int64_t arrived_after_ns, struct err *err)
{
	sqlite3_stmt *rows, *insert;
	int rc = db_prepare(from,
			    "SELECT upload, arrived_ns FROM batch WHERE upload IS NOT NULL"
			    " AND arrived_ns >= :after UNION ALL"
			    " SELECT key, arrived_ns FROM upload WHERE arrived_ns >= :after",
			    &rows, err);

	if (rc)
		return rc;
	db_bind_int(rows, ":after", arrived_after_ns);
	while (!rc && (rc = db_step(from, rows, err)) > 0) {
		struct str key = db_column_blob(rows, 0);

		rc = db_prepare(to,
				"INSERT INTO upload(key, arrived_ns) VALUES (:key, :arrived)"
				" ON CONFLICT DO UPDATE SET arrived_ns = max(arrived_ns, :arrived)",
				&insert, err);
		if (rc)
			break;
		db_bind_blob(insert, ":key", key.ptr, key.len);
		db_bind_int(insert, ":arrived", sqlite3_column_int64(rows, 1));
		rc = db_run(to, insert, err);
	}
	(void)sqlite3_reset(rows);
	return rc;
}

int known_carry(struct open_file *from, struct open_file *to, int64_t arrived_after_ns,
		struct err *err)
{
	int rc = db_begin(&to->db, err);

	if (!rc)
		rc = carry_rows(&from->db, &to->db, arrived_after_ns, err);
	if (!rc)
		rc = db_commit(&to->db, err);
	if (!rc)
		to->entry->uploads_ns = MAX(to->entry->uploads_ns, from->entry->uploads_ns);
	return rc;
}
