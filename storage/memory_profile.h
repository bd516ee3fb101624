/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/memory_profile.h - immutable, counted copies of profiles, and their series as a set.
 * Private to the memory backend.  A copy may be read and released by any thread.
 */
#ifndef STORAGE_MEMORY_PROFILE_H
#define STORAGE_MEMORY_PROFILE_H

#include <stdatomic.h>

#include "storage/backend.h"

struct memory_profile {
	atomic_uint refs;
	struct profile *profile;
	struct hash128 upload;
	int64_t first_ns, last_ns; /* of records, losses and the end of the process */
	int64_t first_record_ns, last_record_ns;
	uint64_t bytes;
};

/* Returns 0 or -ENOMEM; the copy has one reference. */
MUST_CHECK int memory_profile_copy(const struct profile *from, struct memory_profile **ret_copy);
struct memory_profile *memory_profile_ref(struct memory_profile *copy);
void memory_profile_unref(struct memory_profile *copy);

struct memory_series {
	const struct profile *profile; /* borrowed: the last that has it */
	uint32_t series;
	int64_t first_ns, last_ns;
	bool in_range;
};

struct memory_series_set {
	struct memory_series *list;
	size_t count, capacity;
};

/* Returns 0 or -ENOMEM. */
MUST_CHECK int memory_series_set_add(struct memory_series_set *set, const struct profile *profile,
				     int64_t from_ns, int64_t until_ns);
MUST_CHECK int memory_series_set_emit(const struct memory_series_set *set, storage_series_fn fn,
				      void *arg);
void memory_series_set_release(struct memory_series_set *set);

#endif
