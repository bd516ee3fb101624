/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/querier.h - what Pyroscope's querier.v1.QuerierService is asked and answers: fields and
 * names.
 *
 * A request, in binary form or as JSON, becomes one struct, whatever the method; strings point into
 * the binary form.  Unknown fields are passed over, lists are bounded.  Any thread. Source:
 * grafana/pyroscope, api/querier/v1/querier.proto and api/types/v1/types.proto.
 */
#ifndef WIRE_QUERIER_H
#define WIRE_QUERIER_H

#include "base/err.h"
#include "wire/protobuf.h"
#include "wire/transcode.h"

#define QUERIER_LIST_MAX 128

enum querier_format {
	QUERIER_FORMAT_DEFAULT,
	QUERIER_FORMAT_FLAMEGRAPH,
	QUERIER_FORMAT_TREE,
	QUERIER_FORMAT_DOT,
	QUERIER_FORMAT_PPROF
};

struct querier_list {
	struct str items[QUERIER_LIST_MAX];
	size_t count;
};

struct querier_request {
	struct str type_id, selector, name, query;
	int64_t start_ms, end_ms, max_nodes, limit, format, aggregation, exemplar_type, query_type;
	double step_s;
	struct querier_list matchers, labels; /* labels: label_names or group_by */
	struct querier_list call_site, spans, traces, profiles;
	struct proto_reader left, right; /* of a diff: requests of SelectMergeStacktraces */
	bool has_left, has_right;
};

struct querier_method {
	const char *name; /* "SelectSeries" */
	const struct wire_message *request, *response;
};

/* The method of this name, or NULL. */
const struct querier_method *querier_method_find(struct str name);
/* The i-th, or NULL behind the last. */
const struct querier_method *querier_method_at(size_t i);

/* Append the binary form of a request's JSON. `memory_max`, `setting`: as wire_json_parse. */
MUST_CHECK int querier_of_json(const struct querier_method *method, struct str json,
			       size_t memory_max, const char *setting, struct buf *binary,
			       struct err *err);

/* Decode a request. `bytes` is borrowed as long as the result is used. Returns 0, -EINVAL, or
 * -E2BIG for a list that is too long. */
MUST_CHECK int querier_decode(const struct querier_method *method, struct proto_reader bytes,
			      struct querier_request *ret_request, struct err *err);

#endif
