/* SPDX-License-Identifier: Apache-2.0 */
#include "client/write.h"

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/otel.h"
#include "client/thread.h"

#define RINGS_TRIED 4

struct ring_writer ring_writer_at(uint32_t ring)
{
	unsigned char *at = session.rings + (size_t)ring * session.ring_stride;

	return (struct ring_writer){
	    .control = (struct ring_control *)(void *)at,
	    .data = at + RING_HEAD_BYTES,
	    .bytes = session.ring_bytes,
	    .tail_a = &session.agent->tail[ring].a,
	    .tail_b = &session.agent->tail[ring].b,
	};
}

struct ring_record *ring_claim(const struct ring_writer *w, uint32_t bytes, uint64_t *ret_position)
{
	uint64_t head = load(&w->control->head);

	for (;;) {
		uint64_t a = load_acquire(w->tail_a), b = load_acquire(w->tail_b);
		uint64_t tail = a < b ? a : b, at = head & (w->bytes - 1);
		uint32_t left = w->bytes - (uint32_t)at, pad = bytes > left ? left : 0;
		struct ring_record *r;

		/* A tail beyond the head is the reader's mistake, and as good as an empty ring. */
		if (tail <= head && head - tail + pad + bytes > w->bytes)
			return NULL;
		if (!replace(&w->control->head, &head, head + pad + bytes))
			continue;
		if (pad) {
			/* May have room for RING_UNIT bytes only: less than a whole header. */
			r = (struct ring_record *)(void *)(w->data + at);
			r->bytes = pad;
			r->type = RING_PAD;
			r->frames = 0;
			ring_commit(r, head);
			head += pad;
		}
		*ret_position = head;
		return (struct ring_record *)(void *)(w->data + (head & (w->bytes - 1)));
	}
}

/* The labels of the event and of its thread, as far as they fit. */
static uint32_t text_bytes(const struct event *e)
{
	/* The end of a thread may be told by another. */
	uint32_t more =
	    e->thread && e->type != RING_THREAD_END ? load(&e->thread->labels_bytes) : 0;

	return e->text_bytes + more > RING_TEXT_MAX ? e->text_bytes : e->text_bytes + more;
}

static void fill(struct ring_record *r, const struct event *e, uint32_t bytes, uint32_t text)
{
	const struct thread *t = e->thread;
	unsigned char *p = (unsigned char *)r + sizeof(*r);

	r->bytes = bytes;
	r->type = (uint16_t)e->type;
	r->frames = e->frames_count;
	r->time_ns = e->time_ns;
	r->end = e->end;
	r->flags = e->flags;
	r->text_bytes = (uint16_t)text;
	r->reserved = 0;
	if (t) {
		r->tid = (uint32_t)t->tid;
		r->slot = thread_slot(t);
		r->generation = (uint16_t)session.slots[r->slot].generation;
		r->trace_id[0] = t->trace_id[0];
		r->trace_id[1] = t->trace_id[1];
		r->span_id = t->span_id;
		r->root_span_id = t->root_span_id;
		if (!r->span_id && e->type != RING_THREAD_END)
			(void)otel_foreign(r->trace_id, &r->span_id, &r->root_span_id);
	} else {
		r->tid = (uint32_t)syscall(SYS_gettid);
		r->slot = UINT32_MAX;
		r->generation = 0;
		r->trace_id[0] = r->trace_id[1] = r->span_id = r->root_span_id = 0;
	}
	memcpy(p, e->payload, e->payload_bytes);
	p += e->payload_bytes;
	if (e->frames_count)
		memcpy(p, e->frames, (size_t)e->frames_count * sizeof(*e->frames));
	p += (size_t)e->frames_count * sizeof(*e->frames);
	if (e->text_bytes)
		memcpy(p, e->text, e->text_bytes);
	if (text > e->text_bytes)
		memcpy(p + e->text_bytes, t->labels, text - e->text_bytes);
}

/* Samples go first: spans leave half of a ring to them. */
static bool leaves_room(const struct event *e, const struct ring_writer *w)
{
	uint64_t a = load(w->tail_a), b = load(w->tail_b);

	return e->type != RING_SPAN || load(&w->control->head) - (a < b ? a : b) < w->bytes / 2;
}

static void count(const struct event *e)
{
	if (e->type == RING_SPAN)
		add(&session.counters->spans, 1);
	else if (e->type != RING_THREAD_END && e->type != RING_SITE)
		add(&session.counters->samples[e->dimension], e->count ? e->count : 1);
}

bool event_write(const struct event *e)
{
	uint32_t text = text_bytes(e);
	uint32_t bytes = (uint32_t)(sizeof(struct ring_record) + e->payload_bytes +
				    e->frames_count * sizeof(uint64_t)) +
			 text;
	uint32_t rings = session.rings_count, tried = rings < RINGS_TRIED ? rings : RINGS_TRIED;
	int cpu = sched_getcpu();

	bytes = (bytes + RING_UNIT - 1) / RING_UNIT * RING_UNIT;
	for (uint32_t i = 0; i < tried; i++) {
		struct ring_writer w = ring_writer_at(((cpu < 0 ? 0 : (uint32_t)cpu) + i) % rings);
		uint64_t position;
		struct ring_record *r =
		    leaves_room(e, &w) ? ring_claim(&w, bytes, &position) : NULL;

		if (!r)
			continue;
		add(&session.counters->claims_open, 1);
		fill(r, e, bytes, text);
		ring_commit(r, position);
		add(&session.counters->claims_open, (uint64_t)-1);
		count(e);
		return true;
	}
	if (e->type == RING_SPAN)
		add(&session.counters->spans_dropped, 1);
	else
		add(&session.counters->drops[e->dimension][RING_DROP_RING_FULL],
		    e->count ? e->count : 1);
	return false;
}
