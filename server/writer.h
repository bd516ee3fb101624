/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/writer.h - the one thread that writes: a bounded queue in front of the store.
 *
 * Whatever has gathered while a commit ran goes into the next one (group commit), so latency is one
 * commit and throughput is bounded by the disk's bandwidth, not its fsyncs.  A full queue refuses;
 * nothing that was taken is dropped.  Calls from any thread.
 *
 * A commit costs the same for one as for many: it waits for what is just being read, and who puts
 * many one after another holds the writer meanwhile.
 */
#ifndef SERVER_WRITER_H
#define SERVER_WRITER_H

#include "storage/storage.h"

#define WRITER_QUEUE_MAX 1024
#define WRITER_BATCH_MAX 64

struct writer;

/* Called on the writer thread when the profile is on disk, or is not: 0 (stored),
 * STORAGE_DUPLICATE, -ENOSPC, -EIO.  `profile` is handed back, and the callee's. */
typedef void (*writer_done_fn)(void *arg, struct profile *profile, int result, const char *message);

/* Something else to do with the store, on the writer thread. */
typedef void (*writer_task_fn)(struct storage *store, void *arg);

MUST_CHECK int writer_start(const char *location, const struct storage_options *options,
			    struct writer **ret_writer, struct err *err);

/* Finish what is queued, commit, close the store. Every reader must be closed before. */
void writer_stop(struct writer *writer);

/* For storage_reader_open alone. */
struct storage *writer_store(struct writer *writer);

/* Take `profile`. Returns 0, or -EAGAIN when the queue is full: it is still the caller's. */
MUST_CHECK int writer_put(struct writer *writer, struct profile *profile, writer_done_fn done,
			  void *arg);
MUST_CHECK int writer_task(struct writer *writer, writer_task_fn task, void *arg);

/*
 * A profile is being read, and will come with writer_put_wait, or not at all: then
 * writer_expect_no_more() says so. A commit waits for those that come, and for as many as were
 * there at the last one: four times as long as that took, and 5 ms, at most.
 */
void writer_expect(struct writer *writer);
void writer_expect_no_more(struct writer *writer);

/*
 * Between the two, what writer_put brings waits for more: until WRITER_BATCH_MAX are there, or
 * somebody else brings what is waited for.  One caller at a time, and not for long.
 */
void writer_hold(struct writer *writer);
void writer_release(struct writer *writer);

/* Put one that was expected, and wait. `profile` stays the caller's. Returns as writer_done_fn's
 * result, or -EAGAIN. */
MUST_CHECK int writer_put_wait(struct writer *writer, struct profile *profile, struct err *err);

struct writer_stats {
	uint64_t queued, stored, duplicates, failed, refused, commits, records;
	int64_t last_commit_ns; /* duration of the last one */
	char trouble[320];      /* the last failure, "" after a success */
};

void writer_stats(struct writer *writer, struct writer_stats *ret_stats);

#endif
