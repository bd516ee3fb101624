/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/quota.h - what one source may send in a minute: requests, bytes and new series.
 *
 * A source is a uid, as the kernel or the token says; all of TCP without a token is one.  Counts
 * start anew with each minute of the monotonic clock.  A series is new to a source until a request
 * with it was admitted; the table of those that are known is bounded, and forgets all when it is
 * full.  Any thread.
 */
#ifndef SERVER_QUOTA_H
#define SERVER_QUOTA_H

#include "profile/profile.h"

/* 0: no limit. Each is a setting of the same name under "limits:". */
struct quota_limits {
	uint64_t requests_per_minute, bytes_per_minute, new_series_per_minute;
};

extern const struct quota_limits quota_limits_default;

struct quota;

/* NULL without memory. */
struct quota *quota_new(const struct quota_limits *limits);
void quota_free(struct quota *quota);

/* Count a request of `bytes`.  Returns 0, or -EDQUOT with limit, value and setting. */
MUST_CHECK int quota_request(struct quota *quota, uint32_t source, uint64_t bytes, int64_t now_ns,
			     struct err *err);

/* Count the series of a decoded request that are new.  Returns likewise; then none becomes
 * known. */
MUST_CHECK int quota_series(struct quota *quota, uint32_t source, const struct profile *profile,
			    int64_t now_ns, struct err *err);

#endif
