/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store.h - a store in a directory of its own, for one test.
 */
#ifndef TESTS_SUPPORT_STORE_H
#define TESTS_SUPPORT_STORE_H

#include "storage/backend.h"
#include "tests/support/model.h"

struct fixture {
	const struct storage_backend *backend;
	char dir[64], location[96];
	struct storage_options options;
	struct storage *store;
	struct storage_reader *reader;
};

/* A fresh store, below HEARTH_TEST_DIR or in memory, that keeps everything for ever until
 * `options` say otherwise at the next open. */
void fixture_init(struct fixture *f, const struct storage_backend *backend);
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f); /* a backend that is not durable stays open */
/* As if killed now: what the files hold at this moment is all that the next open finds. */
void fixture_kill(struct fixture *f);
/* A folder's files are gone at the next open, as if they had been put aside for damage; nothing
 * where the backend has no such folder. */
void fixture_lose(struct fixture *f, const char *folder);
void fixture_release(struct fixture *f);

/* Put one profile and free it. */
void fixture_put(struct fixture *f, struct profile *profile);
void fixture_maintain(struct fixture *f, int64_t now_ns);

/* `expected` as answer_text writes it. */
void expect_scan(struct fixture *f, const struct storage_scan *scan, const char *expected);

/* Every question of `scan` must have the same answer in the store and in the model. */
void expect_as_model(struct fixture *f, const struct model *m, const struct storage_scan *scan,
		     int64_t step_ns);

/* The same but for records, which go with L0. */
void expect_totals_as_model(struct fixture *f, const struct model *m,
			    const struct storage_scan *scan, int64_t step_ns);

void copy_file(const char *from, const char *to);
/* Remove a directory and all in it. */
void remove_tree(const char *dir);

#endif
