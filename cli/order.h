/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/order.h - orders to running clients: what zoom, pause and resume share.
 */
#ifndef CLI_ORDER_H
#define CLI_ORDER_H

#include "cli/verb.h"

#define ORDER_HELP                                                                                 \
	"  -S, --service NAME   the same as SERVICE\n"                                             \
	"  --server unix:PATH   which agent\n"                                                     \
	"  --json       the orders that are in force, as the agent has them\n"                     \
	"  -q, --quiet  nothing but the exit status\n"

/* Parse `<verb> [SERVICE] [options]`, give the order over the agent's Unix socket, and say on
 * stderr what is in force.  Returns an exit code. */
int order_give(const struct verb *verb, int argc, char **argv);

#endif
