/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/querier.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "wire/json.h"

#define FIELD(camel, name, number, form)                                                           \
	{                                                                                          \
		camel, name, number, form, false, NULL                                             \
	}
#define LIST(camel, name, number, form)                                                            \
	{                                                                                          \
		camel, name, number, form, true, NULL                                              \
	}
#define ONE(camel, name, number, message)                                                          \
	{                                                                                          \
		camel, name, number, WIRE_MESSAGE, false, &message##_message                       \
	}
#define MANY(camel, name, number, message)                                                         \
	{                                                                                          \
		camel, name, number, WIRE_MESSAGE, true, &message##_message                        \
	}
#define MESSAGE(name, ...)                                                                         \
	static const struct wire_field name##_fields[] = {__VA_ARGS__};                            \
	static const struct wire_message name##_message = {#name, name##_fields,                   \
							   ARRAY_LEN(name##_fields)}

#define RANGE(start, end)                                                                          \
	FIELD("start", "start", start, WIRE_NUMBER), FIELD("end", "end", end, WIRE_NUMBER)
#define SELECTED                                                                                   \
	FIELD("profileTypeID", "profile_typeID", 1, WIRE_TEXT),                                    \
	    FIELD("labelSelector", "label_selector", 2, WIRE_TEXT)

/* ---- types.v1 ---- */

MESSAGE(label_pair, FIELD("name", "name", 1, WIRE_TEXT), FIELD("value", "value", 2, WIRE_TEXT));
MESSAGE(labels, MANY("labels", "labels", 1, label_pair));
MESSAGE(profile_type, FIELD("ID", "ID", 1, WIRE_TEXT), FIELD("name", "name", 2, WIRE_TEXT),
	FIELD("sampleType", "sample_type", 4, WIRE_TEXT),
	FIELD("sampleUnit", "sample_unit", 5, WIRE_TEXT),
	FIELD("periodType", "period_type", 6, WIRE_TEXT),
	FIELD("periodUnit", "period_unit", 7, WIRE_TEXT));
MESSAGE(location_name, FIELD("name", "name", 1, WIRE_TEXT));
MESSAGE(go_pgo, FIELD("keepLocations", "keep_locations", 1, WIRE_NUMBER),
	FIELD("aggregateCallees", "aggregate_callees", 2, WIRE_BOOL));
MESSAGE(stack_trace_selector, MANY("callSite", "call_site", 1, location_name),
	ONE("goPgo", "go_pgo", 2, go_pgo));
MESSAGE(point, FIELD("value", "value", 1, WIRE_DOUBLE),
	FIELD("timestamp", "timestamp", 2, WIRE_NUMBER));
MESSAGE(series, MANY("labels", "labels", 1, label_pair), MANY("points", "points", 2, point));
MESSAGE(exemplar, FIELD("timestamp", "timestamp", 1, WIRE_NUMBER),
	FIELD("profileId", "profile_id", 2, WIRE_TEXT), FIELD("spanId", "span_id", 3, WIRE_TEXT),
	FIELD("value", "value", 4, WIRE_NUMBER));
MESSAGE(heatmap_slot, FIELD("timestamp", "timestamp", 1, WIRE_NUMBER),
	LIST("yMin", "y_min", 2, WIRE_DOUBLE), LIST("counts", "counts", 3, WIRE_NUMBER),
	MANY("exemplars", "exemplars", 4, exemplar));
MESSAGE(heatmap_series, MANY("labels", "labels", 1, label_pair),
	MANY("slots", "slots", 2, heatmap_slot));

/* ---- google.v1.Profile: pprof ---- */

MESSAGE(value_type, FIELD("type", "type", 1, WIRE_NUMBER), FIELD("unit", "unit", 2, WIRE_NUMBER));
MESSAGE(sample_label, FIELD("key", "key", 1, WIRE_NUMBER), FIELD("str", "str", 2, WIRE_NUMBER),
	FIELD("num", "num", 3, WIRE_NUMBER), FIELD("numUnit", "num_unit", 4, WIRE_NUMBER));
MESSAGE(sample, LIST("locationId", "location_id", 1, WIRE_NUMBER),
	LIST("value", "value", 2, WIRE_NUMBER), MANY("label", "label", 3, sample_label));
MESSAGE(mapping, FIELD("id", "id", 1, WIRE_NUMBER),
	FIELD("memoryStart", "memory_start", 2, WIRE_NUMBER),
	FIELD("memoryLimit", "memory_limit", 3, WIRE_NUMBER),
	FIELD("fileOffset", "file_offset", 4, WIRE_NUMBER),
	FIELD("filename", "filename", 5, WIRE_NUMBER), FIELD("buildId", "build_id", 6, WIRE_NUMBER),
	FIELD("hasFunctions", "has_functions", 7, WIRE_BOOL),
	FIELD("hasFilenames", "has_filenames", 8, WIRE_BOOL),
	FIELD("hasLineNumbers", "has_line_numbers", 9, WIRE_BOOL),
	FIELD("hasInlineFrames", "has_inline_frames", 10, WIRE_BOOL));
MESSAGE(line, FIELD("functionId", "function_id", 1, WIRE_NUMBER),
	FIELD("line", "line", 2, WIRE_NUMBER));
MESSAGE(location, FIELD("id", "id", 1, WIRE_NUMBER),
	FIELD("mappingId", "mapping_id", 2, WIRE_NUMBER),
	FIELD("address", "address", 3, WIRE_NUMBER), MANY("line", "line", 4, line));
MESSAGE(function, FIELD("id", "id", 1, WIRE_NUMBER), FIELD("name", "name", 2, WIRE_NUMBER),
	FIELD("systemName", "system_name", 3, WIRE_NUMBER),
	FIELD("filename", "filename", 4, WIRE_NUMBER),
	FIELD("startLine", "start_line", 5, WIRE_NUMBER));
MESSAGE(profile, MANY("sampleType", "sample_type", 1, value_type),
	MANY("sample", "sample", 2, sample), MANY("mapping", "mapping", 3, mapping),
	MANY("location", "location", 4, location), MANY("function", "function", 5, function),
	LIST("stringTable", "string_table", 6, WIRE_TEXT),
	FIELD("timeNanos", "time_nanos", 9, WIRE_NUMBER),
	FIELD("durationNanos", "duration_nanos", 10, WIRE_NUMBER),
	ONE("periodType", "period_type", 11, value_type),
	FIELD("period", "period", 12, WIRE_NUMBER), LIST("comment", "comment", 13, WIRE_NUMBER),
	FIELD("defaultSampleType", "default_sample_type", 14, WIRE_NUMBER));

/* ---- querier.v1 ---- */

MESSAGE(level, LIST("values", "values", 1, WIRE_NUMBER));
MESSAGE(flame_graph, LIST("names", "names", 1, WIRE_TEXT), MANY("levels", "levels", 2, level),
	FIELD("total", "total", 3, WIRE_NUMBER), FIELD("maxSelf", "max_self", 4, WIRE_NUMBER));
MESSAGE(flame_graph_diff, LIST("names", "names", 1, WIRE_TEXT), MANY("levels", "levels", 2, level),
	FIELD("total", "total", 3, WIRE_NUMBER), FIELD("maxSelf", "max_self", 4, WIRE_NUMBER),
	FIELD("leftTicks", "leftTicks", 5, WIRE_NUMBER),
	FIELD("rightTicks", "rightTicks", 6, WIRE_NUMBER));
MESSAGE(pprof_profile, ONE("profile", "profile", 1, profile));
MESSAGE(query_scope, FIELD("componentType", "component_type", 1, WIRE_TEXT),
	FIELD("componentCount", "component_count", 2, WIRE_NUMBER),
	FIELD("seriesCount", "series_count", 4, WIRE_NUMBER));
MESSAGE(query_impact, FIELD("totalBytesInTimeRange", "total_bytes_in_time_range", 2, WIRE_NUMBER),
	FIELD("totalQueriedSeries", "total_queried_series", 3, WIRE_NUMBER));

MESSAGE(profile_types_request, RANGE(1, 2));
MESSAGE(profile_types_response, MANY("profileTypes", "profile_types", 1, profile_type));
MESSAGE(label_names_request, LIST("matchers", "matchers", 1, WIRE_TEXT), RANGE(2, 3));
MESSAGE(label_values_request, FIELD("name", "name", 1, WIRE_TEXT),
	LIST("matchers", "matchers", 2, WIRE_TEXT), RANGE(3, 4));
MESSAGE(names_response, LIST("names", "names", 1, WIRE_TEXT));
MESSAGE(series_request, LIST("matchers", "matchers", 1, WIRE_TEXT),
	LIST("labelNames", "label_names", 2, WIRE_TEXT), RANGE(3, 4));
MESSAGE(series_response, MANY("labelsSet", "labels_set", 2, labels));
MESSAGE(stacktraces_request, SELECTED, RANGE(3, 4), FIELD("maxNodes", "max_nodes", 5, WIRE_NUMBER),
	FIELD("format", "format", 6, WIRE_NUMBER),
	ONE("stackTraceSelector", "stack_trace_selector", 7, stack_trace_selector),
	LIST("profileIdSelector", "profile_id_selector", 8, WIRE_TEXT),
	LIST("traceIdSelector", "trace_id_selector", 10, WIRE_TEXT),
	LIST("spanSelector", "span_selector", 11, WIRE_TEXT));
MESSAGE(stacktraces_response, ONE("flamegraph", "flamegraph", 1, flame_graph),
	FIELD("tree", "tree", 2, WIRE_BASE64), FIELD("dot", "dot", 3, WIRE_TEXT),
	ONE("pprof", "pprof", 5, pprof_profile));
MESSAGE(span_profile_request, SELECTED, LIST("spanSelector", "span_selector", 3, WIRE_TEXT),
	RANGE(4, 5), FIELD("maxNodes", "max_nodes", 6, WIRE_NUMBER),
	FIELD("format", "format", 7, WIRE_NUMBER));
MESSAGE(merge_profile_request, SELECTED, RANGE(3, 4),
	FIELD("maxNodes", "max_nodes", 5, WIRE_NUMBER),
	ONE("stackTraceSelector", "stack_trace_selector", 6, stack_trace_selector),
	LIST("profileIdSelector", "profile_id_selector", 7, WIRE_TEXT),
	LIST("traceIdSelector", "trace_id_selector", 8, WIRE_TEXT));
MESSAGE(select_series_request, SELECTED, RANGE(3, 4), LIST("groupBy", "group_by", 5, WIRE_TEXT),
	FIELD("step", "step", 6, WIRE_DOUBLE), FIELD("aggregation", "aggregation", 7, WIRE_NUMBER),
	ONE("stackTraceSelector", "stack_trace_selector", 8, stack_trace_selector),
	FIELD("limit", "limit", 9, WIRE_NUMBER),
	FIELD("exemplarType", "exemplar_type", 10, WIRE_NUMBER));
MESSAGE(select_series_response, MANY("series", "series", 1, series));
MESSAGE(heatmap_request, SELECTED, RANGE(3, 4), FIELD("step", "step", 5, WIRE_DOUBLE),
	LIST("groupBy", "group_by", 6, WIRE_TEXT), FIELD("queryType", "query_type", 7, WIRE_NUMBER),
	FIELD("exemplarType", "exemplar_type", 8, WIRE_NUMBER),
	FIELD("limit", "limit", 9, WIRE_NUMBER));
MESSAGE(heatmap_response, MANY("series", "series", 1, heatmap_series));
MESSAGE(diff_request, ONE("left", "left", 1, stacktraces_request),
	ONE("right", "right", 2, stacktraces_request));
MESSAGE(diff_response, ONE("flamegraph", "flamegraph", 1, flame_graph_diff));
static const struct wire_message stats_request_message = {"stats_request", NULL, 0};
MESSAGE(stats_response, FIELD("dataIngested", "data_ingested", 1, WIRE_BOOL),
	FIELD("oldestProfileTime", "oldest_profile_time", 2, WIRE_NUMBER),
	FIELD("newestProfileTime", "newest_profile_time", 3, WIRE_NUMBER));
MESSAGE(analyze_request, RANGE(2, 3), FIELD("query", "query", 4, WIRE_TEXT));
MESSAGE(analyze_response, MANY("queryScopes", "query_scopes", 1, query_scope),
	ONE("queryImpact", "query_impact", 2, query_impact));

static const struct querier_method methods[] = {
    {"ProfileTypes", &profile_types_request_message, &profile_types_response_message},
    {"LabelNames", &label_names_request_message, &names_response_message},
    {"LabelValues", &label_values_request_message, &names_response_message},
    {"Series", &series_request_message, &series_response_message},
    {"SelectMergeStacktraces", &stacktraces_request_message, &stacktraces_response_message},
    {"SelectMergeSpanProfile", &span_profile_request_message, &stacktraces_response_message},
    {"SelectMergeProfile", &merge_profile_request_message, &profile_message},
    {"SelectSeries", &select_series_request_message, &select_series_response_message},
    {"SelectHeatmap", &heatmap_request_message, &heatmap_response_message},
    {"Diff", &diff_request_message, &diff_response_message},
    {"GetProfileStats", &stats_request_message, &stats_response_message},
    {"AnalyzeQuery", &analyze_request_message, &analyze_response_message},
};

const struct querier_method *querier_method_at(size_t i)
{
	return i < ARRAY_LEN(methods) ? &methods[i] : NULL;
}

const struct querier_method *querier_method_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strlen(methods[i].name) == name.len &&
		    !memcmp(methods[i].name, name.ptr, name.len))
			return &methods[i];
	return NULL;
}

/* ---- decoding ---- */

/* Where a field of this name goes: one name means one thing in all requests. */
enum slot_kind { SLOT_TEXT, SLOT_NUMBER, SLOT_DOUBLE, SLOT_LIST };

static const struct slot {
	const char *name;
	enum slot_kind kind;
	size_t offset;
} slots[] = {
#define SLOT(name, kind, member)                                                                   \
	{                                                                                          \
		name, kind, offsetof(struct querier_request, member)                               \
	}
    SLOT("profile_typeID", SLOT_TEXT, type_id),
    SLOT("label_selector", SLOT_TEXT, selector),
    SLOT("name", SLOT_TEXT, name),
    SLOT("query", SLOT_TEXT, query),
    SLOT("start", SLOT_NUMBER, start_ms),
    SLOT("end", SLOT_NUMBER, end_ms),
    SLOT("max_nodes", SLOT_NUMBER, max_nodes),
    SLOT("limit", SLOT_NUMBER, limit),
    SLOT("format", SLOT_NUMBER, format),
    SLOT("aggregation", SLOT_NUMBER, aggregation),
    SLOT("exemplar_type", SLOT_NUMBER, exemplar_type),
    SLOT("query_type", SLOT_NUMBER, query_type),
    SLOT("step", SLOT_DOUBLE, step_s),
    SLOT("matchers", SLOT_LIST, matchers),
    SLOT("label_names", SLOT_LIST, labels),
    SLOT("group_by", SLOT_LIST, labels),
    SLOT("span_selector", SLOT_LIST, spans),
    SLOT("trace_id_selector", SLOT_LIST, traces),
    SLOT("profile_id_selector", SLOT_LIST, profiles),
#undef SLOT
};

static const struct slot *slot_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		if (!strcmp(slots[i].name, name))
			return &slots[i];
	return NULL;
}

static int list_add(struct querier_list *list, struct str item, const char *name, struct err *err)
{
	if (list->count == QUERIER_LIST_MAX)
		return err_set(err, -E2BIG, "%s has more than %d items", name, QUERIER_LIST_MAX);
	list->items[list->count++] = item;
	return 0;
}

static int malformed(const struct proto_reader *left, const char *name, struct err *err)
{
	return err_set(err, -EINVAL, "%s: %s", name, proto_wrong(left));
}

static int wrong_type(const char *name, struct err *err)
{
	return err_set(err, -EINVAL, "%s has another wire type", name);
}

/* Location{name=1} of StackTraceSelector{call_site=1}. */
static int call_site_read(struct proto_reader bytes, struct querier_list *list, struct err *err)
{
	struct proto_field f;
	struct str name = STR("");
	int rc;

	while ((rc = proto_next(&bytes, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			name = proto_str(&f);
	return rc < 0 ? malformed(&bytes, "call_site", err)
		      : list_add(list, name, "call_site", err);
}

static int selector_read(struct proto_reader bytes, struct querier_request *request,
			 struct err *err)
{
	struct proto_field f;
	int rc = 0, next = 0;

	while (!rc && (next = proto_next(&bytes, &f)) == 1)
		if (f.number == 1 && f.type == PROTO_BYTES)
			rc = call_site_read(f.bytes, &request->call_site, err);
	return !rc && next < 0 ? malformed(&bytes, "stack_trace_selector", err) : rc;
}

static int inner_read(const struct wire_field *field, const struct proto_field *f,
		      struct querier_request *request, struct err *err)
{
	if (f->type != PROTO_BYTES)
		return wrong_type(field->name, err);
	if (field->message == &stack_trace_selector_message)
		return selector_read(f->bytes, request, err);
	bool is_left = !strcmp(field->name, "left");

	*(is_left ? &request->left : &request->right) = f->bytes;
	*(is_left ? &request->has_left : &request->has_right) = true;
	return 0;
}

static int field_read(const struct wire_field *field, const struct proto_field *f,
		      struct querier_request *request, struct err *err)
{
	const struct slot *slot = slot_of(field->name);

	if (field->form == WIRE_MESSAGE)
		return inner_read(field, f, request, err);
	static const uint32_t types[] = {[SLOT_TEXT] = PROTO_BYTES,
					 [SLOT_NUMBER] = PROTO_VARINT,
					 [SLOT_DOUBLE] = PROTO_FIXED64,
					 [SLOT_LIST] = PROTO_BYTES};

	if (f->type != types[slot->kind])
		return wrong_type(field->name, err);
	void *at = (char *)request + slot->offset;

	switch (slot->kind) {
	case SLOT_TEXT:
		*(struct str *)at = proto_str(f);
		return 0;
	case SLOT_NUMBER:
		*(int64_t *)at = (int64_t)f->value;
		return 0;
	case SLOT_DOUBLE:
		memcpy(at, &f->value, sizeof(double));
		return 0;
	case SLOT_LIST:
		return list_add(at, proto_str(f), field->name, err);
	}
	return 0;
}

int querier_decode(const struct querier_method *method, struct proto_reader bytes,
		   struct querier_request *ret_request, struct err *err)
{
	struct proto_field f;
	int rc = 0, next = 0;

	*ret_request = (struct querier_request){
	    .type_id = STR(""), .selector = STR(""), .name = STR(""), .query = STR("")};
	while (!rc && (next = proto_next(&bytes, &f)) == 1)
		for (size_t i = 0; i < method->request->count; i++)
			if (method->request->fields[i].number == f.number)
				rc = field_read(&method->request->fields[i], &f, ret_request, err);
	return !rc && next < 0 ? malformed(&bytes, method->name, err) : rc;
}

/* Enums come as words too. */
static void enum_settle(json_t *json, const char *const keys[2], const char *prefix,
			const char *const *words)
{
	for (size_t k = 0; k < 2; k++) {
		const char *text = json_string_value(json_object_get(json, keys[k]));
		size_t len = strlen(prefix);

		if (!text || strncmp(text, prefix, len) != 0)
			continue;
		for (json_int_t i = 0; words[i]; i++) {
			if (!strcmp(text + len, words[i])) {
				(void)json_object_set_new(json, keys[k], json_integer(i));
				break;
			}
		}
	}
}

static void enums_settle(json_t *json)
{
	static const char *const formats[] = {"UNSPECIFIED", "FLAMEGRAPH", "TREE",
					      "DOT",         "PPROF",      NULL};
	static const char *const aggregations[] = {"SUM", "AVERAGE", NULL};
	static const char *const exemplars[] = {"UNSPECIFIED", "NONE", "INDIVIDUAL", "SPAN", NULL};
	static const char *const heatmaps[] = {"UNSPECIFIED", "INDIVIDUAL", "SPAN", NULL};
	const char *const format[] = {"format", "format"}, *const aggregation[] = {"aggregation",
										   "aggregation"};
	const char *const exemplar[] = {"exemplarType", "exemplar_type"}, *const kind[] = {
									      "queryType",
									      "query_type"};

	if (!json_is_object(json))
		return;
	enum_settle(json, format, "PROFILE_FORMAT_", formats);
	enum_settle(json, aggregation, "TIME_SERIES_AGGREGATION_TYPE_", aggregations);
	enum_settle(json, exemplar, "EXEMPLAR_TYPE_", exemplars);
	enum_settle(json, kind, "HEATMAP_QUERY_TYPE_", heatmaps);
	enums_settle(json_object_get(json, "left"));
	enums_settle(json_object_get(json, "right"));
}

int querier_of_json(const struct querier_method *method, struct str text, size_t memory_max,
		    const char *setting, struct buf *binary, struct err *err)
{
	json_t *json;
	int rc = wire_json_parse_proto(text, memory_max, setting, &json, err);

	if (rc)
		return rc;
	enums_settle(json);
	rc = wire_transcode(json, method->request, binary, err);
	json_decref(json);
	return rc;
}
