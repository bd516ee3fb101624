/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/table_cache.h - open symbol tables, shared by queries, within a byte budget.
 *
 * A table that is in use stays; the one that was used longest ago goes first.  That there is no
 * table is remembered too, until table_cache_forget.  Any thread.
 */
#ifndef SERVER_TABLE_CACHE_H
#define SERVER_TABLE_CACHE_H

#include "storage/storage.h"
#include "symbol/symbol.h"

#define TABLE_CACHE_BYTES ((uint64_t)128 << 20)
#define TABLE_CACHE_ENTRIES 1024

struct table_cache;
struct table_ref;

MUST_CHECK int table_cache_new(struct table_cache **ret_cache);
void table_cache_free(struct table_cache *cache);

/* The table, or NULL when the store has none. Give it back with table_cache_release. */
struct table_ref *table_cache_get(struct table_cache *cache, struct storage_reader *reader,
				  uint64_t scope, const uint8_t *build_id, size_t len);
/* Whether the store has it, whole.  It is read once for that and not kept: of a program that nobody
 * asks about, the table is not wanted. */
bool table_cache_is_stored(struct table_cache *cache, struct storage_reader *reader, uint64_t scope,
			   const uint8_t *build_id, size_t len);
void table_cache_release(struct table_cache *cache, struct table_ref *ref);
const struct symbol_table *table_ref_table(const struct table_ref *ref);

/* A newer table was stored. */
void table_cache_forget(struct table_cache *cache, uint64_t scope, const uint8_t *build_id,
			size_t len);
void table_cache_stats(struct table_cache *cache, uint64_t *ret_tables, uint64_t *ret_bytes);

#endif
