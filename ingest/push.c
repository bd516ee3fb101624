/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pyroscope's push.v1.PusherService/Push, by the Connect protocol: what Alloy, profilecli and the
 * clients for Rust, Python, Ruby and .NET send.
 *
 *	PushRequest       series=1
 *	RawProfileSeries  labels=1 {name=1, value=2}, samples=2
 *	RawSample         raw_profile=1 (a pprof, usually gzip), ID=2
 *
 * Proto and JSON; an empty body is an empty message.  Errors are Connect's JSON whatever was asked.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "ingest/connect.h"
#include "ingest/series.h"
#include "ingest/span.h"
#include "wire/protobuf.h"
#include "wire/transcode.h"

static const struct wire_field sample_fields[] = {
    {"rawProfile", "raw_profile", 1, WIRE_BASE64, false, NULL},
    {"ID", "id", 2, WIRE_TEXT, false, NULL},
};
static const struct wire_message sample_message = {"RawSample", sample_fields,
						   ARRAY_LEN(sample_fields)};
static const struct wire_field series_fields[] = {
    {"labels", "labels", 1, WIRE_MESSAGE, true, &ingest_label_message},
    {"samples", "samples", 2, WIRE_MESSAGE, true, &sample_message},
};
static const struct wire_message series_message = {"RawProfileSeries", series_fields,
						   ARRAY_LEN(series_fields)};
static const struct wire_field push_fields[] = {
    {"series", "series", 1, WIRE_MESSAGE, true, &series_message},
};
static const struct wire_message push_message = {"PushRequest", push_fields,
						 ARRAY_LEN(push_fields)};

static int sample_read(struct ingest_bodies *bodies, struct proto_reader bytes,
		       const struct ingest_tags *tags, struct str name, struct err *err)
{
	struct str body = {0}, id = {0};
	struct proto_field f;
	int rc;

	while ((rc = proto_next(&bytes, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_BYTES)
			body = proto_str(&f);
		else if (f.number == 2 && f.type == PROTO_BYTES)
			id = proto_str(&f);
	}
	if (rc < 0)
		return ingest_malformed("push", &bytes, err);
	return body.len ? ingest_bodies_add(bodies, tags, name, body, id, err) : 0;
}

/* Labels may stand behind the samples that they are of. */
static int series_read(struct ingest_bodies *bodies, struct proto_reader bytes, struct err *err)
{
	struct proto_reader again = bytes;
	struct ingest_tags tags = {0};
	struct str name = {0};
	struct proto_field f;
	int rc = 0, next;

	while (!rc && (next = proto_next(&bytes, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = ingest_label_read(f.bytes, &tags, &name, err);
	if (!rc && next < 0)
		return ingest_malformed("push", &bytes, err);
	if (!rc && !ingest_tag(&tags, "service").len)
		return err_set(err, -EINVAL, "push: a series without the label service_name");
	while (!rc && proto_next(&again, &f) == 1)
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = sample_read(bodies, f.bytes, &tags, name, err);
	return rc;
}

static int push_decode(const struct ingest_request *request, struct profile_builder *out,
		       struct ingest_findings *findings, struct err *err)
{
	struct ingest_bodies bodies;
	struct proto_reader left;
	struct proto_field f;
	struct buf binary;
	int rc = connect_message(request, &push_message, &binary, err), next = 0;

	if (rc)
		return rc;
	ingest_bodies_init(&bodies, request, out, findings);
	left = proto_reader_of(binary.data ? binary.data : "", binary.len);
	while (!rc && (next = proto_next(&left, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = series_read(&bodies, f.bytes, err);
	if (!rc && next < 0)
		rc = ingest_malformed("push", &left, err);
	if (!rc && ingest_bodies_id(&bodies, "push"))
		rc = ingest_failed(out, -ENOMEM, err);
	buf_release(&binary);
	return rc;
}

static const char *const paths[] = {"/push.v1.PusherService/Push", NULL};

const struct ingest_protocol ingest_push = {
    .name = "push",
    .paths = paths,
    .decode = push_decode,
    .answer = connect_answer_empty,
};
