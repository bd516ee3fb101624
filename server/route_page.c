/* SPDX-License-Identifier: Apache-2.0 */
/* The page's files, and the one-time link that lets a browser read. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "server/page.h"
#include "server/route.h"
#include "wire/decompress.h"

static const struct page_file *file_find(const char *path)
{
	for (const struct page_file *file = page_files; file->path; file++)
		if (!strcmp(file->path, path))
			return file;
	return NULL;
}

static void file_send(struct route_call *call, const struct page_file *file)
{
	const char *accepted = http_header(call->request, "Accept-Encoding");
	const char *known = http_header(call->request, "If-None-Match");
	struct http_answer *answer = call->answer;

	answer->content_type = file->content_type;
	answer->etag = file->etag;
	answer->cache_control =
	    file->immutable ? "public, max-age=31536000, immutable" : "no-cache";
	if (known && strstr(known, file->etag)) {
		answer->status = 304;
		return;
	}
	if (accepted && strstr(accepted, "gzip")) {
		answer->encoding = "gzip";
		(void)buf_add(&answer->body, file->gzip, file->gzip_len);
		return;
	}
	const struct decompress_limits limits = {.plain_bytes = file->plain_len};
	struct err err = {0};
	struct buf plain;

	if (wire_decompress(file->gzip, file->gzip_len, &limits, &plain, &err)) {
		http_problem(answer, 500, "%s", err.message);
		return;
	}
	buf_release(&answer->body);
	answer->body = plain;
}

void route_page(struct route_call *call)
{
	const struct page_file *file = file_find(call->request->path);

	if (file)
		file_send(call, file);
	else if (!strcmp(call->request->path, "/"))
		http_problem(call->answer, 404, "this hearthd was built without its page");
	else
		http_problem(call->answer, 404, "nothing is served at %.200s", call->request->path);
}

/* Only a Unix peer who sees everything may let a browser in. */
void route_login_code(struct route_call *call)
{
	char code[AUTH_TOKEN_CHARS + 1];
	struct json json;

	if (!call->request->caller.is_unix || !call->request->caller.sees_all) {
		http_problem(call->answer, 403,
			     "a link is made over %s/http.sock, by root or the agent's own user",
			     call->agent->config.run);
		return;
	}
	auth_code_make(call->agent->auth, code);
	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "address", call->agent->bound_count ? call->agent->bound[0] : NULL);
	json_key(&json, "path");
	(void)buf_printf(&call->answer->body, "\"/login?code=%s\"", code);
	json.comma = true;
	json_close(&json, '}');
}

/* The cookie's text lives in thread-local memory until the answer is built from it. */
void route_login(struct route_call *call)
{
	static _Thread_local char cookie[256];
	char session[AUTH_TOKEN_CHARS + 1];
	const char *code = http_query(call->request, "code");

	if (!code || !auth_code_use(call->agent->auth, code, session)) {
		http_problem(
		    call->answer, 403,
		    "this link was used or is older than ten minutes; `hearth ui` prints a new "
		    "one");
		return;
	}
	(void)snprintf(cookie, sizeof(cookie),
		       AUTH_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000",
		       session);
	call->answer->status = 303;
	call->answer->location = "/";
	call->answer->cookie = cookie;
}
