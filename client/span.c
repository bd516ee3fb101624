/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/span.c - spans, and the line that ties a log to them.
 *
 * Each call changes the calling thread's state alone.  A handler may look at it between two stores:
 * span_id is taken away first and put back last, so that it never sees the ids of two spans.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/hearth.h"
#include "client/label.h"
#include "client/lock_names.h"
#include "client/otel.h"
#include "client/profiler.h"
#include "client/thread.h"
#include "client/write.h"

#define OPERATION_MAX 100
#define LABELS_TRIES 4

struct hearth_span {
	struct hearth_span *outer;
	uint64_t trace_id[2], span_id, parent_span_id, root_span_id;
	int64_t start_ns;
	char operation[OPERATION_MAX + 1];
	char endpoint[LABEL_VALUE_MAX + 1]; /* of an outermost span */
};

static uint64_t rotate(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

/*
 * Never 0.  Each thread draws its own by xoroshiro128+ (Blackman and Vigna, 2018) from a state that
 * the kernel gave it once, so that spans cost no system call; a forked child finds the state wiped.
 */
static uint64_t random_id(struct thread *t)
{
	uint64_t a = t->ids[0], b = t->ids[1], v;

	if (!(a | b) && getrandom(t->ids, sizeof(t->ids), GRND_NONBLOCK) != sizeof(t->ids)) {
		t->ids[0] = (uint64_t)clock_exact_ns();
		t->ids[1] = (uint64_t)t->tid << 32 | 1;
	}
	a = t->ids[0];
	b = t->ids[1];
	v = a + b;
	b ^= a;
	t->ids[0] = rotate(a, 24) ^ b ^ b << 16;
	t->ids[1] = rotate(b, 37);
	return v ? v : 1;
}

/* What the agent, through the slot, and a handler see of a thread. */
static void show(struct thread *t, const struct hearth_span *s)
{
	static const struct hearth_span none;
	struct ring_thread *slot = &session.slots[thread_slot(t)];

	s = s ? s : &none;
	otel_show(t, s->trace_id, s->span_id, s->root_span_id);
	if (!profiler_config()->spans)
		s = &none;
	store(&t->span_id, 0);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memcpy(t->trace_id, s->trace_id, sizeof(t->trace_id));
	t->root_span_id = s->root_span_id;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	store(&t->span_id, s->span_id);

	add(&slot->sequence, 1);
	store_fence();
	memcpy(slot->trace_id, s->trace_id, sizeof(slot->trace_id));
	slot->span_id = s->span_id;
	slot->root_span_id = s->root_span_id;
	store_fence();
	add(&slot->sequence, 1);
}

static struct hearth_span *outermost(struct hearth_span *s)
{
	while (s->outer)
		s = s->outer;
	return s;
}

/* Copy as much as fits, never a part of a UTF-8 character. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size)
		for (n = size - 1; n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80;)
			n--;
	memcpy(to, from, n);
	to[n] = 0;
}

static void set_endpoint(struct thread *t, struct hearth_span *s, const char *endpoint)
{
	if (!profiler_config()->endpoints)
		return;
	copy_text(s->endpoint, sizeof(s->endpoint), endpoint);
	/* Where other labels leave no room for it, the span's record still says it. */
	(void)label_put(t, LABEL_ENDPOINT, s->endpoint);
}

/* The span goes into the one that is open here, or into another tracer's, or stands alone. */
static void set_ids(struct thread *t, struct hearth_span *s, const unsigned char *trace_id,
		    uint64_t span_id)
{
	uint64_t ignored;

	s->span_id = span_id ? span_id : random_id(t);
	s->root_span_id = s->span_id;
	if (s->outer) {
		memcpy(s->trace_id, s->outer->trace_id, sizeof(s->trace_id));
		s->parent_span_id = s->outer->span_id;
		s->root_span_id = s->outer->root_span_id;
	} else if (!otel_foreign(s->trace_id, &s->parent_span_id, &ignored)) {
		s->trace_id[0] = random_id(t), s->trace_id[1] = random_id(t);
	}
	if (trace_id)
		memcpy(s->trace_id, trace_id, sizeof(s->trace_id));
}

struct hearth_span *hearth_span_begin(const char *operation, const char *endpoint,
				      const unsigned char trace_id[16], uint64_t span_id)
{
	struct thread *t = session_running() ? thread_self_make() : NULL;
	struct hearth_span *s = t ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	s->outer = t->span;
	set_ids(t, s, trace_id, span_id);
	copy_text(s->operation, sizeof(s->operation), operation ? operation : "");
	s->start_ns = clock_exact_ns();
	t->span = s;
	if (endpoint && (!s->outer || !outermost(s)->endpoint[0]))
		set_endpoint(t, outermost(s), endpoint);
	show(t, s);
	return s;
}

/* The state of the calling thread, if the span is open there. */
static struct thread *holder(const struct hearth_span *span)
{
	struct thread *t = session_live() ? thread_self() : NULL;

	if (!t || !span)
		return NULL;
	for (const struct hearth_span *s = t->span; s; s = s->outer)
		if (s == span)
			return t;
	return NULL;
}

static uint16_t put_pair(char *to, const char *key, const char *value)
{
	size_t n = strlen(key) + 1, v = strlen(value) + 1;

	if (v == 1)
		return 0;
	memcpy(to, key, n);
	memcpy(to + n, value, v);
	return (uint16_t)(n + v);
}

static void record(struct thread *t, const struct hearth_span *s)
{
	char text[OPERATION_MAX + LABEL_VALUE_MAX + 32];
	struct ring_span payload = {
	    .trace_id = {s->trace_id[0], s->trace_id[1]},
	    .span_id = s->span_id,
	    .parent_span_id = s->parent_span_id,
	    .root_span_id = s->root_span_id,
	    .start_ns = s->start_ns,
	    .duration_ns = (uint64_t)(clock_exact_ns() - s->start_ns),
	};
	struct event e = {.type = RING_SPAN,
			  .payload = &payload,
			  .payload_bytes = sizeof(payload),
			  .text = text,
			  .time_ns = clock_coarse_ns(),
			  .thread = t};

	e.text_bytes = put_pair(text, "operation", s->operation);
	e.text_bytes =
	    (uint16_t)(e.text_bytes + put_pair(text + e.text_bytes, "endpoint", s->endpoint));
	(void)event_write(&e);
}

int hearth_span_end(struct hearth_span *span)
{
	struct thread *t = holder(span);
	struct hearth_span *s, *outer;

	if (!t)
		return HEARTH_E_ARGUMENT;
	outer = span->outer;
	while ((s = t->span) != outer) {
		if (load(&session.running))
			record(t, s);
		t->span = s->outer;
		show(t, s->outer);
		if (!s->outer && s->endpoint[0])
			(void)label_put(t, LABEL_ENDPOINT, NULL);
		free(s);
	}
	return HEARTH_OK;
}

int hearth_span_endpoint(struct hearth_span *span, const char *endpoint)
{
	struct thread *t = holder(span);

	if (!t || !endpoint)
		return HEARTH_E_ARGUMENT;
	if (strlen(endpoint) > LABEL_VALUE_MAX)
		return HEARTH_E_LIMIT;
	set_endpoint(t, outermost(span), endpoint);
	return HEARTH_OK;
}

/* ---- a log line's context ---- */

struct line {
	char *to;
	size_t size, length; /* `length` counts what did not fit as well */
};

static void put(struct line *l, char c)
{
	if (l->length + 1 < l->size)
		l->to[l->length] = c;
	l->length++;
}

static void put_hex(struct line *l, const unsigned char *bytes, int n)
{
	for (int i = 0; i < n; i++) {
		put(l, "0123456789abcdef"[bytes[i] >> 4]);
		put(l, "0123456789abcdef"[bytes[i] & 15]);
	}
}

static void put_key(struct line *l, const char *key)
{
	if (l->length)
		put(l, ' ');
	while (*key)
		put(l, *key++);
	put(l, '=');
}

/* Quoted when a reader could not tell where it ends; what would break the line becomes '?'. */
static void put_value(struct line *l, const char *value)
{
	bool quoted = value[strcspn(value, " \"=")] != 0;

	if (quoted)
		put(l, '"');
	for (; *value; value++) {
		if (quoted && (*value == '"' || *value == '\\'))
			put(l, '\\');
		put(l, (unsigned char)*value < ' ' || *value == 127 ? '?' : *value);
	}
	if (quoted)
		put(l, '"');
}

static void put_ids(struct line *l)
{
	const struct thread *t = thread_self();
	uint64_t trace_id[2], span_id, root_span_id;
	unsigned char id[8];

	if (t && t->span) {
		memcpy(trace_id, t->span->trace_id, sizeof(trace_id));
		span_id = t->span->span_id;
	} else if (!otel_foreign(trace_id, &span_id, &root_span_id)) {
		return;
	}
	put_key(l, "trace_id");
	put_hex(l, (const unsigned char *)trace_id, 16);
	put_key(l, "span_id");
	for (int i = 0; i < 8; i++)
		id[i] = (unsigned char)(span_id >> (56 - 8 * i));
	put_hex(l, id, 8);
}

static void put_labels(struct line *l)
{
	const struct config *c = profiler_config();

	for (uint32_t at = 0; at < c->text_bytes;) {
		const char *key = c->text + at, *value = key + strlen(key) + 1;

		if (!strcmp(key, "service") || !strcmp(key, "env") || !strcmp(key, "version")) {
			put_key(l, key);
			put_value(l, value);
		}
		at = (uint32_t)(value + strlen(value) + 1 - c->text);
	}
}

int hearth_log_context(char *buffer, size_t size)
{
	struct line l = {buffer, size, 0};
	size_t ids;

	if (!buffer || size == 0)
		return HEARTH_E_ARGUMENT;
	if (session_live())
		put_ids(&l);
	ids = l.length;
	/* Another thread may be starting a profiler with other labels: then these are tried
	 * again. */
	for (int i = 0; i < LABELS_TRIES; i++) {
		uint32_t before = profiler_config_sequence();

		l.length = ids;
		put_labels(&l);
		if (before % 2 == 0 && profiler_config_sequence() == before)
			break;
		l.length = ids;
	}
	buffer[l.length < size ? l.length : size - 1] = 0;
	return (int)l.length;
}

int hearth_lock_name(const void *lock, const char *name)
{
	return lock && name ? lock_name_set(lock, name) : HEARTH_E_ARGUMENT;
}
