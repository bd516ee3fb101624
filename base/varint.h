/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/varint.h - base-128 integers, least significant group first (Protocol Buffers,
 * "Encoding", section "Base 128 Varints"), and the zigzag map for signed ones.
 */
#ifndef BASE_VARINT_H
#define BASE_VARINT_H

#include "base/util.h"

#define VARINT_MAX 10 /* bytes of the longest encoding of 64 bits */

static inline size_t varint_put(uint8_t *to, uint64_t value)
{
	size_t n = 0;

	while (value >= 0x80) {
		to[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	to[n++] = (uint8_t)value;
	return n;
}

/* Read one varint from [p, end). Returns the byte behind it, or NULL when it is cut short, is
 * longer than ten bytes or does not fit 64 bits. */
static inline const uint8_t *varint_get(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
		uint8_t byte = *p++;

		if (shift == 63 && byte > 1)
			return NULL;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return p;
		}
	}
	return NULL;
}

/* The same, for runs of mostly small values. */
static inline const uint8_t *varint_get_small(const uint8_t *p, const uint8_t *end,
					      uint64_t *ret_value)
{
	if (p >= end || *p >= 0x80)
		return varint_get(p, end, ret_value);
	*ret_value = *p;
	return p + 1;
}

static inline uint64_t zigzag_put(int64_t value)
{
	return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t zigzag_get(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
