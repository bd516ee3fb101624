/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/slots.h - the slots of a hash table whose entries stand elsewhere, in an array by number.
 *
 * Open addressing; a slot is eight bytes: the `tag`, 32 bits of the entry's keyed hash, and the
 * entry's number.  So a look-up of what is not there mostly touches one cache line, and who calls
 * compares an entry only where the tag agrees.  A place is the tag's first bits: a table that grows
 * moves through the old and the new slots in order.  Nothing is removed.  One thread.
 *
 *	size_t at = slots_first(&s, tag);
 *	while ((number = slots_next(&s, tag, &at)) != SLOTS_NONE)
 *		if (entry[number] is the one)
 *			return number;
 */
#ifndef BASE_SLOTS_H
#define BASE_SLOTS_H

#include "base/util.h"

#define SLOTS_NONE UINT32_MAX

struct slots {
	struct slot {
		uint32_t tag, number; /* number + 1; 0 is free */
	} * table;
	size_t count, capacity; /* a power of two, or 0 */
	unsigned shift;         /* 32 - log2 of it */
};

void slots_release(struct slots *slots);
void slots_clear(struct slots *slots); /* empty again, memory kept */

/* Room for `more` entries. Returns 0 or -ENOMEM. */
MUST_CHECK int slots_reserve(struct slots *slots, size_t more);

/* Add an entry that is not there; `number` is below SLOTS_NONE - 1. Returns 0 or -ENOMEM. */
MUST_CHECK int slots_add(struct slots *slots, uint32_t tag, uint32_t number);

static inline size_t slots_first(const struct slots *slots, uint32_t tag)
{
	return slots->capacity ? tag >> slots->shift : 0;
}

/* The line that a look-up reads first, for who has others to look up meanwhile. */
static inline void slots_prefetch(const struct slots *slots, uint32_t tag)
{
	if (slots->capacity)
		__builtin_prefetch(&slots->table[tag >> slots->shift]);
}

static inline uint32_t slots_next(const struct slots *slots, uint32_t tag, size_t *at)
{
	while (slots->capacity) {
		struct slot slot = slots->table[*at];

		if (!slot.number)
			break;
		*at = (*at + 1) & (slots->capacity - 1);
		if (slot.tag == tag)
			return slot.number - 1;
	}
	return SLOTS_NONE;
}

/* Two words under two secret ones, mixed; and a tag for them. */
static inline uint64_t slots_mix_long(uint64_t a, uint64_t b, const uint64_t secret[2])
{
	unsigned __int128 product = (unsigned __int128)(a ^ secret[0]) * (b ^ secret[1]);

	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static inline uint32_t slots_mix(uint64_t a, uint64_t b, const uint64_t secret[2])
{
	return (uint32_t)slots_mix_long(a, b, secret);
}

#endif
