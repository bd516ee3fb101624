/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/listen.h - a listening TCP socket on a loopback address, for HTTP and for gRPC.
 *
 * There is no TLS, so no other address is served.  Any thread; blocks on nothing.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "base/err.h"

#define LISTEN_BACKLOG 1024

/* Listen on "127.0.0.1:4040" or "[::1]:0", without blocking. */
MUST_CHECK int listen_tcp(const char *address, int *ret_fd, struct err *err);

/* Write the address that `fd` is bound to. */
void listen_name(int fd, char *bound, size_t max);

#endif
