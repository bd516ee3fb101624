/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/hex.h - build ids as uploads spell them.  Private to ingest/.
 */
#ifndef INGEST_HEX_H
#define INGEST_HEX_H

#include "profile/profile.h"

static inline int ingest_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A build id's bytes, from 8 to twice PROFILE_BUILD_ID_MAX digits; false when it is something else.
 */
static inline bool ingest_hex(struct str text, uint8_t *to, uint8_t *ret_len)
{
	if (text.len % 2 || text.len < 8 || text.len > 2 * PROFILE_BUILD_ID_MAX)
		return false;
	for (size_t i = 0; i < text.len; i += 2) {
		int high = ingest_hex_digit(text.ptr[i]), low = ingest_hex_digit(text.ptr[i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i / 2] = (uint8_t)(high << 4 | low);
	}
	*ret_len = (uint8_t)(text.len / 2);
	return true;
}

#endif
