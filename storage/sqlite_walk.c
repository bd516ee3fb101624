/* SPDX-License-Identifier: Apache-2.0 */
/* Walking one file: the rows that count for a plan, decoded and given to a visitor. */
#include <errno.h>

#include "base/clock.h"
#include "base/varint.h"
#include "storage/sqlite_read.h"

struct walking {
	struct plan *p;
	struct open_file *file;
	const struct walk *walk;
	struct visit visit;
	uint32_t series; /* the file's number */
	size_t column;
};

static int broken(const struct walking *w, struct err *err)
{
	return err_set(err, -EBADMSG, "storage: %s: a block does not decode", w->file->entry->name);
}

static int instance_set(struct walking *w, int64_t instance, struct err *err)
{
	if (instance < 0 || (size_t)instance >= w->file->catalogue.dict.t.instances_count)
		return broken(w, err);
	w->visit.runtime_id = w->file->catalogue.dict.t.instances[instance].runtime_id;
	return 0;
}

/* Stacks are loaded for the first block that names some: most files of a plan have nothing to
 * add. */
static int load_stacks(struct walking *w, struct err *err)
{
	bool names_stacks = w->walk->with_blocks || !w->file->entry->level;
	struct dict *stacks;

	if (w->visit.stacks || !names_stacks)
		return 0;
	int rc = open_file_part(w->file, w->p->r->codec, w->series, &stacks, err);

	if (!rc)
		w->visit.stacks = stacks;
	return rc;
}

static int decode(struct walking *w, struct str data, struct err *err)
{
	struct codec_columns *c = &w->p->r->columns;
	int rc = load_stacks(w, err);

	if (!rc)
		rc = codec_decode(w->p->r->codec, data.ptr, data.len, (int)w->column, c);

	if (rc == -ENOMEM)
		return err_set(err, rc, "storage: out of memory");
	if (rc && rc != -EBADMSG)
		return rc;
	if (rc || c->values_count <= w->column)
		return broken(w, err);
	for (size_t i = 0; i < c->count; i++)
		if (c->nodes[i] &&
		    (!w->visit.stacks || c->nodes[i] >= w->visit.stacks->t.nodes_count))
			return broken(w, err);
	return 0;
}

static int give(struct walking *w, struct err *err)
{
	if (!w->p->r->columns.count)
		return 0;
	int rc = w->walk->fn(w->walk->arg, &w->visit);

	return rc == -ENOMEM ? err_set(err, rc, "storage: out of memory") : rc;
}

/* ---- L0 ---- */

/* Keep the records that count, in place. */
static void select_records(struct walking *w, int64_t batch)
{
	struct codec_columns *c = &w->p->r->columns;
	int64_t *values = c->values[w->column];
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (!plan_takes_record(w->p, w->file->entry->file_id, w->visit.series, batch,
				       c->times[i]))
			continue;
		c->times[kept] = c->times[i];
		c->nodes[kept] = c->nodes[i];
		c->contexts[kept] = c->contexts[i];
		c->counts[kept] = c->counts[i];
		values[kept++] = values[i];
	}
	c->count = kept;
}

/* Whether a derived block has nothing to add: every window that it touches is whole. */
static bool is_covered(const struct walking *w, int64_t batch, int64_t min_ns, int64_t max_ns)
{
	int64_t from_ns = MAX(min_ns, w->p->scan->from_ns);
	int64_t last_ns = MIN(max_ns, w->p->scan->until_ns - 1);

	/* A packed block spans up to half an hour, and a file an hour; what is longer is decoded
	 * and judged by its records. */
	if (last_ns - from_ns > 360 * STORAGE_L1_WINDOW_NS)
		return false;
	for (int64_t t = clock_window_ns(from_ns, STORAGE_L1_WINDOW_NS); t <= last_ns;
	     t += STORAGE_L1_WINDOW_NS)
		if (plan_takes_record(w->p, w->file->entry->file_id, w->visit.series, batch,
				      MAX(t, from_ns)))
			return false;
	return true;
}

static int walk_l0_block(struct walking *w, int64_t id, int64_t batch, struct err *err)
{
	struct db *db = &w->file->db;
	sqlite3_stmt *stmt;
	int rc = db_prepare(db, "SELECT instance, data FROM block WHERE id = :id", &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":id", id);
	rc = db_step(db, stmt, err);
	if (!rc)
		rc = broken(w, err);
	if (rc > 0)
		rc = instance_set(w, sqlite3_column_int64(stmt, 0), err);
	if (!rc)
		rc = decode(w, db_column_blob(stmt, 1), err);
	if (!rc) {
		select_records(w, batch);
		rc = give(w, err);
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

/* Most blocks of a day are covered: their data, which a row of a result would copy, is asked for
 * apart. */
static int walk_l0(struct walking *w, struct err *err)
{
	struct db *db = &w->file->db;
	sqlite3_stmt *stmt;
	int rc = db_prepare(db,
			    "SELECT id, batch, min_ns, max_ns FROM block"
			    " WHERE series = :series AND min_ns < :until AND max_ns >= :from",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", w->series);
	db_bind_int(stmt, ":from", w->p->scan->from_ns);
	db_bind_int(stmt, ":until", w->p->scan->until_ns);
	while ((rc = db_step(db, stmt, err)) > 0) {
		int64_t batch = sqlite3_column_int64(stmt, 1);

		rc = storage_scan_late(w->p->scan, err);
		if (!rc && is_covered(w, batch, sqlite3_column_int64(stmt, 2),
				      sqlite3_column_int64(stmt, 3)))
			continue;
		if (!rc)
			rc = walk_l0_block(w, sqlite3_column_int64(stmt, 0), batch, err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

/* ---- L1 and L2 ---- */

/* One record with the window's totals. */
static int totals_only(struct walking *w, sqlite3_stmt *stmt, struct err *err)
{
	struct codec_columns *c = &w->p->r->columns;
	struct str sums = db_column_blob(stmt, 5);
	const uint8_t *at = (const uint8_t *)sums.ptr, *end = at + sums.len;
	uint64_t sum = 0;

	if (codec_columns_reserve(c, 1, w->column + 1))
		return err_set(err, -ENOMEM, "storage: out of memory");
	for (size_t v = 0; v <= w->column; v++) {
		at = varint_get(at, end, &sum);
		if (!at)
			return broken(w, err);
	}
	c->count = 1;
	c->nodes[0] = 0;
	c->counts[0] = (uint64_t)sqlite3_column_int64(stmt, 6);
	c->values[w->column][0] = zigzag_get(sum);
	return 0;
}

/* Sums stand at their window's start, a snapshot at its own time. */
static bool is_in_range(const struct walking *w, int64_t time_ns)
{
	return time_ns >= w->p->scan->from_ns && time_ns < w->p->scan->until_ns;
}

static int walk_window(struct walking *w, sqlite3_stmt *stmt, struct err *err)
{
	struct codec_columns *c = &w->p->r->columns;
	int64_t time_ns = sqlite3_column_int64(stmt, 2);
	struct plan_row row = {.of = w->visit.gauge ? PLAN_GAUGE : PLAN_SUM,
			       .series = w->p->scan->series[w->visit.series],
			       .source = sqlite3_column_int64(stmt, 0),
			       .time_ns = time_ns,
			       .count = (uint64_t)sqlite3_column_int64(stmt, 6)};
	bool takes;

	if (!is_in_range(w, time_ns) ||
	    plan_is_above(w->p, w->file, w->visit.series, sqlite3_column_int64(stmt, 3), time_ns))
		return 0;
	int rc = plan_takes_row(w->p, w->file, &row, &takes, err);

	if (rc || !takes)
		return rc;
	rc = instance_set(w, sqlite3_column_int64(stmt, 1), err);
	if (!rc)
		rc = w->walk->with_blocks ? decode(w, db_column_blob(stmt, 4), err)
					  : totals_only(w, stmt, err);
	for (size_t i = 0; !rc && i < c->count; i++)
		c->times[i] = time_ns;
	return rc ? rc : give(w, err);
}

/* Keep the records of windows that count, in place; those of one window are neighbours. */
static void select_windows(struct walking *w, int64_t step, bool is_below)
{
	struct codec_columns *c = &w->p->r->columns;
	int64_t *values = c->values[w->column];
	size_t kept = 0;
	bool taken = false;

	for (size_t i = 0; i < c->count; i++) {
		if (!i || c->times[i] != c->times[kept ? kept - 1 : 0] || !taken)
			taken = is_in_range(w, c->times[i]) &&
				plan_takes_window(w->p, 1, c->times[i], is_below) &&
				!plan_is_above(w->p, w->file, w->visit.series, step, c->times[i]);
		if (!taken)
			continue;
		c->times[kept] = c->times[i];
		c->nodes[kept] = c->nodes[i];
		c->counts[kept] = c->counts[i];
		values[kept++] = values[i];
	}
	c->count = kept;
}

static int walk_pack(struct walking *w, sqlite3_stmt *stmt, struct err *err)
{
	int64_t step = sqlite3_column_int64(stmt, 2);
	int64_t min_ns = sqlite3_column_int64(stmt, 3), max_ns = sqlite3_column_int64(stmt, 4);
	bool one_hour = clock_window_ns(min_ns, STORAGE_L2_WINDOW_NS) ==
			clock_window_ns(max_ns, STORAGE_L2_WINDOW_NS);

	if (max_ns < w->p->scan->from_ns ||
	    (one_hour && plan_is_above(w->p, w->file, w->visit.series, step, min_ns)))
		return 0;
	int rc = instance_set(w, sqlite3_column_int64(stmt, 1), err);

	if (!rc)
		rc = decode(w, db_column_blob(stmt, 5), err);
	if (rc)
		return rc;
	select_windows(w, step, plan_source_is_there(w->p, w->file, sqlite3_column_int64(stmt, 0)));
	return give(w, err);
}

static int walk_rows(struct walking *w, const char *sql,
		     int (*row)(struct walking *, sqlite3_stmt *, struct err *), struct err *err)
{
	struct db *db = &w->file->db;
	sqlite3_stmt *stmt;
	int rc = db_prepare(db, sql, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", w->series);
	db_bind_int(stmt, ":gauge", w->visit.gauge);
	db_bind_int(stmt, ":after", w->p->scan->from_ns - files_window_ns(w->file->entry->level));
	db_bind_int(stmt, ":until", w->p->scan->until_ns);
	while ((rc = db_step(db, stmt, err)) > 0) {
		rc = storage_scan_late(w->p->scan, err);
		if (!rc)
			rc = row(w, stmt, err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

#define WINDOW_WHERE                                                                               \
	" WHERE w.series = :series AND w.gauge = :gauge AND w.window_ns > :after"                  \
	" AND w.window_ns < :until"
#define PACK_WHERE " WHERE series = :series AND gauge = :gauge AND min_ns < :until"

static int walk_windows(struct walking *w, struct err *err)
{
	/* LEFT JOIN: a window whose block is missing is damage, not nothing. */
	static const char blocks[] =
	    "SELECT w.source, w.instance, w.time_ns, w.step, b.data, NULL, w.count"
	    " FROM window w LEFT JOIN block b USING (id)" WINDOW_WHERE;
	static const char totals[] =
	    "SELECT w.source, w.instance, w.time_ns, w.step, NULL, w.sums, w.count"
	    " FROM window w" WINDOW_WHERE;
	static const char packed_blocks[] =
	    "SELECT source, instance, step, min_ns, max_ns, data FROM pack" PACK_WHERE;
	static const char packed_totals[] =
	    "SELECT source, instance, step, min_ns, max_ns, totals FROM pack" PACK_WHERE;
	bool with_blocks = w->walk->with_blocks;
	int rc = walk_rows(w, with_blocks ? blocks : totals, walk_window, err);

	if (!rc && w->file->entry->level == 1)
		rc = walk_rows(w, with_blocks ? packed_blocks : packed_totals, walk_pack, err);
	return rc;
}

int plan_walk(struct plan *p, struct open_file *file, const struct walk *walk, struct err *err)
{
	const struct dict *d = &file->catalogue.dict;
	int rc = 0;

	for (size_t i = 0; !rc && i < p->scan->series_count; i++) {
		uint32_t series = dict_find_series(d, p->scan->series[i]);

		if (series == INDEX_NONE || p->scan->column >= d->t.series[series].columns_count)
			continue;
		struct walking w = {.p = p,
				    .file = file,
				    .walk = walk,
				    .series = series,
				    .column = p->scan->column,
				    .visit = {.file = file,
					      .series = i,
					      .owner = d->t.series[series].owner,
					      .columns = &p->r->columns}};

		w.visit.gauge = d->t.series[series].columns[p->scan->column].gauge;
		if (!(w.visit.gauge ? walk->gauges : walk->sums))
			continue;
		rc = file->entry->level ? walk_windows(&w, err) : walk_l0(&w, err);
	}
	return rc;
}

int plan_ends(struct plan *p, struct open_file *file, struct totals *totals, struct err *err)
{
	static const char l0[] = "SELECT instance, ended_ns FROM batch"
				 " WHERE ended_ns >= :from AND ended_ns < :until";
	static const char l1[] = "SELECT instance, ended_ns FROM ended"
				 " WHERE ended_ns >= :from AND ended_ns < :until";
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, file->entry->level ? l1 : l0, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":from", p->scan->from_ns);
	db_bind_int(stmt, ":until", p->scan->until_ns);
	while (!rc && (rc = db_step(&file->db, stmt, err)) > 0) {
		int64_t instance = sqlite3_column_int64(stmt, 0);

		if (instance < 0 || (size_t)instance >= file->catalogue.dict.t.instances_count)
			rc = err_set(err, -EBADMSG, "storage: %s is damaged", file->entry->name);
		else
			rc = totals_end(totals,
					file->catalogue.dict.t.instances[instance].runtime_id,
					sqlite3_column_int64(stmt, 1));
	}
	(void)sqlite3_reset(stmt);
	return rc;
}
