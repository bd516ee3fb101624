/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the memory store: take references to what the range touches, then walk it unlocked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/memory_store.h"
#include "storage/totals.h"

/* What a reader took: the profiles that touch its range. */
struct taken {
	struct memory_profile **list;
	size_t count;
};

static void taken_release(struct taken *taken)
{
	for (size_t i = 0; i < taken->count; i++)
		memory_profile_unref(taken->list[i]);
	free(taken->list);
}

int memory_reader_open(struct storage *store, struct storage_reader **ret_reader, struct err *err)
{
	struct memory_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, -ENOMEM, "storage: out of memory");
	r->store = memory_of(store);
	*ret_reader = &r->base;
	return 0;
}

void memory_reader_close(struct storage_reader *reader)
{
	free(reader);
}

int memory_stats(struct storage_reader *reader, struct storage_stats *ret, struct err *err)
{
	struct memory_store *m = memory_of_reader(reader);

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
	struct memory_store *m = memory_of_reader(reader);
	struct taken t = {0};

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

static const struct hash128 *hashes_of(void *tables)
{
	const struct profile *p = tables;

	return p->node_hashes;
}

static struct storage_segment segment_of(const struct profile *p)
{
	return (struct storage_segment){
	    .nodes = p->nodes,
	    .hashes = hashes_of,
	    .tables = (void *)(uintptr_t)p,
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

static int add_totals(struct totals *totals, const struct profile *p,
		      const struct storage_scan *scan)
{
	const struct storage_segment tables = segment_of(p);
	int64_t *wanted CLEANUP(cleanup_free) = wanted_series(p, scan);
	bool *passes CLEANUP(cleanup_free) = calloc(p->nodes_count, sizeof(*passes));
	int rc = wanted && passes ? 0 : -ENOMEM;

	if (!rc && scan->passes)
		rc = scan->passes(scan->passes_arg, &tables, passes);
	for (size_t i = 0; !rc && i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		int64_t value, at = wanted[r->series];
		bool counts = !scan->passes || passes[r->node];

		if (at < 0 || !in_range(scan, r->time_ns))
			continue;
		value = p->values[r->values_at + scan->column];
		/* A gauge's snapshot replaces those before it also when nothing of it counts. */
		if (is_gauge(p, r->series, scan->column))
			rc =
			    totals_add_gauge(totals, (size_t)at, p->instance.runtime_id, r->time_ns,
					     counts ? value : 0, counts ? r->count : 0);
		else if (counts)
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

int memory_timeline(struct storage_reader *reader, const struct storage_scan *scan, int64_t step_ns,
		    storage_total_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = {0};
	struct totals totals CLEANUP(totals_release) = {0};
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	if (!rc)
		rc = collect(&taken, scan, step_ns, &totals, err);
	return rc ? rc : totals_emit(&totals, fn, arg);
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
		sums[r->node] = storage_add(sums[r->node], p->values[r->values_at + scan->column]);
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

int memory_scan(struct storage_reader *reader, const struct storage_scan *scan,
		storage_segment_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = {0};
	struct totals gauges CLEANUP(totals_release) = {0};
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

static int records_of_series(const struct profile *p, uint32_t series, size_t wanted,
			     const struct storage_scan *scan, storage_records_fn fn, void *arg,
			     struct err *err)
{
	size_t n = p->records_count + 1, count = 0;
	uint32_t *nodes CLEANUP(cleanup_free) = malloc(n * sizeof(*nodes));
	uint32_t *context CLEANUP(cleanup_free) = malloc(n * sizeof(*context));
	uint64_t *counts CLEANUP(cleanup_free) = malloc(n * sizeof(*counts));
	int64_t *times CLEANUP(cleanup_free) = malloc(n * sizeof(*times));
	int64_t *values CLEANUP(cleanup_free) = malloc(n * sizeof(*values));

	if (!nodes || !context || !counts || !times || !values)
		return err_set(err, -ENOMEM, "storage: out of memory");
	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];

		if (r->series != series || !in_range(scan, r->time_ns))
			continue;
		nodes[count] = r->node;
		context[count] = r->context;
		counts[count] = r->count;
		times[count] = r->time_ns;
		values[count++] = p->values[r->values_at + scan->column];
	}
	struct storage_records records = {.segment = segment_of(p),
					  .contexts = p->contexts,
					  .contexts_count = p->contexts_count,
					  .labels = p->labels,
					  .runtime_id = p->instance.runtime_id,
					  .pid = p->instance.pid,
					  .series = wanted,
					  .count = count,
					  .nodes = nodes,
					  .context = context,
					  .times_ns = scan->timeless ? NULL : times,
					  .values = values,
					  .counts = counts};

	return count ? fn(arg, &records) : 0;
}

static int records_of(const struct profile *p, const struct storage_scan *scan,
		      storage_records_fn fn, void *arg, struct err *err)
{
	int64_t *wanted CLEANUP(cleanup_free) = wanted_series(p, scan);
	int rc = wanted ? 0 : err_set(err, -ENOMEM, "storage: out of memory");

	for (size_t i = 0; !rc && i < p->series_count; i++)
		if (wanted[i] >= 0)
			rc = records_of_series(p, (uint32_t)i, (size_t)wanted[i], scan, fn, arg,
					       err);
	return rc;
}

int memory_records(struct storage_reader *reader, const struct storage_scan *scan,
		   storage_records_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = {0};
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	for (size_t i = 0; !rc && i < taken.count; i++) {
		rc = storage_scan_late(scan, err);
		if (!rc)
			rc = records_of(taken.list[i]->profile, scan, fn, arg, err);
	}
	return rc;
}

int memory_losses(struct storage_reader *reader, const struct storage_scan *scan,
		  storage_loss_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = {0};
	int rc = take(reader, scan->from_ns, scan->until_ns, &taken, err);

	for (size_t i = 0; !rc && i < taken.count; i++) {
		const struct profile *p = taken.list[i]->profile;

		for (size_t k = 0; !rc && k < p->losses_count; k++) {
			const struct profile_loss *loss = &p->losses[k];
			struct hash128 identity = p->series[loss->series].identity;

			if (in_range(scan, loss->time_ns) && storage_scan_find(scan, identity) >= 0)
				rc =
				    fn(arg, identity, profile_string(p, loss->reason), loss->count);
		}
	}
	return rc;
}

int memory_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		  storage_series_fn fn, void *arg, struct err *err)
{
	struct taken taken CLEANUP(taken_release) = {0};
	struct memory_series_set set CLEANUP(memory_series_set_release) = {0};
	int rc = take(reader, from_ns, until_ns, &taken, err);

	for (size_t i = 0; !rc && i < taken.count; i++)
		if (memory_series_set_add(&set, taken.list[i]->profile, from_ns, until_ns))
			rc = err_set(err, -ENOMEM, "storage: out of memory");
	return rc ? rc : memory_series_set_emit(&set, fn, arg);
}
