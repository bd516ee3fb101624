/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/gperftools.h - what gperftools' profiles share: addresses, and the maps behind them.
 * Private to ingest/.
 */
#ifndef INGEST_GPERFTOOLS_H
#define INGEST_GPERFTOOLS_H

#include "ingest/protocol.h"

#define GPERFTOOLS_FRAMES_MAX 65536 /* of one stack */

struct gperftools_map {
	uint64_t start, end, offset;
	uint32_t module;
};

struct gperftools {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct err *err;
	struct gperftools_map *maps; /* by start */
	size_t maps_count, maps_capacity;
	uint32_t *frames; /* GPERFTOOLS_FRAMES_MAX */
	struct profile_record record;
};

/* Read the lines of /proc/self/maps, or of its short form "start-end: file"; others are passed
 * over. Only code counts.  Returns 0, -E2BIG or -ENOMEM with the reason. */
MUST_CHECK int gperftools_maps_read(struct gperftools *job, struct str text);

/* Add the stack of these addresses, leaf first, with one value for each column.  A caller's address
 * already points into its call.  Returns as above. */
MUST_CHECK int gperftools_add(struct gperftools *job, const uint64_t *addresses, size_t count,
			      const int64_t *values);

/* The two sorts of body.  `job` has request, out and err. */
bool gperftools_cpu_looks(struct str body);
MUST_CHECK int gperftools_cpu_read(struct gperftools *job, struct str body);
bool gperftools_text_looks(struct str body);
MUST_CHECK int gperftools_text_read(struct gperftools *job, struct str body);

#endif
