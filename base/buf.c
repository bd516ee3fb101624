/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){.max = max};
}

void buf_release(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->failed = 0;
}

char *buf_reserve(struct buf *buf, size_t len)
{
	if (buf->failed)
		return NULL;
	if (len > buf->max || buf->len > buf->max - len) {
		buf->failed = -E2BIG;
		return NULL;
	}
	buf->failed = array_grow(&buf->data, 1, &buf->capacity, buf->len + len);
	return buf->failed ? NULL : buf->data + buf->len;
}

int buf_add(struct buf *buf, const void *bytes, size_t len)
{
	if (!len)
		return buf->failed;
	char *to = buf_reserve(buf, len);

	if (!to)
		return buf->failed;
	memcpy(to, bytes, len);
	buf->len += len;
	return 0;
}

int buf_add_str(struct buf *buf, const char *text)
{
	return buf_add(buf, text, strlen(text));
}

int buf_add_byte(struct buf *buf, uint8_t byte)
{
	return buf_add(buf, &byte, 1);
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args, again;

	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);

	va_end(args);
	char *to = n < 0 ? NULL : buf_reserve(buf, (size_t)n + 1);

	if (to) {
		(void)vsnprintf(to, (size_t)n + 1, fmt, again);
		buf->len += (size_t)n;
	}
	va_end(again);
	return buf->failed;
}

const char *buf_cstr(struct buf *buf)
{
	char *end = buf_reserve(buf, 1);

	if (!end)
		return NULL;
	*end = '\0';
	return buf->data;
}
