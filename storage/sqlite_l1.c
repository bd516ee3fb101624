/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deriving L1.  Exactly once: each L1 file says how far (by batch) it holds each L0 file, and that
 * number is committed with the windows themselves.  A transaction touches one file, so a crash
 * between two days leaves one of them behind, and the next call adds only what is missing there.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "storage/sqlite_fold.h"

#define RECORDS_PER_CALL ((size_t)1 << 16) /* 40 ms: the writer thread has puts to do as well */
#define STEPPED_BACK_NS (INT64_C(600) * NS_PER_S)
#define DAYS_MAX 4 /* that are worth a look at their watermarks */

struct deriving {
	struct sqlite_store *s;
	struct period_file *source;
	struct open_file *l0;
	struct fold *days;
	size_t days_count, days_capacity, records;
	int64_t upto, arrived_before_ns;
	struct codec_columns columns;
};

int l1_watermark(struct sqlite_store *s, int64_t day_ns, const struct period_file *source,
		 int64_t *ret_derived, struct err *err)
{
	struct open_file *day;
	sqlite3_stmt *stmt;
	int rc = files_writer(s, 1, day_ns, false, &day, err);

	*ret_derived = 0;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = db_prepare(&day->db, "SELECT derived FROM source WHERE file_id = :id", &stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":id", source->file_id);
	rc = db_step(&day->db, stmt, err);
	if (rc > 0)
		*ret_derived = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

/* With sync_within_seconds a loss of power can take the end of L0 and leave L1's, and a file can be
 * an older copy. */
int l1_floor(struct sqlite_store *s, struct period_file *l0, struct err *err)
{
	int64_t from_ns = MIN(l0->extent.min_ns, l0->start_ns) - STORAGE_L1_FILE_NS, floor = 0;
	int64_t until_ns = MAX(l0->extent.max_ns, l0->start_ns) + STORAGE_L1_FILE_NS;

	for (size_t i = 0; i < s->files_count; i++) {
		const struct period_file *day = s->files[i];
		int64_t derived = 0;

		if (day->level != 1 || day->start_ns > until_ns || day->end_ns <= from_ns)
			continue;
		int rc = l1_watermark(s, day->start_ns, l0, &derived, err);

		if (rc)
			return rc;
		floor = MAX(floor, derived);
	}
	l0->floor = floor;
	return 0;
}

/* Where to go on after a start: no day that the file touches is further behind. */
static int find_start(struct sqlite_store *s, struct period_file *source, struct err *err)
{
	int64_t day_ns = files_period_start(1, source->extent.min_ns), least = INT64_MAX;

	source->derived = 0;
	if (source->extent.min_ns > source->extent.max_ns)
		return 0;
	for (int n = 0; day_ns <= source->extent.max_ns; day_ns += STORAGE_L1_FILE_NS, n++) {
		int64_t derived = 0;
		int rc = n < DAYS_MAX ? l1_watermark(s, day_ns, source, &derived, err) : 0;

		if (rc)
			return rc;
		least = MIN(least, derived);
		if (!least)
			break;
	}
	source->derived = least;
	return 0;
}

static int day_of(struct deriving *d, int64_t time_ns, struct fold **ret_day, struct err *err)
{
	int64_t day_ns = files_period_start(1, time_ns);
	struct fold fold = {.day_ns = day_ns, .window_ns = STORAGE_L1_WINDOW_NS};

	for (size_t i = d->days_count; i-- > 0;)
		if (d->days[i].day_ns == day_ns) {
			*ret_day = &d->days[i];
			return 0;
		}
	int rc = l1_watermark(d->s, day_ns, d->source, &fold.derived, err);

	if (!rc)
		rc = l2_origins(d->s, day_ns, d->source->file_id, &fold.origins,
				&fold.origins_count, err);
	if (!rc && array_grow(&d->days, sizeof(*d->days), &d->days_capacity, d->days_count + 1))
		rc = err_set(err, -ENOMEM, "storage: out of memory");
	if (rc) {
		fold_release(&fold);
		return rc;
	}
	d->days[d->days_count++] = fold;
	*ret_day = &d->days[d->days_count - 1];
	/* The day's file may have taken a place among the open ones: keep ours in use. */
	return files_writer(d->s, 0, d->source->start_ns, false, &d->l0, err);
}

static int damaged(struct deriving *d, struct err *err)
{
	files_damaged(d->s, d->source);
	return err_set(err, -EBADMSG, "storage: %s: a block does not decode", d->source->name);
}

/* The sums that were made while the block was put. */
static int gather_recent(struct deriving *d, int64_t batch, uint32_t series,
			 const struct recent_block *b, struct err *err)
{
	struct hash128 identity = d->l0->catalogue.dict.t.series[series].identity;
	const uint8_t *sums = b->sums;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < b->windows_count; i++) {
		const struct recent_window *window = &b->windows[i];
		struct fold *day;

		rc = day_of(d, window->window_ns, &day, err);
		if (!rc && batch > day->derived &&
		    fold_add_sums(day, series, batch <= fold_origin(day, identity), window, sums,
				  b->width))
			rc = err_set(err, -ENOMEM, "storage: out of memory");
		sums += window->count * recent_stride(b->width);
		d->records += window->records;
	}
	return rc;
}

static int gather_block(struct deriving *d, int64_t batch, sqlite3_stmt *stmt, struct err *err)
{
	const struct recent_block *recent =
	    recent_find(&d->source->recent, sqlite3_column_int64(stmt, 4));
	struct codec_columns *c = &d->columns;
	uint32_t series = (uint32_t)sqlite3_column_int64(stmt, 0);
	uint32_t instance = (uint32_t)sqlite3_column_int64(stmt, 1);
	const struct dict_tables *t = &d->l0->catalogue.dict.t;
	int64_t day_end_ns = INT64_MIN;
	struct fold *day = NULL;
	struct dict *stacks;
	bool known = false;

	if (series >= t->series_count || instance >= t->instances_count)
		return damaged(d, err);
	int rc = open_file_part(d->l0, d->s->codec, series, &stacks, err);

	if (!rc && recent && recent->nodes_end <= stacks->t.nodes_count &&
	    recent->width == t->series[series].columns_count)
		return gather_recent(d, batch, series, recent, err);
	struct str data = rc ? STR("") : db_column_blob(stmt, 2);

	if (!rc)
		rc = codec_decode(d->s->codec, data.ptr, data.len, -1, c);
	if (rc == -EBADMSG || (!rc && c->values_count != t->series[series].columns_count))
		return damaged(d, err);
	for (size_t i = 0; !rc && i < c->count; i++) {
		if (c->nodes[i] >= stacks->t.nodes_count)
			return damaged(d, err);
		if (!day || c->times[i] < day->day_ns || c->times[i] >= day_end_ns) {
			rc = day_of(d, c->times[i], &day, err);
			if (rc)
				break;
			day_end_ns = day->day_ns + STORAGE_L1_FILE_NS;
			known = batch <= fold_origin(day, t->series[series].identity);
		}
		if (batch > day->derived)
			rc = fold_add(day, &t->series[series], series, instance, known,
				      FOLD_SUMS | FOLD_GAUGES, c, i);
	}
	d->records += c->count;
	return rc == -ENOMEM ? err_set(err, rc, "storage: out of memory") : rc;
}

static int gather_blocks(struct deriving *d, int64_t batch, int64_t first_block, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&d->l0->db,
			    "SELECT series, instance, data, batch, id FROM block WHERE id >= :first"
			    " ORDER BY id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":first", first_block);
	while ((rc = db_step(&d->l0->db, stmt, err)) > 0) {
		rc = 0;
		if (sqlite3_column_int64(stmt, 3) != batch)
			break;
		rc = gather_block(d, batch, stmt, err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

static int gather_losses(struct deriving *d, int64_t batch, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&d->l0->db,
			    "SELECT series, reason, time_ns, count FROM loss WHERE batch = :batch",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":batch", batch);
	while (!rc && (rc = db_step(&d->l0->db, stmt, err)) > 0) {
		int64_t time_ns = sqlite3_column_int64(stmt, 2);
		struct fold_loss loss = {
		    .window_ns = clock_window_ns(time_ns, STORAGE_L1_WINDOW_NS),
		    .series = (uint32_t)sqlite3_column_int64(stmt, 0),
		    .reason = (uint32_t)sqlite3_column_int64(stmt, 1),
		    .count = (uint64_t)sqlite3_column_int64(stmt, 3),
		};
		struct fold *day;

		const struct dict_tables *t = &d->l0->catalogue.dict.t;

		rc = loss.series < t->series_count && loss.reason < t->strings_count
			 ? day_of(d, time_ns, &day, err)
			 : damaged(d, err);
		if (!rc)
			loss.known = batch <= fold_origin(day, t->series[loss.series].identity);
		if (!rc && batch > day->derived)
			rc = fold_add_loss(day, loss);
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

static int gather_end(struct deriving *d, int64_t batch, int64_t ended_ns, uint32_t instance,
		      struct err *err)
{
	struct fold *day;
	int rc = instance < d->l0->catalogue.dict.t.instances_count ? day_of(d, ended_ns, &day, err)
								    : damaged(d, err);

	if (!rc && batch > day->derived)
		rc = fold_add_end(day, (struct fold_end){ended_ns, instance});
	return rc;
}

/* Whether a batch has arrived long enough ago; one from the far future is a clock that was set. */
static bool is_due(int64_t arrived_ns, int64_t arrived_before_ns)
{
	return arrived_ns < arrived_before_ns || arrived_ns - STEPPED_BACK_NS > arrived_before_ns;
}

/* Read batches until the call has enough or comes to one that is not due. */
static int gather(struct deriving *d, int64_t arrived_before_ns, bool *ret_more, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&d->l0->db,
			    "SELECT id, arrived_ns, instance, ended_ns, first_block FROM batch"
			    " WHERE id > :after"
			    " ORDER BY id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":after", d->source->derived);
	while ((rc = db_step(&d->l0->db, stmt, err)) > 0) {
		int64_t batch = sqlite3_column_int64(stmt, 0);

		rc = 0;
		if (!is_due(sqlite3_column_int64(stmt, 1), arrived_before_ns)) {
			d->source->waits = batch;
			d->source->waits_arrived_ns = sqlite3_column_int64(stmt, 1);
			break;
		}
		*ret_more = d->records >= RECORDS_PER_CALL;
		if (*ret_more)
			break;
		rc = gather_blocks(d, batch, sqlite3_column_int64(stmt, 4), err);
		if (!rc)
			rc = gather_losses(d, batch, err);
		if (!rc && sqlite3_column_type(stmt, 3) != SQLITE_NULL)
			rc = gather_end(d, batch, sqlite3_column_int64(stmt, 3),
					(uint32_t)sqlite3_column_int64(stmt, 2), err);
		if (rc)
			break;
		d->upto = batch;
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

static int commit_source(struct open_file *day, int64_t file_id, int64_t upto, int64_t *ret_source,
			 struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&day->db,
			    "INSERT INTO source(file_id, derived) VALUES (:id, :upto)"
			    " ON CONFLICT (file_id) DO UPDATE SET derived = :upto RETURNING id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":id", file_id);
	db_bind_int(stmt, ":upto", upto);
	rc = db_step(&day->db, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EIO, "storage: no source");
	*ret_source = sqlite3_column_int64(stmt, 0);
	return db_run(&day->db, stmt, err);
}

/* The number of this transaction. */
static int next_step(struct open_file *day, int64_t *ret_step, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&day->db, "UPDATE meta SET step = step + 1 RETURNING step", &stmt, err);

	if (!rc)
		rc = db_step(&day->db, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EIO, "storage: no step");
	*ret_step = sqlite3_column_int64(stmt, 0);
	return db_run(&day->db, stmt, err);
}

int l1_hold(struct open_file *l1, struct err *err)
{
	struct held *held = &l1->entry->held;
	sqlite3_stmt *stmt;
	int rc = db_prepare(&l1->db, "SELECT file_id, derived FROM source", &stmt, err);

	held->step = -1;
	held->count = 0;
	while (!rc && (rc = db_step(&l1->db, stmt, err)) > 0) {
		rc = array_grow(&held->files, sizeof(*held->files), &held->capacity,
				held->count + 1);
		if (rc)
			break;
		held->files[held->count++] = (struct held_file){sqlite3_column_int64(stmt, 0),
								sqlite3_column_int64(stmt, 1)};
	}
	if (!rc)
		held->step = l1->entry->hour_step = l1->entry->last;
	return rc == -ENOMEM ? err_set(err, rc, "storage: out of memory") : rc;
}

/* L2 takes whole hours: before the first step of an hour those of the hours before are complete.  A
 * step that takes what is not due says nothing of hours. */
static int begin_hour(struct open_file *l1, int64_t arrived_before_ns, struct err *err)
{
	int64_t hour_ns = clock_window_ns(arrived_before_ns - 1, STORAGE_L2_WINDOW_NS);
	struct period_file *day = l1->entry;
	bool begins = arrived_before_ns != INT64_MAX && hour_ns > day->hour_ns;

	if (!begins && day->held.step == day->hour_step)
		return 0;
	int rc = l1_hold(l1, err);

	if (!rc && begins)
		day->hour_ns = hour_ns;
	return rc;
}

static int write_day(struct deriving *d, struct fold *fold, struct open_file *day, struct err *err)
{
	struct extent extent = EXTENT_EMPTY;
	int64_t source = 0, step = 0;
	int rc = begin_hour(day, d->arrived_before_ns, err);

	if (!rc)
		rc = db_begin(&day->db, err);
	if (!rc)
		rc = next_step(day, &step, err);
	if (!rc)
		rc = commit_source(day, d->source->file_id, d->upto, &source, err);
	if (!rc)
		rc = fold_write(fold, day, d->s->codec, d->l0, &d->s->derived, source, step,
				&extent, err);
	if (!rc)
		rc = open_file_store(day, d->s->codec, err);
	if (!rc)
		rc = open_file_widen(day, &extent, err);
	if (!rc)
		rc = db_commit(&day->db, err);
	day->entry->unsynced = true;
	if (!rc) {
		files_widen(d->s, day->entry, &extent);
		day->entry->last = step;
	}
	return rc;
}

static int commit_day(struct deriving *d, struct fold *fold, struct err *err)
{
	struct open_file *day;
	int rc;

	if (d->upto <= fold->derived)
		return 0;
	rc = files_writer(d->s, 0, d->source->start_ns, false, &d->l0, err);
	if (!rc)
		rc = files_writer(d->s, 1, fold->day_ns, true, &day, err);
	if (rc)
		return rc;
	rc = write_day(d, fold, day, err);
	if (rc)
		files_failed(d->s, day, rc);
	return rc;
}

int l1_derive(struct sqlite_store *s, struct period_file *source, int64_t arrived_before_ns,
	      bool *ret_more, struct err *err)
{
	struct deriving d = {.s = s, .source = source, .arrived_before_ns = arrived_before_ns};

	*ret_more = false;
	/* Batches are taken in their order, and the next one is still not due: no look into the
	 * file. */
	if (source->waits && source->derived == source->waits - 1 &&
	    !is_due(source->waits_arrived_ns, arrived_before_ns))
		return 0;
	source->waits = 0;
	int rc = source->derived < 0 ? find_start(s, source, err) : 0;

	if (!rc)
		rc = files_writer(s, 0, source->start_ns, false, &d.l0, err);
	d.upto = source->derived;
	if (!rc)
		rc = gather(&d, arrived_before_ns, ret_more, err);
	for (size_t i = 0; !rc && i < d.days_count; i++)
		rc = commit_day(&d, &d.days[i], err);
	if (!rc) {
		source->derived = d.upto;
		recent_forget(&source->recent, d.upto);
	}
	for (size_t i = 0; i < d.days_count; i++)
		fold_release(&d.days[i]);
	free(d.days);
	codec_columns_release(&d.columns);
	return rc;
}
