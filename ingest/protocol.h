/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/protocol.h - what a protocol is.
 *
 * There are two sorts.  A format is one body that is one profile (pprof, folded).  A protocol with
 * paths is what some client posts: an envelope that names series, times and ids around such bodies,
 * and an answer that its client insists on.  Rooms outside include ingest/ingest.h.
 */
#ifndef INGEST_PROTOCOL_H
#define INGEST_PROTOCOL_H

#include "base/buf.h"
#include "profile/builder.h"

/* Limits on one body; each is a setting of the same name under "limits:". 0 means no limit. */
struct ingest_limits {
	size_t body_bytes;         /* compressed; default 32 MiB */
	size_t decompressed_bytes; /* default 128 MiB */
	size_t ratio;              /* decompressed : compressed after the first MiB; default 100 */
	struct profile_limits profile;
};

extern const struct ingest_limits ingest_limits_default;

struct ingest_label {
	struct str key, value;
};

/* One request. Everything is borrowed for the call. */
struct pprof_room;

struct ingest_request {
	struct str body; /* decompressed */
	/* Of a request that came to one of the protocol's paths: where to, and what was said with
	 * it. */
	struct str path, content_type;
	/* in order, decoded; as the client spelled them */
	const struct ingest_label *parameters, *headers;
	size_t parameters_count, headers_count;
	const struct ingest_label *labels; /* of the series, from the URL or the configuration */
	size_t labels_count;
	struct str jfr_labels; /* of a JFR: Pyroscope's LabelsSnapshot beside it; may be empty */
	/* overrides the kind's name ("block" for Go's block profile); may be empty */
	struct str name;
	/* where a body counts samples of a clock; 0: it says so itself */
	int64_t sample_period_ns;
	int64_t from_ns, until_ns; /* from the URL, win over the body's own; 0: not given */
	int64_t now_ns;            /* the agent's clock: for a body without a time */
	int64_t accept_from_ns, accept_until_ns; /* a record outside is kept at now_ns, clamped */
	const struct ingest_limits *limits;
	struct pprof_room *room; /* pprofs are read there (wire/pprof.h); NULL: anywhere */
};

/* What a decoder found beside the profile. The caller zeroes it. */
struct ingest_findings {
	size_t profiles; /* bodies of profiles; 0 counts as one */
	/* Profiles of the request, or lines of a text, that were left out; why the first was. */
	size_t rejected;
	char why[200];
};

/* How a request ended, for its answer. */
struct ingest_outcome {
	int code; /* 0, or what decode or the store returned */
	const struct err *err;
	struct ingest_findings findings;
	bool duplicate;
};

struct ingest_answer {
	int status; /* HTTP's; comes filled with what `code` stands for */
	const char *content_type;
	struct buf *body; /* empty */
};

struct ingest_protocol {
	const char *name; /* "pprof": config key, metric label, ?format=, fuzz target */

	/* Paths whose POSTs (and PUTs) are this protocol's, ended by NULL. NULL: it is the format
	 * of a body, and comes in through /api/v1/profiles or inside another protocol's
	 * requests. */
	const char *const *paths;

	/* Whether a body looks like this protocol's; cheap, no allocation. NULL: never sniffed. */
	bool (*sniff)(struct str body);

	/*
	 * Decode one body into `out`.
	 *
	 * Pure, so it can be fuzzed and run offline.  `request` is borrowed for the call.  Sets
	 * from_ns and until_ns of the profile, and, where the protocol has them, the instance's
	 * runtime id, pid and container, and the upload id by which a retry is known; owner and
	 * arrival are the caller's.  All that one request holds becomes one profile, and so is kept
	 * or refused as one. On failure `out` may hold a partial profile; the caller drops it.
	 * MUST NOT log; the reason goes into `err`.
	 *
	 * Returns 0, -EINVAL (malformed), -EOPNOTSUPP (known but unsupported), -E2BIG (over a
	 * limit) or -ENOMEM.
	 */
	int (*decode)(const struct ingest_request *request, struct profile_builder *out,
		      struct ingest_findings *findings, struct err *err);

	/*
	 * Say how a request to one of `paths` ended, in the client's own words.  NULL: an empty
	 * 200, or a problem document.  Pure.  What cannot be added to the body is noticed by the
	 * caller.
	 */
	void (*answer)(const struct ingest_request *request, const struct ingest_outcome *outcome,
		       struct ingest_answer *answer);
};

/* The first value with this name, compared without case for headers; NULL pointer: none. */
struct str ingest_parameter(const struct ingest_request *request, const char *name);
struct str ingest_header(const struct ingest_request *request, const char *name);

/* Leave one out, for the others are good. */
__attribute__((format(printf, 2, 3))) void ingest_leave_out(struct ingest_findings *findings,
							    const char *format, ...);

#endif
