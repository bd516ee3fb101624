/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/span.c - spans, names and labels: what a program tells about its threads.
 *
 * Each call changes the calling thread's state alone.  A handler may look at it between two stores:
 * span_id is taken away first and put back last, so that it never sees the ids of two spans.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/hearth.h"
#include "client/lock_names.h"
#include "client/thread.h"

struct hearth_span {
	struct thread *thread;
	uint64_t epoch;
	struct hearth_span *outer;
	uint64_t trace_id[2], span_id, root_span_id;
};

static uint64_t random_id(void)
{
	uint64_t v = 0;

	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != sizeof(v) || v == 0)
		v = (uint64_t)clock_exact_ns() * UINT64_C(0x9e3779b97f4a7c15) | 1;
	return v;
}

/* What the kernel's reader and the handler see of a thread. */
static void show(struct thread *t, const struct hearth_span *s)
{
	static const struct hearth_span none;
	struct ring_thread *slot = &session.slots[thread_slot(t)];

	s = s ? s : &none;
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

struct hearth_span *hearth_span_begin(const char *operation, const char *endpoint,
				      const unsigned char trace_id[16], uint64_t span_id)
{
	struct thread *t = session_running() ? thread_self_make() : NULL;
	struct hearth_span *s = t ? calloc(1, sizeof(*s)) : NULL;

	(void)operation;
	(void)endpoint;
	if (!s)
		return NULL;
	s->thread = t;
	s->epoch = session.epoch;
	s->outer = t->span;
	s->span_id = span_id ? span_id : random_id();
	s->root_span_id = s->outer ? s->outer->root_span_id : s->span_id;
	if (trace_id)
		memcpy(s->trace_id, trace_id, sizeof(s->trace_id));
	else if (s->outer)
		memcpy(s->trace_id, s->outer->trace_id, sizeof(s->trace_id));
	else
		s->trace_id[0] = random_id(), s->trace_id[1] = random_id();
	t->span = s;
	show(t, s);
	return s;
}

/* The span is open on the calling thread. */
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

int hearth_span_end(struct hearth_span *span)
{
	struct thread *t = holder(span);
	struct hearth_span *s, *outer;

	if (!t)
		return HEARTH_E_ARGUMENT;
	outer = span->outer;
	show(t, outer);
	while ((s = t->span) != outer) {
		t->span = s->outer;
		free(s);
	}
	return HEARTH_OK;
}

int hearth_span_endpoint(struct hearth_span *span, const char *endpoint)
{
	if (!span || !endpoint)
		return HEARTH_E_ARGUMENT;
	return HEARTH_E_NOT_YET;
}

int hearth_log_context(char *buffer, size_t size)
{
	const struct thread *t = session_live() ? thread_self() : NULL;
	const unsigned char *id;
	char text[64];
	int n = 0;

	if (!buffer || size == 0)
		return HEARTH_E_ARGUMENT;
	buffer[0] = 0;
	if (!t || !t->span_id)
		return 0;
	id = (const unsigned char *)t->trace_id;
	n += snprintf(text, sizeof(text), "trace_id=");
	for (int i = 0; i < 16; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%02x", id[i]);
	return snprintf(buffer, size, "%s span_id=%016llx", text, (unsigned long long)t->span_id);
}

int hearth_thread_name(const char *name)
{
	struct thread *t;
	struct ring_thread *slot;
	size_t bytes = name ? strlen(name) : 0;

	if (bytes >= sizeof(slot->name))
		return HEARTH_E_LIMIT;
	if (!session_running())
		return HEARTH_E_STOPPED;
	t = thread_self_make();
	if (!t)
		return HEARTH_E_LIMIT;
	slot = &session.slots[thread_slot(t)];
	add(&slot->sequence, 1);
	store_fence();
	memset(slot->name, 0, sizeof(slot->name));
	memcpy(slot->name, name ? name : "", bytes);
	store_fence();
	add(&slot->sequence, 1);
	return HEARTH_OK;
}

int hearth_lock_name(const void *lock, const char *name)
{
	return lock && name ? lock_name_set(lock, name) : HEARTH_E_ARGUMENT;
}

int hearth_label_set(const char *key, const char *value)
{
	return key && value ? HEARTH_E_NOT_YET : HEARTH_E_ARGUMENT;
}
