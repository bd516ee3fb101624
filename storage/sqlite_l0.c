/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put: profiles into the hourly file that each belongs to, one transaction for each file.
 *
 * A profile becomes one batch row, one block for each of its series (more when it is long), and
 * what the dictionary learns from it.  The batch number is what L1 counts by: a batch is derived or
 * it is not.
 */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <string.h>

#define SPANS_LATELY 64

/* Of one series in a put. */
struct span {
	uint32_t series;
	int64_t min_ns, max_ns;
};

/* The profiles of one put that go into one file. */
struct group {
	struct sqlite_store *s;
	struct open_file *file;
	struct extent extent;
	uint64_t records;
	int64_t last; /* batch */
	struct recent recent;
	struct span *spans;
	size_t spans_count, spans_capacity;
};

static int64_t home_of(const struct profile *p)
{
	if (p->cursors_count || !p->until_ns)
		return files_period_start(0, p->arrived_ns);
	return files_period_start(0, p->from_ns + (p->until_ns - p->from_ns) / 2);
}

static int insert_batch(struct group *g, const struct profile *p, uint32_t instance,
			int64_t *ret_batch, struct err *err)
{
	struct hash128 upload = storage_upload_key(p);
	sqlite3_stmt *stmt;
	int rc = db_prepare(&g->file->db,
			    "INSERT INTO batch(id, arrived_ns, instance, upload, ended_ns, clamped,"
			    " first_block) VALUES (:id, :arrived, :instance, :upload, :ended,"
			    " :clamped, (SELECT ifnull(max(id), 0) + 1 FROM block))",
			    &stmt, err);

	if (rc)
		return rc;
	/* SQLite gives the next one itself. */
	if (g->last < g->file->entry->floor)
		db_bind_int(stmt, ":id", g->file->entry->floor + 1);
	db_bind_int(stmt, ":arrived", p->arrived_ns);
	db_bind_int(stmt, ":instance", instance);
	db_bind_blob(stmt, ":upload", p->upload_id ? &upload : NULL, sizeof(upload));
	db_bind_int(stmt, ":clamped", p->clamped);
	if (p->instance.ended) {
		db_bind_int(stmt, ":ended", storage_ended_ns(p));
		extent_add(&g->extent, storage_ended_ns(p));
	}
	rc = db_run(&g->file->db, stmt, err);
	*ret_batch = sqlite3_last_insert_rowid(g->file->db.handle);
	return rc;
}

struct block {
	int64_t batch;
	uint32_t series, instance;
};

/* What was gathered. */
static int insert_block(struct group *g, const struct block *b, struct err *err)
{
	struct batch *batch = &g->s->batch;
	struct str packed;
	sqlite3_stmt *stmt;

	if (codec_encode(g->s->codec, &batch->columns, CODEC_TIMES | CODEC_CONTEXTS, CODEC_QUICK,
			 &packed))
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc =
	    db_prepare(&g->file->db,
		       "INSERT INTO block(batch, series, instance, min_ns, max_ns, records, data)"
		       " VALUES (:batch, :series, :instance, :min, :max, :records, :data)",
		       &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":batch", b->batch);
	db_bind_int(stmt, ":series", b->series);
	db_bind_int(stmt, ":instance", b->instance);
	db_bind_int(stmt, ":min", batch->min_ns);
	db_bind_int(stmt, ":max", batch->max_ns);
	db_bind_int(stmt, ":records", (int64_t)batch->columns.count);
	db_bind_blob(stmt, ":data", packed.ptr, packed.len);
	rc = db_run(&g->file->db, stmt, err);
	if (!rc && !batch->has_gauge)
		recent_sum(&batch->columns, batch->min_ns, batch->max_ns,
			   sqlite3_last_insert_rowid(g->file->db.handle), b->batch, &g->recent);
	return rc;
}

/* A series' row is written once for all that a put has of it. */
static int widen_series(struct group *g, uint32_t series, int64_t min_ns, int64_t max_ns)
{
	size_t first = g->spans_count - MIN(g->spans_count, (size_t)SPANS_LATELY);
	struct span *span = NULL;

	/* One that is not among the last is written twice, which does no harm. */
	for (size_t i = g->spans_count; !span && i-- > first;)
		if (g->spans[i].series == series)
			span = &g->spans[i];
	if (!span) {
		if (array_grow(&g->spans, sizeof(*g->spans), &g->spans_capacity,
			       g->spans_count + 1))
			return -ENOMEM;
		span = &g->spans[g->spans_count++];
		*span = (struct span){series, min_ns, max_ns};
	}
	span->min_ns = MIN(span->min_ns, min_ns);
	span->max_ns = MAX(span->max_ns, max_ns);
	return 0;
}

static int write_spans(struct group *g, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < g->spans_count; i++)
		rc = open_file_series(g->file, g->spans[i].series, g->spans[i].min_ns,
				      g->spans[i].max_ns, err);
	return rc;
}

static int insert_records(struct group *g, struct dict_import *im, const struct profile *p,
			  uint32_t series, const struct block *b, struct err *err)
{
	struct batch *batch = &g->s->batch;
	size_t at = 0;
	int rc = 0;

	while (!rc && at < p->records_count) {
		rc = batch_gather(batch, im, p, series, &at);
		if (rc)
			return err_set(err, rc, "storage: %s: the dictionary is full",
				       g->file->entry->name);
		if (!batch->columns.count)
			break;
		rc = insert_block(g, b, err);
		if (!rc && widen_series(g, b->series, batch->min_ns, batch->max_ns))
			rc = err_set(err, -ENOMEM, "storage: out of memory");
		extent_join(&g->extent,
			    &(struct extent){batch->min_ns, batch->max_ns, batch->min_ns,
					     batch->max_ns, batch->columns.count});
	}
	return rc;
}

static struct dict_series series_of(const struct profile *p, uint32_t series)
{
	const struct profile_kind *kind = &p->kinds[p->series[series].kind];
	struct dict_series s = {.identity = p->series[series].identity,
				.owner = p->instance.owner,
				.name = kind->name,
				.period_type = kind->period_type,
				.period_unit = kind->period_unit,
				.period = kind->period,
				.columns_count = kind->columns_count,
				.labels = p->series[series].labels};

	for (uint32_t i = 0; i < kind->columns_count; i++) {
		s.columns[i].type = kind->columns[i].type;
		s.columns[i].unit = kind->columns[i].unit;
		s.columns[i].gauge = kind->columns[i].gauge;
	}
	return s;
}

static int insert_losses(struct group *g, struct dict_import *im, const struct profile *p,
			 const uint32_t *series, int64_t batch, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < p->losses_count; i++) {
		const struct profile_loss *loss = &p->losses[i];
		sqlite3_stmt *stmt;
		uint32_t reason;

		rc = dict_import_string(im, loss->reason, &reason);
		if (!rc)
			rc = db_prepare(&g->file->db,
					"INSERT INTO loss(batch, series, reason, time_ns, count)"
					" VALUES (:batch, :series, :reason, :time, :count)",
					&stmt, err);
		if (rc)
			return rc;
		db_bind_int(stmt, ":batch", batch);
		db_bind_int(stmt, ":series", series[loss->series]);
		db_bind_int(stmt, ":reason", reason);
		db_bind_int(stmt, ":time", loss->time_ns);
		db_bind_int(stmt, ":count", (int64_t)loss->count);
		rc = db_run(&g->file->db, stmt, err);
		extent_add(&g->extent, loss->time_ns);
	}
	return rc;
}

static int insert_cursors(struct group *g, const struct profile *p, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < p->cursors_count; i++) {
		sqlite3_stmt *stmt;

		rc = db_prepare(&g->file->db,
				"INSERT INTO cursor(runtime_id, ring, position)"
				" VALUES (:id, :ring, :position) ON CONFLICT DO UPDATE"
				" SET position = max(position, :position)",
				&stmt, err);
		if (rc)
			return rc;
		db_bind_blob(stmt, ":id", p->cursors[i].runtime_id, 16);
		db_bind_int(stmt, ":ring", p->cursors[i].ring);
		db_bind_int(stmt, ":position", (int64_t)p->cursors[i].position);
		rc = db_run(&g->file->db, stmt, err);
	}
	return rc;
}

static int insert_profile(struct group *g, const struct profile *p, struct err *err)
{
	struct dict_tables from = {.strings = p->strings.strings,
				   .strings_count = p->strings.count,
				   .modules = p->modules,
				   .modules_count = p->modules_count,
				   .frames = p->frames,
				   .frame_identities = p->frame_identities,
				   .identities_count = p->frame_identities ? p->frames_count : 0,
				   .frames_count = p->frames_count,
				   .nodes = p->nodes,
				   .node_hashes = p->node_hashes,
				   .nodes_count = p->nodes_count,
				   .labels = p->labels,
				   .labels_count = p->labels_count,
				   .contexts = p->contexts,
				   .contexts_count = p->contexts_count};
	struct imports *im = &g->s->putting;
	uint32_t *series CLEANUP(cleanup_free) = calloc(p->series_count + 1, sizeof(*series));
	struct block b = {0};
	int rc = imports_again(im, g->file, g->s->codec, &from, err);

	if (rc)
		return rc;
	rc = series ? dict_import_instance(&im->catalogue, &p->instance, &b.instance) : -ENOMEM;
	for (uint32_t i = 0; !rc && i < p->series_count; i++) {
		struct dict_series described = series_of(p, i);

		rc = dict_import_series(&im->catalogue, &described, &series[i]);
	}
	if (rc)
		return err_set(err, rc, "storage: %s: the dictionary is full",
			       g->file->entry->name);
	rc = insert_batch(g, p, b.instance, &b.batch, err);
	g->last = b.batch;
	for (uint32_t i = 0; !rc && i < p->series_count; i++) {
		struct dict_import *stacks;

		b.series = series[i];
		rc = imports_part(im, series[i], &from, &stacks, err);
		if (!rc)
			rc = insert_records(g, stacks, p, i, &b, err);
	}
	if (!rc)
		rc = insert_losses(g, &im->catalogue, p, series, b.batch, err);
	if (!rc)
		rc = insert_cursors(g, p, err);
	g->records += p->records_count;
	return rc;
}

/* ---- a group: the profiles whose result is `mark` ---- */

enum { PENDING = -ECANCELED, IN_GROUP = -EINPROGRESS, AGAIN_IN_GROUP = -EALREADY };

static int commit_group(struct group *g, const struct profile *const *profiles, size_t count,
			const int *results, struct err *err)
{
	struct db *db = &g->file->db;
	int rc = db_begin(db, err);

	for (size_t i = 0; !rc && i < count; i++)
		if (results[i] == IN_GROUP)
			rc = insert_profile(g, profiles[i], err);
	if (!rc)
		rc = write_spans(g, err);
	if (!rc)
		rc = open_file_store(g->file, g->s->codec, err);
	if (!rc)
		rc = open_file_widen(g->file, &g->extent, err);
	if (!rc)
		rc = db_commit(db, err);
	return rc;
}

/* What has been committed is known from now on. */
static int remember(struct sqlite_store *s, int64_t start_ns, const struct profile *p)
{
	struct period_file *file = files_find(s, 0, start_ns);
	int rc = 0;

	for (size_t i = 0; !rc && i < p->cursors_count; i++)
		rc = known_add_cursor(&s->known, p->cursors[i].runtime_id, p->cursors[i].ring,
				      p->cursors[i].position, start_ns);
	if (!rc && p->upload_id)
		rc = known_add_upload(&s->known, storage_upload_key(p), p->arrived_ns);
	if (file && p->upload_id)
		file->uploads_ns = MAX(file->uploads_ns, p->arrived_ns);
	return rc;
}

static int put_group(struct sqlite_store *s, int64_t start_ns,
		     const struct profile *const *profiles, size_t count, const int *results,
		     struct err *err)
{
	static const struct extent empty = EXTENT_EMPTY;
	struct group g = {.s = s, .extent = empty};
	int rc = files_writer(s, 0, start_ns, true, &g.file, err);

	if (!rc && g.file->entry->floor < 0) {
		rc = l1_floor(s, g.file->entry, err);
		if (!rc) /* the days may have taken its place among the open files */
			rc = files_writer(s, 0, start_ns, true, &g.file, err);
	}
	if (rc)
		return rc;
	g.last = g.file->entry->last;
	rc = commit_group(&g, profiles, count, results, err);
	batch_trim(&s->batch);
	imports_trim(&s->putting);
	if (!rc)
		recent_publish(&g.file->entry->recent, &g.recent);
	recent_release(&g.recent);
	free(g.spans);
	if (rc) {
		files_failed(s, g.file, rc);
		return rc;
	}
	g.file->entry->last = g.last;
	files_bound_wal(g.file);
	files_widen(s, g.file->entry, &g.extent);
	pthread_mutex_lock(&s->lock);
	s->records += g.records;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static bool same_upload(const struct profile *a, const struct profile *b)
{
	return a->upload_id && b->upload_id &&
	       hash128_equal(storage_upload_key(a), storage_upload_key(b));
}

/* Mark what goes into the file of `start_ns`, leaving out what is there already; how many go. */
static size_t mark_group(struct sqlite_store *s, int64_t start_ns,
			 const struct profile *const *profiles, size_t count, int *results)
{
	size_t marked = 0;

	for (size_t i = 0; i < count; i++) {
		if (results[i] != PENDING || home_of(profiles[i]) != start_ns)
			continue;
		results[i] = IN_GROUP;
		if (profiles[i]->upload_id &&
		    known_has_upload(&s->known, storage_upload_key(profiles[i]),
				     profiles[i]->arrived_ns))
			results[i] = STORAGE_DUPLICATE;
		for (size_t k = 0; results[i] == IN_GROUP && k < i; k++)
			if (results[k] == IN_GROUP && same_upload(profiles[i], profiles[k]))
				results[i] = AGAIN_IN_GROUP;
		marked += results[i] == IN_GROUP;
	}
	return marked;
}

static void settle_group(struct sqlite_store *s, int64_t start_ns,
			 const struct profile *const *profiles, size_t count, int *results, int rc)
{
	int forgot = 0;

	for (size_t i = 0; i < count; i++) {
		if (results[i] != IN_GROUP && results[i] != AGAIN_IN_GROUP)
			continue;
		if (rc) {
			results[i] = rc;
		} else if (results[i] == IN_GROUP) {
			results[i] = STORAGE_STORED;
			forgot |= remember(s, start_ns, profiles[i]);
		} else {
			results[i] = STORAGE_DUPLICATE;
		}
	}
	/* Without memory for that nothing goes into the file before it has been read again. */
	if (forgot)
		files_writer_drop(s, files_find(s, 0, start_ns));
}

static void count_results(struct sqlite_store *s, const int *results, size_t count)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < count; i++) {
		s->profiles += results[i] == STORAGE_STORED;
		s->duplicates += results[i] == STORAGE_DUPLICATE;
	}
	pthread_mutex_unlock(&s->lock);
}

int sqlite_put(struct storage *store, const struct profile *const *profiles, size_t count,
	       int *results, struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	int first = 0, known = 0;

	for (size_t i = 0; i < count; i++) {
		int rc = storage_check(profiles[i], first ? NULL : err);

		/* One that may be there already is not taken before that can be told. */
		if (!rc && profiles[i]->upload_id && !known)
			known = known_want(s, KNOWN_UPLOADS, first ? NULL : err);
		if (!rc && profiles[i]->upload_id)
			rc = known;
		results[i] = rc ? rc : PENDING;
		first = first ? first : rc;
	}
	for (size_t i = 0; i < count; i++) {
		if (results[i] != PENDING)
			continue;
		int64_t start_ns = home_of(profiles[i]);
		struct open_file *file;
		/* Opening it again can bring upload ids to light: before they are looked up. */
		int rc = files_writer(s, 0, start_ns, false, &file, first ? NULL : err);

		if (rc == -EBADMSG)
			rc = retain_damaged(s, NULL);
		if (rc == -ENOENT)
			rc = 0;
		if (mark_group(s, start_ns, profiles, count, results) && !rc) {
			rc = put_group(s, start_ns, profiles, count, results, first ? NULL : err);
			/* The rest of a damaged file is put aside, and a new one takes its place.
			 */
			if (rc == -EBADMSG && !retain_damaged(s, NULL))
				rc = put_group(s, start_ns, profiles, count, results,
					       first ? NULL : err);
			if (rc == -EBADMSG)
				rc = -EIO;
		}
		settle_group(s, start_ns, profiles, count, results, rc);
		first = first ? first : rc;
	}
	count_results(s, results, count);
	return first;
}
