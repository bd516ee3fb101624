/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing L1: the windows of one series, gauge instance and source that L2 has become one row.  A
 * row for each window costs 100 bytes of rows and frames, which is more than most windows hold.
 *
 * One pack holds what L2 took in one pass, so that a reader whose L2 is older takes all of it from
 * here, and one whose L2 is newer nothing.
 */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <string.h>

#include "base/varint.h"

#define PACK_RECORDS_MAX ((size_t)1 << 17) /* a longer run is split: 10 MB while it is made */

struct packing {
	struct sqlite_store *s;
	struct open_file *l1;
	uint32_t series;
	int64_t gauge, instance, source, step;
	struct codec_columns one, data, totals;
};

static int append(struct codec_columns *to, const struct codec_columns *from, int64_t time_ns)
{
	size_t at = to->count, width = from->values_count;
	int rc = codec_columns_reserve(to, at + from->count, width);

	if (rc)
		return rc;
	for (size_t i = 0; i < from->count; i++)
		to->times[at + i] = time_ns;
	memcpy(to->nodes + at, from->nodes, from->count * sizeof(*to->nodes));
	memcpy(to->counts + at, from->counts, from->count * sizeof(*to->counts));
	for (size_t v = 0; v < width; v++)
		memcpy(to->values[v] + at, from->values[v], from->count * sizeof(**to->values));
	to->count += from->count;
	to->values_count = width;
	return 0;
}

/* The window's own totals, as a record at the root. */
static int append_totals(struct codec_columns *to, int64_t time_ns, uint64_t count, size_t width,
			 struct str sums)
{
	const uint8_t *at = (const uint8_t *)sums.ptr, *end = at + sums.len;
	size_t i = to->count;
	int rc = codec_columns_reserve(to, i + 1, width);

	if (rc)
		return rc;
	to->times[i] = time_ns;
	to->nodes[i] = 0;
	to->counts[i] = count;
	for (size_t v = 0; v < width; v++) {
		uint64_t sum;

		at = varint_get(at, end, &sum);
		if (!at)
			return -EBADMSG;
		to->values[v][i] = zigzag_get(sum);
	}
	to->values_count = width;
	to->count++;
	return 0;
}

static int insert(struct packing *p, struct err *err)
{
	struct buf totals CLEANUP(buf_release);
	sqlite3_stmt *stmt;
	struct str packed;
	int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;

	buf_init(&totals, BUF_UNLIMITED);
	if (!p->totals.count)
		return 0;
	for (size_t i = 0; i < p->totals.count; i++) {
		min_ns = MIN(min_ns, p->totals.times[i]);
		max_ns = MAX(max_ns, p->totals.times[i]);
	}
	int rc = codec_encode(p->s->codec, &p->totals, CODEC_TIMES, CODEC_DENSE, &packed);

	if (!rc)
		rc = buf_add(&totals, packed.ptr, packed.len);
	if (!rc)
		rc = codec_encode(p->s->codec, &p->data, CODEC_TIMES, CODEC_DENSE, &packed);
	if (rc)
		return err_set(err, -ENOMEM, "storage: out of memory");
	rc = db_prepare(&p->l1->db,
			"INSERT INTO pack(series, gauge, instance, source, step, min_ns, max_ns,"
			" totals, data) VALUES (:series, :gauge, :instance, :source, :step, :min,"
			" :max, :totals, :data)",
			&stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":series", p->series);
	db_bind_int(stmt, ":gauge", p->gauge);
	db_bind_int(stmt, ":instance", p->instance);
	db_bind_int(stmt, ":source", p->source);
	db_bind_int(stmt, ":step", p->step);
	db_bind_int(stmt, ":min", min_ns);
	db_bind_int(stmt, ":max", max_ns);
	db_bind_blob(stmt, ":totals", totals.data, totals.len);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	p->totals.count = p->data.count = 0;
	return db_run(&p->l1->db, stmt, err);
}

static int add_window(struct packing *p, sqlite3_stmt *stmt, struct err *err)
{
	int64_t gauge = sqlite3_column_int64(stmt, 0), instance = sqlite3_column_int64(stmt, 1);
	int64_t source = sqlite3_column_int64(stmt, 2), time_ns = sqlite3_column_int64(stmt, 3);
	int64_t step = sqlite3_column_int64(stmt, 7);
	struct str data = db_column_blob(stmt, 6);
	bool same = gauge == p->gauge && instance == p->instance && source == p->source &&
		    (step == 0) == (p->step == 0) && p->data.count < PACK_RECORDS_MAX;
	int rc = same ? 0 : insert(p, err);

	if (rc)
		return rc;
	p->gauge = gauge;
	p->instance = instance;
	p->source = source;
	p->step = p->totals.count ? MAX(p->step, step) : step;
	rc = codec_decode(p->s->codec, data.ptr, data.len, -1, &p->one);
	if (!rc)
		rc = append(&p->data, &p->one, time_ns);
	if (!rc)
		rc = append_totals(&p->totals, time_ns, (uint64_t)sqlite3_column_int64(stmt, 4),
				   p->one.values_count, db_column_blob(stmt, 5));
	return rc ? err_set(err, rc, "storage: %s: a window does not decode", p->l1->entry->name)
		  : 0;
}

static int gather(struct packing *p, int64_t upto, struct err *err)
{
	sqlite3_stmt *stmt;
	/* Step 0 stays apart: it is told by that number that L2 has it from elsewhere. */
	int rc = db_prepare(&p->l1->db,
			    "SELECT w.gauge, w.instance, w.source, w.time_ns, w.count, w.sums,"
			    " b.data, w.step FROM window w LEFT JOIN block b USING (id)"
			    " WHERE w.series = :series AND w.gauge IN (0, 1) AND w.step <= :step"
			    " ORDER BY w.gauge, w.instance, w.source, w.step = 0, w.time_ns, w.id",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", p->series);
	db_bind_int(stmt, ":step", upto);
	while ((rc = db_step(&p->l1->db, stmt, err)) > 0) {
		rc = add_window(p, stmt, err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc ? rc : insert(p, err);
}

static int remove_windows(struct packing *p, int64_t upto, struct err *err)
{
	static const char blocks[] =
	    "DELETE FROM block WHERE id IN (SELECT id FROM window"
	    " WHERE series = :series AND gauge IN (0, 1) AND step <= :step)";
	static const char windows[] = "DELETE FROM window WHERE series = :series"
				      " AND gauge IN (0, 1) AND step <= :step";
	const char *const both[] = {blocks, windows};
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(both); i++) {
		sqlite3_stmt *stmt;

		rc = db_prepare(&p->l1->db, both[i], &stmt, err);
		if (rc)
			return rc;
		db_bind_int(stmt, ":series", p->series);
		db_bind_int(stmt, ":step", upto);
		rc = db_run(&p->l1->db, stmt, err);
	}
	return rc;
}

static int has_windows(struct open_file *l1, uint32_t series, int64_t step, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&l1->db,
			    "SELECT 1 FROM window WHERE series = :series AND gauge IN (0, 1)"
			    " AND step <= :step LIMIT 1",
			    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":step", step);
	rc = db_step(&l1->db, stmt, err);
	(void)sqlite3_reset(stmt);
	return rc;
}

int pack_series(struct sqlite_store *s, struct open_file *l1, uint32_t series, int64_t step,
		struct err *err)
{
	struct packing p = {.s = s, .l1 = l1, .series = series};
	int rc = has_windows(l1, series, step, err);

	if (rc <= 0)
		return rc;
	rc = db_begin(&l1->db, err);
	if (!rc)
		rc = gather(&p, step, err);
	if (!rc)
		rc = remove_windows(&p, step, err);
	if (!rc)
		rc = db_commit(&l1->db, err);
	codec_columns_release(&p.one);
	codec_columns_release(&p.data);
	codec_columns_release(&p.totals);
	if (rc)
		files_failed(s, l1, rc);
	return rc;
}
