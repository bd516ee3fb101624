/* SPDX-License-Identifier: Apache-2.0 */
/* The libmicrohttpd side: requests, bodies, answers.  Accepting stands in http_accept.c. */
#include "server/http_private.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"

#define REQUEST_ID_CHARACTERS                                                                      \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+="

const char *http_query(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct each_call {
	int (*fn)(void *arg, const char *name, const char *value);
	void *arg;
	int rc;
};

static enum MHD_Result each_value(void *arg, enum MHD_ValueKind kind, const char *key,
				  const char *value)
{
	struct each_call *call = arg;

	(void)kind;
	call->rc = call->fn(call->arg, key, value ? value : "");
	return call->rc ? MHD_NO : MHD_YES;
}

static int each(const struct http_request *request, enum MHD_ValueKind kind,
		int (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	struct each_call call = {fn, arg, 0};

	(void)MHD_get_connection_values(request->connection, kind, each_value, &call);
	return call.rc;
}

int http_query_each(const struct http_request *request,
		    int (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	return each(request, MHD_GET_ARGUMENT_KIND, fn, arg);
}

int http_header_each(const struct http_request *request,
		     int (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	return each(request, MHD_HEADER_KIND, fn, arg);
}

static const char *title_of(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {409, "Conflict"},
	    {413, "Content Too Large"},
	    {415, "Unsupported Media Type"},
	    {421, "Misdirected Request"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"},
	    {503, "Service Unavailable"},
	    {507, "Insufficient Storage"},
	};

	for (size_t i = 0; i < ARRAY_LEN(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

static void file_drop(struct http_answer *answer)
{
	if (answer->is_file)
		fd_close(&answer->file);
	answer->is_file = false;
}

void http_problem(struct http_answer *answer, int status, const char *fmt, ...)
{
	char detail[512];
	struct json json;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	buf_clear(&answer->body);
	file_drop(answer);
	answer->status = status;
	answer->content_type = "application/problem+json";
	if (status == 401)
		answer->www_authenticate = "Bearer realm=\"hearth\"";
	json_init(&json, &answer->body);
	json_open(&json, '{');
	json_key_text(&json, "type", "about:blank");
	json_key_text(&json, "title", title_of(status));
	json_key_int(&json, "status", status);
	json_key_text(&json, "detail", detail);
	if (answer->request_id[0])
		json_key_text(&json, "request_id", answer->request_id);
	json_close(&json, '}');
}

/* ---- one request ---- */

struct call {
	struct http *http;
	struct http_request request;
	struct http_answer answer;
	struct buf body;
	size_t body_bytes; /* that count in http.body_bytes */
	uint64_t sink_bytes;
	bool answered; /* refused before its body; the rest is read over */
};

static void caller_find(struct call *call, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct sockaddr_storage address;
	socklen_t address_len = sizeof(address);

	if (info && getsockname(info->connect_fd, (struct sockaddr *)&address, &address_len) == 0 &&
	    address.ss_family == AF_UNIX &&
	    getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		call->request.caller = auth_peer(call->http->options.auth, peer.uid);
	else
		call->request.caller =
		    auth_tcp(call->http->options.auth, http_header(&call->request, "Authorization"),
			     http_header(&call->request, "Cookie"));
}

/* "http://host/path" means the same as "/path"; the host was checked with the head. */
static const char *path_of(const char *url)
{
	if (strncasecmp(url, "http://", 7))
		return url;
	const char *slash = strchr(url + 7, '/');

	return slash ? slash : "/";
}

/* The caller's X-Request-Id when it is one that a log can hold, else 16 digits drawn at random. */
static void request_id_find(struct call *call)
{
	const char *given = http_header(&call->request, "X-Request-Id");
	size_t len = given ? strlen(given) : 0;
	uint64_t drawn = 0;

	if (len && len <= HTTP_REQUEST_ID_MAX && strspn(given, REQUEST_ID_CHARACTERS) == len) {
		memcpy(call->answer.request_id, given, len + 1);
		return;
	}
	if (getentropy(&drawn, sizeof(drawn)))
		drawn = (uint64_t)clock_monotonic_ns();
	(void)snprintf(call->answer.request_id, sizeof(call->answer.request_id), "%016llx",
		       (unsigned long long)drawn);
}

static struct call *call_new(struct http *http, struct MHD_Connection *connection, const char *path,
			     const char *method)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->http = http;
	call->request = (struct http_request){
	    .method = method, .path = path_of(path), .connection = connection, .http = http};
	call->answer = (struct http_answer){.status = 200, .content_type = "application/json"};
	buf_init(&call->answer.body, (size_t)512 << 20);
	buf_init(&call->body, http->options.body_max(http->options.arg, path));
	caller_find(call, connection);
	request_id_find(call);
	return call;
}

static void body_release(struct call *call)
{
	(void)__atomic_sub_fetch(&call->http->body_bytes, call->body_bytes, __ATOMIC_RELAXED);
	call->body_bytes = 0;
	buf_release(&call->body);
}

static void sink_release(struct call *call)
{
	if (call->request.sink)
		call->request.sink->release(call->request.sink);
	call->request.sink = NULL;
}

static void call_free(struct call *call)
{
	body_release(call);
	sink_release(call);
	buf_release(&call->answer.body);
	file_drop(&call->answer);
	free(call);
}

static void header_add(struct MHD_Response *response, const char *name, const char *value)
{
	if (value && *value)
		(void)MHD_add_response_header(response, name, value);
}

static void security_headers(struct MHD_Response *response, const struct http_answer *answer)
{
	/* Its own policy names what may run by hash; here it is kept from everything that is
	 * ours. */
	static const char sandbox[] =
	    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
	    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'";

	header_add(response, "X-Content-Type-Options", "nosniff");
	header_add(response, "Referrer-Policy", "no-referrer");
	header_add(response, "Cross-Origin-Opener-Policy", "same-origin");
	header_add(response, "Cross-Origin-Resource-Policy", "same-origin");
	header_add(
	    response, "Content-Security-Policy",
	    answer->sandboxed
		? sandbox
		: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
		  "img-src 'self' data:; worker-src 'self'; base-uri 'none'; form-action 'none'; "
		  "frame-ancestors 'none'; require-trusted-types-for 'script'; "
		  "trusted-types hearth");
}

/* What a page of an origin that the configuration names may do and read. */
static void cors_headers(struct MHD_Response *response, const struct http_answer *answer)
{
	if (!answer->allow_origin)
		return;
	header_add(response, "Access-Control-Allow-Origin", answer->allow_origin);
	header_add(response, "Access-Control-Expose-Headers", "ETag, X-Request-Id, Retry-After");
	if (!answer->preflight)
		return;
	header_add(response, "Access-Control-Allow-Methods", "GET, HEAD");
	header_add(response, "Access-Control-Allow-Headers",
		   "Authorization, If-None-Match, X-Request-Id");
	header_add(response, "Access-Control-Max-Age", "600");
}

/* The file or the body is the response's from now on. */
static struct MHD_Response *response_take(struct http_answer *answer)
{
	struct MHD_Response *response;

	if (answer->is_file) {
		response = MHD_create_response_from_fd64(answer->file_bytes, answer->file);
		answer->is_file = !response;
		return response;
	}
	response = MHD_create_response_from_buffer(answer->body.len, answer->body.data,
						   MHD_RESPMEM_MUST_FREE);
	if (response)
		answer->body.data = NULL;
	return response;
}

static enum MHD_Result answer_send(struct call *call, struct MHD_Connection *connection)
{
	struct http_answer *answer = &call->answer;

	/* Who has the answer finds nothing left of a body that was refused. */
	sink_release(call);
	if (answer->body.failed)
		http_problem(answer, 500, "the answer did not fit in memory: ask for less");
	struct MHD_Response *response = response_take(answer);

	if (!response)
		return MHD_NO;
	header_add(response, "Connection", "close");
	if (answer->status != 204 && answer->status != 304)
		header_add(response, "Content-Type", answer->content_type);
	header_add(response, "Cache-Control",
		   answer->cache_control ? answer->cache_control : "no-store");
	header_add(response, "Content-Encoding", answer->encoding);
	header_add(response, "ETag", answer->etag);
	header_add(response, "Location", answer->location);
	header_add(response, "Set-Cookie", answer->cookie);
	header_add(response, "Retry-After", answer->retry_after);
	header_add(response, "WWW-Authenticate", answer->www_authenticate);
	header_add(response, "X-Request-Id", answer->request_id);
	header_add(response, "Vary",
		   answer->allow_origin ? "Origin, Accept-Encoding"
		   : answer->varies     ? "Accept-Encoding"
					: NULL);
	cors_headers(response, answer);
	security_headers(response, answer);
	enum MHD_Result rc = MHD_queue_response(connection, (unsigned)answer->status, response);

	MHD_destroy_response(response);
	return rc;
}

/* What comes after a refusal is read over, so that the client lives to see the answer. */
static void body_add(struct call *call, const char *bytes, size_t len)
{
	uint64_t all = __atomic_add_fetch(&call->http->body_bytes, len, __ATOMIC_RELAXED);

	call->body_bytes += len;
	if (all > HTTP_BODIES_MAX) {
		http_problem(&call->answer, 503,
			     "the bodies of all requests together are above %llu "
			     "bytes; try again",
			     (unsigned long long)HTTP_BODIES_MAX);
		memcpy(call->answer.retry_after, "5", 2);
	} else if (buf_add(&call->body, bytes, len)) {
		call->http->options.too_large(call->http->options.arg, &call->request,
					      &call->answer);
	} else {
		return;
	}
	call->answered = true;
	if (call->body.failed == -E2BIG)
		http_limited(call->http, "limits.body_bytes");
	body_release(call);
}

#define SINK_STEP ((uint64_t)16 << 20) /* bytes after which a body has time for as many more */

static void sink_add(struct call *call, const char *bytes, size_t len)
{
	struct http_sink *sink = call->request.sink;
	uint64_t steps = call->sink_bytes / SINK_STEP;

	call->sink_bytes += len;
	if (call->sink_bytes / SINK_STEP != steps)
		http_expect(&call->request, SINK_STEP);
	call->answered = !sink->add(sink, &call->request, bytes, len, &call->answer);
}

/* Nobody has had the request yet. */
static void call_begin(struct call *call)
{
	const struct http_options *options = &call->http->options;

	call->answered = options->refuse(options->arg, &call->request, &call->answer) ||
			 (options->sink && !options->sink(options->arg, &call->request,
							  &call->answer, &call->request.sink));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload_data,
				  size_t *upload_data_size, void **state)
{
	struct http *http = arg;
	struct call *call = *state;

	(void)version;
	if (!call) {
		call = call_new(http, connection, url, method);
		*state = call;
		if (!call)
			return MHD_NO;
		/* A refusal before the body: an answer now would leave the client writing into a
		 * closed connection, so a body that was announced is read over first. */
		call_begin(call);
		return MHD_YES;
	}
	if (*upload_data_size) {
		if (!call->answered && call->request.sink)
			sink_add(call, upload_data, *upload_data_size);
		else if (!call->answered)
			body_add(call, upload_data, *upload_data_size);
		*upload_data_size = 0;
		return MHD_YES;
	}
	if (!call->answered) {
		call->request.body =
		    (struct str){call->body.len ? call->body.data : "", call->body.len};
		http->options.serve(http->options.arg, &call->request, &call->answer);
	}
	COUNT(http->served);
	return answer_send(call, connection);
}

/* -1: unknown. */
static int descriptor_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

void http_expect(const struct http_request *request, uint64_t bytes)
{
	struct http *http = request->http;
	int64_t seconds = http->options.request_ns / NS_PER_S + (int64_t)(bytes >> 20);

	/* libmicrohttpd looks at its own limit after long work, too. */
	(void)MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT,
					(unsigned)MIN(seconds, (int64_t)UINT_MAX / 1000));
	http_connection_until(http, descriptor_of(request->connection),
			      clock_monotonic_ns() + seconds * NS_PER_S);
}

static bool has_hung_up(struct MHD_Connection *connection)
{
	char byte;

	return recv(descriptor_of(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct http *http = arg;

	/* libmicrohttpd does not always see that a client has left; then its time runs out. */
	if (code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED && !has_hung_up(connection)) {
		COUNT(http->timed_out);
		http_limited(http, "limits.request_seconds");
	}
	if (*state)
		call_free(*state);
	*state = NULL;
}

/* The pool tells when it closes a connection, so that deadlines never touch a number that has
 * become somebody else's. */
static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	int fd = descriptor_of(connection);

	(void)context;
	if (fd >= 0 && code == MHD_CONNECTION_NOTIFY_CLOSED)
		http_connection_closed(arg, fd);
}

static struct MHD_Daemon *thread_start(struct http *http)
{
	const int64_t stall_s = MAX(http->options.request_ns / 2 / NS_PER_S, 1);

	return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL |
				    MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
				0, NULL, NULL, on_request, http, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned)stall_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)32 << 10, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
				MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

int http_pools_start(struct http *http, struct err *err)
{
	for (size_t i = 0; i < HTTP_POOL_THREADS; i++) {
		http->questions[i].daemon = thread_start(http);
		http->others[i].daemon = thread_start(http);
		if (!http->questions[i].daemon || !http->others[i].daemon)
			return err_set(err, -EIO, "http: libmicrohttpd did not start");
	}
	return 0;
}

void http_pools_stop(struct http *http)
{
	for (size_t i = 0; i < HTTP_POOL_THREADS; i++) {
		if (http->questions[i].daemon)
			MHD_stop_daemon(http->questions[i].daemon);
		if (http->others[i].daemon)
			MHD_stop_daemon(http->others[i].daemon);
	}
}
