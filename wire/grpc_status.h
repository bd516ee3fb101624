/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/grpc_status.h - what gRPC's statuses, which google.rpc.Status has too, say of an errno.
 *
 * Calls over gRPC and OTLP over HTTP answer with them: server/rpc.c, ingest/otlp.c.
 */
#ifndef WIRE_GRPC_STATUS_H
#define WIRE_GRPC_STATUS_H

enum grpc_status {
	GRPC_OK = 0,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
};

/* The status that a room's errno stands for. */
enum grpc_status grpc_status_of(int code);

#endif
