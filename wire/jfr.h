/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/jfr.h - reads Java Flight Recorder files, version 2 (JDK 11 and later, 8u262,
 * async-profiler, Datadog's java-profiler), chunk by chunk.
 *
 * A chunk describes itself, so nothing here knows an event: it reads the chunk's classes, finds
 * where each constant of its pools stands, and walks events and constants field by field.
 *
 *	0  "FLR\0"   4 major, minor (u2)   8 size   16 checkpoint's offset   24 metadata's offset
 *	32 start (ns, UTC)   40 duration (ns)   48 start (ticks)   56 ticks a second   64 flags (u4)
 *	68 events: size, class, fields   class 0: the metadata   class 1: a checkpoint (constants)
 *
 * All of the header is big endian.  Behind it integers are big endian too, or, with flag 1, groups
 * of seven bits, least significant first, the ninth byte whole.  Checkpoints are found by walking
 * the events, not by the offsets that chain them: a chain can be a circle, the events cannot.  Of a
 * constant that is there twice the last counts.
 *
 * Hides the wire format.  Every length is compared with what remains, depth is limited, and nothing
 * is resolved that was not asked for.  Borrows the body.  Any thread.
 */
#ifndef WIRE_JFR_H
#define WIRE_JFR_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define JFR_NONE UINT32_MAX /* no such class */
#define JFR_TICKS (-1)      /* a field's unit is the chunk's clock */

struct jfr_reader {
	const uint8_t *at, *end;
};

enum jfr_type {
	JFR_OBJECT,
	JFR_BOOLEAN,
	JFR_BYTE,
	JFR_CHAR,
	JFR_SHORT,
	JFR_INT,
	JFR_LONG,
	JFR_FLOAT,
	JFR_DOUBLE,
	JFR_STRING
};

struct jfr_field {
	struct str name;
	uint64_t class_id;
	uint32_t class; /* index, or JFR_NONE */
	bool is_key;    /* of a constant, instead of the value */
	bool is_array;
	int64_t unit_ns; /* of a time: how many ns one is, or JFR_TICKS; 0: not said */
};

struct jfr_constant {
	uint64_t key;
	uint32_t at; /* in the chunk */
};

struct jfr_class {
	uint64_t id;
	struct str name;
	enum jfr_type type;
	uint32_t fields_at, fields_count;
	struct jfr_constant *constants; /* sorted by key */
	size_t constants_count, constants_room;
};

struct jfr_limits {
	size_t memory_bytes;        /* of what one chunk's tables take; 0: no limit */
	const char *memory_setting; /* its name, for the error */
};

struct jfr_chunk {
	const uint8_t *bytes;
	size_t size;
	bool compressed;
	int64_t start_ns, duration_ns, start_ticks, ticks_per_second;
	struct jfr_class *classes; /* sorted by id */
	struct jfr_field *fields;
	size_t classes_count, fields_count, classes_room, fields_room;
	uint32_t string_class; /* java.lang.String, or JFR_NONE */
	size_t memory_bytes;
	struct jfr_limits limits;
};

/* Whether the bytes begin as a chunk does. */
bool jfr_sniff(const void *body, size_t len);

/*
 * Read the chunk that the bytes begin with: its header, classes and where its constants are.
 * `ret_chunk->size` says where the next one begins.  Returns 0, -EINVAL, -EOPNOTSUPP (another
 * version), -E2BIG or -ENOMEM; close after 0 only.
 */
MUST_CHECK int jfr_chunk_open(const void *body, size_t len, const struct jfr_limits *limits,
			      struct jfr_chunk *ret_chunk, struct err *err);
void jfr_chunk_close(struct jfr_chunk *chunk);

/* The UTC time of a tick. */
int64_t jfr_time_ns(const struct jfr_chunk *chunk, int64_t ticks);
/* How long that many ticks are. */
int64_t jfr_span_ns(const struct jfr_chunk *chunk, int64_t ticks);

/* Everything that a chunk holds as events, beginning with this. */
struct jfr_reader jfr_events(const struct jfr_chunk *chunk);

struct jfr_event {
	uint32_t class; /* index; JFR_NONE: metadata, a checkpoint, or not described */
	struct jfr_reader fields;
};

/* The next event. Returns 1, 0 at the end, or -EINVAL with the reason. */
MUST_CHECK int jfr_event_next(const struct jfr_chunk *chunk, struct jfr_reader *events,
			      struct jfr_event *ret_event, struct err *err);

/* ---- values ---- */

struct jfr_text {
	uint8_t encoding; /* how its bytes are to be read; 0 and 1 have none */
	uint32_t count;   /* characters or bytes */
	uint64_t key;
	struct jfr_reader bytes;
};

enum jfr_what {
	JFR_IS_NUMBER,
	JFR_IS_REAL,
	JFR_IS_TEXT,
	JFR_IS_KEY,    /* of a constant of the field's class */
	JFR_IS_STRUCT, /* `inside` begins its fields */
	JFR_IS_ARRAY   /* `count` values, the first at `inside` */
};

struct jfr_value {
	const struct jfr_field *field;
	enum jfr_what what;
	int64_t number;
	double real;
	uint64_t key;
	struct jfr_text text;
	uint32_t count;
	struct jfr_reader inside;
};

/* A walk over the fields of one value of a class. */
struct jfr_cursor {
	uint32_t class;
	uint32_t field;         /* how many were given out */
	bool inside;            /* the last one is still to be stepped over */
	struct jfr_reader left; /* behind the last field, once it says 0 */
};

static inline struct jfr_cursor jfr_cursor_of(uint32_t class, struct jfr_reader fields)
{
	return (struct jfr_cursor){.class = class, .left = fields};
}

/* The next field. Returns 1, 0 behind the last, or -EINVAL when it cannot be read. */
MUST_CHECK int jfr_next(const struct jfr_chunk *chunk, struct jfr_cursor *cursor,
			struct jfr_value *ret_value);

/* The place of a constant among its class's, or -1. */
int64_t jfr_find(const struct jfr_chunk *chunk, uint32_t class, uint64_t key);

/* A walk over a constant that jfr_find found. Whoever asks for a large one over and over does so
 * himself. */
struct jfr_cursor jfr_constant(const struct jfr_chunk *chunk, uint32_t class, size_t place);

#define JFR_LOOKUP_BYTES                                                                           \
	65536 /* how far into a constant the two below look; names stand at its beginning */
#define JFR_TEXT_BYTES 16384 /* what is kept of a text */

/*
 * A text in UTF-8 as far as its writer kept to it; borrowed from the body, or from `scratch` until
 * its next use.  What is null, missing or unreadable is empty.  *work grows by the bytes that were
 * looked at: events are short and may all lead to one long constant, so the caller sets an end to
 * it.
 */
struct str jfr_text_str(const struct jfr_chunk *chunk, const struct jfr_text *text,
			struct buf *scratch, uint64_t *work);

/* What names a constant: the first text in it, or in the constant that its first key leads to. */
struct str jfr_name(const struct jfr_chunk *chunk, uint32_t class, uint64_t key,
		    struct buf *scratch, uint64_t *work);

/* The field of this name of a constant. Returns whether it is there. */
bool jfr_field_of(const struct jfr_chunk *chunk, uint32_t class, uint64_t key, const char *name,
		  struct jfr_value *ret_value, uint64_t *work);

/* The class of this id, or JFR_NONE. */
uint32_t jfr_class_find(const struct jfr_chunk *chunk, uint64_t id);

#endif
