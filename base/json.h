/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/json.h - writes JSON as it goes, for answers too large to build as objects.
 *
 * Commas and quoting are the writer's work; nesting is the caller's.  Strings may hold any bytes:
 * what is not UTF-8 becomes U+FFFD.  Reading JSON is jansson's job.  RFC 8259.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>

#include "base/buf.h"

struct json {
	struct buf *out; /* borrowed; its sticky failure is the writer's */
	bool comma;      /* the next value needs one before it */
};

void json_init(struct json *json, struct buf *out);
void json_open(struct json *json, char bracket);  /* '{' or '[' */
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_key(struct json *json, const char *key);
void json_text(struct json *json, const char *bytes, size_t len);
void json_cstring(struct json *json, const char *text); /* NULL writes null */
void json_int(struct json *json, int64_t value);
void json_uint(struct json *json, uint64_t value);
void json_double(struct json *json, double value); /* not finite writes null */
/* to six digits behind the point, and quickly */
void json_decimal(struct json *json, double value);
void json_bool(struct json *json, bool value);

/* A key and its value. */
void json_key_int(struct json *json, const char *key, int64_t value);
void json_key_uint(struct json *json, const char *key, uint64_t value);
void json_key_text(struct json *json, const char *key, const char *text); /* NULL writes null */

#endif
