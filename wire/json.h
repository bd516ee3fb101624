/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/json.h - reads JSON that somebody sent, within an estimate of what its tree will take.
 *
 * The tree is jansson's; a text of commas would make it fifty times as large as itself, so what it
 * needs is estimated from its punctuation first.  Any thread.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/util.h"

/*
 * Parse one value.  `memory_max` is in bytes (0: no limit) and `setting` what errors call it.
 * Depth is limited by jansson (2048).  *ret_json is the caller's to json_decref. Returns 0, -EINVAL
 * with the place, or -E2BIG.
 */
MUST_CHECK int wire_json_parse(struct str text, size_t memory_max, const char *setting,
			       json_t **ret_json, struct err *err);

/*
 * The same for what protobuf's JSON allows and jansson does not by itself: a text may hold NULs, so
 * go by lengths, and an integer beyond 63 bits is there as a string, like those its writers make.
 */
MUST_CHECK int wire_json_parse_proto(struct str text, size_t memory_max, const char *setting,
				     json_t **ret_json, struct err *err);

/* What the tree of this text takes at most, in bytes. */
size_t wire_json_estimate(struct str text);

/* A member that is a string, or "" (NULL pointer when absent). Borrowed from `object`. */
struct str wire_json_text(const json_t *object, const char *key);

/* A number, or a string that is one, as protobuf's JSON writes 64 bits; a fraction is cut off.
 * Returns false when it is neither. */
bool wire_json_int(const json_t *value, int64_t *ret_number);

/* The same, and "NaN", "Infinity" and "-Infinity". */
bool wire_json_double(const json_t *value, double *ret_number);

#endif
