/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/span.h - when an upload was, and the series labels that its request names.  Private to
 * ingest/: what every protocol does the same way.
 */
#ifndef INGEST_SPAN_H
#define INGEST_SPAN_H

#include "ingest/protocol.h"

/*
 * Decide the span of an upload and note it in the profile: the request's from and until win over
 * the body's own (`time_ns` 0: it has none).  An upload belongs to the window of its midpoint; a
 * midpoint outside the accepted window becomes now_ns, and the profile is marked as clamped.
 * Returns the midpoint, which is the time of every record.
 */
int64_t ingest_span(const struct ingest_request *request, int64_t time_ns, int64_t duration_ns,
		    struct profile *profile);

/* The series of `kind` with the request's labels and `extra` (may be NULL). */
MUST_CHECK int ingest_series(const struct ingest_request *request, struct profile_builder *out,
			     uint32_t kind, const struct profile_label *extra,
			     uint32_t *ret_series);

/* As profile_builder_string, for text whose pointer may be NULL when it is empty. */
MUST_CHECK int ingest_string(struct profile_builder *out, struct str text, uint32_t *ret_string);

/* Put the builder's reason into `err` and return `code`. */
int ingest_failed(const struct profile_builder *out, int code, struct err *err);

#endif
