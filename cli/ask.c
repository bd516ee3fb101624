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

static size_t answer_add(char *bytes, size_t size, size_t count, void *arg)
{
	struct buf *body = arg;

	(void)size;
	return buf_add(body, bytes, count) ? 0 : count;
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

/* Whatever the answer is; *ret_status is the HTTP status. */
static int ask_any(const struct place *place, const char *path, const struct parameter *parameters,
		   size_t count, const void *body, size_t body_len, struct buf *ret_body,
		   long *ret_status)
{
	char error[CURL_ERROR_SIZE] = "";
	struct buf url;
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = headers_make(body != NULL);

	*ret_status = 0;
	buf_init(&url, 1 << 20);
	buf_init(ret_body, ANSWER_MAX);
	if (!curl || url_build(curl, place, path, parameters, count, &url)) {
		curl_slist_free_all(headers);
		curl_easy_cleanup(curl);
		buf_release(&url);
		return complain(EXIT_RUNTIME, "out of memory");
	}
	(void)curl_easy_setopt(curl, CURLOPT_URL, url.data);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_add);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret_body);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, 120L);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (place->socket[0])
		(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, place->socket);
	if (body) {
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
	}
	CURLcode rc = curl_easy_perform(curl);

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	buf_release(&url);
	if (rc != CURLE_OK)
		return complain(EXIT_NO_AGENT, "the agent at %s does not answer: %s",
				place->socket[0] ? place->socket : place->url,
				error[0] ? error : curl_easy_strerror(rc));
	return 0;
}

int ask(const struct place *place, const char *path, const struct parameter *parameters,
	size_t count, const void *body, size_t body_len, struct buf *ret_body)
{
	long status;
	int code = ask_any(place, path, parameters, count, body, body_len, ret_body, &status);

	return code || status / 100 == 2 ? code : answer_complain(status, ret_body);
}

int ask_if_there(const struct place *place, const char *path, const struct parameter *parameters,
		 size_t count, struct buf *ret_body, bool *ret_there)
{
	long status;
	int code = ask_any(place, path, parameters, count, NULL, 0, ret_body, &status);

	*ret_there = !code && status != 404;
	return code || status == 404 || status / 100 == 2 ? code
							  : answer_complain(status, ret_body);
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
