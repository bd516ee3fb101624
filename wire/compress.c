/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/compress.h"

#include <errno.h>
#include <libdeflate.h>
#include <zstd.h>

#define GZIP_LEVEL 6
#define ZSTD_LEVEL 3

int wire_compress_gzip(const void *bytes, size_t len, struct buf *to)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(GZIP_LEVEL);

	if (!c)
		return -ENOMEM;
	size_t room = libdeflate_gzip_compress_bound(c, len);
	char *at = buf_reserve(to, room);

	if (at)
		to->len += libdeflate_gzip_compress(c, bytes, len, at, room);
	libdeflate_free_compressor(c);
	return to->failed;
}

int wire_compress_zstd(const void *bytes, size_t len, struct buf *to)
{
	size_t room = ZSTD_compressBound(len);
	char *at = buf_reserve(to, room);

	if (!at)
		return to->failed;
	size_t made = ZSTD_compress(at, room, bytes, len, ZSTD_LEVEL);

	/* With enough room only memory can fail. */
	if (ZSTD_isError(made))
		return to->failed = -ENOMEM;
	to->len += made;
	return 0;
}
