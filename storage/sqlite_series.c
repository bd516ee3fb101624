/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series: from the span of each series in each file, then from the spans of its blocks.  A block is
 * opened only when it spans the whole range and says nothing about the inside.
 */
#include <errno.h>

#include "base/clock.h"
#include "storage/sqlite_read.h"

struct found {
	const struct open_file *file; /* the last that knows it */
	uint32_t series;
	int64_t first_ns, last_ns;
	bool in_range;
};

struct finding {
	struct plan *p;
	struct index index;
	struct found *list;
	size_t count, capacity;
};

static void finding_release(struct finding *f)
{
	index_release(&f->index);
	free(f->list);
}

static int found_get(struct finding *f, struct hash128 identity, struct found **ret_found)
{
	uint32_t at = index_find(&f->index, identity);

	if (at == INDEX_NONE) {
		int rc = array_grow(&f->list, sizeof(*f->list), &f->capacity, f->count + 1);

		at = (uint32_t)f->count;
		if (!rc)
			rc = index_put(&f->index, identity, at);
		if (rc)
			return rc;
		f->list[f->count++] = (struct found){.first_ns = INT64_MAX, .last_ns = INT64_MIN};
	}
	*ret_found = &f->list[at];
	return 0;
}

/* A statement over :series, :from and :until that gives a row when the answer is yes. */
static int has_row(struct finding *f, struct open_file *file, const char *sql, uint32_t series,
		   int64_t from_ns, int64_t until_ns, bool *ret_yes, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, sql, &stmt, err);

	(void)f;
	if (rc)
		return rc;
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":from", from_ns);
	db_bind_int(stmt, ":until", until_ns);
	rc = db_step(&file->db, stmt, err);
	*ret_yes = rc > 0;
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

/* Look into the blocks that begin before the range and end behind it. */
static int look_inside(struct finding *f, struct open_file *file, uint32_t series, bool *ret_yes,
		       struct err *err)
{
	const struct storage_scan *scan = f->p->scan;
	struct codec_columns *c = &f->p->r->columns;
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db,
			    "SELECT data FROM block WHERE series = :series AND min_ns < :from"
			    " AND max_ns >= :until",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":from", scan->from_ns);
	db_bind_int(stmt, ":until", scan->until_ns);
	while (!*ret_yes && (rc = db_step(&file->db, stmt, err)) > 0) {
		struct str data = db_column_blob(stmt, 0);

		rc = codec_decode(f->p->r->codec, data.ptr, data.len, 0, c);
		if (rc) {
			rc = err_set(err, rc, "storage: %s: a block does not decode",
				     file->entry->name);
			break;
		}
		for (size_t i = 0; !*ret_yes && i < c->count; i++)
			*ret_yes = c->times[i] >= scan->from_ns && c->times[i] < scan->until_ns;
	}
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int ask_l0(struct finding *f, struct open_file *file, uint32_t series, bool *ret_yes,
		  struct err *err)
{
	static const char begins[] = "SELECT 1 FROM block WHERE series = :series"
				     " AND min_ns >= :from AND min_ns < :until LIMIT 1";
	static const char ends[] =
	    "SELECT 1 FROM block WHERE series = :series"
	    " AND min_ns < :from AND max_ns >= :from AND max_ns < :until LIMIT 1";
	const struct storage_scan *scan = f->p->scan;
	int rc = has_row(f, file, begins, series, scan->from_ns, scan->until_ns, ret_yes, err);

	if (!rc && !*ret_yes)
		rc = has_row(f, file, ends, series, scan->from_ns, scan->until_ns, ret_yes, err);
	if (!rc && !*ret_yes)
		rc = look_inside(f, file, series, ret_yes, err);
	return rc;
}

/* Whether a row that names its source, its first window and its last counts.  What L2 has as well
 * counts there. */
static int ask_rows(struct finding *f, struct open_file *file, const char *sql, uint32_t series,
		    bool *ret_yes, struct err *err)
{
	int64_t width_ns = files_window_ns(file->entry->level);
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, sql, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":after", f->p->scan->from_ns - width_ns);
	db_bind_int(stmt, ":until", f->p->scan->until_ns);
	while (!*ret_yes && (rc = db_step(&file->db, stmt, err)) > 0) {
		struct plan_row row = {.of = sqlite3_column_int64(stmt, 2) ? PLAN_GAUGE : PLAN_SUM,
				       .series = file->catalogue.dict.t.series[series].identity,
				       .source = sqlite3_column_int64(stmt, 0),
				       .time_ns = sqlite3_column_int64(stmt, 1),
				       .count = (uint64_t)sqlite3_column_int64(stmt, 3)};

		rc = plan_takes_row(f->p, file, &row, ret_yes, err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

/* A pack spans windows, of which some may be inside. */
static int ask_packs(struct finding *f, struct open_file *file, uint32_t series, bool *ret_yes,
		     struct err *err)
{
	struct codec_columns *c = &f->p->r->columns;
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db,
			    "SELECT source, totals FROM pack WHERE series = :series"
			    " AND gauge IN (0, 1) AND min_ns < :until AND max_ns > :after",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":after", f->p->scan->from_ns - STORAGE_L1_WINDOW_NS);
	db_bind_int(stmt, ":until", f->p->scan->until_ns);
	while (!*ret_yes && (rc = db_step(&file->db, stmt, err)) > 0) {
		struct str data = db_column_blob(stmt, 1);
		bool there = plan_source_is_there(f->p, file, sqlite3_column_int64(stmt, 0));

		rc = codec_decode(f->p->r->codec, data.ptr, data.len, 0, c);
		if (rc) {
			rc = err_set(err, rc, "storage: %s: a block does not decode",
				     file->entry->name);
			break;
		}
		for (size_t i = 0; !*ret_yes && i < c->count; i++)
			*ret_yes = plan_takes_window(f->p, 1, c->times[i], there);
	}
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int ask_windows(struct finding *f, struct open_file *file, uint32_t series, bool *ret_yes,
		       struct err *err)
{
	static const char windows[] =
	    "SELECT source, window_ns, gauge, count FROM window WHERE series = :series"
	    " AND gauge IN (0, 1) AND window_ns > :after AND window_ns < :until";
	int rc = ask_rows(f, file, windows, series, ret_yes, err);

	if (!rc && !*ret_yes && file->entry->level == 1)
		rc = ask_packs(f, file, series, ret_yes, err);
	return rc;
}

static int find_one(struct finding *f, struct open_file *file, int64_t series, int64_t first_ns,
		    int64_t last_ns, struct err *err)
{
	const struct storage_scan *scan = f->p->scan;
	struct found *found;

	if (series < 0 || (size_t)series >= file->catalogue.dict.t.series_count)
		return err_set(err, -EBADMSG, "storage: %s: a series is not there",
			       file->entry->name);
	if (found_get(f, file->catalogue.dict.t.series[series].identity, &found))
		return err_set(err, -ENOMEM, "storage: out of memory");
	found->file = file;
	found->series = (uint32_t)series;
	found->first_ns = MIN(found->first_ns, first_ns);
	found->last_ns = MAX(found->last_ns, last_ns);
	if (found->in_range || first_ns >= scan->until_ns || last_ns < scan->from_ns)
		return 0;
	if (first_ns >= scan->from_ns || last_ns < scan->until_ns) {
		found->in_range = true; /* the first or the last record is inside */
		return 0;
	}
	return file->entry->level ? ask_windows(f, file, (uint32_t)series, &found->in_range, err)
				  : ask_l0(f, file, (uint32_t)series, &found->in_range, err);
}

static int find_in(struct finding *f, struct open_file *file, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, "SELECT id, first_ns, last_ns FROM series", &stmt, err);

	while (!rc && (rc = db_step(&file->db, stmt, err)) > 0)
		rc = find_one(f, file, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
			      sqlite3_column_int64(stmt, 2), err);
	return rc;
}

static int emit(const struct found *found, storage_series_fn fn, void *arg)
{
	const struct dict_tables *t = &found->file->catalogue.dict.t;
	const struct dict_series *s = &t->series[found->series];
	struct storage_column columns[PROFILE_COLUMNS_MAX];
	struct storage_label *labels CLEANUP(cleanup_free) =
	    malloc((s->labels.count + 1) * sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->columns_count; i++)
		columns[i] =
		    (struct storage_column){t->strings[s->columns[i].type],
					    t->strings[s->columns[i].unit], s->columns[i].gauge};
	for (uint32_t i = 0; i < s->labels.count; i++) {
		const struct profile_label *label = &t->labels[s->labels.at + i];

		labels[i] = (struct storage_label){t->strings[label->key], t->strings[label->text]};
	}
	struct storage_series out = {
	    .identity = s->identity,
	    .owner = s->owner,
	    .name = t->strings[s->name],
	    .period_type = t->strings[s->period_type],
	    .period_unit = t->strings[s->period_unit],
	    .period = s->period,
	    .columns = columns,
	    .columns_count = s->columns_count,
	    .labels = labels,
	    .labels_count = s->labels.count,
	    .first_ns = found->first_ns,
	    .last_ns = found->last_ns,
	};

	return fn(arg, &out);
}

int sqlite_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		  storage_series_fn fn, void *arg, struct err *err)
{
	struct storage_scan scan = {.from_ns = from_ns, .until_ns = until_ns};
	struct plan plan CLEANUP(plan_release) = {0};
	struct finding finding CLEANUP(finding_release) = {.p = &plan};
	int rc = plan_init(&plan, reader_of(reader), &scan, until_ns - from_ns, err);

	for (size_t i = 0; !rc && i < plan.files_count; i++) {
		struct open_file *file = plan_file(&plan, i);

		rc = plan_begin(&plan, file, err);
		if (!rc)
			rc = find_in(&finding, file, err);
		rc = plan_end(&plan, file, rc, err);
	}
	for (size_t i = 0; !rc && i < finding.count; i++)
		if (finding.list[i].in_range)
			rc = emit(&finding.list[i], fn, arg);
	return rc;
}
