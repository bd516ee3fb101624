/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/head.h - the head of an HTTP/1.1 request, checked before libmicrohttpd sees it.
 *
 * libmicrohttpd 0.9.75 accepts two Host headers, Content-Length beside Transfer-Encoding, bare line
 * feeds and NULs; each of these has been a way around a proxy or an origin check.  This is the
 * strict reading of RFC 9112, sections 2 to 6: what is not plainly right is refused.  Pure.
 */
#ifndef SERVER_HEAD_H
#define SERVER_HEAD_H

#include <stdbool.h>

#include "base/err.h"

#define HEAD_BYTES_MAX 16384
#define HEAD_HEADERS_MAX 64

struct head_rules {
	bool any_host; /* a Unix socket: nobody but its peer can reach it */
	/* names allowed besides loopback's own, NULL-terminated; may be NULL */
	const char *const *hosts;
};

/* Returns the length of a complete, right head; 0 when more bytes are needed; a negative errno when
 * it is refused, with the reason in `err` and the HTTP status in *ret_status. */
int head_check(const char *bytes, size_t len, const struct head_rules *rules, int *ret_status,
	       struct err *err);

/* Whether `host` ("name", "name:port", "[::1]:port") is one of the allowed ones. */
bool head_host_allowed(struct str host, const struct head_rules *rules);

#endif
