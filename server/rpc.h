/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/rpc.h - the gRPC methods that are served: OTLP's ProfilesService/Export.
 *
 * Joins server/http2.h, which carries calls, and server/pipeline.h, which keeps profiles.  Loop thread.
 */
#ifndef SERVER_RPC_H
#define SERVER_RPC_H

#include "server/agent.h"

#define RPC_DEFAULT_LISTEN "127.0.0.1:4317"

/* Listen as the configuration says. When the default port is taken, say so and go on without. */
MUST_CHECK int rpc_start(struct agent *agent, struct err *err);

#endif
