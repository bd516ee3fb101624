/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/utf8.h - is this UTF-8?  Names from outside may hold any bytes; what we write may not.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/util.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for a byte that is not UTF-8 */

/* How many of the `left` (at least 1) bytes at p are one well-formed character (Unicode 15, table
 * 3-7); 0 when they are none. */
size_t utf8_length(const uint8_t *p, size_t left);

#endif
