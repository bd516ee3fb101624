/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/connect.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "ingest/ingest.h"
#include "wire/connect_error.h"
#include "wire/json.h"

static bool type_is(const struct ingest_request *request, const char *type)
{
	size_t len = strlen(type);
	struct str said = request->content_type;

	return said.len >= len && !strncasecmp(said.ptr, type, len) &&
	       (said.len == len || said.ptr[len] == ';' || said.ptr[len] == ' ');
}

int connect_of_json(const struct ingest_request *request, const struct wire_message *message,
		    struct buf *binary, struct err *err)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;
	json_t *json;
	int rc = wire_json_parse_proto(request->body, limits->decompressed_bytes / 2,
				       "half of limits.decompressed_bytes", &json, err);

	if (rc)
		return rc;
	rc = wire_transcode(json, message, binary, err);
	json_decref(json);
	return rc;
}

int connect_message(const struct ingest_request *request, const struct wire_message *message,
		    struct buf *ret_binary, struct err *err)
{
	int rc = 0;

	buf_init(ret_binary, BUF_UNLIMITED); /* no longer than the body */
	if (!request->body.len)
		return 0;
	if (type_is(request, "application/json"))
		rc = connect_of_json(request, message, ret_binary, err);
	else if (!type_is(request, "application/proto") &&
		 !type_is(request, "application/x-protobuf"))
		rc = err_set(
		    err, -EOPNOTSUPP,
		    "Content-Type \"%.*s\": application/proto or application/json is read here",
		    (int)MIN(request->content_type.len, (size_t)60), request->content_type.ptr);
	else if (buf_add(ret_binary, request->body.ptr, request->body.len))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc)
		buf_release(ret_binary);
	return rc;
}

void connect_answer_empty(const struct ingest_request *request,
			  const struct ingest_outcome *outcome, struct ingest_answer *answer)
{
	if (!outcome->code) {
		bool as_json = type_is(request, "application/json");

		answer->content_type = as_json ? "application/json" : "application/proto";
		if (as_json)
			(void)buf_add_str(answer->body, "{}");
		return;
	}
	/* Senders come again after resource_exhausted, and what is too big stays so. */
	bool too_big = outcome->code == -E2BIG;

	answer->content_type = "application/json";
	answer->status = connect_error_write(answer->body, too_big ? -EINVAL : outcome->code,
					     outcome->err->message);
	if (too_big)
		answer->status = 413;
	if (outcome->code == -EOPNOTSUPP) /* of a body: its type or encoding */
		answer->status = 415;
}
