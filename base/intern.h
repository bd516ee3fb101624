/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/intern.h - equal strings get equal small numbers, in first-seen order; 0 is "".
 *
 * Strings are copied into the table's own arena and stay where they are until release.
 */
#ifndef BASE_INTERN_H
#define BASE_INTERN_H

#include "base/arena.h"
#include "base/slots.h"

struct intern {
	struct arena arena;
	struct str *strings;
	size_t count, capacity;
	struct slots slots;
};

/* `max_bytes` bounds the text; more returns -E2BIG from intern_put. Returns 0 or -ENOMEM. */
MUST_CHECK int intern_init(struct intern *intern, size_t max_bytes);
void intern_release(struct intern *intern);
/* Empty again, with as much of the memory as is worth keeping. Returns 0 or -ENOMEM. */
MUST_CHECK int intern_clear(struct intern *intern);

/* Room for `more` strings, not for their text. Returns 0 or -ENOMEM. */
MUST_CHECK int intern_reserve(struct intern *intern, size_t more);

/* Returns 0, -ENOMEM or -E2BIG. */
MUST_CHECK int intern_put(struct intern *intern, const char *bytes, size_t len, uint32_t *ret_id);

/*
 * The same in steps, for who has many to put: the first two read what the third will, without
 * waiting.
 *
 *	for each: tags[i] = intern_tag(&in, text[i]);
 *	for each: intern_prefetch(&in, tags[i]);
 *	for each: rc = intern_put_tagged(&in, tags[i], text[i], &ids[i]);
 */
uint32_t intern_tag(const struct intern *intern, struct str text);
void intern_prefetch(const struct intern *intern, uint32_t tag);
MUST_CHECK int intern_put_tagged(struct intern *intern, uint32_t tag, struct str text,
				 uint32_t *ret_id);

/* Add without looking for an equal one, and never find it: for texts that are known again by other
 * means. */
MUST_CHECK int intern_append(struct intern *intern, struct str text, uint32_t *ret_id);

/* The string of `id`; "" when there is none. NUL-terminated. */
struct str intern_get(const struct intern *intern, uint32_t id);

/* The id of a string that is there, or -1. */
int64_t intern_find(const struct intern *intern, const char *bytes, size_t len);

#endif
