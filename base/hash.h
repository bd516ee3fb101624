/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/hash.h - two hashes, both of libxxhash's XXH3.
 *
 * `hash_keyed` is for tables in memory: its secret is drawn at start, so that nobody can choose
 * names that collide.  `hash128` is for identities that are stored and compared between files and
 * hosts: fixed for ever, never used to place an entry in a table without `hash_keyed` on top.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <string.h>

#include "base/util.h"

struct hash128 {
	uint64_t lo, hi;
};

uint64_t hash_keyed(const void *bytes, size_t len);
void hash_secret(uint64_t ret_words[2]); /* this process's, for a hash of the caller's */
struct hash128 hash128(const void *bytes, size_t len);

/* H(a, b): the link of a chain, as a stack's identity is built (docs/formats/identity.md). */
struct hash128 hash128_chain(struct hash128 parent, struct hash128 item);

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

static inline bool hash128_is_zero(struct hash128 h)
{
	return !h.lo && !h.hi;
}

/* A keyed table position for an identity. */
static inline uint64_t hash_of_identity(struct hash128 h)
{
	return hash_keyed(&h, sizeof(h));
}

#endif
