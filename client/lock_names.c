/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lock_names.h"

#include <pthread.h>
#include <string.h>

#include "client/atomics.h"
#include "client/hearth.h"

#define CREATORS 4096

/* `sequence` is odd while an entry changes.  Entries below `count` were used once. */
struct entry {
	uint32_t sequence;
	const void *lock; /* NULL: free */
	uint64_t name[LOCK_NAME_BYTES / sizeof(uint64_t)];
};

static struct {
	pthread_mutex_t lock; /* of those who write */
	uint32_t count;
	struct entry entries[LOCK_NAMES_MAX];
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* By hash, the later one wins: a program may make any number of locks. */
static struct {
	const void *lock;
	uint64_t pc;
} creators[CREATORS];

static void change(struct entry *e, const void *lock, const char *name, size_t bytes)
{
	uint64_t words[LOCK_NAME_BYTES / sizeof(uint64_t)] = {0};

	memcpy(words, name, bytes);
	store(&e->sequence, e->sequence + 1);
	store_fence();
	store(&e->lock, lock);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		store(&e->name[i], words[i]);
	store_release(&e->sequence, e->sequence + 1);
}

static int set_locked(const void *lock, const char *name, size_t bytes)
{
	struct entry *at = NULL, *unused = NULL;

	for (uint32_t i = 0; i < names.count && !at; i++) {
		struct entry *e = &names.entries[i];

		if (e->lock == lock)
			at = e;
		else if (!e->lock && !unused)
			unused = e;
	}
	if (bytes == 0) {
		if (at)
			change(at, NULL, "", 0);
		return HEARTH_OK;
	}
	if (!at)
		at = unused;
	if (!at && names.count == LOCK_NAMES_MAX)
		return HEARTH_E_LIMIT;
	if (!at)
		at = &names.entries[names.count];
	change(at, lock, name, bytes);
	if (at == &names.entries[names.count])
		store_release(&names.count, names.count + 1);
	return HEARTH_OK;
}

int lock_name_set(const void *lock, const char *name)
{
	size_t bytes = strlen(name);
	int r;

	if (bytes >= LOCK_NAME_BYTES)
		return HEARTH_E_LIMIT;
	pthread_mutex_lock(&names.lock);
	r = set_locked(lock, name, bytes);
	pthread_mutex_unlock(&names.lock);
	return r;
}

static bool copy(const struct entry *e, const void *lock, char to[LOCK_NAME_BYTES])
{
	uint32_t sequence = load_acquire(&e->sequence);

	if (load(&e->lock) != lock)
		return false;
	for (size_t i = 0; i < LOCK_NAME_BYTES / sizeof(uint64_t); i++) {
		uint64_t word = load_acquire(&e->name[i]);

		memcpy(to + i * sizeof(word), &word, sizeof(word));
	}
	to[LOCK_NAME_BYTES - 1] = 0;
	/* Else it is being renamed at this instant. */
	return !(sequence & 1) && load(&e->sequence) == sequence;
}

uint16_t lock_name_text(const void *lock, char to[LOCK_TEXT_BYTES])
{
	uint32_t count = load_acquire(&names.count);

	memcpy(to, LOCK_NAME_KEY, sizeof(LOCK_NAME_KEY));
	for (uint32_t i = 0; i < count; i++)
		if (copy(&names.entries[i], lock, to + sizeof(LOCK_NAME_KEY)))
			return (uint16_t)(sizeof(LOCK_NAME_KEY) +
					  strlen(to + sizeof(LOCK_NAME_KEY)) + 1);
	return 0;
}

static uint32_t creator_place(const void *lock)
{
	return (uint32_t)(uintptr_t)lock * UINT32_C(0x9e3779b1) >> 20;
}

void lock_creator_set(const void *lock, uint64_t pc)
{
	uint32_t at = creator_place(lock);

	_Static_assert(CREATORS == 1 << 12, "creator_place gives 12 bits");
	store(&creators[at].lock, NULL);
	store_fence();
	store(&creators[at].pc, pc);
	store_release(&creators[at].lock, lock);
}

uint64_t lock_creator_get(const void *lock)
{
	uint32_t at = creator_place(lock);
	uint64_t pc;

	if (load_acquire(&creators[at].lock) != lock)
		return 0;
	pc = load_acquire(&creators[at].pc);
	return load(&creators[at].lock) == lock ? pc : 0;
}
