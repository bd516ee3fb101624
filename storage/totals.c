/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/totals.h"

#include <errno.h>
#include <string.h>

/* In the place of a series: the key of an instance's end. */
#define SERIES_ENDED UINT64_MAX

int totals_init(struct totals *t, const struct storage_scan *scan, int64_t step_ns, struct err *err)
{
	uint64_t width = (uint64_t)scan->until_ns - (uint64_t)scan->from_ns;
	uint64_t steps = (width - 1) / (uint64_t)step_ns + 1;

	memset(t, 0, sizeof(*t));
	if (steps > TOTALS_CELLS_MAX || steps * scan->series_count > TOTALS_CELLS_MAX)
		return err_set(err, -E2BIG,
			       "storage: %zu series in %llu steps, at most %zu together",
			       scan->series_count, (unsigned long long)steps, TOTALS_CELLS_MAX);
	t->from_ns = scan->from_ns;
	t->until_ns = scan->until_ns;
	t->step_ns = step_ns;
	t->series_count = scan->series_count;
	t->steps = (size_t)steps;
	t->sums = calloc(t->steps * t->series_count, sizeof(*t->sums));
	t->counts = calloc(t->steps * t->series_count, sizeof(*t->counts));
	t->slots_count = 64;
	t->slots = calloc(t->slots_count, sizeof(*t->slots));
	if (!t->sums || !t->counts || !t->slots)
		return err_set(err, -ENOMEM, "storage: out of memory");
	return 0;
}

void totals_release(struct totals *t)
{
	free(t->sums);
	free(t->counts);
	free(t->snapshots);
	free(t->slots);
	memset(t, 0, sizeof(*t));
}

static uint32_t *slot_of(const struct totals *t, const struct totals_snapshot *want)
{
	uint64_t hash = hash_keyed(&want->key, sizeof(want->key));

	for (size_t i = (size_t)hash;; i++) {
		uint32_t *slot = &t->slots[i & (t->slots_count - 1)];

		if (!*slot || !memcmp(&t->snapshots[*slot - 1].key, &want->key, sizeof(want->key)))
			return slot;
	}
}

static int slots_grow(struct totals *t)
{
	size_t count = t->slots_count * 2;
	uint32_t *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->slots_count = count;
	for (size_t i = 0; i < t->snapshots_count; i++)
		*slot_of(t, &t->snapshots[i]) = (uint32_t)i + 1;
	return 0;
}

static void key_set(struct totals_snapshot *s, const uint8_t runtime_id[16], uint64_t series,
		    size_t step)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->key.runtime_id, runtime_id, sizeof(s->key.runtime_id));
	s->key.series = series;
	s->key.step = step;
}

static int snapshot_get(struct totals *t, const struct totals_snapshot *want,
			struct totals_snapshot **ret_snapshot)
{
	uint32_t *slot = slot_of(t, want);

	if (*slot) {
		*ret_snapshot = &t->snapshots[*slot - 1];
		return 0;
	}
	int rc = array_grow(&t->snapshots, sizeof(*t->snapshots), &t->snapshots_capacity,
			    t->snapshots_count + 1);

	if (rc)
		return rc;
	t->snapshots[t->snapshots_count++] = *want;
	*slot = (uint32_t)t->snapshots_count;
	if (t->snapshots_count * 2 > t->slots_count)
		rc = slots_grow(t);
	*ret_snapshot = &t->snapshots[t->snapshots_count - 1];
	return rc;
}

void totals_add(struct totals *t, size_t series, int64_t time_ns, int64_t value, uint64_t count)
{
	size_t cell = series * t->steps + totals_step(t, time_ns);

	t->sums[cell] = storage_add(t->sums[cell], value);
	t->counts[cell] += count;
}

int totals_add_gauge(struct totals *t, size_t series, const uint8_t runtime_id[16], int64_t time_ns,
		     int64_t value, uint64_t count)
{
	struct totals_snapshot want, *s;

	key_set(&want, runtime_id, series, totals_step(t, time_ns));
	want.time_ns = INT64_MIN;
	int rc = snapshot_get(t, &want, &s);

	if (rc || s->time_ns > time_ns)
		return rc;
	if (s->time_ns < time_ns)
		s->sum = 0, s->count = 0;
	s->time_ns = time_ns;
	s->sum = storage_add(s->sum, value);
	s->count += count;
	return 0;
}

int totals_end(struct totals *t, const uint8_t runtime_id[16], int64_t time_ns)
{
	struct totals_snapshot want, *s;

	if (time_ns < t->from_ns || time_ns >= t->until_ns || !storage_runtime_known(runtime_id))
		return 0;
	key_set(&want, runtime_id, SERIES_ENDED, totals_step(t, time_ns));
	return snapshot_get(t, &want, &s);
}

static bool has_ended(const struct totals *t, const uint8_t runtime_id[16], size_t step)
{
	struct totals_snapshot want;

	key_set(&want, runtime_id, SERIES_ENDED, step);
	return *slot_of(t, &want) != 0;
}

bool totals_is_last(const struct totals *t, size_t series, const uint8_t runtime_id[16],
		    int64_t time_ns)
{
	struct totals_snapshot want;
	size_t step = totals_step(t, time_ns);

	key_set(&want, runtime_id, series, step);
	uint32_t slot = *slot_of(t, &want);

	return slot && t->snapshots[slot - 1].time_ns == time_ns && !has_ended(t, runtime_id, step);
}

int totals_emit(struct totals *t, storage_total_fn fn, void *arg)
{
	for (size_t i = 0; i < t->snapshots_count; i++) {
		const struct totals_snapshot *s = &t->snapshots[i];

		if (s->key.series == SERIES_ENDED || has_ended(t, s->key.runtime_id, s->key.step))
			continue;
		size_t cell = (size_t)s->key.series * t->steps + (size_t)s->key.step;

		t->sums[cell] = storage_add(t->sums[cell], s->sum);
		t->counts[cell] += s->count;
	}
	for (size_t i = 0; i < t->series_count * t->steps; i++) {
		int64_t start = t->from_ns + (int64_t)(i % t->steps) * t->step_ns;
		int rc = t->counts[i] ? fn(arg, i / t->steps, start, t->sums[i], t->counts[i]) : 0;

		if (rc)
			return rc;
	}
	return 0;
}
