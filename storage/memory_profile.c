/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/memory_profile.h"

#include <errno.h>
#include <string.h>

/* A copy of `count` items, or NULL without memory; `bytes` grows by their size. */
static void *copied(const void *from, size_t item_bytes, size_t count, uint64_t *bytes)
{
	void *to = calloc(count ? count : 1, item_bytes);

	if (to && count)
		memcpy(to, from, count * item_bytes);
	*bytes += count * item_bytes;
	return to;
}

static int strings_copy(struct intern *to, const struct intern *from, uint64_t *bytes)
{
	int rc = intern_init(to, SIZE_MAX / 4);

	for (size_t i = 0; !rc && i < from->count; i++) {
		uint32_t id;

		rc = intern_put(to, from->strings[i].ptr, from->strings[i].len, &id);
		*bytes += from->strings[i].len + sizeof(struct str);
	}
	return rc;
}

static int tables_copy(struct profile *to, const struct profile *from, uint64_t *bytes)
{
	bool all = true;

#define COPY(table, size)                                                                          \
	all &= !!(to->table = copied(from->table, sizeof(*to->table), size, bytes))
	COPY(modules, from->modules_count);
	COPY(frames, from->frames_count);
	COPY(nodes, from->nodes_count);
	COPY(node_hashes, from->nodes_count);
	COPY(kinds, from->kinds_count);
	COPY(labels, from->labels_count);
	COPY(series, from->series_count);
	COPY(contexts, from->contexts_count);
	COPY(records, from->records_count);
	COPY(values, from->values_count);
	COPY(cursors, from->cursors_count);
	COPY(losses, from->losses_count);
#undef COPY
	return all ? 0 : -ENOMEM;
}

static struct profile *profile_copied(const struct profile *from, uint64_t *bytes)
{
	struct profile *to = malloc(sizeof(*to));

	if (!to)
		return NULL;
	*to = *from;
	memset(&to->strings, 0, sizeof(to->strings));
	to->frame_identities = NULL;
	int failed = tables_copy(to, from, bytes);

	if (strings_copy(&to->strings, &from->strings, bytes) || failed) {
		profile_free(to);
		return NULL;
	}
	return to;
}

static void widen(int64_t *first_ns, int64_t *last_ns, int64_t time_ns)
{
	*first_ns = MIN(*first_ns, time_ns);
	*last_ns = MAX(*last_ns, time_ns);
}

static void span_of(struct memory_profile *m)
{
	const struct profile *p = m->profile;

	m->first_record_ns = INT64_MAX;
	m->last_record_ns = INT64_MIN;
	for (size_t i = 0; i < p->records_count; i++)
		widen(&m->first_record_ns, &m->last_record_ns, p->records[i].time_ns);
	m->first_ns = m->first_record_ns;
	m->last_ns = m->last_record_ns;
	for (size_t i = 0; i < p->losses_count; i++)
		widen(&m->first_ns, &m->last_ns, p->losses[i].time_ns);
	if (p->instance.ended)
		widen(&m->first_ns, &m->last_ns, storage_ended_ns(p));
	if (m->first_ns > m->last_ns)
		widen(&m->first_ns, &m->last_ns, p->arrived_ns);
}

int memory_profile_copy(const struct profile *from, struct memory_profile **ret_copy)
{
	struct memory_profile *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->bytes = sizeof(*m) + sizeof(*m->profile);
	m->profile = profile_copied(from, &m->bytes);
	if (!m->profile) {
		free(m);
		return -ENOMEM;
	}
	m->upload = storage_upload_key(from);
	span_of(m);
	atomic_init(&m->refs, 1);
	*ret_copy = m;
	return 0;
}

struct memory_profile *memory_profile_ref(struct memory_profile *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void memory_profile_unref(struct memory_profile *m)
{
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	profile_free(m->profile);
	free(m);
}

/* ---- series ---- */

static struct memory_series *series_get(struct memory_series_set *set, const struct profile *p,
					uint32_t series)
{
	for (size_t i = 0; i < set->count; i++) {
		struct memory_series *s = &set->list[i];

		if (hash128_equal(s->profile->series[s->series].identity,
				  p->series[series].identity))
			return s;
	}
	if (array_grow(&set->list, sizeof(*set->list), &set->capacity, set->count + 1))
		return NULL;
	set->list[set->count] = (struct memory_series){p, series, INT64_MAX, INT64_MIN, false};
	return &set->list[set->count++];
}

int memory_series_set_add(struct memory_series_set *set, const struct profile *p, int64_t from_ns,
			  int64_t until_ns)
{
	for (size_t i = 0; i < p->records_count; i++) {
		int64_t time_ns = p->records[i].time_ns;
		struct memory_series *s = series_get(set, p, p->records[i].series);

		if (!s)
			return -ENOMEM;
		s->profile = p;
		s->series = p->records[i].series;
		widen(&s->first_ns, &s->last_ns, time_ns);
		s->in_range |= time_ns >= from_ns && time_ns < until_ns;
	}
	return 0;
}

static int series_emit(const struct memory_series *s, storage_series_fn fn, void *arg)
{
	const struct profile *p = s->profile;
	const struct profile_series *series = &p->series[s->series];
	const struct profile_kind *kind = &p->kinds[series->kind];
	struct storage_column columns[PROFILE_COLUMNS_MAX];
	struct storage_label *labels CLEANUP(cleanup_free) =
	    malloc((series->labels.count + 1) * sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	for (uint32_t i = 0; i < kind->columns_count; i++) {
		columns[i].type = profile_string(p, kind->columns[i].type);
		columns[i].unit = profile_string(p, kind->columns[i].unit);
		columns[i].gauge = kind->columns[i].gauge;
	}
	for (uint32_t i = 0; i < series->labels.count; i++) {
		const struct profile_label *label = &p->labels[series->labels.at + i];

		labels[i].key = profile_string(p, label->key);
		labels[i].value = profile_string(p, label->text);
	}
	struct storage_series out = {
	    .identity = series->identity,
	    .owner = p->instance.owner,
	    .name = profile_string(p, kind->name),
	    .period_type = profile_string(p, kind->period_type),
	    .period_unit = profile_string(p, kind->period_unit),
	    .period = kind->period,
	    .columns = columns,
	    .columns_count = kind->columns_count,
	    .labels = labels,
	    .labels_count = series->labels.count,
	    .first_ns = s->first_ns,
	    .last_ns = s->last_ns,
	};

	return fn(arg, &out);
}

int memory_series_set_emit(const struct memory_series_set *set, storage_series_fn fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < set->count; i++)
		if (set->list[i].in_range)
			rc = series_emit(&set->list[i], fn, arg);
	return rc;
}

void memory_series_set_release(struct memory_series_set *set)
{
	free(set->list);
}
