/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deriving L2, one series of one L1 file after the other.  Exactly once: L2 says how far (by step)
 * it holds each series of each L1 file, in the transaction of the hours themselves.  What it holds
 * is packed in L1 right behind it; what an earlier pass left unpacked is packed before.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "storage/sqlite_fold.h"

/* of one call: the writer thread has puts to do as well */
#define RECORDS_PER_CALL ((size_t)1 << 17)

#define SEGMENTS_MAX 128 /* of a dictionary that grows */

/* Of one service, a day's or a month's: with more, what comes is folded.  A question reads all of
 * it. */
#define PART_TEXT_MAX ((size_t)64 << 20) /* bytes of names */
#define PART_NODES_MAX ((size_t)1 << 22)

struct rolling {
	struct sqlite_store *s;
	struct period_file *source;
	struct open_file *l1, *l2;
	uint32_t series; /* of L1 */
	int64_t step;    /* up to which */
	int64_t mark;    /* L2 has up to here; -1: nothing */
	struct fold fold;
	const char *pressure; /* why it was folded; NULL */
	struct codec_columns columns;
};

static int damaged(struct rolling *r, struct err *err)
{
	files_damaged(r->s, r->source);
	return err_set(err, -EBADMSG, "storage: %s: a window does not decode", r->source->name);
}

/* Both files open; opening one may have closed the other. */
static int open_both(struct rolling *r, struct err *err)
{
	int64_t month_ns = files_period_start(2, r->source->start_ns);
	int rc = files_writer(r->s, 2, month_ns, true, &r->l2, err);

	return rc ? rc : files_writer(r->s, 1, r->source->start_ns, false, &r->l1, err);
}

static int read_mark(struct rolling *r, struct err *err)
{
	struct hash128 identity = r->l1->catalogue.dict.t.series[r->series].identity;
	uint32_t number = dict_find_series(&r->l2->catalogue.dict, identity);
	sqlite3_stmt *stmt;

	r->mark = -1;
	if (number == INDEX_NONE)
		return 0;
	int rc = db_prepare(&r->l2->db,
			    "SELECT file_id, derived FROM source WHERE series = :series"
			    " AND day_ns = :day",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", number);
	db_bind_int(stmt, ":day", r->source->start_ns);
	while ((rc = db_step(&r->l2->db, stmt, err)) > 0) {
		/* From a file that is lost: what step 0 marks is here. */
		bool own = sqlite3_column_int64(stmt, 0) == r->source->file_id;

		r->mark = MAX(r->mark, own ? sqlite3_column_int64(stmt, 1) : 0);
	}
	return rc;
}

/* ---- gathering ---- */

static int add_columns(struct rolling *r, bool gauge, int64_t instance, struct err *err)
{
	const struct dict_tables *t = &r->l1->catalogue.dict.t;
	struct codec_columns *c = &r->columns;
	struct dict *stacks;
	int rc = open_file_part(r->l1, r->s->codec, r->series, &stacks, err);

	if (rc)
		return rc;
	if (instance < 0 || (size_t)instance >= t->instances_count ||
	    c->values_count != t->series[r->series].columns_count)
		return damaged(r, err);
	for (size_t i = 0; !rc && i < c->count; i++) {
		if (c->nodes[i] >= stacks->t.nodes_count)
			return damaged(r, err);
		rc = fold_add(&r->fold, &t->series[r->series], r->series, (uint32_t)instance, false,
			      gauge ? FOLD_GAUGES : FOLD_SUMS, c, i);
	}
	return rc ? err_set(err, rc, "storage: out of memory") : 0;
}

static int gather_rows(struct rolling *r, const char *sql, bool packs, struct err *err)
{
	struct codec_columns *c = &r->columns;
	sqlite3_stmt *stmt;
	int rc = db_prepare(&r->l1->db, sql, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", r->series);
	db_bind_int(stmt, ":after", r->mark);
	db_bind_int(stmt, ":upto", r->step);
	while ((rc = db_step(&r->l1->db, stmt, err)) > 0) {
		struct str data = db_column_blob(stmt, 3);

		rc = codec_decode(r->s->codec, data.ptr, data.len, -1, c);
		if (rc == -EBADMSG)
			rc = damaged(r, err);
		for (size_t i = 0; !rc && !packs && i < c->count; i++)
			c->times[i] = sqlite3_column_int64(stmt, 2);
		if (!rc)
			rc = add_columns(r, sqlite3_column_int64(stmt, 0) != 0,
					 sqlite3_column_int64(stmt, 1), err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

static int gather_losses(struct rolling *r, struct err *err)
{
	const struct dict_tables *t = &r->l1->catalogue.dict.t;
	sqlite3_stmt *stmt;
	int rc = db_prepare(&r->l1->db,
			    "SELECT window_ns, reason, count FROM loss WHERE series = :series"
			    " AND step > :after AND step <= :upto",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", r->series);
	db_bind_int(stmt, ":after", r->mark);
	db_bind_int(stmt, ":upto", r->step);
	while (!rc && (rc = db_step(&r->l1->db, stmt, err)) > 0) {
		struct fold_loss loss = {
		    .window_ns =
			clock_window_ns(sqlite3_column_int64(stmt, 0), STORAGE_L2_WINDOW_NS),
		    .series = r->series,
		    .reason = (uint32_t)sqlite3_column_int64(stmt, 1),
		    .count = (uint64_t)sqlite3_column_int64(stmt, 2),
		};

		rc = loss.reason < t->strings_count ? fold_add_loss(&r->fold, loss)
						    : damaged(r, err);
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

/* The series' own span, which windows know only roughly. */
static int read_span(struct rolling *r, int64_t *ret_first_ns, int64_t *ret_last_ns,
		     struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&r->l1->db, "SELECT first_ns, last_ns FROM series WHERE id = :series",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", r->series);
	rc = db_step(&r->l1->db, stmt, err);
	if (rc > 0) {
		*ret_first_ns = sqlite3_column_int64(stmt, 0);
		*ret_last_ns = sqlite3_column_int64(stmt, 1);
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

static int gather(struct rolling *r, struct err *err)
{
	static const char windows[] =
	    "SELECT w.gauge, w.instance, w.time_ns, b.data FROM window w LEFT JOIN block b"
	    " USING (id) WHERE w.series = :series AND w.gauge IN (0, 1) AND w.step > :after"
	    " AND w.step <= :upto";
	/* Only when L2 was lost: a pack is what it had. */
	static const char packs[] =
	    "SELECT gauge, instance, 0, data FROM pack WHERE series = :series"
	    " AND gauge IN (0, 1) AND step > :after AND step <= :upto";
	int64_t first_ns = 0, last_ns = 0;
	int rc = gather_rows(r, windows, false, err);

	if (!rc)
		rc = gather_rows(r, packs, true, err);
	if (!rc)
		rc = gather_losses(r, err);
	if (!rc)
		rc = read_span(r, &first_ns, &last_ns, err);
	for (size_t i = 0; rc > 0 && i < r->fold.buckets_count; i++) {
		r->fold.buckets[i].first_ns = first_ns;
		r->fold.buckets[i].last_ns = last_ns;
	}
	return rc < 0 ? rc : 0;
}

/* ---- writing ---- */

/* How far L1 held each L0 file at this step, should L1 be lost. */
static int add_held(const struct held *held, struct buf *to, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < held->count; i++) {
		int64_t pair[2] = {held->files[i].file_id, held->files[i].derived};

		rc = buf_add(to, pair, sizeof(pair));
	}
	return rc ? err_set(err, rc, "storage: out of memory") : 0;
}

static int commit_source(struct rolling *r, uint32_t *ret_series, int64_t *ret_source,
			 struct err *err)
{
	struct dict_import catalogue CLEANUP(dict_import_release) = {0};
	const struct dict_tables *t = &r->l1->catalogue.dict.t;
	struct buf origins CLEANUP(buf_release);
	sqlite3_stmt *stmt;
	uint32_t series = 0;

	buf_init(&origins, BUF_UNLIMITED);
	int rc = dict_import_init(&catalogue, &r->l2->catalogue.dict, t);

	if (!rc)
		rc = dict_import_series(&catalogue, &t->series[r->series], &series);
	if (rc)
		return err_set(err, rc, "storage: %s: the dictionary is full", r->l2->entry->name);
	rc = add_held(&r->source->held, &origins, err);
	if (!rc)
		rc = db_prepare(&r->l2->db,
				"INSERT INTO source(file_id, day_ns, series, derived, origins)"
				" VALUES (:id, :day, :series, :upto, :origins)"
				" ON CONFLICT (series, file_id) DO UPDATE SET derived = :upto,"
				" origins = :origins RETURNING id",
				&stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":id", r->source->file_id);
	db_bind_int(stmt, ":day", r->source->start_ns);
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":upto", r->step);
	db_bind_blob(stmt, ":origins", origins.data ? origins.data : "", origins.len);
	rc = db_step(&r->l2->db, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EIO, "storage: no source");
	*ret_series = series;
	*ret_source = sqlite3_column_int64(stmt, 0);
	return db_run(&r->l2->db, stmt, err);
}

static bool is_large(const struct dict_tables *t)
{
	return dict_text_bytes(t) > PART_TEXT_MAX || t->nodes_count > PART_NODES_MAX;
}

/* Who asks reads all the names of a service at once. */
static const char *pressure(struct rolling *r, const struct dict *from, const struct dict *to)
{
	if (retain_is_short(r->s))
		return "there is no more room";
	return is_large(&from->t) || is_large(&to->t) ? "a service has too many names" : NULL;
}

/* `series`: of L2. */
static int fold_under_pressure(struct rolling *r, uint32_t series, struct err *err)
{
	struct dict *from, *to;
	int rc = open_file_part(r->l1, r->s->codec, r->series, &from, err);

	if (!rc)
		rc = open_file_part(r->l2, r->s->codec, series, &to, err);
	r->pressure = rc ? NULL : pressure(r, from, to);
	if (!r->pressure)
		return rc;
	return fold_small(&r->fold, &from->t, &r->l1->catalogue.dict.t.series[r->series])
		   ? err_set(err, -ENOMEM, "storage: out of memory")
		   : 0;
}

static void tell_pressure(struct rolling *r)
{
	bool folded = false;

	for (size_t i = 0; r->pressure && i < r->fold.buckets_count; i++)
		folded |= r->fold.buckets[i].folded;
	if (folded)
		sqlite_mention(r->s, "%s has small stacks folded into [other]: %s",
			       r->l2->entry->name, r->pressure);
}

static int write_month(struct rolling *r, bool step, struct err *err)
{
	struct imports imports CLEANUP(imports_release) = {0};
	struct extent extent = EXTENT_EMPTY;
	int64_t source = 0;
	uint32_t series = INDEX_NONE;
	int rc = files_sync(r->l1, err);

	r->pressure = NULL;
	if (rc)
		return rc;
	rc = db_begin(&r->l2->db, err);

	if (!rc && step)
		rc = commit_source(r, &series, &source, err);
	if (!rc && step)
		rc = fold_under_pressure(r, series, err);
	if (!rc)
		rc = fold_write(&r->fold, r->l2, r->s->codec, r->l1, &imports, source, 0, &extent,
				err);
	if (!rc)
		rc = open_file_store(r->l2, r->s->codec, err);
	if (!rc)
		rc = open_file_widen(r->l2, &extent, err);
	if (!rc)
		rc = db_commit(&r->l2->db, err);
	if (rc) {
		files_failed(r->s, r->l2, rc);
		return rc;
	}
	files_widen(r->s, r->l2->entry, &extent);
	tell_pressure(r);
	return 0;
}

/* L2's stacks are asked for once an hour, and are as many as L1's, which are asked for all the
 * time. */
static void forget_stacks(struct rolling *r)
{
	const struct dict_tables *t = &r->l1->catalogue.dict.t;

	for (size_t i = r->series + 1; i < t->series_count; i++)
		if (t->series[i].part == t->series[r->series].part)
			return;
	open_file_forget(r->l2);
}

static int roll_series(struct rolling *r, struct err *err)
{
	int rc = open_both(r, err);

	if (!rc)
		rc = read_mark(r, err);
	if (!rc && r->mark >= 0)
		rc = pack_series(r->s, r->l1, r->series, r->mark, err);
	if (!rc && r->step > r->mark)
		rc = gather(r, err);
	if (!rc && (r->fold.entries_count || r->fold.losses_count))
		rc = write_month(r, true, err);
	else if (!rc)
		return 0;
	if (!rc)
		forget_stacks(r);
	return rc ? rc : pack_series(r->s, r->l1, r->series, r->step, err);
}

/* A set, so that once more does no harm. */
static int copy_ends(struct rolling *r, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = open_both(r, err);

	if (!rc)
		rc = db_prepare(&r->l1->db, "SELECT ended_ns, instance FROM ended", &stmt, err);
	while (!rc && (rc = db_step(&r->l1->db, stmt, err)) > 0) {
		struct fold_end end = {sqlite3_column_int64(stmt, 0),
				       (uint32_t)sqlite3_column_int64(stmt, 1)};

		rc = end.instance < r->l1->catalogue.dict.t.instances_count
			 ? fold_add_end(&r->fold, end)
			 : damaged(r, err);
	}
	if (rc || !r->fold.ends_count)
		return rc;
	return write_month(r, false, err);
}

/* A file that is complete has one segment; one that grows is not written anew every hour, but L2
 * when a day is over. */
static int merge_dictionaries(struct rolling *r, struct err *err)
{
	bool complete = r->source->hour_ns >= r->source->end_ns || r->source->hour_ns == 0;
	int rc = open_both(r, err);

	if (!rc) {
		rc = open_file_merge(r->l1, r->s->codec, complete ? 1 : SEGMENTS_MAX, err);
		if (rc)
			files_failed(r->s, r->l1, rc);
		else if (complete)
			db_shrink(&r->l1->db);
	}
	if (!rc)
		rc = open_both(r, err);
	if (!rc) {
		rc = open_file_merge(r->l2, r->s->codec, complete ? 1 : SEGMENTS_MAX, err);
		if (rc)
			files_failed(r->s, r->l2, rc);
		else if (complete)
			db_shrink(&r->l2->db);
	}
	return rc;
}

static void next_fold(struct rolling *r)
{
	fold_release(&r->fold);
	r->fold.window_ns = STORAGE_L2_WINDOW_NS;
}

int l2_derive(struct sqlite_store *s, struct period_file *source, int64_t step, bool *ret_more,
	      struct err *err)
{
	struct rolling r = {.s = s, .source = source, .step = step};
	size_t records = 0;

	next_fold(&r);
	*ret_more = false;
	int rc = step > source->rolled ? open_both(&r, err) : 0;

	/* The last step there is, or that of the last hour. */
	if (!rc && step > source->rolled && source->held.step != step)
		rc = l1_hold(r.l1, err);
	if (source->rolling_to != step)
		source->rolling = 0;
	source->rolling_to = step;
	while (!rc && step > source->rolled && !*ret_more) {
		if (source->rolling >= r.l1->catalogue.dict.t.series_count) {
			rc = copy_ends(&r, err);
			if (!rc)
				rc = merge_dictionaries(&r, err);
			if (!rc) {
				source->rolled = step;
				source->rolling = 0;
			}
			break;
		}
		r.series = source->rolling;
		rc = roll_series(&r, err);
		records += r.fold.added;
		next_fold(&r);
		source->rolling += !rc;
		*ret_more = records > RECORDS_PER_CALL;
	}
	if (!rc && !*ret_more && r.l2)
		open_file_forget(r.l2);
	fold_release(&r.fold);
	codec_columns_release(&r.columns);
	return rc;
}

/* ---- packing L0 ---- */

static int raise_one(struct open_file *l2, int64_t id, struct str origins, int64_t file_id,
		     int64_t upto, struct err *err)
{
	struct buf raised CLEANUP(buf_release);
	bool changes = false;
	sqlite3_stmt *stmt;
	int rc = 0;

	buf_init(&raised, BUF_UNLIMITED);
	for (size_t at = 0; !rc && at + 16 <= origins.len; at += 16) {
		int64_t pair[2];

		memcpy(pair, origins.ptr + at, sizeof(pair));
		if (pair[0] == file_id && pair[1] < upto) {
			pair[1] = upto;
			changes = true;
		}
		rc = buf_add(&raised, pair, sizeof(pair));
	}
	if (rc)
		return err_set(err, rc, "storage: out of memory");
	if (!changes)
		return 0;
	rc = db_prepare(&l2->db, "UPDATE source SET origins = :origins WHERE id = :id", &stmt, err);
	if (rc)
		return rc;
	db_bind_blob(stmt, ":origins", raised.data, raised.len);
	db_bind_int(stmt, ":id", id);
	return db_run(&l2->db, stmt, err);
}

static int raise_in_month(struct open_file *l2, const struct period_file *l0, int64_t upto,
			  struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_begin(&l2->db, err);

	if (!rc)
		rc = db_prepare(&l2->db,
				"SELECT id, origins FROM source WHERE day_ns BETWEEN :from AND"
				" :until",
				&stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":from", files_period_start(1, l0->extent.min_ns));
	db_bind_int(stmt, ":until", l0->extent.max_ns);
	while (!rc && (rc = db_step(&l2->db, stmt, err)) > 0)
		rc = raise_one(l2, sqlite3_column_int64(stmt, 0), db_column_blob(stmt, 1),
			       l0->file_id, upto, err);
	(void)sqlite3_reset(stmt);
	if (!rc)
		rc = db_commit(&l2->db, err);
	return rc ? rc : files_sync_all(l2, SQLITE_WAL_WAIT_MS / 20, err);
}

int l2_raise_origins(struct sqlite_store *s, const struct period_file *l0, int64_t upto,
		     struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < s->files_count; i++) {
		const struct period_file *month = s->files[i];
		struct open_file *l2;

		if (month->level != 2 || month->start_ns > l0->extent.max_ns ||
		    month->end_ns <= l0->extent.min_ns)
			continue;
		rc = files_writer(s, 2, month->start_ns, false, &l2, err);
		if (!rc) {
			rc = raise_in_month(l2, l0, upto, err);
			if (rc)
				files_failed(s, l2, rc);
		}
	}
	return rc;
}

/* ---- what L2 has from an L1 file that was lost ---- */

static int add_origins(struct l2_origin **list, size_t *count, size_t *capacity,
		       struct hash128 series, struct str pairs, int64_t file_id)
{
	for (size_t at = 0; at + 16 <= pairs.len; at += 16) {
		int64_t pair[2];

		memcpy(pair, pairs.ptr + at, sizeof(pair));
		if (pair[0] != file_id)
			continue;
		if (array_grow(list, sizeof(**list), capacity, *count + 1))
			return -ENOMEM;
		(*list)[(*count)++] = (struct l2_origin){series, pair[1]};
	}
	return 0;
}

int l2_origins(struct sqlite_store *s, int64_t day_ns, int64_t file_id, struct l2_origin **ret_list,
	       size_t *ret_count, struct err *err)
{
	struct l2_origin *list = NULL;
	size_t count = 0, capacity = 0;
	struct open_file *l1, *l2;
	sqlite3_stmt *stmt;
	int rc = files_writer(s, 1, day_ns, false, &l1, err);
	int64_t own = rc ? 0 : l1->entry->file_id;

	*ret_list = NULL;
	*ret_count = 0;
	if (!rc || rc == -ENOENT)
		rc = files_writer(s, 2, files_period_start(2, day_ns), false, &l2, err);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = db_prepare(
	    &l2->db, "SELECT series, origins FROM source WHERE day_ns = :day AND file_id <> :own",
	    &stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":day", day_ns);
	db_bind_int(stmt, ":own", own);
	while (!rc && (rc = db_step(&l2->db, stmt, err)) > 0) {
		uint64_t series = (uint64_t)sqlite3_column_int64(stmt, 0);
		const struct dict_tables *t = &l2->catalogue.dict.t;

		rc = series < t->series_count
			 ? add_origins(&list, &count, &capacity, t->series[series].identity,
				       db_column_blob(stmt, 1), file_id)
			 : err_set(err, -EBADMSG, "storage: %s is damaged", l2->entry->name);
	}
	if (rc) {
		free(list);
		return rc;
	}
	*ret_list = list;
	*ret_count = count;
	return 0;
}
