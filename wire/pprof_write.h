/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/pprof_write.h - writes a pprof profile, one thing after the other.
 *
 * Strings, mappings, functions and locations that are equal get the same id, so a caller says
 * what it has for each sample.  A failure is kept and comes out of pprof_writer_finish; until then
 * every call is safe and ids are meaningless.  Hides the wire format.  One thread.
 */
#ifndef WIRE_PPROF_WRITE_H
#define WIRE_PPROF_WRITE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct pprof_writer;

/* `max_bytes` bounds the profile, uncompressed. Returns 0 or -ENOMEM. */
MUST_CHECK int pprof_writer_new(size_t max_bytes, struct pprof_writer **ret_writer);
void pprof_writer_free(struct pprof_writer *writer);

/* One column of the values; call once for each before the first sample. */
void pprof_write_type(struct pprof_writer *writer, struct str type, struct str unit);
void pprof_write_period(struct pprof_writer *writer, struct str type, struct str unit,
			int64_t period);
void pprof_write_time(struct pprof_writer *writer, int64_t time_ns, int64_t duration_ns);
void pprof_write_comment(struct pprof_writer *writer, struct str text);

struct pprof_write_mapping {
	uint64_t start, limit, file_offset;
	struct str filename, build_id;
	bool has_names; /* functions, files, lines and inlines are filled in */
};

/* The id of the mapping, never 0. */
uint64_t pprof_write_mapping(struct pprof_writer *writer,
			     const struct pprof_write_mapping *mapping);

struct pprof_write_line {
	struct str function, system_name, file;
	int64_t line, start_line;
};

/* The id of a location. `lines`: innermost inlined first; none for an address without names.
 * `mapping`: its id, 0 for none. */
uint64_t pprof_write_location(struct pprof_writer *writer, uint64_t mapping, uint64_t address,
			      const struct pprof_write_line *lines, size_t count);

struct pprof_write_label {
	struct str key;
	struct str text; /* or empty: then the number counts */
	int64_t number;
	struct str unit;
};

/* `stack`: ids of locations, leaf first. `values`: one for each type. */
void pprof_write_sample(struct pprof_writer *writer, const uint64_t *stack, size_t stack_count,
			const int64_t *values, const struct pprof_write_label *labels,
			size_t labels_count);

/* Append the profile to `to`. The writer stays the caller's to free and takes nothing more.
 * Returns 0, -E2BIG or -ENOMEM. */
MUST_CHECK int pprof_writer_finish(struct pprof_writer *writer, struct buf *to, struct err *err);

#endif
