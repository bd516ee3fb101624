/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_store.h"

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

int known_load(struct known *k, struct db *db, int64_t file_ns, struct err *err)
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
	if (!rc)
		rc = db_prepare(db,
				"SELECT upload, arrived_ns FROM batch WHERE upload IS NOT NULL"
				" UNION ALL SELECT key, arrived_ns FROM upload",
				&stmt, err);
	while (!rc && (rc = db_step(db, stmt, err)) > 0) {
		struct str key = db_column_blob(stmt, 0);
		struct hash128 h;

		rc = 0;
		if (key.len != sizeof(h))
			continue;
		memcpy(&h, key.ptr, sizeof(h));
		rc = known_add_upload(k, h, sqlite3_column_int64(stmt, 1));
	}
	return rc;
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
	return rc ? rc : db_commit(&to->db, err);
}
