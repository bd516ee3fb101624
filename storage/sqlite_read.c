/* SPDX-License-Identifier: Apache-2.0 */
/* What to take from which level, and the files for it. */
#include "storage/sqlite_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define RETRIES 4        /* of a plan whose files went while it opened them */
#define HELD_DAYS_MAX 32 /* of records of one L0 file, to be looked at */

static void plan_clear(struct plan *p)
{
	free(p->files);
	free(p->sources);
	free(p->marks);
	memset(p, 0, sizeof(*p));
}

void plan_release(struct plan *p)
{
	struct sqlite_reader *r = p->r;

	plan_clear(p);
	if (r)
		reader_end(r);
}

/* The hours that the range touches. */
static int64_t first_hour(const struct plan *p)
{
	int64_t from_ns = MAX(p->scan->from_ns, INT64_MIN + STORAGE_L2_WINDOW_NS);

	return clock_window_ns(from_ns, STORAGE_L2_WINDOW_NS);
}

static int64_t last_hour_end(const struct plan *p)
{
	int64_t until_ns = MIN(p->scan->until_ns, INT64_MAX - STORAGE_L2_WINDOW_NS);

	return clock_window_ns(until_ns - 1, STORAGE_L2_WINDOW_NS) + STORAGE_L2_WINDOW_NS;
}

/* References to the files that the range touches, and those of L1 and L0 that only touch an hour of
 * it, for they may have what L2 has of that; the ids of all files. */
static int snapshot(struct plan *p, struct period_file ***ret_entries, size_t *ret_count)
{
	struct sqlite_store *s = p->r->s;
	struct period_file **entries;
	size_t count = 0;

	pthread_mutex_lock(&s->lock);
	entries = malloc((s->files_count + 1) * sizeof(struct period_file *));
	p->sources = malloc((s->files_count + 1) * sizeof(*p->sources));
	p->files = malloc((s->files_count + 1) * sizeof(struct open_file *));
	bool ok = entries && p->sources && p->files;

	for (size_t i = 0; ok && i < s->files_count; i++) {
		struct period_file *f = s->files[i];

		p->sources[p->sources_count++] = f->file_id;
		if ((!f->level || !p->l0_only) && f->extent.min_ns < last_hour_end(p) &&
		    f->extent.max_ns >= first_hour(p))
			entries[count++] = files_ref(s, f);
	}
	pthread_mutex_unlock(&s->lock);
	if (!ok) {
		free(entries);
		return -ENOMEM;
	}
	*ret_entries = entries;
	*ret_count = count;
	return 0;
}

struct open_file *plan_file(const struct plan *p, size_t i)
{
	return p->files[i];
}

static uint64_t step_of(const struct plan *p, int64_t time_ns)
{
	return (uint64_t)(time_ns - p->scan->from_ns) / (uint64_t)p->step_ns;
}

static bool is_whole(const struct plan *p, int level, int64_t time_ns)
{
	int64_t width_ns = files_window_ns(level);
	int64_t window_ns = clock_window_ns(time_ns, width_ns), last_ns = window_ns + width_ns - 1;

	return window_ns >= p->scan->from_ns && last_ns < p->scan->until_ns &&
	       step_of(p, window_ns) == step_of(p, last_ns);
}

/* Whether a window between those that hold the two times may be cut: if they are whole, where steps
 * begin inside of windows. */
static bool is_any_cut(const struct plan *p, int64_t from_ns, int64_t last_ns)
{
	bool aligned =
	    !(p->scan->from_ns % STORAGE_L1_WINDOW_NS) && !(p->step_ns % STORAGE_L1_WINDOW_NS);

	return !is_whole(p, 1, from_ns) || !is_whole(p, 1, last_ns) ||
	       (!aligned && step_of(p, from_ns) != step_of(p, last_ns));
}

bool plan_takes_window(const struct plan *p, int level, int64_t time_ns, bool is_below)
{
	if (is_whole(p, level, time_ns))
		return true;
	return !is_below && time_ns >= p->scan->from_ns && time_ns < p->scan->until_ns;
}

bool plan_is_above(const struct plan *p, const struct open_file *l1, size_t series, int64_t step,
		   int64_t time_ns)
{
	if (l1->entry->level != 1 || !is_whole(p, 2, time_ns))
		return false;
	for (size_t i = 0; i < p->marks_count; i++) {
		const struct watermark *m = &p->marks[i];

		if (m->level != 2 || m->series != series || m->start_ns != l1->entry->start_ns)
			continue;
		/* Step 0 came from an L1 file that is lost; L2 has the series of that day. */
		if (!step || (m->file_id == l1->entry->file_id && step <= m->derived))
			return true;
	}
	return false;
}

int64_t plan_derived(const struct plan *p, int64_t file_id, int64_t time_ns)
{
	int64_t day_ns = files_period_start(1, time_ns);

	for (size_t i = 0; i < p->marks_count; i++)
		if (p->marks[i].level == 1 && p->marks[i].file_id == file_id &&
		    p->marks[i].start_ns == day_ns)
			return p->marks[i].derived;
	return 0;
}

/* Whether L2 has the batch's part of this series, through an L1 file that is lost. */
static bool is_in_origin(const struct plan *p, int64_t file_id, size_t series, int64_t batch,
			 int64_t time_ns)
{
	int64_t day_ns = files_period_start(1, time_ns);

	for (size_t i = 0; i < p->marks_count; i++) {
		const struct watermark *m = &p->marks[i];

		if (m->level == LEVEL_ORIGIN && m->file_id == file_id && m->series == series &&
		    m->start_ns == day_ns && batch <= m->derived)
			return true;
	}
	return false;
}

bool plan_takes_record(const struct plan *p, int64_t file_id, size_t series, int64_t batch,
		       int64_t time_ns)
{
	if (time_ns < p->scan->from_ns || time_ns >= p->scan->until_ns)
		return false;
	if (p->l0_only || !is_whole(p, 1, time_ns))
		return true;
	return batch > plan_derived(p, file_id, time_ns) &&
	       !(is_whole(p, 2, time_ns) && is_in_origin(p, file_id, series, batch, time_ns));
}

static int add_mark(struct plan *p, struct watermark mark, struct err *err)
{
	if (array_grow(&p->marks, sizeof(mark), &p->marks_capacity, p->marks_count + 1))
		return err_set(err, -ENOMEM, "storage: out of memory");
	p->marks[p->marks_count++] = mark;
	return 0;
}

static int load_marks_of_l1(struct plan *p, struct open_file *l1, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&l1->db, "SELECT file_id, derived FROM source", &stmt, err);

	while (!rc && (rc = db_step(&l1->db, stmt, err)) > 0)
		rc = add_mark(p,
			      (struct watermark){.level = 1,
						 .start_ns = l1->entry->start_ns,
						 .file_id = sqlite3_column_int64(stmt, 0),
						 .derived = sqlite3_column_int64(stmt, 1)},
			      err);
	return rc;
}

static bool is_there(const struct plan *p, int64_t file_id)
{
	for (size_t i = 0; i < p->sources_count; i++)
		if (p->sources[i] == file_id)
			return true;
	return false;
}

static int add_origins(struct plan *p, int64_t day_ns, size_t series, struct str pairs,
		       struct err *err)
{
	int rc = 0;

	for (size_t at = 0; !rc && at + 16 <= pairs.len; at += 16) {
		int64_t pair[2];

		memcpy(pair, pairs.ptr + at, sizeof(pair));
		if (is_there(p, pair[0]))
			rc = add_mark(p,
				      (struct watermark){.level = LEVEL_ORIGIN,
							 .start_ns = day_ns,
							 .file_id = pair[0],
							 .derived = pair[1],
							 .series = series},
				      err);
	}
	return rc;
}

static int load_marks_of_l2(struct plan *p, struct open_file *l2, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&l2->db,
			    "SELECT file_id, derived, day_ns, origins FROM source"
			    " WHERE series = :series",
			    &stmt, err);

	for (size_t i = 0; !rc && i < p->scan->series_count; i++) {
		uint32_t series = dict_find_series(&l2->catalogue.dict, p->scan->series[i]);

		if (series == INDEX_NONE)
			continue;
		(void)sqlite3_reset(stmt);
		db_bind_int(stmt, ":series", series);
		while (!rc && (rc = db_step(&l2->db, stmt, err)) > 0) {
			struct watermark mark = {.level = 2,
						 .start_ns = sqlite3_column_int64(stmt, 2),
						 .file_id = sqlite3_column_int64(stmt, 0),
						 .derived = sqlite3_column_int64(stmt, 1),
						 .series = i};

			rc = add_mark(p, mark, err);
			if (!rc && !is_there(p, mark.file_id))
				rc = add_origins(p, mark.start_ns, i, db_column_blob(stmt, 3), err);
		}
	}
	return rc;
}

static int load_watermarks(struct plan *p, struct open_file *file, struct err *err)
{
	int level = file->entry->level;

	/* A second pass sees what was derived since the first, and so must its watermarks. */
	for (size_t i = 0; i < p->marks_count;)
		if ((p->marks[i].level == level ||
		     (level == 2 && p->marks[i].level == LEVEL_ORIGIN)) &&
		    p->marks[i].start_ns >= file->entry->start_ns &&
		    p->marks[i].start_ns < file->entry->end_ns)
			p->marks[i] = p->marks[--p->marks_count];
		else
			i++;
	return level == 1 ? load_marks_of_l1(p, file, err) : load_marks_of_l2(p, file, err);
}

/* An L0 file that was packed has other batch numbers than the watermarks that were read before may
 * speak of.  That takes a question of minutes, or a day of L1 that is just derived again. */
static int check_packed(const struct plan *p, struct open_file *l0, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&l0->db, "SELECT step FROM meta", &stmt, err);

	if (!rc)
		rc = db_step(&l0->db, stmt, err);
	if (rc <= 0)
		return rc;
	int64_t packed = sqlite3_column_int64(stmt, 0);

	(void)sqlite3_reset(stmt);
	for (size_t i = 0; i < p->marks_count; i++)
		if (p->marks[i].level == 1 && p->marks[i].file_id == l0->entry->file_id &&
		    p->marks[i].derived < packed)
			return err_set(err, -EAGAIN, "storage: %s is being packed; ask again",
				       l0->entry->name);
	return 0;
}

int plan_begin(struct plan *p, struct open_file *file, struct err *err)
{
	int rc = storage_scan_late(p->scan, err);

	file->hurries_seen = file->entry->hurries;
	if (!rc)
		rc = db_exec(&file->db, "BEGIN", err);
	if (!rc)
		rc = open_file_load(file, p->r->codec, err);
	if (!rc && file->entry->level)
		rc = load_watermarks(p, file, err);
	else if (!rc)
		rc = check_packed(p, file, err);
	return rc;
}

bool plan_has_cut(const struct plan *p, const struct open_file *file)
{
	const int64_t ends_ns[] = {p->scan->from_ns, p->scan->until_ns};

	for (size_t i = 0; file->entry->level == 1 && i < ARRAY_LEN(ends_ns); i++)
		if (ends_ns[i] > file->entry->start_ns && ends_ns[i] < file->entry->end_ns &&
		    ends_ns[i] % STORAGE_L2_WINDOW_NS)
			return true;
	return false;
}

void plan_load(struct plan *p, struct open_file *file, struct codec *codec)
{
	const struct dict *catalogue = &file->catalogue.dict;
	struct dict *ignored;

	file->hurries_seen = file->entry->hurries;
	int rc = db_exec(&file->db, "BEGIN", NULL);

	if (!rc)
		rc = open_file_version(file, NULL);
	for (size_t i = 0; !rc && i < p->scan->series_count; i++) {
		uint32_t series = dict_find_series(catalogue, p->scan->series[i]);

		if (series != INDEX_NONE)
			rc = open_file_part(file, codec, series, &ignored, NULL);
	}
	db_rollback(&file->db);
}

int plan_end(struct plan *p, struct open_file *file, int rc, struct err *err)
{
	db_rollback(&file->db);
	rc = open_file_end(p->r->s, file, rc, err);
	if (rc != -EBADMSG && rc != -ENOMEM)
		return rc;
	/* The dictionary may be half loaded, and what is loaded twice looks like damage. */
	for (size_t i = 0; i < p->files_count; i++)
		if (p->files[i] == file)
			p->files[i] = NULL;
	reader_drop(p->r, file);
	if (rc == -ENOMEM)
		return rc;
	if (err && !err->code)
		(void)err_set(err, -EIO, "storage: a file is damaged");
	return -EIO;
}

/* Whether L1 has all of an L0 file that is in range: most files of a day may stay closed.  What
 * L1's watermarks said a moment ago holds when its windows are read, for they only rise. */
static bool is_held(const struct plan *p, const struct period_file *l0)
{
	pthread_mutex_lock(&p->r->s->lock);
	int64_t min_ns = l0->extent.min_ns, max_ns = l0->extent.max_ns, batch = l0->last;

	pthread_mutex_unlock(&p->r->s->lock);
	int64_t from_ns = MAX(min_ns, p->scan->from_ns);
	int64_t last_ns = MIN(max_ns, p->scan->until_ns - 1);

	if (p->l0_only || (from_ns <= last_ns && is_any_cut(p, from_ns, last_ns)))
		return false;
	from_ns = MAX(min_ns, first_hour(p));
	last_ns = MIN(max_ns, last_hour_end(p) - 1);
	if (last_ns - from_ns > HELD_DAYS_MAX * STORAGE_L1_FILE_NS)
		return false;
	for (int64_t day_ns = files_period_start(1, from_ns); day_ns <= last_ns;
	     day_ns += STORAGE_L1_FILE_NS)
		if (plan_derived(p, l0->file_id, day_ns) < batch)
			return false;
	return true;
}

/* Open a file of the plan if it is needed, and read the watermarks that say which of L0 are. */
static int plan_add(struct plan *p, struct period_file *entry, struct err *err)
{
	struct open_file *file;

	if (!entry->level && is_held(p, entry))
		return 0;
	int rc = reader_file(p->r, entry, &file, err);

	if (!rc)
		p->files[p->files_count++] = file;
	if (!rc && entry->level == 1) {
		file->hurries_seen = entry->hurries;
		rc = plan_end(p, file, load_marks_of_l1(p, file, err), err);
	}
	return rc;
}

static int plan_try(struct plan *p, struct err *err)
{
	struct period_file **entries = NULL;
	size_t count = 0;
	int rc = snapshot(p, &entries, &count);

	if (rc)
		return err_set(err, rc, "storage: out of memory");
	while (count--) { /* the catalogue has L0 first */
		if (!rc)
			rc = plan_add(p, entries[count], err);
		files_unref(p->r->s, entries[count]);
	}
	free(entries);
	return rc;
}

int plan_init(struct plan *p, struct sqlite_reader *r, const struct storage_scan *scan,
	      int64_t step_ns, struct err *err)
{
	bool l0_only = p->l0_only;
	int rc = -ESTALE;

	reader_begin(r);
	for (int i = 0; rc == -ESTALE && i < RETRIES; i++) {
		plan_clear(p);
		*p = (struct plan){.r = r, .scan = scan, .step_ns = step_ns, .l0_only = l0_only};
		rc = plan_try(p, err);
	}
	if (rc == -ESTALE)
		return err_set(err, -EIO, "storage: files go faster than they can be opened");
	return rc == -EBADMSG || rc == -ENOENT ? -EIO : rc;
}

bool plan_source_is_there(const struct plan *p, struct open_file *file, int64_t source)
{
	sqlite3_stmt *stmt;
	bool there = false;

	if (db_prepare(&file->db, "SELECT file_id FROM source WHERE id = :id", &stmt, NULL))
		return false;
	db_bind_int(stmt, ":id", source);
	if (db_step(&file->db, stmt, NULL) > 0)
		for (size_t i = 0; !there && i < p->sources_count; i++)
			there = p->sources[i] == sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return there;
}

int plan_takes_row(struct plan *p, struct open_file *file, const struct plan_row *row,
		   bool *ret_takes, struct err *err)
{
	int level = file->entry->level, rc = 0;

	*ret_takes = plan_takes_window(p, level, row->time_ns, false);
	/* Of a whole window it does not matter what is below. */
	if (!*ret_takes || is_whole(p, level, row->time_ns))
		return 0;
	bool below = plan_source_is_there(p, file, row->source);

	if (!below && level == 2)
		rc = plan_is_below(p, row, &below, err);
	*ret_takes = !below;
	return rc;
}

static const struct hash128 *hashes_of(void *tables)
{
	return dict_hashes(tables);
}

struct storage_segment segment_of_dict(struct dict *dict, uint32_t owner)
{
	return (struct storage_segment){
	    .id = dict->id,
	    .chains = &dict->t.chains,
	    .hashes = hashes_of,
	    .tables = dict,
	    .nodes_count = dict->t.nodes_count,
	    .frames = dict->t.frames,
	    .frames_count = dict->t.frames_count,
	    .modules = dict->t.modules,
	    .modules_count = dict->t.modules_count,
	    .strings = dict->t.strings,
	    .strings_count = dict->t.strings_count,
	    .owner = owner,
	};
}

/* ---- stats ---- */

int sqlite_stats(struct storage_reader *reader, struct storage_stats *ret, struct err *err)
{
	struct sqlite_store *s = reader_of(reader)->s;

	(void)err;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->files_count; i++) {
		const struct period_file *f = s->files[i];
		uint64_t bytes = files_bytes(s, f->name);

		*(f->level == 2   ? &ret->l2_bytes
		  : f->level == 1 ? &ret->l1_bytes
				  : &ret->l0_bytes) += bytes;
		if (f->extent.first_ns > f->extent.last_ns)
			continue;
		if (!ret->newest_ns || f->extent.first_ns < ret->oldest_ns)
			ret->oldest_ns = f->extent.first_ns;
		ret->newest_ns = MAX(ret->newest_ns, f->extent.last_ns);
	}
	ret->files = s->files_count;
	ret->records = s->records;
	ret->profiles = s->profiles;
	ret->duplicates = s->duplicates;
	(void)snprintf(ret->note, sizeof(ret->note), "%s", s->note);
	pthread_mutex_unlock(&s->lock);
	ret->symbols_bytes = files_bytes(s, SYMBOLS_FILE);
	ret->bytes = ret->l0_bytes + ret->l1_bytes + ret->l2_bytes + ret->symbols_bytes;
	(void)snprintf(ret->version, sizeof(ret->version), "SQLite %s", sqlite3_libversion());
	if (!ret->note[0] && db_library_is_affected())
		(void)snprintf(ret->note, sizeof(ret->note),
			       "SQLite %s has the WAL-reset bug; one connection does every "
			       "checkpoint here, which avoids it",
			       sqlite3_libversion());
	return 0;
}
