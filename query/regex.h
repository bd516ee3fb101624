/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/regex.h - patterns that a stranger wrote: searched in text, under limits.  Private to
 * query/.
 *
 * Syntax is PCRE2's, read as RE2 would where they differ: "." takes no newline, "$" is the end,
 * text is UTF-8, bytes that are not match nothing but themselves.  Read-only after it is made: any
 * thread.
 */
#ifndef QUERY_REGEX_H
#define QUERY_REGEX_H

#include <stdbool.h>

#include "base/err.h"

struct query_regex;

/* `what` is named in an error. Returns 0, -EINVAL with the place, -E2BIG or -ENOMEM. */
MUST_CHECK int query_regex_new(struct str pattern, const char *what, struct query_regex **ret_regex,
			       struct err *err);
void query_regex_free(struct query_regex *regex);

/* A limit that is reached is no match, so that an answer stays bounded. */
bool query_regex_found(const struct query_regex *regex, struct str text);

#endif
