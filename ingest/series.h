/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/series.h - a series of raw pprofs with its labels, as Pyroscope's Push and Parca's
 * WriteRaw have it.  Private to ingest/.
 */
#ifndef INGEST_SERIES_H
#define INGEST_SERIES_H

#include "ingest/tags.h"
#include "wire/protobuf.h"
#include "wire/transcode.h"

/* What the bodies of one request share. */
struct ingest_bodies {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct ingest_findings *findings;
	size_t left;        /* of limits.decompressed_bytes */
	struct hash128 ids; /* of all bodies that have one */
	size_t ids_count, count;
};

void ingest_bodies_init(struct ingest_bodies *bodies, const struct ingest_request *request,
			struct profile_builder *out, struct ingest_findings *findings);

/* Labels as Prometheus' world writes them: "service_name" is the service, "__name__" the kind's
 * name, and other names with two underscores are not for us.  *name is set by "__name__". */
void ingest_series_label(struct ingest_tags *tags, struct str key, struct str value,
			 struct str *name);

/* The message {name=1, value=2}, and what it says as above. */
extern const struct wire_message ingest_label_message;
MUST_CHECK int ingest_label_read(struct proto_reader label, struct ingest_tags *tags,
				 struct str *name, struct err *err);

/* -EINVAL with what is wrong in the message that `at` stands in. */
int ingest_malformed(const char *protocol, const struct proto_reader *at, struct err *err);

/* Add one body.  `id` empty: none.  Returns as decode does. */
MUST_CHECK int ingest_bodies_add(struct ingest_bodies *bodies, const struct ingest_tags *tags,
				 struct str name, struct str body, struct str id, struct err *err);

/* The upload id, where every body had one: "<prefix>/<hash>". */
MUST_CHECK int ingest_bodies_id(const struct ingest_bodies *bodies, const char *prefix);

#endif
