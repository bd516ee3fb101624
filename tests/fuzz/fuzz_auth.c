/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls: a line of Authorization, a line of Cookie, and a code.  A line that begins with @ and
 * a letter stands for the right secret with the line's rest behind it, and nothing else may be let
 * in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "server/auth.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refuse.h"

static char token[AUTH_TOKEN_CHARS + 1], basic[256], session[AUTH_TOKEN_CHARS + 1];

static void base64(const char *from, size_t len, char *to)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t bit = 0; bit < 8 * len; bit += 6) {
		unsigned two = (unsigned char)from[bit / 8] * 256u;

		two += bit / 8 + 1 < len ? (unsigned char)from[bit / 8 + 1] : 0;
		*to++ = alphabet[two >> (10 - bit % 8) & 63];
	}
	*to = '\0';
}

static struct auth *auth_make(void)
{
	char folder[] = "/tmp/fuzz_auth.XXXXXX", path[64], text[AUTH_TOKEN_CHARS + 8],
	     code[AUTH_TOKEN_CHARS + 1];
	struct auth *auth = NULL;
	struct err err;

	FUZZ_CHECK(mkdtemp(folder) != NULL);
	(void)snprintf(path, sizeof(path), "%s/token", folder);
	FUZZ_CHECK(auth_new(path, false, &auth, &err) == 0);
	FUZZ_CHECK(fd_read_file(AT_FDCWD, path, text, sizeof(text)) >= AUTH_TOKEN_CHARS);
	memcpy(token, text, AUTH_TOKEN_CHARS);
	(void)unlink(path);
	(void)rmdir(folder);
	int len = snprintf(text, sizeof(text), "user:%s", token);

	base64(text, (size_t)len, basic);
	auth_code_make(auth, code);
	FUZZ_CHECK(auth_code_use(auth, code, session) && !auth_code_use(auth, code, session));
	return auth;
}

/* Where a token cannot stand there is no agent; a peer sees all where everybody does, and its own
 * uid. */
static void places_make(void)
{
	struct auth *auth = NULL;
	struct err err = {0};

	FUZZ_CHECK(auth_new("/proc/nowhere/token", false, &auth, &err) < 0 && err.message[0]);
	FUZZ_CHECK(!auth);
	auth_free(NULL);
	refuse_left = 1;
	FUZZ_CHECK(auth_new("/proc/nowhere/token", false, &auth, &err) == -ENOMEM);
	refuse_left = 0;
}

static void peers_check(const struct auth *auth, uid_t uid)
{
	struct auth_caller caller = auth_peer(auth, uid);

	FUZZ_CHECK(caller.is_unix && caller.uid == uid && caller.may_read);
	FUZZ_CHECK(caller.sees_all == (uid == 0 || uid == geteuid()));
}

static const char *line_make(const char *line, char to[512])
{
	if (line[0] != '@' || !line[1])
		return line;
	const char *rest = line + 2;

	switch (line[1]) {
	case 'B':
		(void)snprintf(to, 512, "Basic %s%.200s", basic, rest);
		break;
	case 'S':
		(void)snprintf(to, 512, AUTH_COOKIE "=%s%.200s", session, rest);
		break;
	case 'R':
		(void)snprintf(to, 512, "%.200s; " AUTH_COOKIE "=%s", rest, session);
		break;
	default:
		(void)snprintf(to, 512, "Bearer %s%.200s", token, rest);
		break;
	}
	return to;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct auth *auth;
	char authorization[512], cookie[512], unused[AUTH_TOKEN_CHARS + 1];
	char *text = strndup((const char *)bytes, len), *rest = text;

	if (!auth) {
		auth = auth_make();
		places_make();
	}
	FUZZ_CHECK(text != NULL);
	peers_check(auth, (uid_t)len);
	const char *first = strsep(&rest, "\n"), *second = rest ? strsep(&rest, "\n") : NULL;
	bool given = first[0] == '@' || (second && second[0] == '@');
	struct auth_caller caller = auth_tcp(auth, *first ? line_make(first, authorization) : NULL,
					     second ? line_make(second, cookie) : NULL);

	FUZZ_CHECK(given || (!caller.may_read && !caller.sees_all));
	if (!strcmp(first, "@T") || !strcmp(first, "@B") || (second && !strcmp(second, "@S")))
		FUZZ_CHECK(caller.may_read);
	FUZZ_CHECK(!rest || !auth_code_use(auth, rest, unused));
	free(text);
	return 0;
}
