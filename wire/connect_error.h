/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/connect_error.h - what a unary call of Connect answers when it fails.
 *
 * Push and Pyroscope's querier both speak it: ingest/connect.h, server/route_querier.c.
 */
#ifndef WIRE_CONNECT_ERROR_H
#define WIRE_CONNECT_ERROR_H

#include "base/buf.h"

/* Write {"code":...,"message":...}, of type application/json, for the negative errno `rc`.
 * Returns the HTTP status that goes with it (the protocol's "Error Codes"). */
int connect_error_write(struct buf *out, int rc, const char *message);

#endif
