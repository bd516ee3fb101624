/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/err.h - a reason that a person reads, beside the errno that code reads.
 *
 * The last parameter of a function that can fail for a reason worth saying is a
 * `struct err *`, which may be NULL.  It is set and returned in one breath:
 *	return err_set(err, -EINVAL, "pprof: string index %zu of %zu", i, n);
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/util.h"

struct err {
	int code;          /* negative errno, 0 when nothing was set */
	char message[320]; /* truncated, never longer than a line */
};

/* Set `err` (may be NULL) and return `code`. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

/* Put "prefix: " before the message that is there. Returns err's code (or `code` without err). */
int err_prefix(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

static inline void err_clear(struct err *err)
{
	if (err)
		*err = (struct err){0};
}

#endif
