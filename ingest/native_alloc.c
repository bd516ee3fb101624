/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations: a sample stands for size / p bytes and 1 / p objects, and an exact counter carries
 * the total of bytes.
 *
 * A drain's samples have weights that are unbiased.  What they leave over or take too much, the
 * rest, is spread over them in proportion to what is uncertain in each, w (1 - p): a block larger
 * than the mean stands for itself.  Of few samples little is spread at once, for it would go to
 * whoever happens to be sampled beside a site that was not; it goes to the samples of later drains,
 * which know nothing of it, as much as is lost in their own noise.  With that no site gains, and
 * the total follows the counter.
 *
 * At the process's end the total is exact: what no sample carried stands under [not sampled], and
 * what samples took too much is taken back from the last ones, at their own time.  Objects are left
 * as they are: their noise is that of the smallest blocks, and the other sites would have to carry
 * it.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/native_emit.h"

#define FEW_SAMPLES 30.0 /* a drain of so few spreads nothing of its own */

struct spread {
	double samples, sum; /* of the drain, and of their weights */
	double room;         /* sum of w (1 - p) */
	double noise;        /* sum of w^2 (1 - p): the variance of `sum` */
	double bytes;        /* what is spread */
	double carry[2];     /* rounding, of bytes and objects */
};

struct weight {
	double p, bytes, objects;
};

static bool weight_of(const struct native_pending *pending, struct weight *ret)
{
	const struct ring_alloc *a = &pending->alloc;

	if (pending->type != RING_SAMPLE_ALLOC || !a->size || a->size >> 48 || !a->mean_bytes ||
	    a->mean_bytes >> 56)
		return false;
	ret->p = -expm1(-(double)a->size / (double)a->mean_bytes);
	ret->bytes = (double)a->size / ret->p;
	ret->objects = 1 / ret->p;
	return true;
}

static struct spread spread_plan(const struct native_process *p, double rest, double since)
{
	struct spread s = {0};
	struct weight w;

	for (size_t i = 0; i < p->pending_count; i++) {
		if (!weight_of(&p->pending[i], &w))
			continue;
		s.samples++;
		s.sum += w.bytes;
		s.room += w.bytes * (1 - w.p);
		s.noise += w.bytes * w.bytes * (1 - w.p);
	}
	double most = MIN(sqrt(s.noise), s.room) / 2;
	double own = (since - s.sum) * (1 - FEW_SAMPLES / MAX(s.samples, FEW_SAMPLES));

	s.bytes = MIN(MAX(rest, -most), most) + MIN(MAX(own, -s.room / 2), 2 * s.room);
	return s;
}

static int64_t round_carried(double value, double *carry)
{
	double whole = floor(value + *carry + 0.5);

	*carry += value - whole;
	return whole_bounded(whole);
}

/* Remember a sample that could give back. Without memory, or without frames, it will not. */
static void recent_keep(struct native_process *p, const struct native_pending *pending,
			int64_t bytes)
{
	struct native_alloc_account *a = &p->alloc;
	size_t frames_bytes = pending->frames_count * sizeof(uint64_t);
	uint64_t *frames = malloc(frames_bytes + 1);
	char *text = malloc(pending->text_bytes + (size_t)1);

	if (!a->recent)
		a->recent = calloc(NATIVE_RECENT_MAX, sizeof(*a->recent));
	if (!frames || !text || !a->recent) {
		free(frames);
		free(text);
		return;
	}
	struct native_recent *r = &a->recent[a->recent_next];

	if (frames_bytes)
		memcpy(frames, pending->frames, frames_bytes);
	if (pending->text_bytes)
		memcpy(text, p->text + pending->text_at, pending->text_bytes);
	free(r->frames);
	free(r->text);
	*r = (struct native_recent){.pending = *pending, .frames = frames, .text = text};
	r->pending.frames = frames;
	r->room = MAX(bytes - (int64_t)pending->alloc.size, (int64_t)0);
	a->recent_next = (a->recent_next + 1) % NATIVE_RECENT_MAX;
}

static void samples_write(struct emitter *e, struct spread *s)
{
	struct native_process *p = e->process;
	/* Of many samples, some from all over the drain are remembered. */
	size_t stride = (size_t)s->samples / NATIVE_RECENT_MAX + 1, seen = 0;
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
		if (s->room > 0)
			w.bytes += s->bytes * w.bytes * (1 - w.p) / s->room;
		const int64_t values[2] = {round_carried(w.bytes, &s->carry[0]),
					   round_carried(w.objects, &s->carry[1])};

		p->alloc.written = add_bounded(p->alloc.written, values[0]);
		emit_values(e, SERIES_ALLOC,
			    emit_stack(e, pending->frames, pending->frames_count, false, NULL),
			    emit_context(e, thread, pending, NULL),
			    emit_real_time(e, pending->time_ns), values, 1);
		if (!e->rc && seen++ % stride == 0)
			recent_keep(p, pending, values[0]);
	}
}

/* Write `bytes`, below 0, where a remembered sample stands. */
static void recent_write(struct emitter *e, const struct native_recent *r, int64_t bytes)
{
	struct native_process *p = e->process;
	struct native_pending pending = r->pending;
	struct native_thread *thread = native_thread_get(p, pending.tid);
	const int64_t values[2] = {bytes, 0};

	pending.text_at = p->text_count;
	if (!thread ||
	    array_grow(&p->text, 1, &p->text_capacity, p->text_count + pending.text_bytes + 1)) {
		e->rc = -ENOMEM;
		return;
	}
	memcpy(p->text + p->text_count, r->text, pending.text_bytes);
	p->text_count += pending.text_bytes;
	uint32_t node = emit_stack(e, r->frames, pending.frames_count, false, NULL);
	uint32_t context = emit_context(e, thread, &pending, NULL);

	emit_values(e, SERIES_ALLOC, node, context, emit_real_time(e, pending.time_ns), values, 1);
	p->alloc.written += bytes;
}

static void recents_take(struct emitter *e, int64_t excess)
{
	struct native_alloc_account *a = &e->process->alloc;
	int64_t room = 0, taken = 0, passed = 0;

	for (size_t i = 0; a->recent && i < NATIVE_RECENT_MAX; i++)
		room = add_bounded(room, a->recent[i].room);
	excess = MIN(excess, room);
	for (size_t i = 0; !e->rc && taken < excess && i < NATIVE_RECENT_MAX; i++) {
		passed = add_bounded(passed, a->recent[i].room);
		int64_t upto = whole_bounded((double)excess * (double)passed / (double)room + 0.5);
		int64_t take = MIN(MIN(upto, excess) - taken, a->recent[i].room);

		if (take > 0)
			recent_write(e, &a->recent[i], -take);
		taken += MAX(take, (int64_t)0);
	}
}

static void rest_write(struct emitter *e)
{
	static const struct native_thread nobody;
	struct native_alloc_account *a = &e->process->alloc;
	const int64_t values[2] = {a->exact - a->written, 0};

	if (values[0] < 0)
		recents_take(e, -values[0]);
	if (values[0] <= 0)
		return;
	emit_values(e, SERIES_ALLOC, emit_stack(e, NULL, 0, false, "[not sampled]"),
		    emit_context(e, &nobody, NULL, NULL), e->clock->real_ns, values, 1);
	a->written = a->exact;
}

void native_alloc_emit(struct emitter *e, const struct ring_counters *counters, bool ended)
{
	struct native_process *p = e->process;
	struct native_alloc_account *a = &p->alloc;
	int64_t now = (int64_t)MIN(p->totals.alloc_bytes, (uint64_t)INT64_MAX / 8);
	int64_t rest = a->exact - a->written, since = MAX(now - a->exact, (int64_t)0);
	/* Counted for the live heap alone, or written before this agent came: not owed. */
	bool owed = !counters->off[RING_ALLOC] && (a->known || !p->resumed);
	struct spread s = spread_plan(p, (double)rest, (double)since);

	if (!owed)
		s.bytes = 0;
	a->known = true;
	a->exact += since;
	samples_write(e, &s);
	if (!owed)
		a->written = a->exact;
	if (ended && !e->rc)
		rest_write(e);
	p->stats.alloc_bytes = p->totals.alloc_bytes;
	p->stats.alloc_calls = p->totals.alloc_calls;
}
