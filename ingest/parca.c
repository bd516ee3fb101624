/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parca's ProfileStoreService.WriteRaw over HTTP/1.1, JSON or protobuf:
 *
 *	WriteRawRequest   series=2
 *	RawProfileSeries  labels=1 {labels=1 {name=1, value=2}}, samples=2 {raw_profile=1}
 *
 * Its client names no service but a job: "job" is the service where "service_name" is not given.
 */
#include <errno.h>

#include "ingest/connect.h"
#include "ingest/series.h"
#include "ingest/span.h"
#include "wire/protobuf.h"

static const struct wire_field set_fields[] = {
    {"labels", "labels", 1, WIRE_MESSAGE, true, &ingest_label_message},
};
static const struct wire_message set_message = {"LabelSet", set_fields, ARRAY_LEN(set_fields)};
static const struct wire_field sample_fields[] = {
    {"rawProfile", "raw_profile", 1, WIRE_BASE64, false, NULL},
};
static const struct wire_message sample_message = {"RawSample", sample_fields,
						   ARRAY_LEN(sample_fields)};
static const struct wire_field series_fields[] = {
    {"labels", "labels", 1, WIRE_MESSAGE, false, &set_message},
    {"samples", "samples", 2, WIRE_MESSAGE, true, &sample_message},
};
static const struct wire_message series_message = {"RawProfileSeries", series_fields,
						   ARRAY_LEN(series_fields)};
static const struct wire_field write_fields[] = {
    {"series", "series", 2, WIRE_MESSAGE, true, &series_message},
};
static const struct wire_message write_message = {"WriteRawRequest", write_fields,
						  ARRAY_LEN(write_fields)};

struct series {
	struct ingest_tags tags;
	struct str name;
};

static int labels_read(struct proto_reader bytes, struct series *series, struct err *err)
{
	struct proto_field f;
	int rc = 0, next = 0;

	while (!rc && (next = proto_next(&bytes, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = ingest_label_read(f.bytes, &series->tags, &series->name, err);
	return !rc && next < 0 ? ingest_malformed("parca", &bytes, err) : rc;
}

static int sample_read(struct ingest_bodies *bodies, struct proto_reader bytes,
		       const struct series *series, struct err *err)
{
	struct proto_field f;
	int rc = 0, next = 0;

	while (!rc && (next = proto_next(&bytes, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = ingest_bodies_add(bodies, &series->tags, series->name, proto_str(&f),
					       (struct str){0}, err);
	return !rc && next < 0 ? ingest_malformed("parca", &bytes, err) : rc;
}

static int series_read(struct ingest_bodies *bodies, struct proto_reader bytes, struct err *err)
{
	struct proto_reader again = bytes;
	struct series series = {0};
	struct proto_field f;
	int rc = 0, next = 0;

	while (!rc && (next = proto_next(&bytes, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = labels_read(f.bytes, &series, err);
	if (!rc && next < 0)
		return ingest_malformed("parca", &bytes, err);
	if (!ingest_tag(&series.tags, "service").len)
		ingest_tag_add(&series.tags, STR("service"), ingest_tag(&series.tags, "job"));
	while (!rc && proto_next(&again, &f) == 1)
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = sample_read(bodies, f.bytes, &series, err);
	return rc;
}

static int parca_decode(const struct ingest_request *request, struct profile_builder *out,
			struct ingest_findings *findings, struct err *err)
{
	struct ingest_bodies bodies;
	struct proto_reader left;
	struct proto_field f;
	struct buf binary;
	int rc = connect_message(request, &write_message, &binary, err), next = 0;

	if (rc)
		return rc;
	ingest_bodies_init(&bodies, request, out, findings);
	left = proto_reader_of(binary.data ? binary.data : "", binary.len);
	while (!rc && (next = proto_next(&left, &f)) == 1)
		if (f.number == 2 && f.type == PROTO_BYTES)
			rc = series_read(&bodies, f.bytes, err);
	if (!rc && next < 0)
		rc = ingest_malformed("parca", &left, err);
	buf_release(&binary);
	return rc;
}

static const char *const paths[] = {
    "/api/profiles/writeraw", "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw", NULL};

const struct ingest_protocol ingest_parca = {
    .name = "parca",
    .paths = paths,
    .decode = parca_decode,
    .answer = connect_answer_empty,
};
