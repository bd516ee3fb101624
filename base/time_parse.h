/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/time_parse.h - points in time and durations as people and programs write them.
 */
#ifndef BASE_TIME_PARSE_H
#define BASE_TIME_PARSE_H

#include "base/err.h"

/*
 * RFC 3339 ("2026-11-22T10:00:00.5Z", "+01:00"), Unix seconds, ms, us or ns by their count of
 * digits (up to 11, 14, 17, 20; seconds may have a fraction), "now", "now-1h30m", "now+1m", "-1h"
 * (before now).  Returns 0 or -EINVAL.
 */
MUST_CHECK int time_parse(struct str text, int64_t now_ns, int64_t *ret_ns, struct err *err);

/* "90s", "1h30m", "500ms", "2d", "1w", or bare seconds. Returns 0 or -EINVAL. */
MUST_CHECK int duration_parse(struct str text, int64_t *ret_ns, struct err *err);

#endif
