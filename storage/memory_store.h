/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/memory_store.h - what the two halves of the memory backend share: memory.c writes,
 * memory_read.c reads.  Private to them.
 */
#ifndef STORAGE_MEMORY_STORE_H
#define STORAGE_MEMORY_STORE_H

#include <pthread.h>

#include "storage/memory_profile.h"

struct memory_cursor {
	uint8_t runtime_id[16];
	uint32_t ring;
	uint64_t position;
};

struct memory_symbols {
	uint64_t scope;
	uint8_t build_id[PROFILE_BUILD_ID_MAX];
	size_t build_id_len, len;
	uint64_t epoch;
	void *table;
};

struct memory_store {
	struct storage base;
	pthread_mutex_t lock; /* of everything below */
	struct storage_options options;
	struct memory_profile **kept; /* in the order of arrival */
	size_t kept_count, kept_capacity;
	struct memory_cursor *cursors;
	size_t cursors_count, cursors_capacity;
	struct memory_symbols *symbols;
	size_t symbols_count, symbols_capacity;
	uint64_t epoch, bytes, symbols_bytes, records, profiles, duplicates;
};

struct memory_reader {
	struct storage_reader base;
	struct memory_store *store;
};

static inline struct memory_store *memory_of(struct storage *store)
{
	return (struct memory_store *)store;
}

static inline struct memory_store *memory_of_reader(struct storage_reader *reader)
{
	return ((struct memory_reader *)reader)->store;
}

int memory_reader_open(struct storage *store, struct storage_reader **ret_reader, struct err *err);
void memory_reader_close(struct storage_reader *reader);
int memory_stats(struct storage_reader *reader, struct storage_stats *ret, struct err *err);
int memory_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		  storage_series_fn fn, void *arg, struct err *err);
int memory_scan(struct storage_reader *reader, const struct storage_scan *scan,
		storage_segment_fn fn, void *arg, struct err *err);
int memory_timeline(struct storage_reader *reader, const struct storage_scan *scan, int64_t step_ns,
		    storage_total_fn fn, void *arg, struct err *err);
int memory_records(struct storage_reader *reader, const struct storage_scan *scan,
		   storage_records_fn fn, void *arg, struct err *err);
int memory_losses(struct storage_reader *reader, const struct storage_scan *scan,
		  storage_loss_fn fn, void *arg, struct err *err);

#endif
