/* SPDX-License-Identifier: Apache-2.0 */
#include "server/auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "profile/profile.h"

#define CODES_MAX 16
#define SESSIONS_MAX 64
#define CODE_LIFE_NS (INT64_C(600) * NS_PER_S)
#define SESSION_LIFE_NS (INT64_C(30) * 86400 * NS_PER_S)

struct secret {
	char text[AUTH_TOKEN_CHARS + 1];
	int64_t until_ns; /* CLOCK_MONOTONIC, 0: free */
};

struct auth {
	bool open;
	char token[AUTH_TOKEN_CHARS + 1];
	pthread_mutex_t lock;
	struct secret codes[CODES_MAX], sessions[SESSIONS_MAX];
	size_t next_code, next_session;
};

static int secret_draw(char text[AUTH_TOKEN_CHARS + 1])
{
	uint8_t bytes[AUTH_TOKEN_CHARS / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* As long for a near miss as for a wild one. */
static bool secret_equal(const char *ours, const char *theirs, size_t theirs_len)
{
	unsigned char difference = theirs_len != AUTH_TOKEN_CHARS;

	for (size_t i = 0; i < AUTH_TOKEN_CHARS; i++)
		difference |= (unsigned char)(ours[i] ^ (i < theirs_len ? theirs[i] : 0));
	return !difference;
}

int auth_new(const char *token_path, bool open, struct auth **ret_auth, struct err *err)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	char line[AUTH_TOKEN_CHARS + 2];

	if (!auth || secret_draw(auth->token)) {
		free(auth);
		return err_set(err, -ENOMEM, "token: no memory or no randomness");
	}
	auth->open = open;
	(void)pthread_mutex_init(&auth->lock, NULL);
	(void)snprintf(line, sizeof(line), "%s\n", auth->token);
	int rc = fd_replace_file(token_path, line, strlen(line), 0640, err);

	if (rc) {
		auth_free(auth);
		return rc;
	}
	*ret_auth = auth;
	return 0;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	(void)pthread_mutex_destroy(&auth->lock);
	explicit_bzero(auth, sizeof(*auth));
	free(auth);
}

struct auth_caller auth_peer(const struct auth *auth, uid_t uid)
{
	return (struct auth_caller){.is_unix = true,
				    .uid = uid,
				    .may_read = true,
				    .sees_all = auth->open || uid == 0 || uid == geteuid()};
}

/* The password of "Basic base64(user:password)", decoded in place of a copy. */
static size_t basic_password(const char *base64, char *to, size_t max)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char plain[256];
	size_t len = 0;
	uint32_t bits = 0;
	int have = 0;

	for (; *base64 && *base64 != '='; base64++) {
		const char *digit = strchr(alphabet, *base64);

		if (!digit || len == sizeof(plain) - 1)
			return 0;
		bits = bits << 6 | (uint32_t)(digit - alphabet);
		have += 6;
		if (have >= 8) {
			have -= 8;
			plain[len++] = (char)(bits >> have & 0xff);
		}
	}
	plain[len] = '\0';
	const char *colon = memchr(plain, ':', len);
	size_t password = colon ? len - (size_t)(colon + 1 - plain) : 0;

	if (!colon || password > max)
		return 0;
	memcpy(to, colon + 1, password);
	return password;
}

static bool token_fits(const struct auth *auth, const char *authorization)
{
	char password[AUTH_TOKEN_CHARS * 2];

	if (!authorization)
		return false;
	if (!strncasecmp(authorization, "Bearer ", 7))
		return secret_equal(auth->token, authorization + 7, strlen(authorization + 7));
	if (strncasecmp(authorization, "Basic ", 6))
		return false;
	return secret_equal(auth->token, password,
			    basic_password(authorization + 6, password, sizeof(password)));
}

static bool session_fits(struct auth *auth, const char *cookie)
{
	const char *at = cookie;
	bool fits = false;

	while (at && (at = strstr(at, AUTH_COOKIE "="))) {
		bool starts = at == cookie || at[-1] == ' ' || at[-1] == ';';

		at += sizeof(AUTH_COOKIE);
		if (!starts)
			continue;
		size_t len = strcspn(at, "; ");

		(void)pthread_mutex_lock(&auth->lock);
		for (size_t i = 0; i < SESSIONS_MAX; i++)
			fits = fits || (auth->sessions[i].until_ns > clock_monotonic_ns() &&
					secret_equal(auth->sessions[i].text, at, len));
		(void)pthread_mutex_unlock(&auth->lock);
	}
	return fits;
}

struct auth_caller auth_tcp(struct auth *auth, const char *authorization, const char *cookie)
{
	bool known = token_fits(auth, authorization) || session_fits(auth, cookie);

	return (struct auth_caller){.uid = known ? geteuid() : PROFILE_OWNER_NOBODY,
				    .may_read = known || auth->open,
				    .sees_all = known || auth->open};
}

void auth_code_make(struct auth *auth, char code[AUTH_TOKEN_CHARS + 1])
{
	(void)pthread_mutex_lock(&auth->lock);
	struct secret *place = &auth->codes[auth->next_code++ % CODES_MAX];

	place->until_ns = secret_draw(place->text) ? 0 : clock_monotonic_ns() + CODE_LIFE_NS;
	memcpy(code, place->text, sizeof(place->text));
	(void)pthread_mutex_unlock(&auth->lock);
}

bool auth_code_use(struct auth *auth, const char *code, char session[AUTH_TOKEN_CHARS + 1])
{
	int64_t now_ns = clock_monotonic_ns();
	bool right = false;

	(void)pthread_mutex_lock(&auth->lock);
	for (size_t i = 0; i < CODES_MAX; i++) {
		if (auth->codes[i].until_ns > now_ns &&
		    secret_equal(auth->codes[i].text, code, strlen(code))) {
			auth->codes[i].until_ns = 0;
			right = true;
		}
	}
	if (right) {
		struct secret *place = &auth->sessions[auth->next_session++ % SESSIONS_MAX];

		right = !secret_draw(place->text);
		place->until_ns = right ? now_ns + SESSION_LIFE_NS : 0;
		memcpy(session, place->text, sizeof(place->text));
	}
	(void)pthread_mutex_unlock(&auth->lock);
	return right;
}
