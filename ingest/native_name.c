/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that only the agent can find, in the files of the process: of a static lock, of the
 * function that made a lock, of an exception's type.  They are asked for before a batch is made and
 * kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ingest/native_emit.h"

#define NAMES_MAX 4096 /* then all are asked for anew */

static const char type_key[] = "exception type";

static const char *type_of(const struct native_process *p, const struct native_pending *pending)
{
	if (pending->type != RING_SAMPLE_EXCEPTION || !pending->text_bytes)
		return NULL;
	const char *at = p->text + pending->text_at, *end = at + pending->text_bytes;

	while (at < end) {
		const char *value = at + strlen(at) + 1;

		if (!strcmp(at, type_key))
			return value;
		at = value + strlen(value) + 1;
	}
	return NULL;
}

static bool is_same(const struct native_question *a, const struct native_question *b)
{
	if (!a->type != !b->type)
		return false;
	return a->type ? !strcmp(a->type, b->type) : a->lock == b->lock && a->creator == b->creator;
}

static const struct native_name *name_find(const struct native_process *p,
					   const struct native_question *question)
{
	for (size_t i = 0; i < p->names_count; i++)
		if (is_same(&p->names[i].question, question))
			return &p->names[i];
	return NULL;
}

/* False: nothing to ask. */
static bool question_of(const struct native_process *p, const struct native_pending *pending,
			struct native_question *ret)
{
	*ret = (struct native_question){.type = type_of(p, pending)};
	if (ret->type)
		return true;
	/* A name that the program gave comes with the record. */
	if (pending->type != RING_SAMPLE_LOCK || pending->text_bytes)
		return false;
	ret->lock = pending->lock.lock;
	ret->creator = pending->lock.creator;
	return ret->lock >> RING_FRAME_ADDRESS_BITS || ret->creator >> RING_FRAME_ADDRESS_BITS;
}

size_t native_process_questions(const struct native_process *p, struct native_question *to,
				size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < p->pending_count && count < max; i++) {
		size_t k = 0;

		if (!question_of(p, &p->pending[i], &to[count]) || name_find(p, &to[count]))
			continue;
		while (k < count && !is_same(&to[k], &to[count]))
			k++;
		count += k == count;
	}
	return count;
}

void native_names_free(struct native_process *p)
{
	for (size_t i = 0; i < p->names_count; i++) {
		free(p->names[i].type);
		free(p->names[i].name);
	}
	free(p->names);
	p->names = NULL;
	p->names_count = p->names_capacity = 0;
}

int native_process_answer(struct native_process *p, const struct native_question *question,
			  const char *name)
{
	struct native_name kept = {.question = *question};

	if (name_find(p, question))
		return 0;
	if (p->names_count >= NAMES_MAX)
		native_names_free(p);
	if (array_grow(&p->names, sizeof(*p->names), &p->names_capacity, p->names_count + 1))
		return -ENOMEM;
	kept.name = strndup(name, NATIVE_NAME_MAX - 1);
	kept.type = question->type ? strdup(question->type) : NULL;
	if (!kept.name || (question->type && !kept.type)) {
		free(kept.name);
		free(kept.type);
		return -ENOMEM;
	}
	kept.question.type = kept.type;
	p->names[p->names_count++] = kept;
	return 0;
}

bool native_process_place(const struct native_process *p, uint64_t word, uint32_t *ret_module,
			  uint64_t *ret_address)
{
	uint32_t number = (uint32_t)(word >> RING_FRAME_ADDRESS_BITS);

	if (!number || number > p->modules_count)
		return false;
	*ret_module = number - 1;
	*ret_address = word & RING_FRAME_ADDRESS;
	return true;
}

struct str native_type_name(const struct native_process *p, struct str mangled)
{
	const struct native_question question = {.type = mangled.ptr};
	const struct native_name *known = name_find(p, &question);

	return known && known->name[0] ? (struct str){known->name, strlen(known->name)} : mangled;
}

void native_lock_name(const struct native_process *p, const struct ring_lock *lock,
		      char to[NATIVE_NAME_MAX])
{
	const struct native_question question = {.lock = lock->lock, .creator = lock->creator};
	const struct native_name *known = name_find(p, &question);
	unsigned long long address = lock->lock & RING_FRAME_ADDRESS;
	uint32_t number = (uint32_t)(lock->lock >> RING_FRAME_ADDRESS_BITS);
	const char *path, *slash;

	if (known && known->name[0]) {
		(void)snprintf(to, NATIVE_NAME_MAX, "%s", known->name);
	} else if (number && number <= p->modules_count) {
		path = p->modules[number - 1].path;
		slash = strrchr(path, '/');
		(void)snprintf(to, NATIVE_NAME_MAX, "%s+0x%llx", slash ? slash + 1 : path, address);
	} else {
		(void)snprintf(to, NATIVE_NAME_MAX, "0x%llx", address);
	}
}
