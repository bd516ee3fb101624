/* SPDX-License-Identifier: Apache-2.0 */
/* The symbol store: one file, one row for each (scope, build id).  Opened by its first put. */
#include "storage/sqlite_store.h"

#include <errno.h>

static int insert(struct sqlite_store *s, uint64_t scope, const uint8_t *build_id,
		  size_t build_id_len, struct str packed, size_t len, int64_t *ret_epoch,
		  struct err *err)
{
	sqlite3_stmt *stmt;
	int rc =
	    db_prepare(&s->symbols, "UPDATE epoch SET last = last + 1 RETURNING last", &stmt, err);

	if (rc)
		return rc;
	rc = db_step(&s->symbols, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EIO, "storage: symbols.db has no epoch");
	*ret_epoch = sqlite3_column_int64(stmt, 0);
	rc = db_run(&s->symbols, stmt, err);
	if (!rc)
		rc = db_prepare(&s->symbols,
				"INSERT INTO symbols(scope, build_id, epoch, length, data)"
				" VALUES (:scope, :id, :epoch, :length, :data)"
				" ON CONFLICT DO UPDATE SET epoch = excluded.epoch,"
				" length = excluded.length, data = excluded.data",
				&stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":scope", (int64_t)scope);
	db_bind_blob(stmt, ":id", build_id, build_id_len);
	db_bind_int(stmt, ":epoch", *ret_epoch);
	db_bind_int(stmt, ":length", (int64_t)len);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	return db_run(&s->symbols, stmt, err);
}

int sqlite_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
		       size_t build_id_len, const void *table, size_t len, uint64_t *ret_epoch,
		       struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	char path[SQLITE_PATH_MAX];
	struct str packed;
	int64_t epoch = 0;
	int rc = 0;

	if (build_id_len > PROFILE_BUILD_ID_MAX)
		return err_set(err, -EINVAL, "storage: build id of %zu bytes", build_id_len);
	files_path(s, "symbols.db", "", path);
	if (!s->symbols.handle)
		rc = db_open_writer(&s->symbols, path, DB_SYMBOLS, true, err);
	if (!rc && codec_pack(s->codec, table, len, CODEC_QUICK, &packed))
		rc = err_set(err, -ENOMEM, "storage: out of memory");
	if (!rc)
		rc = db_begin(&s->symbols, err);
	if (!rc)
		rc = insert(s, scope, build_id, build_id_len, packed, len, &epoch, err);
	codec_forget(s->codec);
	if (!rc)
		rc = db_commit(&s->symbols, err);
	if (rc) {
		db_rollback(&s->symbols);
		return rc == -EBADMSG ? -EIO : rc;
	}
	s->weighed_ns = 0;
	*ret_epoch = (uint64_t)epoch;
	return 0;
}
