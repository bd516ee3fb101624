/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/multipart.h - the parts of a multipart/form-data body (RFC 7578 over RFC 2046).
 *
 * Nothing is copied: parts are runs of the body, which must outlive them.  Lines may end in CRLF,
 * or in LF alone between headers; a preamble and an epilogue are passed over.  Any thread.
 */
#ifndef WIRE_MULTIPART_H
#define WIRE_MULTIPART_H

#include <stdbool.h>

#include "base/err.h"
#include "base/util.h"

#define MULTIPART_PARTS_MAX 256
#define MULTIPART_HEADERS_MAX 8192 /* bytes of one part's headers */
#define MULTIPART_BOUNDARY_MAX 70  /* RFC 2046, 5.1.1 */

struct multipart {
	struct str rest; /* of the body, behind the delimiter that was read last */
	char delimiter[MULTIPART_BOUNDARY_MAX + 5]; /* CRLF "--" boundary */
	size_t delimiter_len;
	size_t parts;
	bool ended;
};

/* Quoted values are as they stand between the quotes, escapes included. */
struct multipart_part {
	struct str name, filename, content_type; /* empty: not given */
	struct str data;
};

/* Whether a Content-Type is multipart/form-data. */
bool multipart_is(struct str content_type);

/* Begin to read `body`, whose boundary `content_type` names. Returns 0 or -EINVAL. */
MUST_CHECK int multipart_init(struct multipart *multipart, struct str content_type, struct str body,
			      struct err *err);

/* Returns 1 with the next part, 0 behind the last, -EINVAL for a malformed or cut body, -E2BIG. */
MUST_CHECK int multipart_next(struct multipart *multipart, struct multipart_part *ret_part,
			      struct err *err);

#endif
