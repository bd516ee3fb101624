/* SPDX-License-Identifier: Apache-2.0 */
#include "server/table_cache.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct table_ref {
	uint64_t scope;
	uint8_t build_id[PROFILE_BUILD_ID_MAX];
	size_t len;
	bool is_stored; /* whole, when somebody looked */
	void *bytes;    /* NULL: not loaded, or the store has none */
	size_t bytes_len;
	struct symbol_table *table;
	unsigned uses;
	uint64_t used_at; /* of the cache's own counter */
	bool stale;       /* not found any more; goes with its last use */
};

struct table_cache {
	pthread_mutex_t lock;
	struct table_ref *entries[TABLE_CACHE_ENTRIES];
	size_t count;
	uint64_t bytes, clock;
};

int table_cache_new(struct table_cache **ret_cache)
{
	*ret_cache = calloc(1, sizeof(**ret_cache));
	if (!*ret_cache)
		return -ENOMEM;
	(void)pthread_mutex_init(&(*ret_cache)->lock, NULL);
	return 0;
}

static void entry_free(struct table_ref *ref)
{
	symbol_table_close(ref->table);
	free(ref->bytes);
	free(ref);
}

void table_cache_free(struct table_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->count; i++)
		entry_free(cache->entries[i]);
	(void)pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static bool is_entry(const struct table_ref *ref, uint64_t scope, const uint8_t *build_id,
		     size_t len)
{
	return !ref->stale && ref->scope == scope && ref->len == len &&
	       !memcmp(ref->build_id, build_id, len);
}

static struct table_ref *lookup(struct table_cache *cache, uint64_t scope, const uint8_t *build_id,
				size_t len)
{
	for (size_t i = 0; i < cache->count; i++)
		if (is_entry(cache->entries[i], scope, build_id, len))
			return cache->entries[i];
	return NULL;
}

static void drop(struct table_cache *cache, size_t i)
{
	cache->bytes -= cache->entries[i]->bytes_len;
	entry_free(cache->entries[i]);
	cache->entries[i] = cache->entries[--cache->count];
}

/* Make room; entries in use stay, so the budget may be passed while they are. */
static void shrink(struct table_cache *cache)
{
	while (cache->bytes > TABLE_CACHE_BYTES || cache->count == TABLE_CACHE_ENTRIES) {
		size_t oldest = SIZE_MAX;

		for (size_t i = 0; i < cache->count; i++)
			if (!cache->entries[i]->uses &&
			    (oldest == SIZE_MAX ||
			     cache->entries[i]->used_at < cache->entries[oldest]->used_at))
				oldest = i;
		if (oldest == SIZE_MAX)
			return;
		drop(cache, oldest);
	}
}

/* From the store.  What is damaged is as if there were none, until a new one comes. */
static void load(struct table_cache *cache, struct table_ref *ref, struct storage_reader *reader)
{
	uint64_t epoch;

	ref->is_stored = false;
	if (storage_symbols_get(reader, ref->scope, ref->build_id, ref->len, &ref->bytes,
				&ref->bytes_len, &epoch, NULL))
		return;
	if (symbol_table_open(ref->bytes, ref->bytes_len, &ref->table, NULL)) {
		free(ref->bytes);
		ref->bytes = NULL;
		ref->bytes_len = 0;
	}
	ref->is_stored = ref->table != NULL;
	cache->bytes += ref->bytes_len;
}

static void unload(struct table_cache *cache, struct table_ref *ref)
{
	cache->bytes -= ref->bytes_len;
	symbol_table_close(ref->table);
	free(ref->bytes);
	ref->table = NULL;
	ref->bytes = NULL;
	ref->bytes_len = 0;
}

/* Under the lock, so that nobody loads it twice.  NULL: all entries are in use, or no memory. */
static struct table_ref *entry(struct table_cache *cache, struct storage_reader *reader,
			       uint64_t scope, const uint8_t *build_id, size_t len, bool *ret_new)
{
	struct table_ref *ref = lookup(cache, scope, build_id, len);

	*ret_new = !ref;
	if (ref)
		return ref;
	shrink(cache);
	ref = cache->count < TABLE_CACHE_ENTRIES ? calloc(1, sizeof(*ref)) : NULL;
	if (!ref)
		return NULL;
	ref->scope = scope;
	ref->len = len;
	memcpy(ref->build_id, build_id, len);
	load(cache, ref, reader);
	cache->entries[cache->count++] = ref;
	return ref;
}

struct table_ref *table_cache_get(struct table_cache *cache, struct storage_reader *reader,
				  uint64_t scope, const uint8_t *build_id, size_t len)
{
	bool is_new;

	if (!len || len > PROFILE_BUILD_ID_MAX)
		return NULL;
	(void)pthread_mutex_lock(&cache->lock);
	struct table_ref *ref = entry(cache, reader, scope, build_id, len, &is_new);

	if (ref && ref->is_stored && !ref->table)
		load(cache, ref, reader);
	if (ref)
		ref->used_at = ++cache->clock;
	if (ref && ref->table)
		ref->uses++;
	else
		ref = NULL;
	shrink(cache);
	(void)pthread_mutex_unlock(&cache->lock);
	return ref;
}

bool table_cache_is_stored(struct table_cache *cache, struct storage_reader *reader, uint64_t scope,
			   const uint8_t *build_id, size_t len)
{
	bool is_new, is_stored;

	if (!len || len > PROFILE_BUILD_ID_MAX)
		return false;
	(void)pthread_mutex_lock(&cache->lock);
	struct table_ref *ref = entry(cache, reader, scope, build_id, len, &is_new);

	if (ref)
		ref->used_at = ++cache->clock;
	if (ref && is_new)
		unload(cache, ref);
	is_stored = ref && ref->is_stored;
	(void)pthread_mutex_unlock(&cache->lock);
	return is_stored;
}

static void drop_stale(struct table_cache *cache, const struct table_ref *ref)
{
	for (size_t i = 0; i < cache->count; i++)
		if (cache->entries[i] == ref && ref->stale && !ref->uses) {
			drop(cache, i);
			return;
		}
}

void table_cache_release(struct table_cache *cache, struct table_ref *ref)
{
	if (!ref)
		return;
	(void)pthread_mutex_lock(&cache->lock);
	ref->uses--;
	drop_stale(cache, ref);
	shrink(cache);
	(void)pthread_mutex_unlock(&cache->lock);
}

const struct symbol_table *table_ref_table(const struct table_ref *ref)
{
	return ref->table;
}

void table_cache_forget(struct table_cache *cache, uint64_t scope, const uint8_t *build_id,
			size_t len)
{
	(void)pthread_mutex_lock(&cache->lock);
	struct table_ref *ref = lookup(cache, scope, build_id, len);

	if (ref) {
		ref->stale = true;
		drop_stale(cache, ref);
	}
	(void)pthread_mutex_unlock(&cache->lock);
}

void table_cache_stats(struct table_cache *cache, uint64_t *ret_tables, uint64_t *ret_bytes)
{
	(void)pthread_mutex_lock(&cache->lock);
	*ret_tables = 0;
	for (size_t i = 0; i < cache->count; i++)
		*ret_tables += cache->entries[i]->table != NULL;
	*ret_bytes = cache->bytes;
	(void)pthread_mutex_unlock(&cache->lock);
}
