/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cut hour of L2 whose L1 file is lost: what it holds may have been derived again, or still be in
 * L0.  Then it is had from there, window by window.  Else the hour is all there is, and counts at
 * its start.
 */
#include <errno.h>

#include "base/clock.h"
#include "storage/sqlite_read.h"

struct looking {
	struct plan *p;
	struct open_file *file; /* of L1 or L0 */
	const struct plan_row *row;
	uint32_t series; /* the file's number */
	int64_t from_ns, until_ns;
	uint64_t found; /* of row->count */
};

static int prepare(struct looking *l, const char *sql, sqlite3_stmt **ret_stmt, struct err *err)
{
	int rc = db_prepare(&l->file->db, sql, ret_stmt, err);

	if (rc)
		return rc;
	db_bind_int(*ret_stmt, ":series", l->series);
	db_bind_int(*ret_stmt, ":gauge", l->row->of == PLAN_GAUGE);
	db_bind_int(*ret_stmt, ":from", l->from_ns);
	db_bind_int(*ret_stmt, ":until", l->until_ns);
	return 0;
}

static int add_sum(struct looking *l, const char *sql, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = prepare(l, sql, &stmt, err);

	if (!rc)
		rc = db_step(&l->file->db, stmt, err);
	if (rc <= 0)
		return rc;
	l->found += (uint64_t)sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return 0;
}

static int add_packs(struct looking *l, struct err *err)
{
	struct codec_columns *c = &l->p->r->columns;
	sqlite3_stmt *stmt;
	int rc = prepare(l,
			 "SELECT totals FROM pack WHERE series = :series AND gauge = :gauge"
			 " AND min_ns < :until AND max_ns >= :from AND step = 0",
			 &stmt, err);

	while (!rc && (rc = db_step(&l->file->db, stmt, err)) > 0) {
		struct str data = db_column_blob(stmt, 0);

		rc = codec_decode(l->p->r->codec, data.ptr, data.len, 0, c);
		if (rc) {
			rc = err_set(err, rc, "storage: %s: a block does not decode",
				     l->file->entry->name);
			(void)sqlite3_reset(stmt);
			break;
		}
		for (size_t i = 0; i < c->count; i++)
			if (c->times[i] >= l->from_ns && c->times[i] < l->until_ns)
				l->found += c->counts[i];
	}
	return rc;
}

/* Step 0 is what L2 has from a file that is lost. */
static int look_in_l1(struct looking *l, struct err *err)
{
	static const char windows[] =
	    "SELECT ifnull(sum(count), 0) FROM window WHERE series = :series AND gauge = :gauge"
	    " AND window_ns >= :from AND window_ns < :until AND step = 0";
	static const char losses[] =
	    "SELECT ifnull(sum(count), 0) FROM loss WHERE window_ns >= :from"
	    " AND window_ns < :until AND series = :series AND step = 0";

	if (l->row->of == PLAN_LOSS)
		return add_sum(l, losses, err);
	int rc = add_sum(l, windows, err);

	return rc ? rc : add_packs(l, err);
}

/* Which L1 does not have yet: only until it has been derived again. */
static int look_in_l0(struct looking *l, struct err *err)
{
	static const char blocks[] = "SELECT 1 FROM block WHERE series = :series"
				     " AND min_ns < :until AND max_ns >= :from AND batch > :derived"
				     " LIMIT 1";
	static const char losses[] = "SELECT 1 FROM loss WHERE time_ns >= :from"
				     " AND time_ns < :until AND series = :series"
				     " AND batch > :derived LIMIT 1";
	sqlite3_stmt *stmt;
	int rc = prepare(l, l->row->of == PLAN_LOSS ? losses : blocks, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":derived", plan_derived(l->p, l->file->entry->file_id, l->from_ns));
	rc = db_step(&l->file->db, stmt, err);
	if (rc > 0)
		l->found = l->row->count;
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int look_in(struct looking *l, struct err *err)
{
	l->file->hurries_seen = l->file->entry->hurries;
	int rc = db_exec(&l->file->db, "BEGIN", err);

	if (!rc)
		rc = open_file_load(l->file, l->p->r->codec, err);
	if (!rc)
		l->series = dict_find_series(&l->file->catalogue.dict, l->row->series);
	if (!rc && l->series != INDEX_NONE)
		rc = l->file->entry->level ? look_in_l1(l, err) : look_in_l0(l, err);
	return plan_end(l->p, l->file, rc, err);
}

static bool touches(struct plan *p, const struct open_file *file, int64_t from_ns, int64_t until_ns)
{
	pthread_mutex_lock(&p->r->s->lock);
	bool yes = file->entry->level < 2 && file->entry->extent.min_ns < until_ns &&
		   file->entry->extent.max_ns >= from_ns;

	pthread_mutex_unlock(&p->r->s->lock);
	return yes;
}

int plan_is_below(struct plan *p, const struct plan_row *row, bool *ret_yes, struct err *err)
{
	struct looking l = {
	    .p = p, .row = row, .from_ns = clock_window_ns(row->time_ns, STORAGE_L2_WINDOW_NS)};
	int rc = 0;

	l.until_ns = l.from_ns + STORAGE_L2_WINDOW_NS;
	/* Nobody else may have one of these files in hand, as who reads ahead has. */
	pthread_mutex_lock(&p->r->symbols_lock);
	for (size_t i = 0; !rc && i < p->files_count; i++) {
		l.file = plan_file(p, i);
		if (l.file && touches(p, l.file, l.from_ns, l.until_ns))
			rc = look_in(&l, err);
	}
	pthread_mutex_unlock(&p->r->symbols_lock);
	/* Most of it decides: of an hour whose records went, late ones may be left. */
	*ret_yes = l.found && l.found >= row->count / 2;
	return rc;
}
