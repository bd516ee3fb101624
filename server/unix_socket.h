/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/unix_socket.h - a listening Unix socket that everybody may connect to.
 *
 * Who a peer is, the kernel says; what they may do is decided later.
 */
#ifndef SERVER_UNIX_SOCKET_H
#define SERVER_UNIX_SOCKET_H

#include "base/err.h"

/* Listen at `path`, mode 0666, non-blocking; `type` is SOCK_STREAM or SOCK_SEQPACKET.  A socket
 * that stands there is a leftover, since the store's lock says that no other agent runs; anything
 * else is left alone and refused.  Returns the descriptor, or a negative errno. */
MUST_CHECK int unix_socket_listen(const char *path, int type, int backlog, struct err *err);

#endif
