/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/series.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ingest/embed.h"
#include "ingest/ingest.h"

void ingest_bodies_init(struct ingest_bodies *bodies, const struct ingest_request *request,
			struct profile_builder *out, struct ingest_findings *findings)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;

	*bodies = (struct ingest_bodies){
	    .request = request,
	    .out = out,
	    .findings = findings,
	    .left = limits->decompressed_bytes ? limits->decompressed_bytes : SIZE_MAX,
	};
}

void ingest_series_label(struct ingest_tags *tags, struct str key, struct str value,
			 struct str *name)
{
	if (str_is(key, "__name__"))
		*name = value;
	else if (str_is(key, "service_name"))
		ingest_tag_add(tags, STR("service"), value);
	else if (str_is(key, "__session_id__"))
		ingest_tag_add(tags, STR("runtime-id"), value);
	else if (key.len < 2 || memcmp(key.ptr, "__", 2))
		ingest_tag_add(tags, key, value);
}

static const struct wire_field label_fields[] = {
    {"name", "name", 1, WIRE_TEXT, false, NULL},
    {"value", "value", 2, WIRE_TEXT, false, NULL},
};
const struct wire_message ingest_label_message = {"Label", label_fields, ARRAY_LEN(label_fields)};

int ingest_malformed(const char *protocol, const struct proto_reader *at, struct err *err)
{
	return err_set(err, -EINVAL, "%s: %s", protocol, proto_wrong(at));
}

int ingest_label_read(struct proto_reader label, struct ingest_tags *tags, struct str *name,
		      struct err *err)
{
	struct str key = {0}, value = {0};
	struct proto_field f;
	int rc;

	while ((rc = proto_next(&label, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_BYTES)
			key = proto_str(&f);
		else if (f.number == 2 && f.type == PROTO_BYTES)
			value = proto_str(&f);
	}
	ingest_series_label(tags, key, value, name);
	return rc < 0 ? ingest_malformed("label", &label, err) : 0;
}

int ingest_bodies_add(struct ingest_bodies *bodies, const struct ingest_tags *tags, struct str name,
		      struct str body, struct str id, struct err *err)
{
	struct ingest_request part = *bodies->request;

	part.body = body;
	part.labels = tags->labels;
	part.labels_count = tags->count;
	/* Go's block and mutex profiles have the same types; every other name follows from them. */
	part.name = str_is(name, "block") ? name : (struct str){0};
	ingest_tags_instance(tags, bodies->out);
	bodies->count++;
	if (id.len) {
		bodies->ids = hash128_chain(bodies->ids, hash128(id.ptr, id.len));
		bodies->ids_count++;
	}
	return ingest_embedded(&part, ingest_find(STR("pprof")), &bodies->left, bodies->out,
			       bodies->findings, err);
}

int ingest_bodies_id(const struct ingest_bodies *bodies, const char *prefix)
{
	char text[64];

	if (!bodies->count || bodies->ids_count != bodies->count)
		return 0;
	int n = snprintf(text, sizeof(text), "%s/%016" PRIx64 "%016" PRIx64, prefix, bodies->ids.hi,
			 bodies->ids.lo);

	return profile_builder_string(bodies->out, (struct str){text, (size_t)n},
				      &profile_builder_profile(bodies->out)->upload_id);
}
