/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cursor.h - a bounded reader of DWARF's little encodings.
 *
 * Private to cfi.c and expression.c.  A read past the end yields 0 and sets `bad`, which the caller
 * looks at once, at the end.
 */
#ifndef CLIENT_CURSOR_H
#define CLIENT_CURSOR_H

#include "client/cfi.h"

struct cursor {
	uint64_t at, end, shift;
	bool bad;
};

static inline struct cursor cursor_at(const struct cfi_memory *m, uint64_t at)
{
	bool bad = at < m->lo || at > m->hi;

	return (struct cursor){bad ? m->hi : at, m->hi, m->shift, bad};
}

/* Little-endian unsigned of 1..8 bytes. */
static inline uint64_t cursor_unsigned(struct cursor *c, unsigned bytes)
{
	uint64_t v = 0;

	if (c->end - c->at < bytes) {
		c->bad = true;
		c->at = c->end;
		return 0;
	}
	__builtin_memcpy(&v, (const void *)(uintptr_t)(c->at + c->shift), bytes);
	c->at += bytes;
	return v;
}

static inline uint64_t cursor_signed(struct cursor *c, unsigned bytes)
{
	unsigned unused = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(cursor_unsigned(c, bytes) << unused) >> unused);
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)cursor_unsigned(c, 1);
}

static inline uint64_t cursor_leb(struct cursor *c, bool is_signed)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t b = cursor_u8(c);

		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (b & 0x80)
			continue;
		if (is_signed && b & 0x40 && shift + 7 < 64)
			v |= ~UINT64_C(0) << (shift + 7);
		return v;
	}
	c->bad = true;
	return 0;
}

static inline uint64_t cursor_uleb(struct cursor *c)
{
	return cursor_leb(c, false);
}

static inline int64_t cursor_sleb(struct cursor *c)
{
	return (int64_t)cursor_leb(c, true);
}

static inline void cursor_skip(struct cursor *c, uint64_t bytes)
{
	if (c->end - c->at < bytes) {
		c->bad = true;
		c->at = c->end;
	} else {
		c->at += bytes;
	}
}

#endif
