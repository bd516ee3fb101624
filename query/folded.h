/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/folded.h - a frame's name in a folded stack, out and back.
 *
 * ";" and control characters stand as \\xNN, what is not UTF-8 as U+FFFD.
 */
#ifndef QUERY_FOLDED_H
#define QUERY_FOLDED_H

#include "base/buf.h"

void folded_name(struct buf *out, struct str name);

/* Take the first name off `*stack`, without its escapes, into `name` (cleared first). False behind
 * the last. */
bool folded_next(struct str *stack, struct buf *name);

#endif
