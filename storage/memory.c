/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is gone with the process: a list of immutable copies of the profiles that were put,
 * read by walking it.  Slow and obviously right; it proves the contract and serves tests and demos.
 *
 * A copy is never changed.  Readers take the list under the lock, with a reference to each copy, and
 * then read without it.  A scan gives one segment for each profile.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "storage/memory_profile.h"
#include "storage/totals.h"

#define AGE_DEFAULT_NS (INT64_C(7 * 86400) * NS_PER_S)
#define BYTES_DEFAULT ((uint64_t)256 << 20)

struct cursor {
	uint8_t runtime_id[16];
	uint32_t ring;
	uint64_t position;
};

struct symbols {
	uint64_t scope;
	uint8_t build_id[PROFILE_BUILD_ID_MAX];
	size_t build_id_len, len;
	uint64_t epoch;
	void *table;
};

struct memory_store {
	struct storage base;
	pthread_mutex_t lock; /* of everything below */
	struct storage_options options;
	struct memory_profile **kept; /* in the order of arrival */
	size_t kept_count, kept_capacity;
	struct cursor *cursors;
	size_t cursors_count, cursors_capacity;
	struct symbols *symbols;
	size_t symbols_count, symbols_capacity;
	uint64_t epoch, bytes, symbols_bytes, records, profiles, duplicates;
};

struct memory_reader {
	struct storage_reader base;
	struct memory_store *store;
};

/* What a reader took: the profiles that touch its range. */
struct taken {
	struct memory_profile **list;
	size_t count;
};

static struct memory_store *memory_of(struct storage *store)
{
	return (struct memory_store *)store;
}

static struct memory_store *store_of(struct storage_reader *reader)
{
	return ((struct memory_reader *)reader)->store;
}

static void taken_release(struct taken *taken)
{
	for (size_t i = 0; i < taken->count; i++)
		memory_profile_unref(taken->list[i]);
	free(taken->list);
}

static int memory_open(const char *rest, const struct storage_options *options,
		       struct storage **ret_store, struct err *err)
{
	if (*rest)
		return err_set(err, -EINVAL, "storage: 'memory:' takes nothing behind the colon");
	struct memory_store *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "storage: out of memory");
	m->options = *options;
	if (!m->options.l1_age_ns)
		m->options.l1_age_ns = AGE_DEFAULT_NS;
	if (!m->options.bytes_max)
		m->options.bytes_max = BYTES_DEFAULT;
	pthread_mutex_init(&m->lock, NULL);
	*ret_store = &m->base;
	return 0;
}

static void memory_close(struct storage *store)
{
	struct memory_store *m = memory_of(store);

	for (size_t i = 0; i < m->kept_count; i++)
		memory_profile_unref(m->kept[i]);
	for (size_t i = 0; i < m->symbols_count; i++)
		free(m->symbols[i].table);
	free(m->kept);
	free(m->cursors);
	free(m->symbols);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- writing; the caller holds the lock ---- */

static bool is_duplicate(const struct memory_store *m, const struct profile *p)
{
	struct hash128 key = storage_upload_key(p);

	if (!p->upload_id)
		return false;
	for (size_t i = 0; i < m->kept_count; i++) {
		const struct memory_profile *k = m->kept[i];
		int64_t apart = p->arrived_ns - k->profile->arrived_ns;

		if (k->profile->upload_id && hash128_equal(k->upload, key) &&
		    apart < STORAGE_UPLOAD_ID_NS && apart > -STORAGE_UPLOAD_ID_NS)
			return true;
	}
	return false;
}

static struct cursor *cursor_find(const struct memory_store *m, const uint8_t id[16], uint32_t ring)
{
	for (size_t i = 0; i < m->cursors_count; i++)
		if (m->cursors[i].ring == ring && !memcmp(m->cursors[i].runtime_id, id, 16))
			return &m->cursors[i];
	return NULL;
}

static int cursor_set(struct memory_store *m, const struct profile_cursor *from)
{
	struct cursor *c = cursor_find(m, from->runtime_id, from->ring);

	if (!c) {
		int rc = array_grow(&m->cursors, sizeof(*c), &m->cursors_capacity,
				    m->cursors_count + 1);

		if (rc)
			return rc;
		c = &m->cursors[m->cursors_count++];
		*c = (struct cursor){ .ring = from->ring };
		memcpy(c->runtime_id, from->runtime_id, sizeof(c->runtime_id));
	}
	c->position = MAX(c->position, from->position);
	return 0;
}

static int put_one(struct memory_store *m, const struct profile *p, int *result, struct err *err)
{
	struct memory_profile *copy;

	*result = storage_check(p, err);
	if (*result)
		return *result;
	if (is_duplicate(m, p)) {
		m->duplicates++;
		*result = STORAGE_DUPLICATE;
		return 0;
	}
	*result = memory_profile_copy(p, &copy);
	if (!*result)
		*result = array_grow(&m->kept, sizeof(*m->kept), &m->kept_capacity,
				     m->kept_count + 1);
	for (size_t i = 0; !*result && i < p->cursors_count; i++)
		*result = cursor_set(m, &p->cursors[i]);
	if (*result)
		return err_set(err, *result, "storage: out of memory");
	m->kept[m->kept_count++] = copy;
	m->bytes += copy->bytes;
	m->records += p->records_count;
	m->profiles++;
	*result = STORAGE_STORED;
	return 0;
}

static int memory_put(struct storage *store, const struct profile *const *profiles, size_t count,
		      int *results, struct err *err)
{
	struct memory_store *m = memory_of(store);
	int first = 0;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < count; i++) {
		int rc = put_one(m, profiles[i], &results[i], first ? NULL : err);

		first = first ? first : rc;
	}
	pthread_mutex_unlock(&m->lock);
	return first;
}

/* Oldest by their own time go first; the newest stays whatever the limits say. */
static int memory_maintain(struct storage *store, int64_t now_ns, struct err *err)
{
	struct memory_store *m = memory_of(store);

	(void)err;
	pthread_mutex_lock(&m->lock);
	while (m->kept_count > 1) {
		size_t oldest = 0;

		for (size_t i = 1; i < m->kept_count; i++)
			if (m->kept[i]->last_ns < m->kept[oldest]->last_ns)
				oldest = i;
		if (m->kept[oldest]->last_ns >= now_ns - m->options.l1_age_ns &&
		    m->bytes + m->symbols_bytes <= m->options.bytes_max)
			break;
		m->bytes -= m->kept[oldest]->bytes;
		memory_profile_unref(m->kept[oldest]);
		memmove(m->kept + oldest, m->kept + oldest + 1,
			(--m->kept_count - oldest) * sizeof(*m->kept));
	}
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int memory_cursor(struct storage *store, const uint8_t runtime_id[16], uint32_t ring,
			 uint64_t *ret_position, struct err *err)
{
	struct memory_store *m = memory_of(store);

	(void)err;
	pthread_mutex_lock(&m->lock);
	const struct cursor *c = cursor_find(m, runtime_id, ring);

	*ret_position = c ? c->position : 0;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/* ---- symbols ---- */

static struct symbols *symbols_find(const struct memory_store *m, uint64_t scope,
				    const uint8_t *build_id, size_t build_id_len)
{
	for (size_t i = 0; i < m->symbols_count; i++)
		if (m->symbols[i].scope == scope && m->symbols[i].build_id_len == build_id_len &&
		    !memcmp(m->symbols[i].build_id, build_id, build_id_len))
			return &m->symbols[i];
	return NULL;
}

static int memory_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
			      size_t build_id_len, const void *table, size_t len,
			      uint64_t *ret_epoch, struct err *err)
{
	struct memory_store *m = memory_of(store);
	void *copy CLEANUP(cleanup_free) = malloc(len + 1);
	int rc = copy ? 0 : -ENOMEM;

	if (build_id_len > PROFILE_BUILD_ID_MAX)
		return err_set(err, -EINVAL, "storage: build id of %zu bytes", build_id_len);
	pthread_mutex_lock(&m->lock);
	struct symbols *s = symbols_find(m, scope, build_id, build_id_len);

	if (!rc && !s) {
		rc = array_grow(&m->symbols, sizeof(*s), &m->symbols_capacity, m->symbols_count + 1);
		s = rc ? NULL : &m->symbols[m->symbols_count++];
		if (s) {
			*s = (struct symbols){ .scope = scope, .build_id_len = build_id_len };
			memcpy(s->build_id, build_id, build_id_len);
		}
	}
	if (!rc) {
		memcpy(copy, table, len);
		free(s->table);
		m->symbols_bytes += len - s->len;
		s->table = TAKE(copy);
		s->len = len;
		s->epoch = *ret_epoch = ++m->epoch;
	}
	pthread_mutex_unlock(&m->lock);
	return rc ? err_set(err, rc, "storage: out of memory") : 0;
}

static int memory_symbols_get(struct storage_reader *reader, uint64_t scope,
			      const uint8_t *build_id, size_t build_id_len, void **ret_table,
			      size_t *ret_len, uint64_t *ret_epoch, struct err *err)
{
	struct memory_store *m = store_of(reader);
	void *copy = NULL;

	pthread_mutex_lock(&m->lock);
	const struct symbols *s = symbols_find(m, scope, build_id, build_id_len);
	bool found = s != NULL;

	if (found)
		copy = malloc(s->len + 1);
	if (copy) {
		memcpy(copy, s->table, s->len);
		*ret_len = s->len;
		*ret_epoch = s->epoch;
		*ret_table = copy;
	}
	pthread_mutex_unlock(&m->lock);
	if (!found)
		return err_set(err, -ENOENT, "storage: no symbols for this build id");
	return copy ? 0 : err_set(err, -ENOMEM, "storage: out of memory");
}

/* ---- reading ---- */

static int memory_reader_open(struct storage *store, struct storage_reader **ret_reader,
			      struct err *err)
{
	struct memory_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, -ENOMEM, "storage: out of memory");
	r->store = memory_of(store);
	*ret_reader = &r->base;
	return 0;
}

static void memory_reader_close(struct storage_reader *reader)
{
	free(reader);
}

static int memory_stats(struct storage_reader *reader, struct storage_stats *ret, struct err *err)
{
	struct memory_store *m = store_of(reader);

	(void)err;
	pthread_mutex_lock(&m->lock);
	ret->bytes = m->bytes + m->symbols_bytes;
	ret->l0_bytes = m->bytes;
	ret->symbols_bytes = m->symbols_bytes;
	ret->records = m->records;
	ret->profiles = m->profiles;
	ret->duplicates = m->duplicates;
	ret->files = m->kept_count;
	for (size_t i = 0; i < m->kept_count; i++) {
		const struct memory_profile *k = m->kept[i];

		if (!k->profile->records_count)
			continue;
		if (!ret->newest_ns || k->first_record_ns < ret->oldest_ns)
			ret->oldest_ns = k->first_record_ns;
		ret->newest_ns = MAX(ret->newest_ns, k->last_record_ns);
	}
	pthread_mutex_unlock(&m->lock);
	(void)snprintf(ret->version, sizeof(ret->version), "memory");
	(void)snprintf(ret->note, sizeof(ret->note),
		       "everything is kept in memory and is lost when the agent stops");
	return 0;
}

static int take(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		struct taken *ret_taken, struct err *err)
{
	struct memory_store *m = store_of(reader);
	struct taken t = { 0 };

	pthread_mutex_lock(&m->lock);
	t.list = malloc((m->kept_count + 1) * sizeof(struct memory_profile *));
	for (size_t i = 0; t.list && i < m->kept_count; i++)
		if (m->kept[i]->last_ns >= from_ns && m->kept[i]->first_ns < until_ns)
			t.list[t.count++] = memory_profile_ref(m->kept[i]);
	pthread_mutex_unlock(&m->lock);
	if (!t.list)
		return err_set(err, -ENOMEM, "storage: out of memory");
	*ret_taken = t;
	return 0;
}

/* The place in the scan of each of a profile's series, -1 for those that it does not want. */
static int64_t *wanted_series(const struct profile *p, const struct storage_scan *scan)
{
	int64_t *wanted = malloc((p->series_count + 1) * sizeof(*wanted));

	for (size_t i = 0; wanted && i < p->series_count; i++) {
		wanted[i] = storage_scan_find(scan, p->series[i].identity);
		if (scan->column >= p->kinds[p->series[i].kind].columns_count)
			wanted[i] = -1;
	}
	return wanted;
}

static bool in_range(const struct storage_scan *scan, int64_t time_ns)
{
	return time_ns >= scan->from_ns && time_ns < scan->until_ns;
}

static bool is_gauge(const struct profile *p, uint32_t series, size_t column)
{
	return p->kinds[p->series[series].kind].columns[column].gauge;
}

static int add_totals(struct totals *totals, const struct profile *p, const struct storage_scan *scan)
{
	int64_t *wanted CLEANUP(cleanup_free) = wanted_series(p, scan);
	int rc = wanted ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		int64_t value, at = wanted[r->series];

		if (at < 0 || !in_range(scan, r->time_ns))
			continue;
		value = p->values[r->values_at + scan->column];
		if (is_gauge(p, r->series, scan->column))
			rc = totals_add_gauge(totals, (size_t)at, p->instance.runtime_id,
					      r->time_ns, value, r->count);
		else
			totals_add(totals, (size_t)at, r->time_ns, value, r->count);
	}
	if (!rc && p->instance.ended)
		rc = totals_end(totals, p->instance.runtime_id, storage_ended_ns(p));
	return rc;
}

static int collect(const struct taken *taken, const struct storage_scan *scan, int64_t step_ns,
		   struct totals *totals, struct err *err)
{
	int rc = totals_init(totals, scan, step_ns, err);

	for (size_t i = 0; !rc && i < taken->count; i++) {
		rc = storage_scan_late(scan, err);
		if (!rc && add_totals(totals, taken->list[i]->profile, scan))
			rc = err_set(err, -ENOMEM, "storage: out of memory");
	}
	return rc;
}

static int memory_timeline(struct storage_reader *reader, const struct storage_scan *scan,
			   int64_t step_ns, storage_total_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = { 0 };
	struct totals totals CLEANUP(totals_release) = { 0 };
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	if (!rc)
		rc = collect(&taken, scan, step_ns, &totals, err);
	return rc ? rc : totals_emit(&totals, fn, arg);
}

static struct storage_segment segment_of(const struct profile *p)
{
	return (struct storage_segment){
		.nodes = p->nodes,
		.node_hashes = p->node_hashes,
		.nodes_count = p->nodes_count,
		.frames = p->frames,
		.frames_count = p->frames_count,
		.modules = p->modules,
		.modules_count = p->modules_count,
		.strings = p->strings.strings,
		.strings_count = p->strings.count,
		.owner = p->instance.owner,
	};
}

/* Sum by node into `sums` and `counts`, which have a place for every node. */
static int sum_nodes(const struct profile *p, const struct storage_scan *scan,
		     const struct totals *gauges, int64_t *sums, uint64_t *counts)
{
	int64_t *wanted CLEANUP(cleanup_free) = wanted_series(p, scan);

	if (!wanted)
		return -ENOMEM;
	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		int64_t at = wanted[r->series];

		if (at < 0 || !in_range(scan, r->time_ns))
			continue;
		if (is_gauge(p, r->series, scan->column) &&
		    !totals_is_last(gauges, (size_t)at, p->instance.runtime_id, r->time_ns))
			continue;
		sums[r->node] = storage_add(sums[r->node],
					    p->values[r->values_at + scan->column]);
		counts[r->node] += r->count;
	}
	return 0;
}

static int scan_profile(const struct profile *p, const struct storage_scan *scan,
			const struct totals *gauges, storage_segment_fn fn, void *arg,
			struct err *err)
{
	struct storage_segment segment = segment_of(p);
	int64_t *sums CLEANUP(cleanup_free) = calloc(p->nodes_count, sizeof(*sums));
	uint64_t *counts CLEANUP(cleanup_free) = calloc(p->nodes_count, sizeof(*counts));
	uint32_t *leaves CLEANUP(cleanup_free) = calloc(p->nodes_count, sizeof(*leaves));
	size_t count = 0;

	if (!sums || !counts || !leaves || sum_nodes(p, scan, gauges, sums, counts))
		return err_set(err, -ENOMEM, "storage: out of memory");
	for (size_t i = 0; i < p->nodes_count; i++) {
		if (!counts[i])
			continue;
		leaves[count] = (uint32_t)i;
		sums[count] = sums[i];
		counts[count++] = counts[i];
	}
	if (!count)
		return 0;
	segment.leaves = leaves;
	segment.sums = sums;
	segment.counts = counts;
	segment.leaves_count = count;
	return fn(arg, &segment);
}

static int memory_scan(struct storage_reader *reader, const struct storage_scan *scan,
		       storage_segment_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = { 0 };
	struct totals gauges CLEANUP(totals_release) = { 0 };
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	if (!rc)
		rc = collect(&taken, scan, scan->until_ns - scan->from_ns, &gauges, err);
	for (size_t i = 0; !rc && i < taken.count; i++) {
		rc = storage_scan_late(scan, err);
		if (!rc)
			rc = scan_profile(taken.list[i]->profile, scan, &gauges, fn, arg, err);
	}
	return rc;
}

static int records_of(const struct profile *p, const struct storage_scan *scan,
		      storage_records_fn fn, void *arg, struct err *err)
{
	int64_t *wanted CLEANUP(cleanup_free) = wanted_series(p, scan);
	size_t n = p->records_count + 1, count = 0;
	uint32_t *series CLEANUP(cleanup_free) = malloc(n * sizeof(*series));
	uint32_t *nodes CLEANUP(cleanup_free) = malloc(n * sizeof(*nodes));
	uint32_t *context CLEANUP(cleanup_free) = malloc(n * sizeof(*context));
	uint32_t *counts CLEANUP(cleanup_free) = malloc(n * sizeof(*counts));
	int64_t *times CLEANUP(cleanup_free) = malloc(n * sizeof(*times));
	int64_t *values CLEANUP(cleanup_free) = malloc(n * sizeof(*values));

	if (!wanted || !series || !nodes || !context || !counts || !times || !values)
		return err_set(err, -ENOMEM, "storage: out of memory");
	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];

		if (wanted[r->series] < 0 || !in_range(scan, r->time_ns))
			continue;
		series[count] = (uint32_t)wanted[r->series];
		nodes[count] = r->node;
		context[count] = r->context;
		counts[count] = r->count;
		times[count] = r->time_ns;
		values[count++] = p->values[r->values_at + scan->column];
	}
	struct storage_records records = { .segment = segment_of(p),
					   .contexts = p->contexts,
					   .labels = p->labels,
					   .runtime_id = p->instance.runtime_id,
					   .pid = p->instance.pid,
					   .count = count,
					   .series = series,
					   .nodes = nodes,
					   .context = context,
					   .times_ns = times,
					   .values = values,
					   .counts = counts };

	return count ? fn(arg, &records) : 0;
}

static int memory_records(struct storage_reader *reader, const struct storage_scan *scan,
			  storage_records_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = { 0 };
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	for (size_t i = 0; !rc && i < taken.count; i++) {
		rc = storage_scan_late(scan, err);
		if (!rc)
			rc = records_of(taken.list[i]->profile, scan, fn, arg, err);
	}
	return rc;
}

static int memory_losses(struct storage_reader *reader, const struct storage_scan *scan,
			 storage_loss_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = { 0 };
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	for (size_t i = 0; !rc && i < taken.count; i++) {
		const struct profile *p = taken.list[i]->profile;

		for (size_t k = 0; !rc && k < p->losses_count; k++) {
			const struct profile_loss *loss = &p->losses[k];
			struct hash128 identity = p->series[loss->series].identity;

			if (in_range(scan, loss->time_ns) && storage_scan_find(scan, identity) >= 0)
				rc = fn(arg, identity, profile_string(p, loss->reason), loss->count);
		}
	}
	return rc;
}

static int memory_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
			 storage_series_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = { 0 };
	struct memory_series_set set CLEANUP(memory_series_set_release) = { 0 };
	int rc = take(reader, from_ns, until_ns, &taken, err);

	for (size_t i = 0; !rc && i < taken.count; i++)
		if (memory_series_set_add(&set, taken.list[i]->profile, from_ns, until_ns))
			rc = err_set(err, -ENOMEM, "storage: out of memory");
	return rc ? rc : memory_series_set_emit(&set, fn, arg);
}

const struct storage_backend storage_memory = {
	.name = "memory",
	.durable = false,
	.open = memory_open,
	.close = memory_close,
	.put = memory_put,
	.maintain = memory_maintain,
	.cursor = memory_cursor,
	.symbols_put = memory_symbols_put,
	.reader_open = memory_reader_open,
	.reader_close = memory_reader_close,
	.stats = memory_stats,
	.symbols_get = memory_symbols_get,
	.series = memory_series,
	.scan = memory_scan,
	.timeline = memory_timeline,
	.records = memory_records,
	.losses = memory_losses,
};
