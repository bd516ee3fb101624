/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slots.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BITS_FIRST 6
#define BITS_MAX 31
#define LARGE_PAGE ((size_t)2 << 20)

void slots_release(struct slots *slots)
{
	free(slots->table);
	*slots = (struct slots){0};
}

void slots_clear(struct slots *slots)
{
	if (slots->count)
		memset(slots->table, 0, slots->capacity * sizeof(*slots->table));
	slots->count = 0;
}

static void insert(struct slots *slots, struct slot slot)
{
	size_t at = slot.tag >> slots->shift;

	while (slots->table[at].number)
		at = (at + 1) & (slots->capacity - 1);
	slots->table[at] = slot;
}

static bool is_full(size_t count, size_t capacity)
{
	return count * 3 > capacity * 2;
}

/* Places are read before they are written, so that each page of a large table would have two
 * faults; few tables are large. */
static void *zeroes(size_t bytes)
{
	void *p = NULL;

	if (bytes < LARGE_PAGE)
		return calloc(1, bytes);
	if (posix_memalign(&p, LARGE_PAGE, bytes))
		return NULL;
	(void)madvise(p, bytes, MADV_HUGEPAGE);
	return memset(p, 0, bytes);
}

static int grow(struct slots *slots, size_t count)
{
	struct slots bigger = *slots;

	bigger.shift = slots->capacity ? slots->shift - 1 : 32 - BITS_FIRST;
	while (32 - bigger.shift <= BITS_MAX && is_full(count, (size_t)1 << (32 - bigger.shift)))
		bigger.shift--;
	if (32 - bigger.shift > BITS_MAX)
		return -ENOMEM;
	bigger.capacity = (size_t)1 << (32 - bigger.shift);
	bigger.table = zeroes(bigger.capacity * sizeof(*bigger.table));
	if (!bigger.table)
		return -ENOMEM;
	for (size_t i = 0; i < slots->capacity; i++)
		if (slots->table[i].number)
			insert(&bigger, slots->table[i]);
	free(slots->table);
	*slots = bigger;
	return 0;
}

int slots_reserve(struct slots *slots, size_t more)
{
	return is_full(slots->count + more, slots->capacity) ? grow(slots, slots->count + more) : 0;
}

int slots_add(struct slots *slots, uint32_t tag, uint32_t number)
{
	int rc = slots_reserve(slots, 1);

	if (rc)
		return rc;
	insert(slots, (struct slot){tag, number + 1});
	slots->count++;
	return 0;
}
