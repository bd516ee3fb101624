/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing L0: the blocks of some thousand batches, each with a few records, become one for each
 * (series, instance).  All bear the number of the last batch, and so does the one row of `batch`
 * that stays, beside those with an upload id or an end.
 *
 * Levels above count by batches, so these must all be in L1 and L2: a day that is lost is derived
 * again, and then L2's watermarks say which batches it has.
 */
#include <errno.h>
#include <string.h>

#include "storage/sqlite_store.h"

#define RECORDS_PER_CALL ((size_t)1 << 17)

struct packing {
	struct sqlite_store *s;
	struct open_file *l0;
	int64_t after, upto;       /* batches */
	int64_t first_id, last_id; /* of their blocks; none: first above last */
	int64_t series, instance;
	size_t records;
	struct codec_columns one, all;
};

/* ---- what L2 has ---- */

static bool touches(const struct period_file *day, const struct period_file *l0)
{
	return day->level == 1 && day->start_ns <= l0->extent.max_ns &&
	       day->end_ns > l0->extent.min_ns;
}

static struct held_file *held_of(const struct period_file *day, int64_t file_id)
{
	for (size_t i = 0; i < day->held.count; i++)
		if (day->held.files[i].file_id == file_id)
			return &day->held.files[i];
	return NULL;
}

/* A number that changes when L2 has more of the days that the file touches. */
static int64_t seen_of(const struct sqlite_store *s, const struct period_file *l0)
{
	int64_t seen = 1;

	for (size_t i = 0; i < s->files_count; i++)
		if (touches(s->files[i], l0))
			seen += s->files[i]->rolled + 1;
	return seen;
}

/* Up to which batch L2 has all that the file brought into one day. */
static int limit_by(struct sqlite_store *s, const struct period_file *day,
		    const struct period_file *l0, int64_t *limit, struct err *err)
{
	const struct held_file *held = held_of(day, l0->file_id);
	int64_t in_l1 = 0;

	if (day->rolled >= day->last)
		return 0;
	if (day->rolled < 0 || day->rolled != day->held.step) {
		*limit = 0;
		return 0;
	}
	int rc = l1_watermark(s, day->start_ns, l0, &in_l1, err);

	if (!rc && in_l1 > (held ? held->derived : 0))
		*limit = MIN(*limit, held ? held->derived : 0);
	return rc;
}

static int find_limit(struct sqlite_store *s, const struct period_file *l0, int64_t *ret_limit,
		      struct err *err)
{
	int rc = 0;

	*ret_limit = l0->derived;
	for (size_t i = 0; !rc && *ret_limit > l0->packed && i < s->files_count; i++)
		if (touches(s->files[i], l0))
			rc = limit_by(s, s->files[i], l0, ret_limit, err);
	return rc;
}

/* ---- packing ---- */

/* Batches until there are records enough. */
static int find_range(struct packing *p, int64_t limit, bool *ret_more, struct err *err)
{
	sqlite3_stmt *stmt;
	size_t records = 0;
	int rc = db_prepare(&p->l0->db,
			    "SELECT id, batch, records FROM block WHERE id >="
			    " (SELECT min(first_block) FROM batch WHERE id > :after) ORDER BY id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":after", p->after);
	p->upto = limit;
	while ((rc = db_step(&p->l0->db, stmt, err)) > 0) {
		int64_t id = sqlite3_column_int64(stmt, 0), batch = sqlite3_column_int64(stmt, 1);

		rc = 0;
		/* What was packed before stands between batches that were there already. */
		if (batch <= p->after)
			continue;
		if (batch > p->upto)
			break;
		/* The batch before is the last one of this call. */
		if (records >= RECORDS_PER_CALL && !*ret_more) {
			*ret_more = true;
			p->upto = batch;
		}
		records += (size_t)sqlite3_column_int64(stmt, 2);
		p->first_id = MIN(p->first_id, id);
		p->last_id = MAX(p->last_id, id);
	}
	(void)sqlite3_reset(stmt);
	p->records = records;
	return rc;
}

/* The days that hold batches of this file hold all of them now, touched by the last or not; and of
 * these L2 has all. */
static int raise_watermarks(struct packing *p, const struct period_file *source, struct err *err)
{
	int rc = l2_raise_origins(p->s, source, p->upto, err);

	for (size_t i = 0; !rc && i < p->s->files_count; i++) {
		struct period_file *day = p->s->files[i];
		struct open_file *l1;
		sqlite3_stmt *stmt;

		if (!touches(day, source))
			continue;
		rc = files_writer(p->s, 1, day->start_ns, false, &l1, err);
		if (!rc)
			rc = db_prepare(&l1->db,
					"UPDATE source SET derived = :upto"
					" WHERE file_id = :id AND derived < :upto",
					&stmt, err);
		if (rc)
			return rc;
		db_bind_int(stmt, ":upto", p->upto);
		db_bind_int(stmt, ":id", source->file_id);
		rc = db_run(&l1->db, stmt, err);
		struct held_file *held = held_of(day, source->file_id);

		if (!rc && held)
			held->derived = MAX(held->derived, p->upto);
	}
	return rc;
}

static int insert(struct packing *p, struct err *err)
{
	struct codec_columns *c = &p->all;
	int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;
	sqlite3_stmt *stmt;
	struct str packed;

	if (!c->count)
		return 0;
	for (size_t i = 0; i < c->count; i++) {
		min_ns = MIN(min_ns, c->times[i]);
		max_ns = MAX(max_ns, c->times[i]);
	}
	if (codec_encode(p->s->codec, c, CODEC_TIMES | CODEC_CONTEXTS, CODEC_DENSE, &packed))
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc =
	    db_prepare(&p->l0->db,
		       "INSERT INTO block(batch, series, instance, min_ns, max_ns, records, data)"
		       " VALUES (:batch, :series, :instance, :min, :max, :records, :data)",
		       &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":batch", p->upto);
	db_bind_int(stmt, ":series", p->series);
	db_bind_int(stmt, ":instance", p->instance);
	db_bind_int(stmt, ":min", min_ns);
	db_bind_int(stmt, ":max", max_ns);
	db_bind_int(stmt, ":records", (int64_t)c->count);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	c->count = 0;
	return db_run(&p->l0->db, stmt, err);
}

/* There is room at once for all that may come, of which only what comes is touched. */
static int append(struct packing *p, const struct codec_columns *from)
{
	struct codec_columns *to = &p->all;
	size_t at = to->count, n = from->count;
	int rc = codec_columns_reserve(to, MAX(at + n, MIN(p->records, CODEC_RECORDS_MAX)),
				       from->values_count);

	if (rc || !n)
		return rc;
	memcpy(to->times + at, from->times, n * sizeof(*to->times));
	memcpy(to->nodes + at, from->nodes, n * sizeof(*to->nodes));
	memcpy(to->contexts + at, from->contexts, n * sizeof(*to->contexts));
	memcpy(to->counts + at, from->counts, n * sizeof(*to->counts));
	for (size_t v = 0; v < from->values_count; v++)
		memcpy(to->values[v] + at, from->values[v], n * sizeof(**to->values));
	to->count += n;
	to->values_count = from->values_count;
	return 0;
}

static int gather(struct packing *p, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&p->l0->db,
			    "SELECT series, instance, data FROM block WHERE id BETWEEN :first AND"
			    " :last AND batch > :after ORDER BY series, instance, min_ns, id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":first", p->first_id);
	db_bind_int(stmt, ":last", p->last_id);
	db_bind_int(stmt, ":after", p->after);
	while ((rc = db_step(&p->l0->db, stmt, err)) > 0) {
		int64_t series = sqlite3_column_int64(stmt, 0);
		int64_t instance = sqlite3_column_int64(stmt, 1);
		struct str data = db_column_blob(stmt, 2);

		rc = codec_decode(p->s->codec, data.ptr, data.len, -1, &p->one);
		if (rc)
			rc = err_set(err, rc, "storage: %s: a block does not decode",
				     p->l0->entry->name);
		if (!rc && (series != p->series || instance != p->instance ||
			    p->all.count + p->one.count > CODEC_RECORDS_MAX))
			rc = insert(p, err);
		p->series = series;
		p->instance = instance;
		if (!rc && append(p, &p->one))
			rc = err_set(err, -ENOMEM, "storage: out of memory");
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc ? rc : insert(p, err);
}

static int run(struct packing *p, const char *sql, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&p->l0->db, sql, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":after", p->after);
	db_bind_int(stmt, ":upto", p->upto);
	db_bind_int(stmt, ":first", p->first_id);
	db_bind_int(stmt, ":last", p->last_id);
	return db_run(&p->l0->db, stmt, err);
}

static int write_range(struct packing *p, struct err *err)
{
	int rc = db_begin(&p->l0->db, err);

	if (!rc && p->first_id <= p->last_id) {
		/* What is inserted comes behind everything that is there. */
		rc = run(p,
			 "UPDATE batch SET first_block = (SELECT max(id) + 1 FROM block)"
			 " WHERE id = :upto",
			 err);
		if (!rc)
			rc = gather(p, err);
		if (!rc)
			rc = run(p,
				 "DELETE FROM block WHERE id BETWEEN :first AND :last"
				 " AND batch > :after",
				 err);
	}
	if (!rc)
		rc = run(p,
			 "DELETE FROM batch WHERE id > :after AND id < :upto"
			 " AND upload IS NULL AND ended_ns IS NULL",
			 err);
	if (!rc)
		rc = run(p, "UPDATE loss SET batch = :upto WHERE batch > :after AND batch < :upto",
			 err);
	if (!rc)
		rc = run(p, "UPDATE meta SET step = :upto", err);
	return rc ? rc : db_commit(&p->l0->db, err);
}

int pack_l0(struct sqlite_store *s, struct period_file *source, bool *ret_more, struct err *err)
{
	struct packing p = {
	    .s = s, .after = source->packed, .first_id = INT64_MAX, .last_id = INT64_MIN};
	int64_t seen = seen_of(s, source), limit;

	*ret_more = false;
	if (source->pack_seen == seen)
		return 0;
	int rc = find_limit(s, source, &limit, err);

	if (!rc && limit <= source->packed) {
		source->pack_seen = seen;
		return 0;
	}
	if (!rc)
		rc = files_writer(s, 0, source->start_ns, false, &p.l0, err);
	if (!rc)
		rc = find_range(&p, limit, ret_more, err);
	if (!rc)
		rc = raise_watermarks(&p, source, err);
	if (!rc)
		rc = files_sync_derived(s, err);
	/* The days may have taken its place among the open files. */
	if (!rc)
		rc = files_writer(s, 0, source->start_ns, false, &p.l0, err);
	if (!rc) {
		rc = write_range(&p, err);
		if (!rc && !*ret_more)
			rc = open_file_merge(p.l0, s->codec, 1, err);
		if (rc)
			files_failed(s, p.l0, rc);
		else
			source->packed = p.upto;
		if (!rc && !*ret_more)
			source->pack_seen = seen;
		if (!rc && !*ret_more) {
			db_shrink(&p.l0->db);
			db_checkpoint(&p.l0->db, true);
			open_file_forget(p.l0);
		}
	}
	codec_columns_release(&p.one);
	codec_columns_release(&p.all);
	return rc;
}
