/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/buf.h - a growable run of bytes that knows its maximum from birth.
 *
 * An append beyond the maximum, or without memory, sets `failed` and appends nothing;
 * later appends do nothing, so a writer checks once at its end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>

#include "base/util.h"
#include "base/varint.h"

struct buf {
	char *data;
	size_t len, capacity, max;
	int failed; /* 0, -ENOMEM or -E2BIG */
};

#define BUF_UNLIMITED SIZE_MAX

void buf_init(struct buf *buf, size_t max);
void buf_release(struct buf *buf);
void buf_clear(struct buf *buf); /* empty again, memory kept, failure forgotten */

/* Each returns 0 or the sticky failure. */
int buf_add(struct buf *buf, const void *bytes, size_t len);
int buf_add_str(struct buf *buf, const char *text);
int buf_add_byte(struct buf *buf, uint8_t byte);
int buf_printf(struct buf *buf, const char *fmt, ...) PRINTF(2, 3);

/* Make room for `len` more bytes and return where they go, or NULL; the caller adds to `len`. */
char *buf_reserve(struct buf *buf, size_t len);

static inline int buf_add_varint(struct buf *buf, uint64_t value)
{
	if (buf->failed || buf->capacity - buf->len < VARINT_MAX ||
	    buf->max - buf->len < VARINT_MAX) {
		uint8_t bytes[VARINT_MAX];

		return buf_add(buf, bytes, varint_put(bytes, value));
	}
	buf->len += varint_put((uint8_t *)buf->data + buf->len, value);
	return 0;
}

/* Put a NUL behind the text (not counted in len) and return it; NULL on failure. */
const char *buf_cstr(struct buf *buf);

#endif
