/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/ingest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/decompress.h"

#define PROTOCOL(name) extern const struct ingest_protocol ingest_##name;
#include "ingest/protocols.def"
#undef PROTOCOL

static const struct ingest_protocol *const protocols[] = {
#define PROTOCOL(name) &ingest_##name,
#include "ingest/protocols.def"
#undef PROTOCOL
};

_Static_assert(ARRAY_LEN(protocols) <= INGEST_PROTOCOLS_MAX, "of ingest.h");

const struct ingest_limits ingest_limits_default = {
    .body_bytes = (size_t)32 << 20,
    .decompressed_bytes = (size_t)128 << 20,
    .ratio = 100,
    .profile = PROFILE_LIMITS_DEFAULT,
};

const struct ingest_protocol *ingest_at(size_t i)
{
	return i < ARRAY_LEN(protocols) ? protocols[i] : NULL;
}

const struct ingest_protocol *ingest_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (name.len == strlen(protocols[i]->name) &&
		    !memcmp(name.ptr, protocols[i]->name, name.len))
			return protocols[i];
	return NULL;
}

const struct ingest_protocol *ingest_at_path(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		for (const char *const *p = protocols[i]->paths; p && *p; p++)
			if (!strcmp(*p, path))
				return protocols[i];
	return NULL;
}

static struct str find(const struct ingest_label *pairs, size_t count, const char *name, bool cased)
{
	for (size_t i = 0; i < count; i++) {
		struct str key = pairs[i].key;

		if (key.len == strlen(name) &&
		    !(cased ? memcmp(key.ptr, name, key.len) : strncasecmp(key.ptr, name, key.len)))
			return pairs[i].value;
	}
	return (struct str){0};
}

struct str ingest_parameter(const struct ingest_request *request, const char *name)
{
	return find(request->parameters, request->parameters_count, name, true);
}

struct str ingest_header(const struct ingest_request *request, const char *name)
{
	return find(request->headers, request->headers_count, name, false);
}

void ingest_leave_out(struct ingest_findings *findings, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!findings->rejected++)
		(void)vsnprintf(findings->why, sizeof(findings->why), format, arguments);
	va_end(arguments);
}

const struct ingest_protocol *ingest_sniff(const struct ingest_request *request)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i]->sniff && protocols[i]->sniff(request->body))
			return protocols[i];
	return NULL;
}

int ingest_decompress(const void *bytes, size_t len, const struct ingest_limits *limits,
		      struct buf *ret_body, struct err *err)
{
	const struct decompress_limits of_wire = {
	    .compressed_bytes = limits->body_bytes,
	    .plain_bytes = limits->decompressed_bytes,
	    .ratio = limits->ratio,
	    .compressed_setting = "limits.body_bytes",
	    .plain_setting = "limits.decompressed_bytes",
	    .ratio_setting = "limits.ratio",
	};

	return wire_decompress(bytes, len, &of_wire, ret_body, err);
}
