/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/otlp.h - reads an OTLP ExportProfilesServiceRequest (opentelemetry-proto, v1development).
 *
 * The dictionary becomes flat arrays: two passes, the first counts, what they take is compared with
 * the limit before it is taken.  Resources, profiles and samples are walked field by field.
 * Indexes are checked where they are followed, by otlp_string and its like.  Knows no kinds: that
 * is ingest's.
 *
 * Two generations stand on one path, with the same package name.  The fields of a sample are
 *
 *	1.10, 1.11	stack_index=1  attribute_indices=2  link_index=3  values=4  timestamps=5
 *	1.8, 1.9	stack_index=1  values=2  attribute_indices=3  link_index=4  timestamps=5
 *	up to 1.7	locations_start_index=1  locations_length=2  value=3 ...  timestamps=6
 *
 * and are told apart by their wire types; where no sample of a profile has a field 3 or 4, by what
 * stands in field 2: otlp_profile_is_1_8.  Any thread.
 */
#ifndef WIRE_OTLP_H
#define WIRE_OTLP_H

#include "base/err.h"
#include "wire/protobuf.h"

struct otlp_run {
	uint32_t at, count;
};

struct otlp_mapping {
	uint64_t start, limit, file_offset;
	uint32_t filename;          /* string */
	struct otlp_run attributes; /* in `indexes` */
};

struct otlp_function {
	uint32_t name, system_name, filename; /* strings */
	int64_t start_line;
};

struct otlp_line {
	uint32_t function;
	int64_t line;
};

struct otlp_location {
	uint64_t address;
	uint32_t mapping;
	struct otlp_run lines; /* the last is the outermost caller */
};

struct otlp_link {
	uint8_t trace_id[16], span_id[8]; /* zero: none */
};

/* A value of an attribute. */
struct otlp_value {
	/* bool is a number; a double is cut to one */
	enum { OTLP_NONE, OTLP_TEXT, OTLP_NUMBER } kind;
	struct str text;
	int64_t number;
};

struct otlp_attribute {
	struct str key, unit;
	struct otlp_value value;
};

/* Number 0 of each table is "none"; a table that is empty has just that. */
struct otlp_dictionary {
	void *memory;
	struct str *strings;
	struct otlp_mapping *mappings;
	struct otlp_function *functions;
	struct otlp_line *lines;
	struct otlp_location *locations;
	struct otlp_link *links;
	struct otlp_attribute *attributes;
	struct otlp_run *stacks; /* of location numbers in `indexes`, leaf first */
	uint32_t *indexes;
	size_t strings_count, mappings_count, functions_count, lines_count, locations_count,
	    links_count, attributes_count, stacks_count, indexes_count;
};

/* Read the dictionary of a whole request, wherever in it it stands.  What `body` holds is borrowed.
 * Returns 0, -EINVAL, -E2BIG or -ENOMEM; release after 0 only. */
MUST_CHECK int otlp_dictionary_read(struct str body, size_t memory_max, const char *memory_setting,
				    struct otlp_dictionary *ret, struct err *err);
void otlp_dictionary_release(struct otlp_dictionary *dictionary);

enum otlp_generation { OTLP_UNKNOWN, OTLP_1_7, OTLP_1_8, OTLP_1_10 };

struct otlp_sample {
	uint32_t stack, link;
	struct proto_reader values, attributes; /* packed int64 and int32 */
	struct proto_reader timestamps;         /* packed fixed64 */
};

/* What this sample says of its generation; OTLP_UNKNOWN when it could be of either. */
enum otlp_generation otlp_sample_generation(struct proto_reader sample);

/*
 * Whether a profile is 1.8's or 1.9's of whose samples none says its generation: wherever there is
 * a field 2 it has as many numbers as there are times, as values have, and once it can be no list
 * of attributes, having a number beyond the table or one twice in a row.  What remains is taken for
 * 1.10.  Of 1.8 that is a profile without an attribute or a link whose values all stand by times,
 * are below the table's length and differ from their neighbours: each counts 1 then.  The other way
 * round a sample of 1.10 with as many attributes as times would count the sum of their numbers.
 * Returns 1, 0 or -ENOMEM.
 */
MUST_CHECK int otlp_profile_is_1_8(const struct otlp_dictionary *dictionary,
				   struct proto_reader profile, struct buf *scratch);

/* Read a sample.  What comes in pieces, or number by number, is put together in `scratch`, where it
 * stays until the next one.  Returns 0, -EINVAL or -ENOMEM. */
MUST_CHECK int otlp_sample_read(struct proto_reader sample, enum otlp_generation generation,
				struct buf *scratch, struct otlp_sample *ret);

/* A KeyValue with its key and value, whichever way they are written. Returns 0 or -EINVAL. */
MUST_CHECK int otlp_key_value(const struct otlp_dictionary *dictionary, struct proto_reader bytes,
			      struct otlp_attribute *ret);

static inline struct str otlp_string(const struct otlp_dictionary *d, uint64_t index)
{
	return index < d->strings_count ? d->strings[index] : (struct str){"", 0};
}

#endif
