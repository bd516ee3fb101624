/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_fold.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/sort.h"
#include "base/varint.h"

void fold_release(struct fold *f)
{
	index_release(&f->index);
	slots_release(&f->places);
	free(f->buckets);
	free(f->entries);
	free(f->values);
	free(f->losses);
	free(f->ends);
	free(f->origins);
	memset(f, 0, sizeof(*f));
}

int64_t fold_origin(const struct fold *f, struct hash128 series)
{
	int64_t derived = 0;

	for (size_t i = 0; i < f->origins_count; i++)
		if (hash128_equal(f->origins[i].series, series))
			derived = MAX(derived, f->origins[i].derived);
	return derived;
}

static int bucket_of(struct fold *f, const struct fold_bucket *want, uint32_t *ret_bucket)
{
	struct {
		int64_t window_ns;
		uint32_t series, instance, gauge, known;
	} key = {want->window_ns, want->series, want->instance, want->gauge, want->known};
	const struct fold_bucket *last = f->buckets + f->last_bucket;

	/* Records come by series and time: mostly it is the last one again. */
	if (f->buckets_count && last->window_ns == want->window_ns &&
	    last->series == want->series && last->instance == want->instance &&
	    last->gauge == want->gauge && last->known == want->known) {
		*ret_bucket = f->last_bucket;
		return 0;
	}
	struct hash128 h = hash128(&key, sizeof(key));

	*ret_bucket = index_find(&f->index, h);
	if (*ret_bucket != INDEX_NONE) {
		f->last_bucket = *ret_bucket;
		return 0;
	}
	int rc = array_grow(&f->buckets, sizeof(*f->buckets), &f->buckets_capacity,
			    f->buckets_count + 1);

	*ret_bucket = (uint32_t)f->buckets_count;
	if (!rc)
		rc = index_put(&f->index, h, *ret_bucket);
	if (rc)
		return rc;
	f->buckets[f->buckets_count++] = *want;
	f->last_bucket = *ret_bucket;
	return 0;
}

static struct fold_entry *find_entry(const struct fold *f, uint32_t tag, uint32_t bucket,
				     uint32_t node)
{
	size_t at = slots_first(&f->places, tag);
	uint32_t number;

	while ((number = slots_next(&f->places, tag, &at)) != SLOTS_NONE)
		if (f->entries[number].node == node && f->entries[number].bucket == bucket)
			return &f->entries[number];
	return NULL;
}

static int new_entry(struct fold *f, uint32_t tag, struct fold_entry entry, size_t width)
{
	int rc = array_grow(&f->entries, sizeof(*f->entries), &f->entries_capacity,
			    f->entries_count + 1);

	if (!rc)
		rc = array_grow(&f->values, sizeof(*f->values), &f->values_capacity,
				f->values_count + width);
	if (!rc)
		rc = slots_add(&f->places, tag, (uint32_t)f->entries_count);
	if (rc)
		return rc;
	entry.values_at = f->values_count;
	f->values_count += width;
	f->entries[f->entries_count++] = entry;
	return 0;
}

/* To what there is of this stack, in the order in which records come; a gauge's later snapshot
 * takes its place. */
static void sum_entry(struct fold *f, struct fold_entry *e, bool gauge,
		      const struct codec_columns *c, size_t i)
{
	bool replace = gauge && e->time_ns < c->times[i];

	if (gauge && e->time_ns > c->times[i])
		return;
	e->time_ns = c->times[i];
	e->count = replace ? c->counts[i] : e->count + c->counts[i];
	for (size_t v = 0; v < c->values_count; v++) {
		int64_t *value = &f->values[e->values_at + v];

		*value = replace ? c->values[v][i] : storage_add(*value, c->values[v][i]);
	}
}

static int add_to(struct fold *f, const struct fold_bucket *want, const struct codec_columns *c,
		  size_t i)
{
	uint32_t at, tag;
	int rc = bucket_of(f, want, &at);

	if (rc)
		return rc;
	struct fold_bucket *b = &f->buckets[at];

	b->first_ns = MIN(b->first_ns, c->times[i]);
	b->last_ns = MAX(b->last_ns, c->times[i]);
	b->records++;
	if (b->gauge)
		b->time_ns = MAX(b->time_ns, c->times[i]);
	f->added++;
	if (!f->places.count)
		hash_secret(f->secret);
	tag = slots_mix(c->nodes[i], at, f->secret);
	struct fold_entry *e = find_entry(f, tag, at, c->nodes[i]);

	if (e) {
		sum_entry(f, e, b->gauge, c, i);
		return 0;
	}
	rc = new_entry(f, tag, (struct fold_entry){at, c->nodes[i], c->counts[i], c->times[i], 0},
		       c->values_count);
	for (size_t v = 0; !rc && v < c->values_count; v++)
		f->values[f->values_count - c->values_count + v] = c->values[v][i];
	return rc;
}

/* Records come in order: mostly it is the window of the one before. */
static int64_t window_of(const struct fold *f, int64_t time_ns)
{
	int64_t last_ns = f->buckets_count ? f->buckets[f->last_bucket].window_ns : 0;

	if (f->buckets_count && time_ns >= last_ns && time_ns - last_ns < f->window_ns)
		return last_ns;
	return clock_window_ns(time_ns, f->window_ns);
}

int fold_add(struct fold *f, const struct dict_series *described, uint32_t series,
	     uint32_t instance, bool known, unsigned parts, const struct codec_columns *c, size_t i)
{
	int64_t window_ns = window_of(f, c->times[i]);
	struct fold_bucket want = {.window_ns = window_ns,
				   .time_ns = window_ns,
				   .first_ns = INT64_MAX,
				   .last_ns = INT64_MIN,
				   .series = series,
				   .known = known};
	unsigned has = 0;
	int rc = 0;

	for (uint32_t v = 0; v < described->columns_count; v++)
		has |= described->columns[v].gauge ? FOLD_GAUGES : FOLD_SUMS;
	if (has & parts & FOLD_SUMS)
		rc = add_to(f, &want, c, i);
	if (!rc && (has & parts & FOLD_GAUGES)) {
		want.gauge = true;
		want.instance = instance;
		want.time_ns = INT64_MIN;
		rc = add_to(f, &want, c, i);
	}
	return rc;
}

/* To what there is of this stack. */
static int meet(struct fold *f, struct fold_entry entry, const int64_t *values, size_t width)
{
	uint32_t tag = slots_mix(entry.node, entry.bucket, f->secret);
	struct fold_entry *e = find_entry(f, tag, entry.bucket, entry.node);
	int rc = 0;

	if (e) {
		e->count += entry.count;
		for (size_t v = 0; v < width; v++) {
			int64_t *value = &f->values[e->values_at + v];

			*value = storage_add(*value, values[v]);
		}
		return 0;
	}
	rc = new_entry(f, tag, entry, width);
	if (!rc)
		memcpy(f->values + f->values_count - width, values, width * sizeof(*f->values));
	return rc;
}

int fold_add_sums(struct fold *f, uint32_t series, bool known, const struct recent_window *window,
		  const uint8_t *sums, size_t width)
{
	struct fold_bucket want = {.window_ns = window->window_ns,
				   .time_ns = window->window_ns,
				   .first_ns = INT64_MAX,
				   .last_ns = INT64_MIN,
				   .series = series,
				   .known = known};
	uint32_t at;
	int rc = bucket_of(f, &want, &at);

	if (rc)
		return rc;
	struct fold_bucket *b = &f->buckets[at];

	b->first_ns = MIN(b->first_ns, window->first_ns);
	b->last_ns = MAX(b->last_ns, window->last_ns);
	b->records += window->records;
	f->added += window->records;
	if (!f->places.count)
		hash_secret(f->secret);
	for (size_t i = 0; !rc && i < window->count; i++, sums += recent_stride(width)) {
		const struct recent_sum *sum = (const void *)sums;

		rc = meet(f, (struct fold_entry){at, sum->node, sum->count, 0, 0}, sum->values,
			  width);
	}
	return rc;
}

int fold_renumber(struct fold *f, const uint32_t *nodes, size_t width)
{
	struct fold_entry *entries CLEANUP(cleanup_free) = TAKE(f->entries);
	int64_t *values CLEANUP(cleanup_free) = TAKE(f->values);
	size_t count = f->entries_count;
	int rc = 0;

	f->entries_count = f->entries_capacity = f->values_count = f->values_capacity = 0;
	slots_clear(&f->places);
	for (size_t i = 0; !rc && i < count; i++) {
		struct fold_entry e = entries[i];
		struct fold_bucket *b = &f->buckets[e.bucket];

		if (b->gauge && e.time_ns != b->time_ns)
			continue; /* an earlier snapshot */
		b->folded |= nodes[e.node] != e.node;
		e.node = nodes[e.node];
		rc = meet(f, e, values + e.values_at, width);
	}
	return rc;
}

int fold_add_loss(struct fold *f, struct fold_loss loss)
{
	int rc = array_grow(&f->losses, sizeof(loss), &f->losses_capacity, f->losses_count + 1);

	if (!rc)
		f->losses[f->losses_count++] = loss;
	return rc;
}

int fold_add_end(struct fold *f, struct fold_end end)
{
	int rc = array_grow(&f->ends, sizeof(end), &f->ends_capacity, f->ends_count + 1);

	if (!rc)
		f->ends[f->ends_count++] = end;
	return rc;
}

/* ---- writing ---- */

struct writing {
	struct fold *f;
	struct open_file *day;
	struct codec *codec;
	struct open_file *from;
	struct imports *im;
	int64_t source, step;
	struct extent *extent;
	struct codec_columns columns;
};

/* By bucket, and by node within one. */
static int sort_entries(struct fold *f)
{
	size_t count = f->entries_count;
	struct sort_item *items CLEANUP(cleanup_free) = malloc((count + 1) * sizeof(*items));
	struct sort_item *scratch CLEANUP(cleanup_free) = malloc((count + 1) * sizeof(*scratch));
	struct fold_entry *sorted = malloc((count + 1) * sizeof(*sorted));

	if (!items || !scratch || !sorted || count > UINT32_MAX) {
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		items[i] = (struct sort_item){
		    (uint64_t)f->entries[i].bucket << 32 | f->entries[i].node, (uint32_t)i};
	sort_items(items, scratch, count);
	for (size_t i = 0; i < count; i++)
		sorted[i] = f->entries[items[i].at];
	free(f->entries);
	f->entries = sorted;
	f->entries_capacity = count + 1;
	return 0;
}

/* How the stacks of a series of `from` are imported, and the number that the series has here. */
static int stacks_of(struct writing *w, uint32_t from_series, uint32_t *ret_series,
		     struct dict_import **ret_import, struct err *err)
{
	const struct dict_tables *t = &w->from->catalogue.dict.t;
	struct dict *stacks;
	int rc = dict_import_series(&w->im->catalogue, &t->series[from_series], ret_series);

	if (rc)
		return err_set(err, rc, "storage: %s: the dictionary is full", w->day->entry->name);
	rc = open_file_part(w->from, w->codec, from_series, &stacks, err);
	return rc ? rc : imports_part(w->im, *ret_series, &stacks->t, ret_import, err);
}

static int import_entry(struct dict_import *im, struct fold_entry *e)
{
	size_t nodes = im->from.nodes_count;
	bool is_other = e->node >= nodes;
	int rc = dict_import_node(im, is_other ? e->node - (uint32_t)nodes : e->node, &e->node);

	return rc || !is_other ? rc : dict_import_child(im, e->node, STR(STORAGE_OTHER), &e->node);
}

/* Nodes get the numbers of here, in ascending order within a bucket. */
static int order_entries(struct writing *w, struct err *err)
{
	struct dict_import *im = NULL;
	uint32_t last = INDEX_NONE, series;
	int rc = 0;

	for (size_t i = 0; !rc && i < w->f->entries_count; i++) {
		struct fold_entry *e = &w->f->entries[i];
		uint32_t of = w->f->buckets[e->bucket].series;

		if (of != last)
			rc = stacks_of(w, of, &series, &im, err);
		last = of;
		if (rc)
			return rc;
		rc = import_entry(im, e);
		if (rc)
			return err_set(err, rc, "storage: %s: the dictionary is full",
				       w->day->entry->name);
	}
	return sort_entries(w->f) ? err_set(err, -ENOMEM, "storage: out of memory") : 0;
}

/* The entries of one bucket become the columns; *ret_end: behind them. */
static int take_bucket(struct writing *w, size_t at, size_t width, size_t *ret_end)
{
	struct codec_columns *c = &w->columns;
	uint32_t bucket = w->f->entries[at].bucket;
	const struct fold_bucket *b = &w->f->buckets[bucket];
	size_t end = at;

	while (end < w->f->entries_count && w->f->entries[end].bucket == bucket)
		end++;
	int rc = codec_columns_reserve(c, end - at, width);

	c->count = 0;
	c->values_count = width;
	for (; !rc && at < end; at++) {
		const struct fold_entry *e = &w->f->entries[at];

		if (b->gauge && e->time_ns != b->time_ns)
			continue; /* an earlier snapshot */
		c->nodes[c->count] = e->node;
		c->counts[c->count] = e->count;
		for (size_t v = 0; v < width; v++)
			c->values[v][c->count] = w->f->values[e->values_at + v];
		c->count++;
	}
	*ret_end = end;
	return rc;
}

static int write_block(struct writing *w, const struct fold_bucket *b, int64_t id, struct err *err)
{
	sqlite3_stmt *stmt;
	struct str packed;

	if (codec_encode(w->codec, &w->columns, b->folded ? CODEC_FOLDED : 0,
			 w->f->window_ns > STORAGE_L1_WINDOW_NS ? CODEC_DENSE : CODEC_QUICK,
			 &packed))
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc =
	    db_prepare(&w->day->db, "INSERT INTO block(id, data) VALUES (:id, :data)", &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":id", id);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	return db_run(&w->day->db, stmt, err);
}

/* The window's row holds what a timeline needs: the sums of each column. */
static int write_window(struct writing *w, const struct fold_bucket *b, uint32_t series,
			uint32_t instance, struct err *err)
{
	uint8_t sums[VARINT_MAX * PROFILE_COLUMNS_MAX];
	const struct codec_columns *c = &w->columns;
	size_t len = 0;
	uint64_t count = 0;
	sqlite3_stmt *stmt;

	for (size_t i = 0; i < c->count; i++)
		count += c->counts[i];
	for (size_t v = 0; v < c->values_count; v++) {
		int64_t sum = 0;

		for (size_t i = 0; i < c->count; i++)
			sum = storage_add(sum, c->values[v][i]);
		len += varint_put(sums + len, zigzag_put(sum));
	}
	int rc = db_prepare(
	    &w->day->db,
	    "INSERT INTO window(series, window_ns, source, gauge, instance, time_ns, step, count,"
	    " sums) VALUES (:series, :window, :source, :gauge, :instance, :time, :step, :count,"
	    " :sums)",
	    &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":series", series);
	db_bind_int(stmt, ":window", b->window_ns);
	db_bind_int(stmt, ":source", w->source);
	db_bind_int(stmt, ":gauge", b->gauge);
	db_bind_int(stmt, ":instance", instance);
	db_bind_int(stmt, ":time", b->time_ns);
	db_bind_int(stmt, ":step", b->known ? 0 : w->step);
	db_bind_int(stmt, ":count", (int64_t)count);
	db_bind_blob(stmt, ":sums", sums, len);
	rc = db_run(&w->day->db, stmt, err);
	return rc ? rc : write_block(w, b, sqlite3_last_insert_rowid(w->day->db.handle), err);
}

static void extend(struct writing *w, const struct fold_bucket *b)
{
	extent_add(w->extent, b->window_ns);
	extent_add(w->extent, b->last_ns);
	w->extent->first_ns = MIN(w->extent->first_ns, b->first_ns);
	w->extent->last_ns = MAX(w->extent->last_ns, b->last_ns);
	w->extent->records += b->records;
}

static int write_buckets(struct writing *w, struct err *err)
{
	int rc = 0;

	for (size_t at = 0; !rc && at < w->f->entries_count;) {
		const struct fold_bucket *b = &w->f->buckets[w->f->entries[at].bucket];
		const struct dict_tables *t = &w->from->catalogue.dict.t;
		const struct dict_series *described = &t->series[b->series];
		uint32_t series, instance;

		rc = dict_import_series(&w->im->catalogue, described, &series);
		if (!rc)
			rc = dict_import_instance(&w->im->catalogue, &t->instances[b->instance],
						  &instance);
		if (!rc)
			rc = take_bucket(w, at, described->columns_count, &at);
		if (rc)
			return err_set(err, rc, "storage: %s: the dictionary is full",
				       w->day->entry->name);
		rc = write_window(w, b, series, b->gauge ? instance : 0, err);
		if (!rc)
			rc = open_file_series(w->day, series, b->first_ns, b->last_ns, err);
		extend(w, b);
	}
	return rc;
}

static int write_losses(struct writing *w, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < w->f->losses_count; i++) {
		const struct fold_loss *loss = &w->f->losses[i];
		uint32_t series, reason;
		sqlite3_stmt *stmt;

		rc = dict_import_series(&w->im->catalogue,
					&w->from->catalogue.dict.t.series[loss->series], &series);
		if (!rc)
			rc = dict_import_string(&w->im->catalogue, loss->reason, &reason);
		if (!rc)
			rc = db_prepare(
			    &w->day->db,
			    "INSERT INTO loss(window_ns, series, reason, source, step, count)"
			    " VALUES (:window, :series, :reason, :source, :step, :count)",
			    &stmt, err);
		if (rc)
			return rc;
		db_bind_int(stmt, ":window", loss->window_ns);
		db_bind_int(stmt, ":series", series);
		db_bind_int(stmt, ":reason", reason);
		db_bind_int(stmt, ":source", w->source);
		db_bind_int(stmt, ":step", loss->known ? 0 : w->step);
		db_bind_int(stmt, ":count", (int64_t)loss->count);
		rc = db_run(&w->day->db, stmt, err);
		extent_add(w->extent, loss->window_ns);
		extent_add(w->extent, loss->window_ns + w->f->window_ns - 1);
	}
	return rc;
}

static int write_ends(struct writing *w, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < w->f->ends_count; i++) {
		const struct fold_end *end = &w->f->ends[i];
		sqlite3_stmt *stmt;
		uint32_t instance;

		rc = dict_import_instance(&w->im->catalogue,
					  &w->from->catalogue.dict.t.instances[end->instance],
					  &instance);
		if (!rc)
			rc = db_prepare(&w->day->db,
					"INSERT OR IGNORE INTO ended(ended_ns, instance)"
					" VALUES (:ended, :instance)",
					&stmt, err);
		if (rc)
			return rc;
		db_bind_int(stmt, ":ended", end->ended_ns);
		db_bind_int(stmt, ":instance", instance);
		rc = db_run(&w->day->db, stmt, err);
		extent_add(w->extent, end->ended_ns);
	}
	return rc;
}

/* Losses of one window, series and reason become one row. */
static int compare_losses(const void *x, const void *y)
{
	const struct fold_loss *a = x, *b = y;

	if (a->window_ns != b->window_ns)
		return a->window_ns < b->window_ns ? -1 : 1;
	if (a->series != b->series)
		return a->series < b->series ? -1 : 1;
	if (a->known != b->known)
		return a->known ? -1 : 1;
	return (a->reason > b->reason) - (a->reason < b->reason);
}

static void join_losses(struct fold *f)
{
	size_t kept = 0;

	if (!f->losses_count)
		return;
	qsort(f->losses, f->losses_count, sizeof(*f->losses), compare_losses);
	for (size_t i = 1; i < f->losses_count; i++) {
		if (compare_losses(&f->losses[kept], &f->losses[i]))
			f->losses[++kept] = f->losses[i];
		else
			f->losses[kept].count += f->losses[i].count;
	}
	f->losses_count = kept + 1;
}

int fold_write(struct fold *f, struct open_file *to, struct codec *codec, struct open_file *from,
	       struct imports *imports, int64_t source, int64_t step, struct extent *ret_extent,
	       struct err *err)
{
	struct writing w = {.f = f,
			    .day = to,
			    .codec = codec,
			    .from = from,
			    .im = imports,
			    .source = source,
			    .step = step,
			    .extent = ret_extent};
	int rc = imports_keep(imports, to, codec, &from->catalogue.dict, err);

	join_losses(f);
	if (!rc)
		rc = order_entries(&w, err);
	if (!rc)
		rc = write_buckets(&w, err);
	if (!rc)
		rc = write_losses(&w, err);
	if (!rc)
		rc = write_ends(&w, err);
	codec_columns_release(&w.columns);
	return rc;
}
