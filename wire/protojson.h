/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/protojson.h - a protobuf message that we wrote, as JSON by a table of fields
 * (wire/transcode.h).
 *
 * The way back of wire_transcode: an answer is written once, in binary form.  64-bit numbers are
 * strings, as protobuf maps them; so are the few of 32 bits and enums, which its readers take too.
 * What is absent stays absent.  Source: protobuf.dev, "ProtoJSON format".  Any thread.
 */
#ifndef WIRE_PROTOJSON_H
#define WIRE_PROTOJSON_H

#include "base/json.h"
#include "wire/protobuf.h"
#include "wire/transcode.h"

/* Write the message as an object. Returns 0, -EINVAL for bytes that are no such message, or the
 * buffer's failure. */
MUST_CHECK int wire_protojson(struct proto_reader bytes, const struct wire_message *message,
			      struct json *json);

#endif
