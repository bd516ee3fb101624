/* SPDX-License-Identifier: Apache-2.0 */
/* An open period file: its dictionaries' segments and the spans that it keeps of its contents. */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <string.h>

static void parts_free(struct open_file *file)
{
	for (size_t i = 0; i < file->parts_count; i++) {
		if (!file->parts[i])
			continue;
		dict_release(&file->parts[i]->dict);
		free(file->parts[i]);
	}
	file->parts_count = 0;
}

/* Nobody writes the file and it has no WAL: it can be read as it stands. */
static int open_still(struct sqlite_store *s, struct open_file *file, const char *path,
		      struct err *err)
{
	file->opened = file->entry->opened;
	file->still = true;
	if (file->opened % 2 || files_has_wal(s, file->entry->name))
		return -ENOSPC;
	return db_open_still(&file->db, path, (enum db_kind)file->entry->level, err);
}

bool open_file_is_torn(const struct open_file *file)
{
	return file->still && file->opened != file->entry->opened;
}

int open_file_end(struct sqlite_store *s, struct open_file *file, int rc, struct err *err)
{
	if ((!rc || rc == -EBADMSG) && open_file_is_torn(file))
		return err_set(err, -EAGAIN, "storage: %s is being written; ask again",
			       file->entry->name);
	if (rc == -EBADMSG)
		files_damaged(s, file->entry);
	return rc;
}

/* Only when it has been read does SQLite hold the WAL, too. */
static int read_once(struct open_file *file, struct err *err)
{
	static const char period[] = "SELECT file_id FROM meta";
	static const char symbols[] = "SELECT last FROM epoch";

	return db_exec(&file->db, file->entry->level == DB_SYMBOLS ? symbols : period, err);
}

int open_file_read(struct sqlite_store *s, struct open_file *file, struct err *err)
{
	char path[SQLITE_PATH_MAX];
	struct err why = {0};

	files_path(s, file->entry->name, "", path);
	int rc = db_open_reader(&file->db, path, &why);

	if (!rc)
		rc = read_once(file, &why);
	if (rc == -ENOSPC) {
		/* There is no room for the memory that connections share. */
		db_close(&file->db);
		rc = open_still(s, file, path, &why);
		if (!rc)
			rc = read_once(file, &why);
		if (open_file_is_torn(file))
			rc = -EAGAIN;
	}
	return rc ? err_set(err, rc, "%s", why.message) : 0;
}

void open_file_free(struct sqlite_store *s, struct open_file *file)
{
	if (!file)
		return;
	db_close(&file->db);
	if (file->writing && file->entry)
		file->entry->opened++;
	dict_release(&file->catalogue.dict);
	parts_free(file);
	free(file->parts);
	if (file->entry)
		files_unref(s, file->entry);
	free(file);
}

/* Start anew: the segments that were read have become one. */
static int part_clear(struct open_file *file, struct open_part *part)
{
	uint32_t owner = part->dict.owner;

	dict_release(&part->dict);
	part->last_id = 0;
	int rc = dict_init(&part->dict, file->writing);

	part->dict.owner = owner;
	return rc;
}

/* A row with part, id, first and data. */
static int load_segment(struct open_file *file, struct codec *codec, struct open_part *part,
			sqlite3_stmt *stmt, struct err *err)
{
	struct str packed = db_column_blob(stmt, 3), segment;
	int rc = sqlite3_column_int64(stmt, 2) <= part->last_id ? part_clear(file, part) : 0;

	if (!rc)
		rc = codec_unpack(codec, packed.ptr, packed.len, &segment);
	if (!rc)
		rc = dict_decode(&part->dict, segment);
	if (rc)
		return err_set(err, rc, "storage: %s: a dictionary segment is damaged",
			       file->entry->name);
	part->last_id = sqlite3_column_int64(stmt, 1);
	return 0;
}

#define WALKED_PARTS_MAX 4

/* To look for a segment costs a read of others, up to megabytes: a search compares whole rows.  A
 * walk reads the heads of those that it passes, which are some dozens at most where there are few
 * parts. */
static int find_segments(struct open_file *file, uint32_t number, int64_t after,
			 sqlite3_stmt **ret_stmt, struct err *err)
{
	bool walks = file->catalogue.dict.parts_count <= WALKED_PARTS_MAX;

	if (walks)
		return db_prepare(&file->db,
				  "SELECT part, id, first, data FROM dict ORDER BY part, id",
				  ret_stmt, err);
	int rc =
	    db_prepare(&file->db,
		       "SELECT part, id, first, data FROM dict WHERE part = :part AND id > :last"
		       " ORDER BY id",
		       ret_stmt, err);

	if (rc)
		return rc;
	db_bind_int(*ret_stmt, ":part", number);
	db_bind_int(*ret_stmt, ":last", after);
	return 0;
}

static int load_part(struct open_file *file, struct codec *codec, uint32_t number,
		     struct open_part *part, struct err *err)
{
	int64_t after = part->last_id;
	sqlite3_stmt *stmt;

	if (file->reading && part->version == file->version)
		return 0;
	int rc = find_segments(file, number, after, &stmt, err);

	if (rc)
		return rc;
	while (!rc && (rc = db_step(&file->db, stmt, err)) > 0) {
		int64_t of = sqlite3_column_int64(stmt, 0);

		rc = 0;
		if (of > number)
			break;
		if (of == number && sqlite3_column_int64(stmt, 1) > after)
			rc = load_segment(file, codec, part, stmt, err);
	}
	(void)sqlite3_reset(stmt);
	if (!rc)
		part->version = file->version;
	return rc;
}

/* Inside the transaction that reads what it stands for. */
int open_file_version(struct open_file *file, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, "PRAGMA data_version", &stmt, err);

	if (!rc)
		rc = db_step(&file->db, stmt, err);
	if (rc > 0)
		file->version = sqlite3_column_int64(stmt, 0);
	if (rc >= 0)
		(void)sqlite3_reset(stmt);
	return MIN(rc, 0);
}

int open_file_load(struct open_file *file, struct codec *codec, struct err *err)
{
	int rc = file->reading ? open_file_version(file, err) : 0;

	return rc ? rc : load_part(file, codec, 0, &file->catalogue, err);
}

int open_file_reload(struct open_file *file, struct codec *codec, struct err *err)
{
	parts_free(file);
	dict_release(&file->catalogue.dict);
	file->catalogue.last_id = 0;
	int rc = dict_init(&file->catalogue.dict, file->writing);

	return rc ? err_set(err, rc, "storage: out of memory") : open_file_load(file, codec, err);
}

static struct open_part *part_new(struct open_file *file, uint32_t number, uint32_t owner)
{
	struct open_part *part = calloc(1, sizeof(*part));

	if (!part || array_grow(&file->parts, sizeof(struct open_part *), &file->parts_capacity,
				(size_t)number + 1)) {
		free(part);
		return NULL;
	}
	if (dict_init(&part->dict, file->writing)) {
		free(part);
		return NULL;
	}
	part->dict.owner = owner;
	while (file->parts_count <= number)
		file->parts[file->parts_count++] = NULL;
	file->parts[number] = part;
	return part;
}

int open_file_part(struct open_file *file, struct codec *codec, uint32_t series,
		   struct dict **ret_dict, struct err *err)
{
	const struct dict_series *s = &file->catalogue.dict.t.series[series];
	struct open_part *part = s->part < file->parts_count ? file->parts[s->part] : NULL;
	bool fresh = !part;

	if (!part)
		part = part_new(file, s->part, s->owner);
	if (!part)
		return err_set(err, -ENOMEM, "storage: out of memory");
	/* The one who writes has seen every segment. */
	int rc = file->writing && !fresh ? 0 : load_part(file, codec, s->part, part, err);

	if (rc) {
		dict_release(&part->dict);
		free(part);
		file->parts[s->part] = NULL;
		return rc;
	}
	*ret_dict = &part->dict;
	return 0;
}

void open_file_forget(struct open_file *file)
{
	parts_free(file);
}

static int insert_segment(struct open_file *file, struct codec *codec, uint32_t number,
			  struct open_part *part, int64_t first, int64_t id,
			  enum codec_effort effort, struct err *err)
{
	struct buf raw CLEANUP(buf_release);
	struct dict_pieces pieces;
	sqlite3_stmt *stmt;
	struct str packed;

	buf_init(&raw, CODEC_RAW_MAX);
	if (dict_encode(&part->dict, &raw, &pieces) ||
	    codec_pack_pieces(codec, raw.data, pieces.ends, pieces.count, DICT_LETTERS, effort,
			      &packed))
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc = db_prepare(&file->db,
			    "INSERT INTO dict(part, id, first, data)"
			    " VALUES (:part, :id, :first, :data)",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":part", number);
	db_bind_int(stmt, ":id", id);
	db_bind_int(stmt, ":first", first);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	rc = db_run(&file->db, stmt, err);
	if (!rc)
		part->last_id = id;
	return rc;
}

static int store_part(struct open_file *file, struct codec *codec, uint32_t number,
		      struct open_part *part, enum codec_effort effort, struct err *err)
{
	int rc = 0;

	while (!rc && dict_is_dirty(&part->dict)) {
		int64_t id = part->last_id + 1;

		rc = insert_segment(file, codec, number, part, id, id, effort, err);
	}
	return rc;
}

int open_file_store(struct open_file *file, struct codec *codec, struct err *err)
{
	int rc = store_part(file, codec, 0, &file->catalogue, CODEC_SOON, err);

	for (uint32_t i = 0; !rc && i < file->parts_count; i++)
		if (file->parts[i])
			rc = store_part(file, codec, i, file->parts[i], CODEC_SOON, err);
	return rc;
}

#define LOOSE_MIN 4096 /* bytes: of fewer, to try harder makes no more */

/* What is longer stays in segments: to have it as one takes many times that in memory. */
#define MERGE_MAX (INT64_C(12) << 20)

/* Whether a dictionary has more than `segments`; of one that is to be whole, also whether it was
 * written by the transaction that learned it, which was in a hurry: one that was merged stands for
 * those before, too. */
static int has_more(struct open_file *file, uint32_t number, unsigned segments, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db,
			    "SELECT count(*) > :segments OR (:segments = 1 AND"
			    " max(first = id AND length(data) >= :loose)),"
			    " ifnull(sum(length(data)), 0) FROM dict WHERE part = :part",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":part", number);
	db_bind_int(stmt, ":segments", segments);
	db_bind_int(stmt, ":loose", LOOSE_MIN);
	rc = db_step(&file->db, stmt, err);
	if (rc > 0)
		rc = sqlite3_column_int(stmt, 0) && sqlite3_column_int64(stmt, 1) <= MERGE_MAX;
	(void)sqlite3_reset(stmt);
	return rc;
}

/* The same numbers in one segment, which takes the place of the others. */
static int merge_part(struct open_file *file, struct codec *codec, uint32_t number,
		      struct open_part *part, unsigned segments, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = has_more(file, number, segments, err);

	if (rc <= 0)
		return rc;
	rc = db_prepare(&file->db, "DELETE FROM dict WHERE part = :part", &stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":part", number);
	rc = db_run(&file->db, stmt, err);
	if (rc)
		return rc;
	dict_unwrite(&part->dict);
	rc = insert_segment(file, codec, number, part, 1, part->last_id + 1, CODEC_DENSE, err);
	/* More text than a segment has. */
	return rc ? rc : store_part(file, codec, number, part, CODEC_DENSE, err);
}

int open_file_merge(struct open_file *file, struct codec *codec, unsigned segments, struct err *err)
{
	const struct dict_tables *t = &file->catalogue.dict.t;
	int rc = db_begin(&file->db, err);

	/* Stacks are megabytes, and mostly there is nothing to do: only those that will be written
	 * are loaded. */
	for (uint32_t i = 0; rc >= 0 && i < t->series_count; i++) {
		struct dict *loaded;

		rc = has_more(file, t->series[i].part, segments, err);
		if (rc > 0)
			rc = open_file_part(file, codec, i, &loaded, err);
	}
	if (!rc)
		rc = merge_part(file, codec, 0, &file->catalogue, segments, err);
	for (uint32_t i = 0; !rc && i < file->parts_count; i++)
		if (file->parts[i])
			rc = merge_part(file, codec, i, file->parts[i], segments, err);
	return rc ? rc : db_commit(&file->db, err);
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
