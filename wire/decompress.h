/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/decompress.h - undoes raw, gzip, zstd or LZ4 frame compression, as the magic says, within
 * limits.
 *
 * One layer only.  How much may come out is known before the first byte does: the smaller of the
 * limit on the plain size and, past the first MiB, `ratio` times the compressed size.  Hides the
 * libraries.  Any thread.
 */
#ifndef WIRE_DECOMPRESS_H
#define WIRE_DECOMPRESS_H

#include "base/buf.h"
#include "base/err.h"

/* The ratio does not count below this, since an empty page compresses well. */
#define DECOMPRESS_RATIO_FREE ((size_t)1 << 20)
#define DECOMPRESS_ZSTD_WINDOW_LOG 23 /* 8 MiB: what zstd -1 to -19 makes */

/* 0 means no limit. The names are the settings that errors speak of. */
struct decompress_limits {
	size_t compressed_bytes, plain_bytes, ratio;
	const char *compressed_setting, *plain_setting, *ratio_setting;
};

/*
 * Put the plain bytes into `ret_plain` (initialised here; the caller releases it after 0).
 * gzip may have several members, zstd and LZ4 several frames, skippable ones included; bytes behind
 * the last one are refused, and so are dictionaries.
 * Returns 0; -EINVAL damaged; -E2BIG over a limit, with limit, value and setting; -ENOMEM.
 */
MUST_CHECK int wire_decompress(const void *bytes, size_t len,
			       const struct decompress_limits *limits, struct buf *ret_plain,
			       struct err *err);

#endif
