/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/bench/store_model.h - a service whose samples are known: zipf 1.5 over 20,000 stacks of
 * depth 40 that share prefixes as real ones do (27 nodes a stack), or the stacks of a recorded
 * pprof as often as they were seen there; samples at random times, eight threads.  Also what its
 * stream is worth: its entropy, and zstd -19 of it.
 */
#ifndef TESTS_BENCH_STORE_MODEL_H
#define TESTS_BENCH_STORE_MODEL_H

#include "profile/builder.h"
#include "storage/storage.h"

#define MODEL_STACKS 20000 /* at most */
#define MODEL_DEPTH 40
#define MODEL_FUNCTIONS 2000
#define MODEL_THREADS 8

struct model_service {
	struct profile_builder *builder; /* owns what `all` holds */
	struct profile *all;             /* every stack, without records */
	uint32_t stacks, depth;          /* how many there are, and of the deepest */
	uint32_t leaves[MODEL_STACKS];   /* nodes of `all` */
	uint32_t contexts[MODEL_THREADS];
	double probability[MODEL_STACKS];
	uint32_t alias[MODEL_STACKS];
	double cut[MODEL_STACKS];
	uint64_t random;
	struct hash128 series;
	/* of one batch */
	struct profile batch;
	uint32_t *numbers; /* of the nodes of `all` in `batch`; by generation */
	uint32_t *seen;
	uint32_t generation;
};

int model_service_init(struct model_service *m, unsigned number);

/* The stacks of the pprof in this file (gzip'd or not), drawn as its samples were; of more than
 * MODEL_STACKS the rarest are left out.  Series and threads as in the other. */
int model_service_read(struct model_service *m, unsigned number, const char *path);

/* What both begin and end with: stacks, leaves, depth and weights (in `probability`) come between.
 */
int model_service_begin(struct model_service *m, unsigned number);
int model_service_ready(struct model_service *m);

void model_service_release(struct model_service *m);

uint32_t model_draw(struct model_service *m); /* a stack */

/* A profile of `count` samples in [from_ns, from_ns + width_ns), until the next call; NULL without
 * memory.  `drawn` (may be NULL) gets the stacks. */
const struct profile *model_batch(struct model_service *m, size_t count, int64_t from_ns,
				  int64_t width_ns, uint32_t *drawn);

/* The stream of windows as a store sees it. */
struct model_stream {
	uint32_t numbers[MODEL_STACKS]; /* in first-seen order + 1 */
	uint32_t stacks;
	uint8_t *deltas, *counts; /* varints */
	size_t deltas_len, counts_len, capacity;
	uint64_t pairs;
};

int model_stream_window(struct model_stream *s, const uint32_t *drawn, size_t count);
/* Order-0 entropy of both columns, in bytes; zstd -19 of them. */
double model_stream_entropy(const struct model_stream *s);
double model_stream_zstd19(const struct model_stream *s);
void model_stream_release(struct model_stream *s);

/* Entropy of a window of `count` samples of known probabilities, in bytes: nothing can be below. */
double model_bound(const struct model_service *m, double count);

/* Of one record of L0, of which `count` come in a window: its time to the microsecond, in order,
 * its stack and its thread, in bytes.  What they are called is not in it. */
double model_record_entropy(const struct model_service *m, unsigned count, int64_t width_ns);

/* Order-0 entropy of the stacks that were seen, in bytes: parents and frames, as deltas, and the
 * names of their functions. */
double model_dictionary_entropy(const struct model_service *m, const struct model_stream *s);

#endif
