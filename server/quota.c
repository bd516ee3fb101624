/* SPDX-License-Identifier: Apache-2.0 */
#include "server/quota.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#define SOURCES_MAX 64       /* the one that was seen longest ago gives its place */
#define KNOWN_MAX (1u << 16) /* series of all sources, a power of two; half of it is used */
#define MINUTE_NS (60 * NS_PER_S)

const struct quota_limits quota_limits_default = {
    .requests_per_minute = 60000,
    .bytes_per_minute = (uint64_t)8 << 30,
    .new_series_per_minute = 10000,
};

struct source {
	uint32_t uid;
	bool used;
	int64_t minute_ns; /* when the counts began */
	uint64_t requests, bytes, series;
};

struct quota {
	struct quota_limits limits;
	pthread_mutex_t lock;
	struct source sources[SOURCES_MAX];
	struct hash128 *known; /* of source and series; zero: free */
	size_t known_count;
};

struct quota *quota_new(const struct quota_limits *limits)
{
	struct quota *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->limits = *limits;
	q->known = calloc(KNOWN_MAX, sizeof(*q->known));
	if (!q->known) {
		free(q);
		return NULL;
	}
	(void)pthread_mutex_init(&q->lock, NULL);
	return q;
}

void quota_free(struct quota *q)
{
	if (!q)
		return;
	(void)pthread_mutex_destroy(&q->lock);
	free(q->known);
	free(q);
}

static struct source *source_of(struct quota *q, uint32_t uid, int64_t now_ns)
{
	struct source *found = &q->sources[0];

	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct source *s = &q->sources[i];

		if (s->used && s->uid == uid) {
			found = s;
			break;
		}
		if (!s->used || (found->used && s->minute_ns < found->minute_ns))
			found = s;
	}
	if (!found->used || found->uid != uid || now_ns - found->minute_ns >= MINUTE_NS)
		*found = (struct source){.uid = uid, .used = true, .minute_ns = now_ns};
	return found;
}

static int over(const char *what, uint64_t value, uint64_t limit, const char *setting,
		uint32_t source, struct err *err)
{
	return err_set(err, -EDQUOT,
		       "%s of uid %u in this minute: %" PRIu64 ", limit %" PRIu64
		       " (limits.%s); try again later",
		       what, source, value, limit, setting);
}

int quota_request(struct quota *q, uint32_t source, uint64_t bytes, int64_t now_ns, struct err *err)
{
	int rc = 0;

	(void)pthread_mutex_lock(&q->lock);
	struct source *s = source_of(q, source, now_ns);

	if (q->limits.requests_per_minute && s->requests >= q->limits.requests_per_minute)
		rc = over("requests", s->requests + 1, q->limits.requests_per_minute,
			  "requests_per_minute", source, err);
	else if (q->limits.bytes_per_minute && s->bytes + bytes > q->limits.bytes_per_minute)
		rc = over("bytes", s->bytes + bytes, q->limits.bytes_per_minute, "bytes_per_minute",
			  source, err);
	if (!rc) {
		s->requests++;
		s->bytes += bytes;
	}
	(void)pthread_mutex_unlock(&q->lock);
	return rc;
}

/* Where this series is, or would be. */
static struct hash128 *place_of(struct quota *q, uint32_t source, struct hash128 series)
{
	struct hash128 key = hash128_chain(series, (struct hash128){source, 1});
	size_t i = hash_of_identity(key) % KNOWN_MAX;

	while (!hash128_is_zero(q->known[i]) && !hash128_equal(q->known[i], key))
		i = (i + 1) % KNOWN_MAX;
	return &q->known[i];
}

static void know(struct quota *q, uint32_t source, const struct profile *profile)
{
	for (size_t i = 0; i < profile->series_count; i++) {
		struct hash128 *place = place_of(q, source, profile->series[i].identity);

		if (!hash128_is_zero(*place))
			continue;
		if (q->known_count >= KNOWN_MAX / 2) {
			memset(q->known, 0, KNOWN_MAX * sizeof(*q->known));
			q->known_count = 0;
			place = place_of(q, source, profile->series[i].identity);
		}
		*place = hash128_chain(profile->series[i].identity, (struct hash128){source, 1});
		q->known_count++;
	}
}

int quota_series(struct quota *q, uint32_t source, const struct profile *profile, int64_t now_ns,
		 struct err *err)
{
	uint64_t fresh = 0;
	int rc = 0;

	(void)pthread_mutex_lock(&q->lock);
	struct source *s = source_of(q, source, now_ns);

	for (size_t i = 0; i < profile->series_count; i++)
		fresh += hash128_is_zero(*place_of(q, source, profile->series[i].identity));
	if (q->limits.new_series_per_minute &&
	    s->series + fresh > q->limits.new_series_per_minute) {
		rc = over("new series", s->series + fresh, q->limits.new_series_per_minute,
			  "new_series_per_minute", source, err);
	} else {
		s->series += fresh;
		know(q, source, profile);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return rc;
}
