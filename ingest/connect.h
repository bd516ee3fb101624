/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/connect.h - the Connect protocol's unary calls (connectrpc.com, "Protocol"), as far as
 * uploads need them.  Private to ingest/.
 */
#ifndef INGEST_CONNECT_H
#define INGEST_CONNECT_H

#include "ingest/protocol.h"
#include "wire/transcode.h"

/*
 * The request's message in binary form: its body as it is (application/proto; what other clients
 * call application/x-protobuf too), or made of its JSON (application/json).  Any other Content-Type
 * is -EOPNOTSUPP, which is answered with 415.  `ret_binary` is the caller's to release after 0.
 */
MUST_CHECK int connect_message(const struct ingest_request *request,
			       const struct wire_message *message, struct buf *ret_binary,
			       struct err *err);

/* Append what the request's JSON body is in binary form. Returns 0, -EINVAL, -E2BIG or -ENOMEM. */
MUST_CHECK int connect_of_json(const struct ingest_request *request,
			       const struct wire_message *message, struct buf *binary,
			       struct err *err);

/* An empty message in the request's own form, or {"code","message"} with Connect's word for the
 * errno; what is above a limit is 413 and invalid_argument, so that nobody sends it again. */
void connect_answer_empty(const struct ingest_request *request,
			  const struct ingest_outcome *outcome, struct ingest_answer *answer);

#endif
