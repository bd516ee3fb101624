/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"

#define ANSWER_MAX ((size_t)1 << 30)

static bool directory_try(const char *directory, struct place *place)
{
	(void)snprintf(place->socket, sizeof(place->socket), "%.200s/http.sock", directory);
	(void)snprintf(place->directory, sizeof(place->directory), "%.200s", directory);
	(void)snprintf(place->url, sizeof(place->url), "http://localhost");
	return access(place->socket, F_OK) == 0;
}

static bool directory_search(struct place *place)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char directory[220];

	if (directory_try("/run/hearth", place))
		return true;
	if (runtime) {
		(void)snprintf(directory, sizeof(directory), "%.190s/hearth", runtime);
		if (directory_try(directory, place))
			return true;
	}
	(void)snprintf(directory, sizeof(directory), "/tmp/hearth-%u", geteuid());
	return directory_try(directory, place);
}

int place_find(const char *server, struct place *ret_place)
{
	*ret_place = (struct place){0};
	if (!server)
		server = getenv("HEARTH_SERVER");
	if (!server || !*server) {
		if (directory_search(ret_place))
			return 0;
		return complain(
		    EXIT_NO_AGENT,
		    "no agent found: start hearthd, or name it with --server unix:/run/hearth "
		    "or http://127.0.0.1:4040");
	}
	if (!strncmp(server, "http://", 7) || !strncmp(server, "https://", 8)) {
		(void)snprintf(ret_place->url, sizeof(ret_place->url), "%s", server);
		size_t len = strlen(ret_place->url);

		if (len && ret_place->url[len - 1] == '/')
			ret_place->url[len - 1] = '\0';
		return 0;
	}
	if (!strncmp(server, "unix:", 5))
		server += 5;
	if (server[0] != '/')
		return complain(EXIT_USAGE,
				"--server \"%s\": write unix:/path or http://address:port", server);
	/* Both the socket and its directory are understood. */
	char directory[220];

	(void)snprintf(directory, sizeof(directory), "%.200s", server);
	char *name = strstr(directory, "/http.sock");

	if (name && !name[10])
		*name = '\0';
	(void)directory_try(directory, ret_place);
	return 0;
}

/* One request and its answer. */
struct exchange {
	const struct place *place;
	const char *path;
	const struct parameter *parameters;
	size_t parameters_count;
	const void *body; /* NULL: none, or `from` */
	size_t body_len;
	int from; /* -1, or what is sent: `len` bytes from `at` on */
	uint64_t at, len;
	int to; /* -1, or where the bytes of a 2xx go */
	uint64_t written;
	int failed; /* errno of either */
	struct buf *answer;
	long status;
	CURL *curl;
};

static size_t answer_add(char *bytes, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	long status = 0;

	(void)size;
	(void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (x->to < 0 || status / 100 != 2)
		return buf_add(x->answer, bytes, count) ? 0 : count;
	int rc = fd_write_all(x->to, bytes, count);

	x->failed = -rc;
	x->written += count;
	return rc ? 0 : count;
}

static size_t body_read(char *to, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	ssize_t n = pread(x->from, to, MIN(size * count, x->len), (off_t)x->at);

	/* Less than was announced: it became shorter. */
	if (n < 0 || (!n && x->len)) {
		x->failed = n < 0 ? errno : EIO;
		return CURL_READFUNC_ABORT;
	}
	x->at += (uint64_t)n;
	x->len -= (uint64_t)n;
	return (size_t)n;
}

static int url_build(CURL *curl, const struct place *place, const char *path,
		     const struct parameter *parameters, size_t count, struct buf *url)
{
	char separator = '?';

	(void)buf_printf(url, "%s%s", place->url, path);
	for (size_t i = 0; i < count; i++) {
		if (!parameters[i].value)
			continue;
		char *escaped = curl_easy_escape(curl, parameters[i].value, 0);

		(void)buf_printf(url, "%c%s=%s", separator, parameters[i].name,
				 escaped ? escaped : "");
		curl_free(escaped);
		separator = '&';
	}
	return buf_cstr(url) ? 0 : -ENOMEM;
}

static struct curl_slist *headers_make(bool has_body)
{
	const char *token = getenv("HEARTH_TOKEN");
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char line[256];

	if (has_body)
		headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
	if (token) {
		(void)snprintf(line, sizeof(line), "Authorization: Bearer %.200s", token);
		headers = curl_slist_append(headers, line);
	}
	return headers;
}

/* What the agent said of the failure, without what could drive a terminal. */
static int answer_complain(long status, struct buf *body)
{
	json_t *problem = json_loadb(body->data ? body->data : "", body->len, 0, NULL);
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	char text[400];
	size_t len = 0;

	for (const char *c = detail ? detail : "no reason was given"; *c && len < sizeof(text) - 1;
	     c++)
		text[len++] = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
	text[len] = '\0';
	json_decref(problem);
	return complain(EXIT_RUNTIME, "the agent answered %ld: %s", status, text);
}

#define ANSWER_SECONDS 120L
#define STILL_SECONDS 300L /* for a file: without a byte, while the agent copies or looks at it */

static void options_set(struct exchange *x, const char *url, char *error,
			struct curl_slist *headers)
{
	CURL *curl = x->curl;

	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_add);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (x->to < 0)
		(void)curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
	if (x->to < 0 && x->from < 0) {
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
	} else {
		(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STILL_SECONDS);
	}
	if (x->place->socket[0])
		(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, x->place->socket);
	if (x->body || x->from >= 0)
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
	if (x->body)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, x->body);
	if (x->from >= 0) {
		(void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, body_read);
		(void)curl_easy_setopt(curl, CURLOPT_READDATA, x);
	}
	if (x->body || x->from >= 0)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				       (curl_off_t)(x->body ? x->body_len : x->len));
}

/* Whatever the answer is; x->status is the HTTP status. */
static int ask_any(struct exchange *x)
{
	char error[CURL_ERROR_SIZE] = "";
	struct buf url;
	struct curl_slist *headers = headers_make(x->body || x->from >= 0);

	x->curl = curl_easy_init();
	buf_init(&url, 1 << 20);
	buf_init(x->answer, ANSWER_MAX);
	if (!x->curl ||
	    url_build(x->curl, x->place, x->path, x->parameters, x->parameters_count, &url)) {
		curl_slist_free_all(headers);
		curl_easy_cleanup(x->curl);
		buf_release(&url);
		return complain(EXIT_RUNTIME, "out of memory");
	}
	options_set(x, url.data, error, headers);
	CURLcode rc = curl_easy_perform(x->curl);

	(void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(x->curl);
	buf_release(&url);
	if (x->failed)
		return complain(EXIT_RUNTIME, "%s: %s",
				x->to >= 0 ? "what the agent sends cannot be written"
					   : "what is sent to the agent cannot be read",
				strerror(x->failed));
	if (rc != CURLE_OK)
		return complain(EXIT_NO_AGENT, "the agent at %s does not answer: %s",
				x->place->socket[0] ? x->place->socket : x->place->url,
				error[0] ? error : curl_easy_strerror(rc));
	return 0;
}

/* `ret_there` NULL: it is a failure that nothing is there. */
static int ask_checked(struct exchange *x, bool *ret_there)
{
	int code = ask_any(x);
	bool there = x->status != 404 || !ret_there;

	if (ret_there)
		*ret_there = !code && there;
	return code || !there || x->status / 100 == 2 ? code
						      : answer_complain(x->status, x->answer);
}

int ask(const struct place *place, const char *path, const struct parameter *parameters,
	size_t count, const void *body, size_t body_len, struct buf *ret_body)
{
	struct exchange x = {.place = place,
			     .path = path,
			     .parameters = parameters,
			     .parameters_count = count,
			     .body = body,
			     .body_len = body_len,
			     .from = -1,
			     .to = -1,
			     .answer = ret_body};

	return ask_checked(&x, NULL);
}

int ask_to_file(const struct place *place, const char *path, const struct parameter *parameters,
		size_t count, int fd, uint64_t *ret_bytes, bool *ret_there)
{
	struct buf answer;
	struct exchange x = {.place = place,
			     .path = path,
			     .parameters = parameters,
			     .parameters_count = count,
			     .from = -1,
			     .to = fd,
			     .answer = &answer};
	int code = ask_checked(&x, ret_there);

	buf_release(&answer);
	*ret_bytes = x.written;
	return code;
}

int ask_from_file(const struct place *place, const char *path, const struct parameter *parameters,
		  size_t count, int fd, uint64_t at, uint64_t len, struct buf *ret_body)
{
	struct exchange x = {.place = place,
			     .path = path,
			     .parameters = parameters,
			     .parameters_count = count,
			     .from = fd,
			     .at = at,
			     .len = len,
			     .to = -1,
			     .answer = ret_body};

	return ask_checked(&x, NULL);
}

int selector_make(const struct options *options, const char *select, struct buf *selector)
{
	size_t len = strlen(select);

	if (!options->service)
		return buf_add_str(selector, select) || !buf_cstr(selector);
	if (len >= 2 && select[0] == '{' && select[len - 1] == '}') {
		select++;
		len -= 2;
	}
	(void)buf_add_str(selector, "{service=\"");
	for (const char *c = options->service; *c; c++) {
		if (*c == '"' || *c == '\\')
			(void)buf_add_byte(selector, '\\');
		(void)buf_add_byte(selector, (uint8_t)*c);
	}
	(void)buf_printf(selector, "\"%s%.*s}", len ? "," : "", (int)len, select);
	return buf_cstr(selector) ? 0 : -ENOMEM;
}

int ask_selected(const struct options *options, const char *path, const struct parameter *extra,
		 size_t extra_count, struct buf *ret_body)
{
	struct parameter parameters[48];
	struct place place;
	struct buf selector;
	char since[80];
	size_t count = 0;
	int code = place_find(options->server, &place);

	if (code)
		return code;
	buf_init(&selector, 65536);
	if (selector_make(options, options->select ? options->select : "", &selector)) {
		buf_release(&selector);
		return complain(EXIT_RUNTIME, "out of memory");
	}
	(void)snprintf(since, sizeof(since), "now-%s", options->since ? options->since : "1h");
	parameters[count++] = (struct parameter){"query", selector.len ? selector.data : NULL};
	parameters[count++] = (struct parameter){"from", options->from ? options->from : since};
	parameters[count++] = (struct parameter){"until", options->until};
	parameters[count++] = (struct parameter){"focus", options->focus};
	parameters[count++] = (struct parameter){"ignore", options->ignore};
	parameters[count++] = (struct parameter){"hide", options->hide};
	parameters[count++] = (struct parameter){"show", options->show};
	parameters[count++] = (struct parameter){"show_from", options->show_from};
	parameters[count++] = (struct parameter){"tagfocus", options->tagfocus};
	parameters[count++] = (struct parameter){"tagignore", options->tagignore};
	parameters[count++] = (struct parameter){"names", options->names};
	parameters[count++] = (struct parameter){"thread", options->thread};
	parameters[count++] = (struct parameter){"invert", options->invert ? "true" : NULL};
	parameters[count++] = (struct parameter){"collapse", options->collapse ? "true" : NULL};
	for (size_t i = 0; i < extra_count && count < ARRAY_LEN(parameters); i++)
		parameters[count++] = extra[i];
	code = ask(&place, path, parameters, count, NULL, 0, ret_body);
	buf_release(&selector);
	return code;
}

int ask_json(const struct options *options, const char *path, const struct parameter *extra,
	     size_t extra_count, json_t **ret_json)
{
	struct buf body;
	json_error_t error;
	int code = ask_selected(options, path, extra, extra_count, &body);

	*ret_json = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, &error);
	buf_release(&body);
	if (!code && !*ret_json)
		return complain(EXIT_RUNTIME, "the agent's answer is not JSON: %s", error.text);
	return code;
}
