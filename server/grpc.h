/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/grpc.h - what gRPC says on top of HTTP/2: message frames, statuses, timeouts.
 *
 * Pure: bytes in, bytes out; the streams that carry them are server/http2.h's.  Any thread.
 * Format: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
 *
 *	message   u8 compressed   u32 length, big-endian   bytes
 */
#ifndef SERVER_GRPC_H
#define SERVER_GRPC_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/grpc_status.h"

#define GRPC_HEAD 5           /* bytes before a message */
#define GRPC_RETRY_SECONDS 5  /* after UNAVAILABLE, as Retry-After over HTTP */
#define GRPC_QUOTA_SECONDS 60 /* after RESOURCE_EXHAUSTED, likewise */
#define GRPC_MESSAGE_MAX 1024 /* bytes of grpc-message with its NUL */
#define GRPC_DETAILS_MAX 1024 /* bytes of grpc-status-details-bin with its NUL */

/* Whether a content-type is gRPC's at all, and whether its messages are protobuf. */
bool grpc_is_content_type(const char *type);
bool grpc_is_proto(const char *type);

/*
 * The one message of a unary call; `*ret_message` points into `body`.  `encoding` is
 * grpc-encoding's value, "" without one.  A compressed message is handed out as it is, after a look
 * at its magic. Returns 0, -EINVAL (no message, two, cut short) or -EOPNOTSUPP (another
 * compression).
 */
MUST_CHECK int grpc_unary(struct str body, const char *encoding, struct str *ret_message,
			  struct err *err);

/* Put a message, not compressed, with its head. */
void grpc_message_put(struct buf *to, struct str message);

/* Nanoseconds of a grpc-timeout ("10S", "1500m"), at most INT64_MAX; -EINVAL. */
MUST_CHECK int grpc_timeout_parse(const char *text, int64_t *ret_ns);

/* `text` as grpc-message has it: percent-encoded, cut to fit. */
void grpc_message_encode(const char *text, char to[GRPC_MESSAGE_MAX]);

/* A google.rpc.Status that says when to come again (RetryInfo), in base64. */
void grpc_details_encode(enum grpc_status status, const char *text, char to[GRPC_DETAILS_MAX]);

#endif
