/* SPDX-License-Identifier: Apache-2.0 */
/* An open period file: its dictionary's segments and the spans that it keeps of its contents. */
#include "storage/sqlite_store.h"

#include <errno.h>

void open_file_free(struct sqlite_store *s, struct open_file *file)
{
	if (!file)
		return;
	db_close(&file->db);
	dict_release(&file->dict);
	if (file->entry)
		files_unref(s, file->entry);
	free(file);
}

int open_file_load(struct open_file *file, struct codec *codec, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, "SELECT id, data FROM dict WHERE id > :last ORDER BY id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":last", file->dict_id);
	while ((rc = db_step(&file->db, stmt, err)) > 0) {
		struct str packed = db_column_blob(stmt, 1), segment;

		rc = codec_unpack(codec, packed.ptr, packed.len, &segment);
		if (!rc)
			rc = dict_decode(&file->dict, segment);
		if (rc) {
			(void)sqlite3_reset(stmt);
			return err_set(err, rc, "storage: %s: a dictionary segment is damaged",
				       file->entry->name);
		}
		file->dict_id = sqlite3_column_int64(stmt, 0);
	}
	return rc;
}

int open_file_reload(struct open_file *file, struct codec *codec, struct err *err)
{
	bool indexed = file->dict.indexed;

	dict_release(&file->dict);
	file->dict_id = 0;
	int rc = dict_init(&file->dict, indexed);

	return rc ? err_set(err, rc, "storage: out of memory") : open_file_load(file, codec, err);
}

int open_file_store(struct open_file *file, struct codec *codec, struct err *err)
{
	struct buf raw CLEANUP(buf_release);
	sqlite3_stmt *stmt;
	struct str packed;

	buf_init(&raw, CODEC_RAW_MAX);
	if (!dict_is_dirty(&file->dict))
		return 0;
	if (dict_encode(&file->dict, &raw) || codec_pack(codec, raw.data, raw.len, &packed))
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc =
	    db_prepare(&file->db, "INSERT INTO dict(id, data) VALUES (:id, :data)", &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":id", file->dict_id + 1);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	rc = db_run(&file->db, stmt, err);
	file->dict_id += !rc;
	return rc;
}

int open_file_widen(struct open_file *file, const struct extent *e, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc =
	    db_prepare(&file->db,
		       "UPDATE meta SET min_ns = min(min_ns, :min), max_ns = max(max_ns, :max),"
		       " first_ns = min(first_ns, :first), last_ns = max(last_ns, :last),"
		       " records = records + :records",
		       &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":min", e->min_ns);
	db_bind_int(stmt, ":max", e->max_ns);
	db_bind_int(stmt, ":first", e->first_ns);
	db_bind_int(stmt, ":last", e->last_ns);
	db_bind_int(stmt, ":records", (int64_t)e->records);
	return db_run(&file->db, stmt, err);
}

int open_file_series(struct open_file *file, uint32_t series, int64_t first_ns, int64_t last_ns,
		     struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db,
			    "INSERT INTO series(id, first_ns, last_ns) VALUES (:id, :first, :last)"
			    " ON CONFLICT (id) DO UPDATE SET first_ns = min(first_ns, :first),"
			    " last_ns = max(last_ns, :last)",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":id", series);
	db_bind_int(stmt, ":first", first_ns);
	db_bind_int(stmt, ":last", last_ns);
	return db_run(&file->db, stmt, err);
}
