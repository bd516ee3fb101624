/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/otlp_json.h"

#include "base/json.h"
#include "ingest/connect.h"
#include "wire/grpc_status.h"

/*
 * The messages of opentelemetry-proto 1.10 and 1.11, without what nobody here reads.  1.8 and 1.9
 * differ in the order of a sample's numbers alone, which JSON's names hide.
 */
/* clang-format off */
#define ONE(camel, name, number, form) {camel, name, number, form, false, NULL}
#define MANY(camel, name, number, form) {camel, name, number, form, true, NULL}
#define ONE_OF(camel, name, number, message) {camel, name, number, WIRE_MESSAGE, false, message}
#define MANY_OF(camel, name, number, message) {camel, name, number, WIRE_MESSAGE, true, message}
/* clang-format on */
#define MESSAGE(id, title, ...)                                                                    \
	static const struct wire_field id##_fields[] = {__VA_ARGS__};                              \
	static const struct wire_message id = {title, id##_fields, ARRAY_LEN(id##_fields)}

MESSAGE(any_value, "AnyValue", ONE("stringValue", "string_value", 1, WIRE_TEXT),
	ONE("boolValue", "bool_value", 2, WIRE_BOOL), ONE("intValue", "int_value", 3, WIRE_NUMBER),
	ONE("doubleValue", "double_value", 4, WIRE_DOUBLE),
	ONE("stringValueStrindex", "string_value_strindex", 8, WIRE_NUMBER));
MESSAGE(key_value, "KeyValue", ONE("key", "key", 1, WIRE_TEXT),
	ONE_OF("value", "value", 2, &any_value),
	ONE("keyStrindex", "key_strindex", 3, WIRE_NUMBER));
MESSAGE(resource, "Resource", MANY_OF("attributes", "attributes", 1, &key_value));
MESSAGE(value_type, "ValueType", ONE("typeStrindex", "type_strindex", 1, WIRE_NUMBER),
	ONE("unitStrindex", "unit_strindex", 2, WIRE_NUMBER));
MESSAGE(sample, "Sample", ONE("stackIndex", "stack_index", 1, WIRE_NUMBER),
	MANY("attributeIndices", "attribute_indices", 2, WIRE_NUMBER),
	ONE("linkIndex", "link_index", 3, WIRE_NUMBER), MANY("values", "values", 4, WIRE_NUMBER),
	MANY("timestampsUnixNano", "timestamps_unix_nano", 5, WIRE_FIXED64),
	/* of 1.7 alone, and made to show as its field 6 does */
	ONE("locationsLength", "locations_length", 6, WIRE_NUMBER));
MESSAGE(profile, "Profile", ONE_OF("sampleType", "sample_type", 1, &value_type),
	MANY_OF("samples", "samples", 2, &sample), MANY_OF("sample", "sample", 2, &sample),
	ONE("timeUnixNano", "time_unix_nano", 3, WIRE_FIXED64),
	ONE("durationNano", "duration_nano", 4, WIRE_NUMBER),
	ONE_OF("periodType", "period_type", 5, &value_type),
	ONE("period", "period", 6, WIRE_NUMBER), ONE("profileId", "profile_id", 7, WIRE_HEX));
MESSAGE(scope_profiles, "ScopeProfiles", MANY_OF("profiles", "profiles", 2, &profile));
MESSAGE(resource_profiles, "ResourceProfiles", ONE_OF("resource", "resource", 1, &resource),
	MANY_OF("scopeProfiles", "scope_profiles", 2, &scope_profiles));
MESSAGE(mapping, "Mapping", ONE("memoryStart", "memory_start", 1, WIRE_NUMBER),
	ONE("memoryLimit", "memory_limit", 2, WIRE_NUMBER),
	ONE("fileOffset", "file_offset", 3, WIRE_NUMBER),
	ONE("filenameStrindex", "filename_strindex", 4, WIRE_NUMBER),
	MANY("attributeIndices", "attribute_indices", 5, WIRE_NUMBER));
MESSAGE(line, "Line", ONE("functionIndex", "function_index", 1, WIRE_NUMBER),
	ONE("line", "line", 2, WIRE_NUMBER));
MESSAGE(location, "Location", ONE("mappingIndex", "mapping_index", 1, WIRE_NUMBER),
	ONE("address", "address", 2, WIRE_NUMBER), MANY_OF("lines", "lines", 3, &line),
	MANY_OF("line", "line", 3, &line));
MESSAGE(function, "Function", ONE("nameStrindex", "name_strindex", 1, WIRE_NUMBER),
	ONE("systemNameStrindex", "system_name_strindex", 2, WIRE_NUMBER),
	ONE("filenameStrindex", "filename_strindex", 3, WIRE_NUMBER),
	ONE("startLine", "start_line", 4, WIRE_NUMBER));
MESSAGE(link, "Link", ONE("traceId", "trace_id", 1, WIRE_HEX),
	ONE("spanId", "span_id", 2, WIRE_HEX));
MESSAGE(attribute, "KeyValueAndUnit", ONE("keyStrindex", "key_strindex", 1, WIRE_NUMBER),
	ONE_OF("value", "value", 2, &any_value),
	ONE("unitStrindex", "unit_strindex", 3, WIRE_NUMBER));
MESSAGE(stack, "Stack", MANY("locationIndices", "location_indices", 1, WIRE_NUMBER));
MESSAGE(dictionary, "ProfilesDictionary", MANY_OF("mappingTable", "mapping_table", 1, &mapping),
	MANY_OF("locationTable", "location_table", 2, &location),
	MANY_OF("functionTable", "function_table", 3, &function),
	MANY_OF("linkTable", "link_table", 4, &link),
	MANY("stringTable", "string_table", 5, WIRE_TEXT),
	MANY_OF("attributeTable", "attribute_table", 6, &attribute),
	MANY_OF("stackTable", "stack_table", 7, &stack));
MESSAGE(export_request, "ExportProfilesServiceRequest",
	MANY_OF("resourceProfiles", "resource_profiles", 1, &resource_profiles),
	ONE_OF("dictionary", "dictionary", 2, &dictionary));

int ingest_otlp_binary(const struct ingest_request *request, struct buf *ret_binary,
		       struct err *err)
{
	buf_init(ret_binary, BUF_UNLIMITED); /* smaller than the text it comes from */
	return connect_of_json(request, &export_request, ret_binary, err);
}

void ingest_otlp_answer_json(const struct ingest_outcome *outcome, struct buf *body)
{
	const char *why = outcome->code ? outcome->err->message : outcome->findings.why;
	struct json json;

	json_init(&json, body);
	json_open(&json, '{');
	if (outcome->code) {
		json_key_int(&json, "code", grpc_status_of(outcome->code));
		json_key_text(&json, "message", why);
	} else if (outcome->findings.rejected) {
		json_key(&json, "partialSuccess");
		json_open(&json, '{');
		json_key_uint(&json, "rejectedProfiles", outcome->findings.rejected);
		json_key_text(&json, "errorMessage", why);
		json_close(&json, '}');
	}
	json_close(&json, '}');
}
