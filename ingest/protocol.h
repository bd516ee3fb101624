/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/protocol.h - what a protocol is.
 *
 * Rooms outside include ingest/ingest.h.
 */
#ifndef INGEST_PROTOCOL_H
#define INGEST_PROTOCOL_H

#include "base/buf.h"
#include "profile/builder.h"

/* Limits on one body; each is a setting of the same name under "limits:". 0 means no limit. */
struct ingest_limits {
	size_t body_bytes;	   /* compressed; default 32 MiB */
	size_t decompressed_bytes; /* default 128 MiB */
	size_t ratio;		   /* decompressed : compressed after the first MiB; default 100 */
	struct profile_limits profile;
};

extern const struct ingest_limits ingest_limits_default;

struct ingest_label {
	struct str key, value;
};

/* One request. Everything is borrowed for the call. */
struct ingest_request {
	struct str body; /* decompressed */
	const struct ingest_label *labels; /* of the series, from the URL or the configuration */
	size_t labels_count;
	struct str name; /* overrides the kind's name ("block" for Go's block profile); may be empty */
	int64_t from_ns, until_ns; /* from the URL, win over the body's own; 0: not given */
	int64_t now_ns;		   /* the agent's clock: for a body without a time */
	int64_t accept_from_ns, accept_until_ns; /* a record outside is kept at now_ns, clamped */
	const struct ingest_limits *limits;
};

struct ingest_protocol {
	const char *name; /* "pprof": config key, metric label, ?format=, fuzz target */

	/* Whether a body looks like this protocol's; cheap, no allocation. NULL: never sniffed. */
	bool (*sniff)(struct str body);

	/*
	 * Decode one body into `out`.
	 *
	 * Pure, so it can be fuzzed and run offline.  `request` is borrowed for the call.  Sets
	 * from_ns and until_ns of the profile; instance, arrival and upload id are the caller's.
	 * On failure `out` may hold a partial profile; the caller drops it.  MUST NOT log; the
	 * reason goes into `err`.
	 *
	 * Returns 0, -EINVAL (malformed), -EOPNOTSUPP (known but unsupported), -E2BIG (over a
	 * limit) or -ENOMEM.
	 */
	int (*decode)(const struct ingest_request *request, struct profile_builder *out,
		      struct err *err);
};

#endif
