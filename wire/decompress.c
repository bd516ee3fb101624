/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/decompress.h"

#include <errno.h>
#include <libdeflate.h>
#include <lz4frame.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define GZIP_MEMBER_MIN 18 /* header, empty block, CRC and size: RFC 1952 */
#define OUT_STEP ((size_t)128 << 10)

struct job {
	const struct decompress_limits *limits;
	const uint8_t *bytes;
	size_t len;
	size_t most; /* plain bytes that may come out */
	struct buf *out;
	struct err *err;
};

static bool is_gzip(const uint8_t *p, size_t len)
{
	return len >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* RFC 8878: the frame's magic, or one of the sixteen of skippable frames. */
static bool is_zstd(const uint8_t *p, size_t len)
{
	return len >= 4 && (le32(p) == ZSTD_MAGICNUMBER ||
			    (le32(p) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START);
}

/* More than `most` came out: name the limit that `most` came from. */
static int too_much(const struct job *job)
{
	const struct decompress_limits *l = job->limits;

	if (l->plain_bytes && job->most == l->plain_bytes)
		return err_set(job->err, -E2BIG,
			       "decompressed body of more than %zu bytes, limit %zu (%s)",
			       job->most, l->plain_bytes, l->plain_setting);
	return err_set(job->err, -E2BIG,
		       "body of %zu bytes decompresses to more than %zu, limit %zu times (%s)",
		       job->len, job->most, l->ratio, l->ratio_setting);
}

static size_t most_of(const struct decompress_limits *l, size_t len)
{
	size_t most = l->plain_bytes ? l->plain_bytes : SIZE_MAX;

	if (l->ratio && len <= SIZE_MAX / l->ratio)
		most = MIN(most, MAX(len * l->ratio, DECOMPRESS_RATIO_FREE));
	return most;
}

/* Make room for at least one more byte of output, `want` if that may be. Sets *ret_room. */
static int room_make(struct job *job, size_t want, size_t *ret_room)
{
	size_t room = MIN(want, job->most - job->out->len);

	if (!room)
		return too_much(job);
	if (!buf_reserve(job->out, room))
		return err_set(job->err, -ENOMEM, "decompressing: out of memory");
	*ret_room = room;
	return 0;
}

/* One member. libdeflate wants room for all of it, so a guess that was short is doubled. */
static int gunzip_member(struct job *job, struct libdeflate_decompressor *d, const uint8_t **at)
{
	size_t left = (size_t)(job->bytes + job->len - *at);
	size_t guess = left >= GZIP_MEMBER_MIN ? le32(job->bytes + job->len - 4) : 0;
	size_t used, made, room;

	/* The trailer is the sender's word, so it is trusted only for what profiles come to. */
	guess = MAX(MIN(guess, left * 32), (size_t)1024);
	for (;;) {
		/* An empty member needs no room, but a buffer must be there. */
		int rc = job->out->len < job->most ? room_make(job, guess, &room) : 0;

		if (rc)
			return rc;
		if (job->out->len == job->most)
			room = 0;
		enum libdeflate_result result = libdeflate_gzip_decompress_ex(
		    d, *at, left, job->out->data + job->out->len, room, &used, &made);

		if (result == LIBDEFLATE_SUCCESS) {
			job->out->len += made;
			*at += used;
			return 0;
		}
		if (result != LIBDEFLATE_INSUFFICIENT_SPACE)
			return err_set(job->err, -EINVAL, "gzip: damaged at byte %td",
				       *at - job->bytes);
		if (room == job->most - job->out->len)
			return too_much(job);
		guess = room * 2;
	}
}

static int gunzip(struct job *job)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	const uint8_t *at = job->bytes, *end = job->bytes + job->len;
	int rc = 0;

	if (!d)
		return err_set(job->err, -ENOMEM, "gzip: out of memory");
	while (!rc && at < end) {
		if (!is_gzip(at, (size_t)(end - at)))
			rc = err_set(job->err, -EINVAL, "gzip: %td bytes behind the last member",
				     end - at);
		else
			rc = gunzip_member(job, d, &at);
	}
	libdeflate_free_decompressor(d);
	return rc;
}

static int zstd_failed(const struct job *job, size_t code)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		return err_set(job->err, -ENOMEM, "zstd: out of memory");
	case ZSTD_error_frameParameter_windowTooLarge:
		return err_set(job->err, -E2BIG,
			       "zstd: the frame's window is larger than %zu bytes (fixed limit)",
			       (size_t)1 << DECOMPRESS_ZSTD_WINDOW_LOG);
	default:
		return err_set(job->err, -EINVAL, "zstd: %s", ZSTD_getErrorName(code));
	}
}

static int unzstd_all(struct job *job, ZSTD_DCtx *ctx)
{
	ZSTD_inBuffer in = {job->bytes, job->len, 0};
	size_t left = ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, DECOMPRESS_ZSTD_WINDOW_LOG);

	if (ZSTD_isError(left))
		return zstd_failed(job, left);
	for (;;) {
		size_t room, in_was = in.pos;
		char spare; /* tells "full and finished" from "more than may be" */
		bool full = job->out->len == job->most;
		int rc = full ? 0 : room_make(job, OUT_STEP, &room);

		if (rc)
			return rc;
		ZSTD_outBuffer out = {full ? &spare : job->out->data + job->out->len,
				      full ? 1 : room, 0};

		left = ZSTD_decompressStream(ctx, &out, &in);
		if (ZSTD_isError(left))
			return zstd_failed(job, left);
		if (full && out.pos)
			return too_much(job);
		job->out->len += full ? 0 : out.pos;
		if (in.pos == in.size && !left)
			return 0;
		/* No step forward although there was room: the input ends inside a frame. */
		if (in.pos == in_was && !out.pos)
			return err_set(job->err, -EINVAL, "zstd: cut short");
	}
}

static int unzstd(struct job *job)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();

	if (!ctx)
		return err_set(job->err, -ENOMEM, "zstd: out of memory");
	int rc = unzstd_all(job, ctx);

	ZSTD_freeDCtx(ctx);
	return rc;
}

/* ---- LZ4 frames ---- */

#define LZ4_MAGIC 0x184D2204u

static bool is_lz4(const uint8_t *p, size_t len)
{
	return len >= 4 && le32(p) == LZ4_MAGIC;
}

static int unlz4_all(struct job *job, LZ4F_dctx *ctx)
{
	const uint8_t *at = job->bytes, *end = job->bytes + job->len;

	for (;;) {
		char spare; /* as in unzstd_all */
		bool full = job->out->len == job->most;
		size_t room = 1, used = (size_t)(end - at), made;
		int rc = full ? 0 : room_make(job, OUT_STEP, &room);

		if (rc)
			return rc;
		made = room;
		size_t left = LZ4F_decompress(ctx, full ? &spare : job->out->data + job->out->len,
					      &made, at, &used, NULL);

		if (LZ4F_isError(left))
			return err_set(job->err, -EINVAL, "lz4: %s", LZ4F_getErrorName(left));
		if (full && made)
			return too_much(job);
		at += used;
		job->out->len += full ? 0 : made;
		if (at == end && !left)
			return 0;
		if (!used && !made)
			return err_set(job->err, -EINVAL, "lz4: cut short");
		/* `left` of 0 in the middle: another frame follows, which the context takes as it
		 * is. */
	}
}

static int unlz4(struct job *job)
{
	LZ4F_dctx *ctx;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
		return err_set(job->err, -ENOMEM, "lz4: out of memory");
	int rc = unlz4_all(job, ctx);

	(void)LZ4F_freeDecompressionContext(ctx);
	return rc;
}

static int copy(struct job *job)
{
	if (job->len > job->most)
		return too_much(job);
	return buf_add(job->out, job->bytes, job->len)
		   ? err_set(job->err, -ENOMEM, "body of %zu bytes: out of memory", job->len)
		   : 0;
}

int wire_decompress(const void *bytes, size_t len, const struct decompress_limits *limits,
		    struct buf *ret_plain, struct err *err)
{
	struct job job = {.limits = limits,
			  .bytes = bytes,
			  .len = len,
			  .out = ret_plain,
			  .err = err,
			  .most = most_of(limits, len)};
	int rc;

	buf_init(ret_plain, BUF_UNLIMITED);
	if (limits->compressed_bytes && len > limits->compressed_bytes)
		return err_set(err, -E2BIG, "body of %zu bytes, limit %zu (%s)", len,
			       limits->compressed_bytes, limits->compressed_setting);
	if (is_gzip(bytes, len))
		rc = gunzip(&job);
	else if (is_zstd(bytes, len))
		rc = unzstd(&job);
	else if (is_lz4(bytes, len))
		rc = unlz4(&job);
	else
		rc = copy(&job);
	if (rc)
		buf_release(ret_plain);
	return rc;
}
