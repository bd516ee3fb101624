/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/limits.h - how often each limit was met since the start.
 *
 * The limits themselves are settings, in limits.def.  Any thread.
 */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#include "base/json.h"
#include "profile/builder.h"

#define LIMIT_LARGE ((uint64_t)1 << 40)

enum limit {
#define LIMIT(key, member, least, most) LIMIT_##key,
#define CUT(key, member, least, most)
#include "server/limits.def"
#undef LIMIT
#undef CUT
	LIMITS_COUNT
};

/* Every counter is atomic. */
struct limits {
	uint64_t refused[LIMITS_COUNT];   /* requests and connections */
	uint64_t stacks, strings, labels; /* that were cut in uploads that were kept */
};

/* Count a refusal by the setting that its reason names ("limits.ratio"), if there is one. */
void limits_refused(struct limits *limits, const char *why);
void limits_cut(struct limits *limits, const struct profile_cuts *cuts);

/* Write the counters: as "limits" of the object that is open, and as metrics. */
void limits_status(const struct limits *limits, struct json *json);
void limits_metrics(const struct limits *limits, struct buf *out);

#endif
