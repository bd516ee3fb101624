/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/symbols.h - binaries become symbol tables once; queries find names in them.
 *
 * One thread owns the symbolizer's child and works through a queue of descriptors that clients and
 * `hearth symbols add` passed.  Tables live in the store; a bounded cache keeps the used ones open.
 * Calls from any thread.
 */
#ifndef SERVER_SYMBOLS_H
#define SERVER_SYMBOLS_H

#include "query/query.h"
#include "server/readers.h"
#include "server/writer.h"
#include "symbol/symbol.h"

struct symbols;

MUST_CHECK int symbols_start(struct writer *writer, struct readers *readers,
			     struct symbols **ret_symbols, struct err *err);
void symbols_stop(struct symbols *symbols);

/* A build id that a client named. `is_hash`: it holds for `owner` alone. */
struct symbols_id {
	uint8_t build_id[PROFILE_BUILD_ID_MAX];
	size_t len;
	bool is_hash;
	uint32_t owner;
};

/* Read `fd` (taken) into a table unless there is one. Tables of files that root owns and only root
 * may write are everybody's; others are their owner's.
 * Returns 0 or -EAGAIN when the queue is full (the descriptor is closed). */
int symbols_add(struct symbols *symbols, int fd, const struct symbols_id *id);

/* The same for a file that the agent itself vouches for, so everybody's. */
int symbols_add_own(struct symbols *symbols, int fd, const struct symbols_id *id);

/* Read `fd` (taken), replacing what there is, and wait for the end. `everybodys`: for all owners.
 * Returns as symbolizer_read and storage_symbols_put do. */
MUST_CHECK int symbols_read_now(struct symbols *symbols, int fd, const struct symbols_id *id,
				bool everybodys, struct err *err);

/*
 * Run `fn` on the symbols thread, behind what is in the queue, or before it if it is to be `first`;
 * `symbols` is NULL when the agent stops before.  Returns 0, or -EAGAIN when the queue is full: it
 * will not run.
 */
typedef void (*symbols_task_fn)(struct symbols *symbols, void *arg);
MUST_CHECK int symbols_task(struct symbols *symbols, symbols_task_fn fn, void *arg, bool first);

/*
 * Inside a task: the object or the function at an ELF address, as "pool" or "pool+0x28", and what a
 * mangled type says.  False: no name.  *ret_files becomes false when its file has not been read.
 */
bool symbols_name_object(struct symbols *symbols, const struct symbols_id *id, uint64_t address,
			 char *to, size_t size, bool *ret_files);
bool symbols_name_function(struct symbols *symbols, const struct symbols_id *id, uint64_t address,
			   char *to, size_t size, bool *ret_files);
bool symbols_name_type(struct symbols *symbols, const char *mangled, char *to, size_t size);

/* Wait until the queue is empty or `timeout_ns` is over. True when it is empty. */
bool symbols_wait(struct symbols *symbols, int64_t timeout_ns);

/* Names for one query: tables stay open until the release. Belongs to one thread. */
struct symbols_view;

MUST_CHECK int symbols_view_new(struct symbols *symbols, struct storage_reader *reader,
				struct symbols_view **ret_view);
void symbols_view_free(struct symbols_view *view);
struct query_names symbols_view_names(struct symbols_view *view);

struct symbols_stats {
	uint64_t read, failed, queued, child_deaths;
	uint64_t cached_tables, cached_bytes;
	int child_pid;
	char trouble[320];
};

void symbols_stats(struct symbols *symbols, struct symbols_stats *ret_stats);

#endif
