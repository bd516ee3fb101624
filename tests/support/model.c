/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/model.h"

#include "tests/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

void model_take(struct model *m, struct profile *profile)
{
	assert_int_equal(array_grow(&m->profiles, sizeof(*m->profiles), &m->capacity, m->count + 1),
			 0);
	m->profiles[m->count++] = profile;
}

void model_release(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		profile_free(m->profiles[i]);
	free(m->profiles);
	memset(m, 0, sizeof(*m));
}

static struct storage_segment as_segment(const struct profile *p)
{
	return (struct storage_segment){.nodes = p->nodes,
					.nodes_count = p->nodes_count,
					.frames = p->frames,
					.frames_count = p->frames_count,
					.modules = p->modules,
					.modules_count = p->modules_count,
					.strings = p->strings.strings,
					.strings_count = p->strings.count};
}

static int wanted(const struct storage_scan *scan, const struct profile *p,
		  const struct profile_record *r)
{
	if (r->time_ns < scan->from_ns || r->time_ns >= scan->until_ns)
		return -1;
	for (size_t i = 0; i < scan->series_count; i++)
		if (hash128_equal(scan->series[i], p->series[r->series].identity) &&
		    scan->column < p->kinds[p->series[r->series].kind].columns_count)
			return (int)i;
	return -1;
}

static bool same_instance(const struct profile *a, const struct profile *b)
{
	return !memcmp(a->instance.runtime_id, b->instance.runtime_id, 16);
}

/* Is this record of a gauge in the last snapshot of its instance in the range, and is that alive?
 */
static bool snapshot_counts(const struct model *m, const struct storage_scan *scan,
			    const struct profile *p, const struct profile_record *r)
{
	static const uint8_t unknown[16];
	bool known = memcmp(p->instance.runtime_id, unknown, 16) != 0;

	for (size_t i = 0; i < m->count; i++) {
		const struct profile *q = m->profiles[i];

		if (!same_instance(p, q))
			continue;
		if (known && q->instance.ended && q->until_ns >= scan->from_ns &&
		    q->until_ns < scan->until_ns)
			return false;
		for (size_t k = 0; k < q->records_count; k++)
			if (wanted(scan, q, &q->records[k]) == wanted(scan, p, r) &&
			    q->records[k].time_ns > r->time_ns)
				return false;
	}
	return true;
}

static bool counts(const struct model *m, const struct storage_scan *scan, const struct profile *p,
		   const struct profile_record *r)
{
	if (wanted(scan, p, r) < 0)
		return false;
	if (!p->kinds[p->series[r->series].kind].columns[scan->column].gauge)
		return true;
	return snapshot_counts(m, scan, p, r);
}

void model_scan(const struct model *m, const struct storage_scan *scan, struct answer *ret)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct profile *p = m->profiles[i];
		struct storage_segment segment = as_segment(p);

		for (size_t k = 0; k < p->records_count; k++) {
			const struct profile_record *r = &p->records[k];

			if (!counts(m, scan, p, r))
				continue;
			char *stack CLEANUP(cleanup_free) = segment_stack(&segment, r->node);

			answer_add(ret, stack, p->values[r->values_at + scan->column], r->count);
			ret->lines[ret->count - 1].hash = p->node_hashes[r->node];
		}
	}
	answer_sort(ret);
}

void model_timeline(const struct model *m, const struct storage_scan *scan, int64_t step_ns,
		    struct answer *ret)
{
	for (int64_t start = scan->from_ns; start < scan->until_ns; start += step_ns) {
		struct storage_scan step = *scan;

		step.from_ns = start;
		step.until_ns = MIN(start + step_ns, scan->until_ns);
		for (size_t i = 0; i < m->count; i++) {
			const struct profile *p = m->profiles[i];

			for (size_t k = 0; k < p->records_count; k++) {
				const struct profile_record *r = &p->records[k];
				char text[64];

				if (!counts(m, &step, p, r))
					continue;
				(void)snprintf(text, sizeof(text), "%d @ %020" PRId64,
					       wanted(&step, p, r), start);
				answer_add(ret, text, p->values[r->values_at + scan->column],
					   r->count);
			}
		}
	}
	answer_sort(ret);
}

/* Everything that a record says, as one line. */
static void record_line(struct answer *ret, const char *stack, int series, int64_t time_ns,
			const uint8_t *runtime_id, int64_t pid, const struct str *strings,
			const struct profile_label *labels, struct profile_labels context,
			int64_t value, uint64_t count)
{
	struct buf out;

	buf_init(&out, BUF_UNLIMITED);
	(void)buf_printf(&out, "%s #%d @%" PRId64 " pid %" PRId64 " id %02x%02x", stack, series,
			 time_ns, pid, runtime_id[0], runtime_id[15]);
	for (uint32_t i = 0; i < context.count; i++) {
		const struct profile_label *l = &labels[context.at + i];
		struct str key = strings[l->key], text = strings[l->text];

		(void)buf_printf(&out, " %.*s=%.*s#%" PRId64, (int)key.len, key.ptr, (int)text.len,
				 text.ptr, l->is_number ? l->number : 0);
	}
	assert_non_null(buf_cstr(&out));
	answer_add(ret, out.data, value, count);
	buf_release(&out);
}

void model_records(const struct model *m, const struct storage_scan *scan, struct answer *ret)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct profile *p = m->profiles[i];
		struct storage_segment segment = as_segment(p);

		for (size_t k = 0; k < p->records_count; k++) {
			const struct profile_record *r = &p->records[k];

			if (wanted(scan, p, r) < 0)
				continue;
			char *stack CLEANUP(cleanup_free) = segment_stack(&segment, r->node);

			record_line(ret, stack, wanted(scan, p, r), scan->timeless ? 0 : r->time_ns,
				    p->instance.runtime_id, p->instance.pid, segment.strings,
				    p->labels, p->contexts[r->context],
				    p->values[r->values_at + scan->column], r->count);
		}
	}
	answer_sort(ret);
}

static void loss_line(struct answer *ret, const struct storage_scan *scan, struct hash128 series,
		      struct str reason, uint64_t count)
{
	for (size_t s = 0; s < scan->series_count; s++) {
		char text[128];

		if (!hash128_equal(scan->series[s], series))
			continue;
		(void)snprintf(text, sizeof(text), "%zu %.*s", s, (int)reason.len, reason.ptr);
		answer_add(ret, text, 0, count);
	}
}

void model_losses(const struct model *m, const struct storage_scan *scan, struct answer *ret)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct profile *p = m->profiles[i];

		for (size_t k = 0; k < p->losses_count; k++) {
			const struct profile_loss *l = &p->losses[k];

			if (l->time_ns >= scan->from_ns && l->time_ns < scan->until_ns)
				loss_line(ret, scan, p->series[l->series].identity,
					  profile_string(p, l->reason), l->count);
		}
	}
	answer_sort(ret);
}

static void identity_line(struct answer *ret, struct hash128 id)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%016" PRIx64 " %016" PRIx64, id.hi, id.lo);
	answer_add(ret, text, 0, 0);
}

void model_series(const struct model *m, int64_t from_ns, int64_t until_ns, struct answer *ret)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct profile *p = m->profiles[i];

		for (size_t k = 0; k < p->records_count; k++)
			if (p->records[k].time_ns >= from_ns && p->records[k].time_ns < until_ns)
				identity_line(ret, p->series[p->records[k].series].identity);
	}
	answer_sort(ret);
}

/* ---- the same from a store ---- */

struct receiver {
	struct answer *answer;
	const struct storage_scan *scan;
	int64_t step_ns;
};

int store_scan(struct storage_reader *r, const struct storage_scan *scan, struct answer *ret)
{
	int rc = storage_scan(r, scan, answer_segment, ret, NULL);

	answer_sort(ret);
	return rc;
}

static int total_received(void *arg, size_t series, int64_t start_ns, int64_t sum, uint64_t count)
{
	struct receiver *to = arg;
	char text[64];

	assert_true(series < to->scan->series_count && count > 0);
	assert_int_equal((start_ns - to->scan->from_ns) % to->step_ns, 0);
	(void)snprintf(text, sizeof(text), "%zu @ %020" PRId64, series, start_ns);
	/* Each cell comes once, or the caller would have to add. */
	for (size_t i = 0; i < to->answer->count; i++)
		assert_string_not_equal(to->answer->lines[i].text, text);
	answer_add(to->answer, text, sum, count);
	return 0;
}

int store_timeline(struct storage_reader *r, const struct storage_scan *scan, int64_t step_ns,
		   struct answer *ret)
{
	struct receiver to = {ret, scan, step_ns};
	int rc = storage_timeline(r, scan, step_ns, total_received, &to, NULL);

	answer_sort(ret);
	return rc;
}

static int records_received(void *arg, const struct storage_records *records)
{
	struct receiver *to = arg;

	for (size_t i = 0; i < records->count; i++) {
		char *stack CLEANUP(cleanup_free) =
		    segment_stack(&records->segment, records->nodes[i]);

		assert_true(records->series < to->scan->series_count);
		assert_true(records->context[i] < records->contexts_count);
		assert_true(!records->times_ns == to->scan->timeless);
		record_line(to->answer, stack, (int)records->series,
			    records->times_ns ? records->times_ns[i] : 0, records->runtime_id,
			    records->pid, records->segment.strings, records->labels,
			    records->contexts[records->context[i]], records->values[i],
			    records->counts[i]);
	}
	return 0;
}

int store_records(struct storage_reader *r, const struct storage_scan *scan, struct answer *ret)
{
	struct receiver to = {ret, scan, 0};
	int rc = storage_records(r, scan, records_received, &to, NULL);

	answer_sort(ret);
	return rc;
}

static int loss_received(void *arg, struct hash128 series, struct str reason, uint64_t count)
{
	struct receiver *to = arg;

	loss_line(to->answer, to->scan, series, reason, count);
	return 0;
}

int store_losses(struct storage_reader *r, const struct storage_scan *scan, struct answer *ret)
{
	struct receiver to = {ret, scan, 0};
	int rc = storage_losses(r, scan, loss_received, &to, NULL);

	answer_sort(ret);
	return rc;
}

static int series_received(void *arg, const struct storage_series *series)
{
	size_t before = ((struct answer *)arg)->count;

	identity_line(arg, series->identity);
	for (size_t i = 0; i < before; i++)
		assert_string_not_equal(((struct answer *)arg)->lines[i].text,
					((struct answer *)arg)->lines[before].text);
	assert_true(series->first_ns <= series->last_ns);
	return 0;
}

int store_series(struct storage_reader *r, int64_t from_ns, int64_t until_ns, struct answer *ret)
{
	int rc = storage_series(r, from_ns, until_ns, series_received, ret, NULL);

	answer_sort(ret);
	return rc;
}
