/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/compress.h - compresses answers and exports.  Any thread.
 */
#ifndef WIRE_COMPRESS_H
#define WIRE_COMPRESS_H

#include "base/buf.h"

/* Append `len` bytes to `to` as one gzip member (level 6) or one zstd frame (level 3).
 * Returns 0, -ENOMEM, or -E2BIG when `to` may not grow that far. */
MUST_CHECK int wire_compress_gzip(const void *bytes, size_t len, struct buf *to);
MUST_CHECK int wire_compress_zstd(const void *bytes, size_t len, struct buf *to);

#endif
