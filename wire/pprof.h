/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/pprof.h - reads a pprof profile into flat arrays.
 *
 * Two passes over the bytes: the first counts the messages, the second fills flat arrays.  What
 * they take is compared with the limit before it is taken, and is exact at the end.  Every
 * index and id is checked and resolved here; what comes out can be walked without checks.  Hides
 * the wire format.  Knows no kinds and no meaning of labels: that is ingest's.  Any thread.
 *
 *	strings    offsets into the body          0 is ""
 *	samples -> stacks[] -> locations -> lines -> functions
 *	samples -> values[], labels[]             mappings
 *
 * An array whose items own a run of another has one item more than its count, whose `_at` closes
 * the last run.
 */
#ifndef WIRE_PPROF_H
#define WIRE_PPROF_H

#include <stdbool.h>

#include "base/err.h"

#define PPROF_NONE UINT32_MAX /* no function, no mapping */

struct pprof_text {
	uint32_t at, len; /* in the body */
};

struct pprof_type {
	uint32_t type, unit; /* strings */
};

struct pprof_mapping {
	uint64_t start, limit, file_offset;
	uint32_t filename, build_id; /* strings */
};

struct pprof_function {
	uint32_t name, system_name, filename; /* strings */
	uint32_t start_line;                  /* 0: unknown, or not a line number */
};

struct pprof_line {
	uint32_t function; /* index, or PPROF_NONE */
	uint32_t line;     /* 0: unknown, or not a line number */
};

/* lines[0] is the innermost inlined function, the last line the real one. */
struct pprof_location {
	uint64_t address;
	uint32_t mapping; /* index, or PPROF_NONE */
	uint32_t lines_at;
};

struct pprof_label {
	uint32_t key; /* string */
	uint32_t is_number : 1;
	uint32_t text : 31; /* string: the value, or the unit of `number` */
	int64_t number;
};

struct pprof_sample {
	uint32_t stack_at; /* leaf first */
	uint32_t labels_at;
};

struct pprof {
	const char *body;    /* borrowed: strings point into it */
	void *memory;        /* holds every array but lines, stacks and labels */
	size_t memory_bytes; /* of all arrays */
	struct pprof_text *strings;
	struct pprof_type *types;
	struct pprof_mapping *mappings;
	struct pprof_function *functions;
	struct pprof_line *lines;
	struct pprof_location *locations;
	struct pprof_sample *samples;
	uint32_t *stacks; /* indexes of locations, of all samples */
	int64_t *values;  /* types_count for each sample */
	struct pprof_label *labels;
	size_t strings_count, types_count, mappings_count, functions_count, lines_count,
	    locations_count, samples_count, stacks_count, values_count, labels_count;
	bool has_period_type;
	struct pprof_type period_type;
	int64_t period, time_ns, duration_ns;
	uint32_t default_type; /* string */
};

/* Memory for one profile after another; zeroed at first.  One thread at a time. */
struct pprof_room {
	struct pprof_block {
		void *at;
		size_t bytes;
	} tables, ids, lines, stacks, labels;
};

struct pprof_limits {
	size_t memory_bytes;        /* of the arrays and what makes them; 0: no limit */
	const char *memory_setting; /* its name, for the error */
};

/*
 * Read `len` bytes of an uncompressed profile.  `body` is borrowed as long as `ret_pprof` lives,
 * and must not change.  What it accepts, protobuf-c accepts with the same content; besides the
 * framing it refuses: ids that are declared twice or not at all (an id of 0 means "none" unless it
 * is declared; functions that have no ids at all are numbered from 1), indexes beyond the string
 * table, a first string that is not "", and samples whose number of values is not that of the
 * types. Returns 0; -EINVAL malformed; -E2BIG over the limit, named; -ENOMEM.  Release after 0
 * only.
 */
MUST_CHECK int pprof_decode(const void *body, size_t len, const struct pprof_limits *limits,
			    struct pprof *ret_pprof, struct err *err);
void pprof_release(struct pprof *pprof);

/* The same in memory that `room` has, or gets.  The profile is the room's: it lives until the room
 * is used again or released, and is not released itself. */
MUST_CHECK int pprof_decode_in(struct pprof_room *room, const void *body, size_t len,
			       const struct pprof_limits *limits, struct pprof *ret_pprof,
			       struct err *err);
size_t pprof_room_bytes(const struct pprof_room *room);
void pprof_room_release(struct pprof_room *room);

/* Whether the bytes look like an uncompressed profile; reads a few fields. */
bool pprof_sniff(const void *body, size_t len);

static inline struct str pprof_string(const struct pprof *pprof, uint32_t string)
{
	struct pprof_text text = pprof->strings[string];

	return (struct str){pprof->body + text.at, text.len};
}

#endif
