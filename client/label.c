/* SPDX-License-Identifier: Apache-2.0 */
#include "client/label.h"

#include <string.h>

#include "client/hearth.h"
#include "client/thread.h"

#define LABELS_MAX 10
#define KEY_MAX 64

/* Keys that records have from elsewhere. */
static const char *const reserved[] = {LABEL_ENDPOINT,       LABEL_TASK,  "thread id",
				       "thread name",        "trace id",  "span id",
				       "local root span id", "lock name", "exception type"};

static bool is_reserved(const char *key)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		if (!strcmp(key, reserved[i]))
			return true;
	return false;
}

/* The text without `key`, into `to`; how many labels of the program are in it. */
static uint32_t copy_without(const struct thread *t, const char *key, char *to,
			     unsigned *ret_labels)
{
	uint32_t bytes = 0, at = 0;

	*ret_labels = 0;
	while (at < t->labels_bytes) {
		const char *have = t->labels + at;
		size_t n = strlen(have) + 1;

		n += strlen(have + n) + 1;
		at += (uint32_t)n;
		if (!strcmp(have, key))
			continue;
		memcpy(to + bytes, have, n);
		bytes += (uint32_t)n;
		*ret_labels += !is_reserved(have);
	}
	return bytes;
}

int label_put(struct thread *t, const char *key, const char *value)
{
	char text[THREAD_LABELS_BYTES];
	unsigned labels;
	size_t key_bytes = strlen(key) + 1, value_bytes = value ? strlen(value) + 1 : 0;
	uint32_t bytes = copy_without(t, key, text, &labels);

	if (value_bytes > 1) {
		if (value_bytes > LABEL_VALUE_MAX + 1 ||
		    key_bytes + value_bytes > sizeof(text) - bytes ||
		    (labels == LABELS_MAX && !is_reserved(key)))
			return HEARTH_E_LIMIT;
		memcpy(text + bytes, key, key_bytes);
		memcpy(text + bytes + key_bytes, value, value_bytes);
		bytes += (uint32_t)(key_bytes + value_bytes);
	}
	store(&t->labels_bytes, 0);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memcpy(t->labels, text, bytes);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	store(&t->labels_bytes, bytes);
	return HEARTH_OK;
}

static int set(const char *key, const char *value)
{
	struct thread *t;

	if (!session_live())
		return HEARTH_E_STOPPED;
	t = thread_self_make();
	return t ? label_put(t, key, value) : HEARTH_E_LIMIT;
}

int hearth_label_set(const char *key, const char *value)
{
	if (!key || !*key || is_reserved(key))
		return HEARTH_E_ARGUMENT;
	if (strlen(key) > KEY_MAX)
		return HEARTH_E_LIMIT;
	return set(key, value);
}

int hearth_task_name(const char *name)
{
	return set(LABEL_TASK, name);
}

int hearth_thread_name(const char *name)
{
	struct thread *t;
	struct ring_thread *slot;
	size_t bytes = name ? strlen(name) : 0;

	if (bytes >= sizeof(slot->name))
		return HEARTH_E_LIMIT;
	if (!session_live())
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
