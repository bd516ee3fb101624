/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backend.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

static const struct storage_backend *const backends[] = {
#define BACKEND(name) &storage_##name,
#include "storage/backends.def"
#undef BACKEND
};

int storage_open(const char *location, const struct storage_options *options,
		 struct storage **ret_store, struct err *err)
{
	static const struct storage_options defaults;
	const char *colon = strchr(location, ':');

	for (size_t i = 0; colon && i < ARRAY_LEN(backends); i++) {
		size_t len = (size_t)(colon - location);

		if (strlen(backends[i]->name) != len || memcmp(backends[i]->name, location, len))
			continue;
		int rc =
		    backends[i]->open(colon + 1, options ? options : &defaults, ret_store, err);

		if (!rc)
			(*ret_store)->backend = backends[i];
		return rc;
	}
	return err_set(err, -EINVAL, "storage: no store is called '%s' (sqlite:DIR, memory:)",
		       location);
}

void storage_close(struct storage *store)
{
	if (store)
		store->backend->close(store);
}

int storage_put(struct storage *store, const struct profile *const *profiles, size_t count,
		int *results, struct err *err)
{
	int *own CLEANUP(cleanup_free) = NULL;

	if (!count)
		return 0;
	if (!results)
		results = own = malloc(count * sizeof(*own));
	if (!results)
		return err_set(err, -ENOMEM, "storage: out of memory");
	for (size_t i = 0; i < count; i++)
		results[i] = -ECANCELED;
	return store->backend->put(store, profiles, count, results, err);
}

int storage_maintain(struct storage *store, int64_t now_ns, struct err *err)
{
	return store->backend->maintain(store, now_ns, err);
}

int storage_cursor(struct storage *store, const uint8_t runtime_id[16], uint32_t ring,
		   uint64_t *ret_position, struct err *err)
{
	return store->backend->cursor(store, runtime_id, ring, ret_position, err);
}

int storage_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
			size_t build_id_len, const void *table, size_t len, uint64_t *ret_epoch,
			struct err *err)
{
	if (len > STORAGE_SYMBOLS_MAX)
		return err_set(err, -E2BIG, "storage: symbol table of %zu bytes, at most %zu", len,
			       STORAGE_SYMBOLS_MAX);
	return store->backend->symbols_put(store, scope, build_id, build_id_len, table, len,
					   ret_epoch, err);
}

int storage_compact(struct storage *store, const char *part, struct err *err)
{
	return store->backend->compact(store, part, err);
}

int storage_adopt(struct storage *store, struct storage_incoming *incoming, struct err *err)
{
	return store->backend->adopt(store, incoming, err);
}

int storage_parts(struct storage_reader *reader, storage_part_fn fn, void *arg, struct err *err)
{
	return reader->backend->parts(reader, fn, arg, err);
}

int storage_check_part(struct storage_reader *reader, const char *part, struct err *err)
{
	return reader->backend->check_part(reader, part, err);
}

int storage_copy(struct storage_reader *reader, const char *part, int *ret_fd, uint64_t *ret_bytes,
		 struct err *err)
{
	return reader->backend->copy(reader, part, ret_fd, ret_bytes, err);
}

int storage_incoming_open(struct storage_reader *reader, const char *part, uint64_t expected,
			  struct storage_incoming **ret_incoming, struct err *err)
{
	int rc = reader->backend->incoming_open(reader, part, expected, ret_incoming, err);

	if (!rc)
		(*ret_incoming)->backend = reader->backend;
	return rc;
}

int storage_incoming_add(struct storage_incoming *incoming, const void *bytes, size_t len,
			 struct err *err)
{
	return incoming->backend->incoming_add(incoming, bytes, len, err);
}

int storage_incoming_check(struct storage_incoming *incoming, struct err *err)
{
	return incoming->backend->incoming_check(incoming, err);
}

void storage_incoming_close(struct storage_incoming *incoming)
{
	if (incoming)
		incoming->backend->incoming_close(incoming);
}

int storage_reader_open(struct storage *store, struct storage_reader **ret_reader, struct err *err)
{
	int rc = store->backend->reader_open(store, ret_reader, err);

	if (!rc)
		(*ret_reader)->backend = store->backend;
	return rc;
}

void storage_reader_close(struct storage_reader *reader)
{
	if (!reader)
		return;
	storage_reader_accompany(reader, NULL);
	reader->backend->reader_close(reader);
}

struct storage_companion *storage_reader_companion(const struct storage_reader *reader)
{
	return reader->companion;
}

void storage_reader_accompany(struct storage_reader *reader, struct storage_companion *companion)
{
	if (reader->companion)
		reader->companion->release(reader->companion);
	reader->companion = companion;
}

int storage_stats(struct storage_reader *reader, struct storage_stats *ret_stats, struct err *err)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	return reader->backend->stats(reader, ret_stats, err);
}

int storage_symbols_get(struct storage_reader *reader, uint64_t scope, const uint8_t *build_id,
			size_t build_id_len, void **ret_table, size_t *ret_len, uint64_t *ret_epoch,
			struct err *err)
{
	return reader->backend->symbols_get(reader, scope, build_id, build_id_len, ret_table,
					    ret_len, ret_epoch, err);
}

int storage_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		   storage_series_fn fn, void *arg, struct err *err)
{
	if (from_ns >= until_ns)
		return 0;
	return reader->backend->series(reader, from_ns, until_ns, fn, arg, err);
}

static bool scan_is_empty(const struct storage_scan *scan)
{
	return scan->from_ns >= scan->until_ns || !scan->series_count;
}

int storage_scan(struct storage_reader *reader, const struct storage_scan *scan,
		 storage_segment_fn fn, void *arg, struct err *err)
{
	return scan_is_empty(scan) ? 0 : reader->backend->scan(reader, scan, fn, arg, err);
}

int storage_timeline(struct storage_reader *reader, const struct storage_scan *scan,
		     int64_t step_ns, storage_total_fn fn, void *arg, struct err *err)
{
	if (step_ns <= 0)
		return err_set(err, -EINVAL, "storage: a step of %" PRId64 " ns", step_ns);
	if (scan_is_empty(scan))
		return 0;
	return reader->backend->timeline(reader, scan, step_ns, fn, arg, err);
}

int storage_records(struct storage_reader *reader, const struct storage_scan *scan,
		    storage_records_fn fn, void *arg, struct err *err)
{
	return scan_is_empty(scan) ? 0 : reader->backend->records(reader, scan, fn, arg, err);
}

int storage_losses(struct storage_reader *reader, const struct storage_scan *scan,
		   storage_loss_fn fn, void *arg, struct err *err)
{
	return scan_is_empty(scan) ? 0 : reader->backend->losses(reader, scan, fn, arg, err);
}

/* ---- what backends share ---- */

struct hash128 storage_upload_key(const struct profile *profile)
{
	struct str id = profile_string(profile, profile->upload_id);
	struct hash128 owner = {profile->instance.owner, 0x75706c64};

	return hash128_chain(owner, hash128(id.ptr, id.len));
}

int64_t storage_ended_ns(const struct profile *profile)
{
	return profile->until_ns ? profile->until_ns : profile->arrived_ns;
}

bool storage_runtime_known(const uint8_t runtime_id[16])
{
	static const uint8_t none[16];

	return memcmp(runtime_id, none, sizeof(none)) != 0;
}

static bool time_fits(int64_t time_ns)
{
	return (uint64_t)time_ns < (uint64_t)STORAGE_TIME_MAX_NS;
}

/* Below a limit that is no more than INT64_MAX, for many at once: what is not sets the sign. */
static inline uint64_t not_below(uint64_t value, uint64_t limit)
{
	return value | (limit - 1 - value);
}

static bool records_fit(const struct profile *p)
{
	uint64_t nodes = p->nodes_count, contexts = p->contexts_count, values = 0;
	uint32_t series = UINT32_MAX; /* the last one, which mostly is the next one's too */
	uint64_t wrong = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];

		if (r->series != series) {
			if (r->series >= p->series_count)
				return false;
			series = r->series;
			uint32_t width = p->kinds[p->series[series].kind].columns_count;

			if (width > p->values_count)
				return false;
			values = p->values_count - width + 1;
		}
		wrong |= not_below(r->node, nodes) | not_below(r->context, contexts) |
			 ((uint64_t)r->count - 1) |
			 not_below((uint64_t)r->time_ns, STORAGE_TIME_MAX_NS) |
			 not_below(r->values_at, values);
	}
	return wrong <= INT64_MAX;
}

/* Two nodes, whose numbers are compared at once. */
typedef uint32_t node_pair __attribute__((vector_size(2 * sizeof(struct profile_node))));

/* Parents come first.  As not_below, in the lanes of a pair. */
static bool nodes_fit(const struct profile *p)
{
	uint32_t frame = (uint32_t)MIN(p->frames_count, (size_t)INT32_MAX) - 1;
	node_pair most = {0, frame, 1, frame}, wrong = {0};
	const node_pair step = {2, 0, 2, 0};
	size_t i = 1;

	if (p->nodes_count > INT32_MAX)
		return false;
	for (; i + 2 <= p->nodes_count; i += 2, most += step) {
		node_pair pair;

		memcpy(&pair, &p->nodes[i], sizeof(pair));
		wrong |= pair | (most - pair);
	}
	bool fit = (wrong[0] | wrong[1] | wrong[2] | wrong[3]) <= INT32_MAX;

	if (i < p->nodes_count)
		fit &= (p->nodes[i].parent < i) & (p->nodes[i].frame < p->frames_count);
	return fit;
}

static bool frames_fit(const struct profile *p)
{
	uint32_t last = 0;

	for (size_t i = 0; i < p->frames_count; i++)
		last = MAX(last, p->frames[i].module);
	return !p->frames_count || last < p->modules_count;
}

static bool run_fits(const struct profile *p, struct profile_labels run)
{
	return run.at <= p->labels_count && run.count <= p->labels_count - run.at;
}

int storage_check(const struct profile *p, struct err *err)
{
	for (size_t i = 0; i < p->series_count; i++)
		if (p->series[i].kind >= p->kinds_count || !run_fits(p, p->series[i].labels) ||
		    p->kinds[p->series[i].kind].columns_count > PROFILE_COLUMNS_MAX)
			return err_set(err, -EINVAL, "storage: series %zu has no kind", i);
	for (size_t i = 0; i < p->contexts_count; i++)
		if (!run_fits(p, p->contexts[i]))
			return err_set(err, -EINVAL, "storage: context %zu names nothing", i);
	if (!frames_fit(p))
		return err_set(err, -EINVAL, "storage: a frame has no module");
	if (!nodes_fit(p))
		return err_set(err, -EINVAL, "storage: a stack node is out of order");
	for (size_t i = 0; i < p->losses_count; i++)
		if (p->losses[i].series >= p->series_count || !time_fits(p->losses[i].time_ns))
			return err_set(err, -EINVAL, "storage: loss %zu names nothing", i);
	if (!records_fit(p))
		return err_set(err, -EINVAL,
			       "storage: a record names nothing, or its time is not in 1970..2199");
	if (!time_fits(p->from_ns) || !time_fits(p->until_ns) || !time_fits(p->arrived_ns))
		return err_set(err, -EINVAL, "storage: a profile's time is not in 1970..2199");
	return 0;
}

int64_t storage_scan_find(const struct storage_scan *scan, struct hash128 identity)
{
	for (size_t i = 0; i < scan->series_count; i++)
		if (hash128_equal(scan->series[i], identity))
			return (int64_t)i;
	return -1;
}

int storage_scan_late(const struct storage_scan *scan, struct err *err)
{
	if (!scan->deadline_ns || clock_monotonic_ns() < scan->deadline_ns)
		return 0;
	return err_set(err, -ETIME, "storage: the query's time is over");
}
