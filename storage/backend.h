/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/backend.h - what a store is.  Private to storage/.
 *
 * A backend is one file that exports `const struct storage_backend storage_<name>` and one line in
 * backends.def; tests/contract/storage.c then runs against it.  The contract of each callback is
 * that of the function of the same name in storage.h; what stands here is only what a backend must
 * know beyond it.  No callback may be NULL but where it says so.  A backend embeds `struct storage`
 * and `struct storage_reader` as the first members of its own; the front fills them in.
 *
 * Callbacks from `open` to `reader_open` run on the writer thread, except reader_open, which any
 * thread may call at any time; those from `reader_close` on run on the thread that owns the reader.
 * All may run while the writer is inside `put` or `maintain`.
 */
#ifndef STORAGE_BACKEND_H
#define STORAGE_BACKEND_H

#include "storage/storage.h"

struct storage {
	const struct storage_backend *backend;
};

struct storage_reader {
	const struct storage_backend *backend;
	struct storage_companion *companion; /* NULL when opened; the front's */
};

struct storage_incoming {
	const struct storage_backend *backend;
};

struct storage_backend {
	const char *name; /* what stands before ':' in a location */
	bool durable;     /* whether what was put is there after close and open */

	/* `rest` is what follows the ':'.  `options` is never NULL; its zeroes mean the backend's
	 * own defaults.  May put a warning into `err` and still return 0. */
	int (*open)(const char *rest, const struct storage_options *options,
		    struct storage **ret_store, struct err *err);
	/* Never NULL; frees the handle whatever fails. */
	void (*close)(struct storage *store);
	/* `results` is never NULL and holds -ECANCELED everywhere at the call. */
	int (*put)(struct storage *store, const struct profile *const *profiles, size_t count,
		   int *results, struct err *err);
	int (*maintain)(struct storage *store, int64_t now_ns, struct err *err);
	int (*cursor)(struct storage *store, const uint8_t runtime_id[16], uint32_t ring,
		      uint64_t *ret_position, struct err *err);
	/* `len` is within STORAGE_SYMBOLS_MAX. */
	int (*symbols_put)(struct storage *store, uint64_t scope, const uint8_t *build_id,
			   size_t build_id_len, const void *table, size_t len, uint64_t *ret_epoch,
			   struct err *err);
	int (*compact)(struct storage *store, const char *part, struct err *err);
	int (*adopt)(struct storage *store, struct storage_incoming *incoming, struct err *err);
	int (*reader_open)(struct storage *store, struct storage_reader **ret_reader,
			   struct err *err);

	void (*reader_close)(struct storage_reader *reader);
	int (*stats)(struct storage_reader *reader, struct storage_stats *ret_stats,
		     struct err *err);
	int (*symbols_get)(struct storage_reader *reader, uint64_t scope, const uint8_t *build_id,
			   size_t build_id_len, void **ret_table, size_t *ret_len,
			   uint64_t *ret_epoch, struct err *err);
	int (*parts)(struct storage_reader *reader, storage_part_fn fn, void *arg, struct err *err);
	int (*check_part)(struct storage_reader *reader, const char *part, struct err *err);
	int (*copy)(struct storage_reader *reader, const char *part, int *ret_fd,
		    uint64_t *ret_bytes, struct err *err);
	int (*incoming_open)(struct storage_reader *reader, const char *part, uint64_t expected,
			     struct storage_incoming **ret_incoming, struct err *err);
	/* These three may be NULL where incoming_open gives nothing. */
	int (*incoming_add)(struct storage_incoming *incoming, const void *bytes, size_t len,
			    struct err *err);
	int (*incoming_check)(struct storage_incoming *incoming, struct err *err);
	void (*incoming_close)(struct storage_incoming *incoming);
	/* The five below MUST NOT hold a lock or a transaction of the store during a callback.
	 * from_ns < until_ns; there is at least one series; step_ns > 0. */
	int (*series)(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		      storage_series_fn fn, void *arg, struct err *err);
	int (*scan)(struct storage_reader *reader, const struct storage_scan *scan,
		    storage_segment_fn fn, void *arg, struct err *err);
	int (*timeline)(struct storage_reader *reader, const struct storage_scan *scan,
			int64_t step_ns, storage_total_fn fn, void *arg, struct err *err);
	int (*records)(struct storage_reader *reader, const struct storage_scan *scan,
		       storage_records_fn fn, void *arg, struct err *err);
	int (*losses)(struct storage_reader *reader, const struct storage_scan *scan,
		      storage_loss_fn fn, void *arg, struct err *err);
};

#define BACKEND(name) extern const struct storage_backend storage_##name;
#include "storage/backends.def"
#undef BACKEND

/* Times outside are refused at put: they have no place in a calendar of files. */
#define STORAGE_TIME_MAX_NS (INT64_C(7258118400) * NS_PER_S) /* 2200-01-01 */

/* An upload id counts once for so long. */
#define STORAGE_UPLOAD_ID_NS (INT64_C(86400) * NS_PER_S)

/* The key of an upload id: scoped by owner, so that nobody can use up another's. */
struct hash128 storage_upload_key(const struct profile *profile);

/* When the process of a profile with instance.ended ended. */
int64_t storage_ended_ns(const struct profile *profile);

/* Whether a runtime id names a process; all zero does not. */
bool storage_runtime_known(const uint8_t runtime_id[16]);

/* -EINVAL unless every number in `profile` names something and every time is in the calendar. */
MUST_CHECK int storage_check(const struct profile *profile, struct err *err);

/* The place of `identity` in the scan's series, or -1. */
int64_t storage_scan_find(const struct storage_scan *scan, struct hash128 identity);

/* -ETIME when the scan's deadline has passed, else 0. */
MUST_CHECK int storage_scan_late(const struct storage_scan *scan, struct err *err);

/* a + b, held at the ends of the range: values come from outside. */
static inline int64_t storage_add(int64_t a, int64_t b)
{
	int64_t sum;

	if (!__builtin_add_overflow(a, b, &sum))
		return sum;
	return a < 0 ? INT64_MIN : INT64_MAX;
}

#endif
