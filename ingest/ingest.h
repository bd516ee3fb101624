/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/ingest.h - bytes in, a profile out: the room's front.
 *
 * A protocol is one file that exports `const struct ingest_protocol ingest_<name>` and one line in
 * protocols.def.  Decoders are pure: no I/O, no clock, no globals.  They may run on any thread.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "ingest/protocol.h"

/* The protocol of this name, or NULL. */
const struct ingest_protocol *ingest_find(struct str name);

#define INGEST_PROTOCOLS_MAX 64

/* The i-th protocol, or NULL behind the last; there are at most INGEST_PROTOCOLS_MAX. */
const struct ingest_protocol *ingest_at(size_t i);

/* The protocol that is spoken at this path, or NULL. */
const struct ingest_protocol *ingest_at_path(const char *path);

/* The protocol that recognises the body (after decompression), or NULL. */
const struct ingest_protocol *ingest_sniff(const struct ingest_request *request);

/* Undo raw, gzip, zstd or lz4 compression as its magic says, within the limits of `request`.
 * `ret_body` gets the plain bytes (a copy, also when nothing was compressed).
 * Returns 0, -EINVAL, -E2BIG (names limit, value and setting) or -ENOMEM. */
MUST_CHECK int ingest_decompress(const void *bytes, size_t len, const struct ingest_limits *limits,
				 struct buf *ret_body, struct err *err);

#endif
