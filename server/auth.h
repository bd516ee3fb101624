/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/auth.h - who calls, and what they may do.
 *
 * On a Unix socket the kernel says who the peer is.  On TCP a token is asked for reading: as
 * Bearer, as Basic password, or as the session cookie that a one-time link sets.  Any thread.
 */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define AUTH_TOKEN_CHARS 64 /* 256 bits as hex */

struct auth;

struct auth_caller {
	bool is_unix;  /* came over a Unix socket; `uid` is the kernel's word */
	uint32_t uid;  /* owner of what this caller uploads */
	bool may_read; /* anything at all */
	bool sees_all; /* else only what `uid` owns */
};

/* `open`: no token is asked (auth: open in the configuration). The token file is written 0640. */
MUST_CHECK int auth_new(const char *token_path, bool open, struct auth **ret_auth, struct err *err);
void auth_free(struct auth *auth);

/* A caller over a Unix socket. */
struct auth_caller auth_peer(const struct auth *auth, uid_t uid);

/* A caller over TCP, by its Authorization and Cookie headers (each may be NULL). */
struct auth_caller auth_tcp(struct auth *auth, const char *authorization, const char *cookie);

/* A code for a one-time link, valid for ten minutes. */
void auth_code_make(struct auth *auth, char code[AUTH_TOKEN_CHARS + 1]);

/* Exchange a code for a session; false when it is wrong, used or old. */
bool auth_code_use(struct auth *auth, const char *code, char session[AUTH_TOKEN_CHARS + 1]);

#define AUTH_COOKIE "hearth_session"

#endif
