/* SPDX-License-Identifier: Apache-2.0 */
/* records (from L0 alone) and losses. */
#include <errno.h>
#include <string.h>

#include "storage/sqlite_read.h"

/* ---- records: copied by the page, so that a callback never holds a transaction ---- */

#define PAGE_BYTES ((size_t)16 << 20) /* of packed blocks: some million records */

struct position { /* of a block in the index block_series */
	int64_t min_ns, max_ns, batch, id;
};

struct copied {
	int64_t instance;
	size_t at, len; /* in the page's bytes */
	bool cut;       /* by the range: not all of its records count */
};

struct page {
	struct plan *plan;
	struct open_file *file;
	struct dict *stacks;
	size_t series; /* in the scan */
	uint32_t number;
	struct position at;
	int64_t packed; /* how far the file was packed at the first page; -1: not yet read */
	struct buf bytes;
	struct copied *blocks;
	size_t count, capacity;
};

static void page_release(struct page *page)
{
	buf_release(&page->bytes);
	free(page->blocks);
}

static void bind_page(sqlite3_stmt *stmt, const struct page *page)
{
	db_bind_int(stmt, ":series", page->number);
	db_bind_int(stmt, ":from", page->plan->scan->from_ns);
	db_bind_int(stmt, ":until", page->plan->scan->until_ns);
	db_bind_int(stmt, ":min", page->at.min_ns);
	db_bind_int(stmt, ":max", page->at.max_ns);
	db_bind_int(stmt, ":batch", page->at.batch);
	db_bind_int(stmt, ":id", page->at.id);
}

/* Between two pages the hour can be packed, and then nobody knows which of its records were
 * given. */
static int check_packed(struct page *page, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&page->file->db, "SELECT step FROM meta", &stmt, err);

	if (!rc)
		rc = db_step(&page->file->db, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EBADMSG, "storage: no meta");
	int64_t packed = sqlite3_column_int64(stmt, 0);

	(void)sqlite3_reset(stmt);
	if (page->packed >= 0 && packed != page->packed)
		return err_set(err, -EAGAIN, "storage: %s was packed meanwhile; ask again",
			       page->file->entry->name);
	page->packed = packed;
	return 0;
}

static int copy_block(struct page *page, sqlite3_stmt *stmt)
{
	struct str data = db_column_blob(stmt, 5);
	const struct storage_scan *scan = page->plan->scan;
	struct copied block = {.instance = sqlite3_column_int64(stmt, 4),
			       .at = page->bytes.len,
			       .len = data.len,
			       .cut = sqlite3_column_int64(stmt, 0) < scan->from_ns ||
				      sqlite3_column_int64(stmt, 1) >= scan->until_ns};
	int rc = array_grow(&page->blocks, sizeof(block), &page->capacity, page->count + 1);

	if (!rc)
		rc = buf_add(&page->bytes, data.ptr, data.len);
	if (rc)
		return -ENOMEM;
	page->blocks[page->count++] = block;
	page->at = (struct position){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
				     sqlite3_column_int64(stmt, 2), sqlite3_column_int64(stmt, 3)};
	return 0;
}

/* Copy the next blocks. Returns how many, or an error. */
static int next_page(struct page *page, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = check_packed(page, err);

	page->count = 0;
	buf_clear(&page->bytes);
	if (!rc)
		rc = db_prepare(&page->file->db,
				"SELECT min_ns, max_ns, batch, id, instance, data FROM block"
				" WHERE series = :series AND min_ns < :until AND max_ns >= :from"
				" AND (min_ns, max_ns, batch, id) > (:min, :max, :batch, :id)"
				" ORDER BY min_ns, max_ns, batch, id",
				&stmt, err);
	if (rc)
		return rc;
	bind_page(stmt, page);
	while (page->bytes.len < PAGE_BYTES && (rc = db_step(&page->file->db, stmt, err)) > 0) {
		rc = copy_block(page, stmt) ? err_set(err, -ENOMEM, "storage: out of memory") : 0;
		if (!rc)
			rc = storage_scan_late(page->plan->scan, err);
		if (rc)
			break;
	}
	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : (int)page->count;
}

static int decode_block(struct page *page, const struct copied *block, struct err *err)
{
	struct sqlite_reader *r = page->plan->r;
	const struct storage_scan *scan = page->plan->scan;
	unsigned parts = CODEC_CONTEXTS | (block->cut || !scan->timeless ? CODEC_TIMES : 0u);
	int rc = codec_decode_parts(r->codec, page->bytes.data + block->at, block->len, parts,
				    (int)scan->column, &r->columns);

	return rc ? err_set(err, rc, "storage: %s: a block does not decode",
			    page->file->entry->name)
		  : 0;
}

/* Everything that a block names must be there. */
static bool block_fits(const struct page *page, const struct copied *block)
{
	const struct dict_tables *t = &page->stacks->t;
	const struct codec_columns *c = &page->plan->r->columns;

	return block->instance >= 0 &&
	       (size_t)block->instance < page->file->catalogue.dict.t.instances_count &&
	       c->values_count > page->plan->scan->column && c->nodes_end <= t->nodes_count &&
	       c->contexts_end <= t->contexts_count;
}

/* Keep the records in range, in place. */
static void cut_block(const struct storage_scan *scan, struct codec_columns *c)
{
	int64_t *values = c->values[scan->column];
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (c->times[i] < scan->from_ns || c->times[i] >= scan->until_ns)
			continue;
		c->times[n] = c->times[i];
		c->nodes[n] = c->nodes[i];
		c->contexts[n] = c->contexts[i];
		c->counts[n] = c->counts[i];
		values[n++] = values[i];
	}
	c->count = n;
}

static int emit_block(struct page *page, const struct copied *block, storage_records_fn fn,
		      void *arg)
{
	const struct storage_scan *scan = page->plan->scan;
	const struct dict_tables *catalogue = &page->file->catalogue.dict.t;
	const struct dict_tables *t = &page->stacks->t;
	struct codec_columns *c = &page->plan->r->columns;

	if (block->cut)
		cut_block(scan, c);
	struct storage_records records = {
	    .segment = segment_of_dict(page->stacks, catalogue->series[page->number].owner),
	    .contexts = t->contexts,
	    .contexts_count = t->contexts_count,
	    .labels = t->labels,
	    .runtime_id = catalogue->instances[block->instance].runtime_id,
	    .pid = catalogue->instances[block->instance].pid,
	    .series = page->series,
	    .count = c->count,
	    .nodes = c->nodes,
	    .context = c->contexts,
	    .times_ns = scan->timeless ? NULL : c->times,
	    .values = c->values[scan->column],
	    .counts = c->counts,
	};

	return c->count ? fn(arg, &records) : 0;
}

static int emit_page(struct page *page, storage_records_fn fn, void *arg, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < page->count; i++) {
		rc = decode_block(page, &page->blocks[i], err);
		if (!rc && !block_fits(page, &page->blocks[i]))
			rc = err_set(err, -EBADMSG, "storage: %s: a block names what is not there",
				     page->file->entry->name);
		if (rc)
			return plan_end(page->plan, page->file, rc, err);
		rc = emit_block(page, &page->blocks[i], fn, arg);
	}
	return rc;
}

static int records_of_series(struct page *page, storage_records_fn fn, void *arg, struct err *err)
{
	int rc = 1;

	page->at = (struct position){INT64_MIN, 0, 0, 0};
	page->packed = -1;
	while (rc > 0) {
		rc = plan_begin(page->plan, page->file, err);
		if (!rc)
			rc = open_file_part(page->file, page->plan->r->codec, page->number,
					    &page->stacks, err);
		if (!rc)
			rc = next_page(page, err);
		rc = plan_end(page->plan, page->file, rc, err);
		if (rc <= 0)
			return rc;
		int given = emit_page(page, fn, arg, err);

		if (given)
			return given;
		if (page->bytes.len < PAGE_BYTES)
			return 0;
	}
	return rc;
}

int sqlite_records(struct storage_reader *reader, const struct storage_scan *scan,
		   storage_records_fn fn, void *arg, struct err *err)
{
	struct plan plan CLEANUP(plan_release) = {.l0_only = true};
	int rc = plan_init(&plan, reader_of(reader), scan, scan->until_ns - scan->from_ns, err);

	for (size_t i = 0; !rc && i < plan.files_count; i++) {
		struct page page CLEANUP(page_release) = {.plan = &plan,
							  .file = plan_file(&plan, i)};

		buf_init(&page.bytes, BUF_UNLIMITED);

		if (page.file->entry->level)
			continue;
		rc = plan_begin(&plan, page.file, err);
		rc = plan_end(&plan, page.file, rc, err);
		for (; !rc && page.series < scan->series_count; page.series++) {
			page.number =
			    dict_find_series(&page.file->catalogue.dict, scan->series[page.series]);
			if (page.number != INDEX_NONE &&
			    scan->column <
				page.file->catalogue.dict.t.series[page.number].columns_count)
				rc = records_of_series(&page, fn, arg, err);
		}
		/* All of the file went by, and the last half megabyte of it is nothing that is
		 * asked again. */
		if (plan_file(&plan, i))
			db_forget_pages(&plan_file(&plan, i)->db);
	}
	return rc;
}

/* ---- losses: few, so they are gathered and then told ---- */

struct told {
	struct hash128 series;
	uint32_t reason;
	uint64_t count;
};

struct tally {
	struct told *list;
	size_t count, capacity;
};

static void tally_release(struct tally *t)
{
	free(t->list);
}

/* Count a row of `loss`: batch or source, time, series, reason, count, step. */
static int tally_row(struct tally *t, struct plan *p, struct open_file *file, sqlite3_stmt *stmt,
		     struct err *err)
{
	int64_t from = sqlite3_column_int64(stmt, 0), time_ns = sqlite3_column_int64(stmt, 1);
	int64_t series = sqlite3_column_int64(stmt, 2), reason = sqlite3_column_int64(stmt, 3);
	const struct dict_tables *d = &file->catalogue.dict.t;
	int level = file->entry->level;

	if (series < 0 || (size_t)series >= d->series_count || reason < 0 ||
	    (size_t)reason >= d->strings_count)
		return err_set(err, -EBADMSG, "storage: %s: a loss names what is not there",
			       file->entry->name);
	int64_t of = storage_scan_find(p->scan, d->series[series].identity);

	if (of < 0)
		return 0;
	bool takes =
	    !level && plan_takes_record(p, file->entry->file_id, (size_t)of, from, time_ns);

	if (level && !plan_is_above(p, file, (size_t)of, sqlite3_column_int64(stmt, 5), time_ns)) {
		struct plan_row row = {.of = PLAN_LOSS,
				       .series = d->series[series].identity,
				       .source = from,
				       .time_ns = time_ns,
				       .count = (uint64_t)sqlite3_column_int64(stmt, 4)};
		int rc = plan_takes_row(p, file, &row, &takes, err);

		if (rc)
			return rc;
	}
	if (!takes)
		return 0;
	if (array_grow(&t->list, sizeof(*t->list), &t->capacity, t->count + 1))
		return err_set(err, -ENOMEM, "storage: out of memory");
	t->list[t->count++] = (struct told){d->series[series].identity, (uint32_t)reason,
					    (uint64_t)sqlite3_column_int64(stmt, 4)};
	return 0;
}

static int gather_losses(struct tally *t, struct plan *p, struct open_file *file, struct err *err)
{
	static const char l0[] = "SELECT batch, time_ns, series, reason, count, 0 FROM loss"
				 " WHERE time_ns > :after AND time_ns < :until";
	static const char windows[] =
	    "SELECT source, window_ns, series, reason, count, step FROM loss"
	    " WHERE window_ns > :after AND window_ns < :until";
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, file->entry->level ? windows : l0, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":after", p->scan->from_ns - MAX(files_window_ns(file->entry->level), 1));
	db_bind_int(stmt, ":until", p->scan->until_ns);
	while (!rc && (rc = db_step(&file->db, stmt, err)) > 0)
		rc = tally_row(t, p, file, stmt, err);
	(void)sqlite3_reset(stmt);
	return rc;
}

int sqlite_losses(struct storage_reader *reader, const struct storage_scan *scan,
		  storage_loss_fn fn, void *arg, struct err *err)
{
	struct plan plan CLEANUP(plan_release) = {0};
	int rc = plan_init(&plan, reader_of(reader), scan, scan->until_ns - scan->from_ns, err);

	for (size_t i = 0; !rc && i < plan.files_count; i++) {
		struct tally tally CLEANUP(tally_release) = {0};
		struct open_file *file = plan_file(&plan, i);

		rc = plan_begin(&plan, file, err);
		if (!rc)
			rc = gather_losses(&tally, &plan, file, err);
		rc = plan_end(&plan, file, rc, err);
		for (size_t k = 0; !rc && k < tally.count; k++)
			rc = fn(arg, tally.list[k].series,
				file->catalogue.dict.t.strings[tally.list[k].reason],
				tally.list[k].count);
	}
	return rc;
}
