/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/embed.h - bodies inside a request: attachments, raw profiles in messages.  Private to
 * ingest/: what every protocol with paths does the same way.
 */
#ifndef INGEST_EMBED_H
#define INGEST_EMBED_H

#include "ingest/protocol.h"

/*
 * Decode one body of a request into `out`, beside what is there already.  `part` is the request as
 * the body's format is to see it: its body as it came (raw, gzip, zstd or lz4 by magic), its
 * labels, name and time.  `format` NULL: sniffed.  *left is what the request's bodies together may
 * still have decompressed; it starts at limits.decompressed_bytes and shrinks here, so that many
 * small bombs are one large one. Returns as decode does.
 */
MUST_CHECK int ingest_embedded(const struct ingest_request *part,
			       const struct ingest_protocol *format, size_t *left,
			       struct profile_builder *out, struct ingest_findings *findings,
			       struct err *err);

/* The same for a body that is no profile (an event, counters): its plain bytes, to be released. */
MUST_CHECK int ingest_embedded_plain(const struct ingest_request *part, size_t *left,
				     struct buf *ret_plain, struct err *err);

#endif
