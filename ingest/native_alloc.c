/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations: samples stand for size / p bytes and 1 / p objects, and exact counters carry the totals.
 *
 * A drain's samples keep their weights, which are unbiased.  What they left over or took too much, the
 * rest, goes to the samples of the next drain: it is known before those are seen, so that no site gains
 * by it (spread at once, it would go to whoever happens to be sampled beside a site that was not).  Each
 * takes in proportion to what is uncertain in its weight, w (1 - p): a block larger than the mean stands
 * for itself.  With the process's last batch the rest is settled at once.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/native_emit.h"

/* One of the two columns: bytes, objects. */
struct column {
	struct native_account *account;
	double sum, room; /* of the drain's weights, and of what is uncertain in them */
	double spread;	  /* of the rest, over this drain's samples */
	double carry;	  /* rounding */
};

struct weight {
	double p, value[2];
};

static bool weight_of(const struct native_pending *pending, struct weight *ret)
{
	const struct ring_alloc *a = &pending->alloc;

	if (pending->type != RING_SAMPLE_ALLOC || !a->size || a->size >> 48 || !a->mean_bytes ||
	    a->mean_bytes >> 56)
		return false;
	ret->p = -expm1(-(double)a->size / (double)a->mean_bytes);
	ret->value[0] = (double)a->size / ret->p;
	ret->value[1] = 1 / ret->p;
	return true;
}

static void columns_sum(const struct native_process *p, struct column columns[2])
{
	struct weight w;

	for (size_t i = 0; i < p->pending_count; i++) {
		if (!weight_of(&p->pending[i], &w))
			continue;
		for (int c = 0; c < 2; c++) {
			columns[c].sum += w.value[c];
			columns[c].room += w.value[c] * (1 - w.p);
		}
	}
}

/* How much of the rest this drain's samples take: at most half of what is uncertain in them, and in the
 * last batch all that leaves each at least what it is known to be. */
static void column_plan(struct column *c, bool ended)
{
	double rest = c->account->rest;

	if (ended)
		c->spread = MIN(MAX(rest - c->sum + c->account->due, -c->room), 2 * c->room);
	else
		c->spread = MIN(MAX(rest, -c->room / 2), c->room / 2);
}

/* What a client says may be anything. */
static int64_t whole_of(double value)
{
	return value > 0x1p60 ? INT64_C(1) << 60 : value < -0x1p60 ? -(INT64_C(1) << 60) : (int64_t)value;
}

static int64_t column_value(struct column *c, double value, double p)
{
	if (c->room > 0)
		value += c->spread * value * (1 - p) / c->room;
	double whole = floor(value + c->carry + 0.5);

	c->carry += value - whole;
	c->account->written = add_bounded(c->account->written, whole_of(whole));
	return whole_of(whole);
}

static void samples_write(struct emitter *e, struct column columns[2])
{
	struct native_process *p = e->process;
	struct weight w;

	for (size_t i = 0; !e->rc && i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];

		if (!weight_of(pending, &w))
			continue;
		struct native_thread *thread = native_thread_get(p, pending->tid);

		if (!thread) {
			e->rc = -ENOMEM;
			return;
		}
		const int64_t values[2] = { column_value(&columns[0], w.value[0], w.p),
					    column_value(&columns[1], w.value[1], w.p) };

		emit_values(e, SERIES_ALLOC,
			    emit_stack(e, emit_words(p, pending), pending->frames_count, false, NULL),
			    emit_context(e, thread, pending, NULL),
			    emit_real_time(e, pending->time_ns), values, 1);
	}
}

/* At the end: what no sample could carry, of either sign. */
static void rest_write(struct emitter *e)
{
	static const struct native_thread nobody;
	struct native_process *p = e->process;
	const int64_t values[2] = { p->alloc[0].exact - p->alloc[0].written,
				    p->alloc[1].exact - p->alloc[1].written };

	if (!values[0] && !values[1])
		return;
	emit_values(e, SERIES_ALLOC, emit_stack(e, NULL, 0, false, "[not sampled]"),
		    emit_context(e, &nobody, NULL, NULL), e->clock->real_ns, values, 1);
	p->alloc[0].written += values[0];
	p->alloc[1].written += values[1];
}

static int64_t bounded(uint64_t value)
{
	return (int64_t)MIN(value, (uint64_t)INT64_MAX / 8);
}

void native_alloc_emit(struct emitter *e, const struct ring_counters *counters, bool ended)
{
	struct native_process *p = e->process;
	const int64_t now[2] = { bounded(p->totals.alloc_bytes), bounded(p->totals.alloc_calls) };
	struct column columns[2] = { { .account = &p->alloc[0] }, { .account = &p->alloc[1] } };
	/* Counted for the live heap alone, or written before this agent came: not owed. */
	bool owed = !counters->off[RING_ALLOC] && (p->alloc_known || !p->resumed);

	columns_sum(p, columns);
	for (int c = 0; c < 2; c++) {
		struct native_account *a = &p->alloc[c];

		a->due = now[c] - a->exact;
		a->exact = MAX(now[c], a->exact);
		a->due = MAX(a->due, (int64_t)0);
		if (!owed)
			a->written = a->exact - whole_of(columns[c].sum);
		a->rest = (double)(a->exact - a->due - a->written);
		if (owed)
			column_plan(&columns[c], ended);
	}
	p->alloc_known = true;
	samples_write(e, columns);
	for (int c = 0; !owed && c < 2; c++)
		p->alloc[c].written = p->alloc[c].exact;
	if (ended && !e->rc)
		rest_write(e);
	p->stats.alloc_bytes = (uint64_t)now[0];
	p->stats.alloc_calls = (uint64_t)now[1];
}
