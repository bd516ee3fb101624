/* SPDX-License-Identifier: Apache-2.0 */
#include "query/cache.h"

#include <errno.h>

#include "query/reshape.h"

#define GRANULARITIES (QUERY_BY_LIBRARY + 1)

struct cache {
	struct storage_companion base;
	uint64_t epoch;                       /* of the names; 0: addresses stay addresses */
	struct skeleton *kept[GRANULARITIES]; /* NULL: none, or borrowed */
};

static void skeleton_free(struct skeleton **skeleton)
{
	if (*skeleton)
		skeleton_release(*skeleton);
	free(*skeleton);
	*skeleton = NULL;
}

static void kept_free(struct cache *cache)
{
	for (size_t i = 0; i < ARRAY_LEN(cache->kept); i++)
		skeleton_free(&cache->kept[i]);
}

static void cache_free(struct storage_companion *companion)
{
	struct cache *cache = (struct cache *)companion;

	kept_free(cache);
	free(cache);
}

static uint64_t epoch_of(const struct query *query)
{
	return query->names ? query->names->epoch : 0;
}

/* The reader's, empty of other names; NULL when this question's are not to be kept. */
static struct cache *cache_of(const struct query *query)
{
	struct cache *cache = (struct cache *)storage_reader_companion(query->reader);

	if (query->names && !query->names->epoch)
		return NULL;
	if (!cache) {
		cache = calloc(1, sizeof(*cache));
		if (!cache)
			return NULL;
		cache->base.release = cache_free;
		storage_reader_accompany(query->reader, &cache->base);
	}
	if (cache->epoch != epoch_of(query))
		kept_free(cache);
	cache->epoch = epoch_of(query);
	return cache;
}

int query_skeleton_borrow(const struct query *query, struct skeleton **ret_skeleton)
{
	struct cache *cache = cache_of(query);
	enum query_granularity granularity = reshape_merge_granularity(query);
	struct skeleton *skeleton = cache ? TAKE(cache->kept[granularity]) : NULL;

	if (!skeleton) {
		skeleton = malloc(sizeof(*skeleton));
		if (!skeleton || skeleton_init(skeleton, granularity == QUERY_BY_LINE)) {
			free(skeleton);
			return -ENOMEM;
		}
	}
	skeleton_begin(skeleton);
	*ret_skeleton = skeleton;
	return 0;
}

void query_skeleton_return(const struct query *query, struct skeleton *skeleton)
{
	struct cache *cache = skeleton ? cache_of(query) : NULL;
	struct skeleton **kept = cache ? &cache->kept[reshape_merge_granularity(query)] : NULL;
	size_t bytes = skeleton ? skeleton_bytes(skeleton) : 0;

	if (!kept || *kept || bytes > QUERY_CACHE_BYTES) {
		skeleton_free(&skeleton);
		return;
	}
	/* The newest stays. */
	for (size_t i = 0; i < ARRAY_LEN(cache->kept); i++) {
		if (!cache->kept[i])
			continue;
		bytes += skeleton_bytes(cache->kept[i]);
		if (bytes > QUERY_CACHE_BYTES)
			kept_free(cache);
	}
	*kept = skeleton;
}
