/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: headers and body in, a worker, headers, message and trailers out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/http2_private.h"

/* ---- life ---- */

static void body_release(struct http2_stream *stream)
{
	stream->http2->body_bytes -= stream->body_bytes;
	stream->body_bytes = 0;
	buf_release(&stream->request.body);
}

static void stream_unlink(struct http2_stream *stream)
{
	if (!stream->connection)
		return;
	*stream->before = stream->next;
	if (stream->next)
		stream->next->before = stream->before;
	stream->connection->streams--;
	stream->connection = NULL;
	stream->id = 0;
}

static void stream_free(struct http2_stream *stream)
{
	stream_unlink(stream);
	body_release(stream);
	buf_release(&stream->answer.body);
	free(stream);
}

static struct http2_stream *stream_new(struct http2_connection *connection, int32_t id)
{
	struct http2_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->http2 = connection->http2;
	stream->connection = connection;
	stream->id = id;
	stream->until_ns = clock_monotonic_ns() + connection->http2->options.call_ns;
	stream->answer.http_status = 200;
	buf_init(&stream->request.body, connection->http2->options.body_max + GRPC_HEAD);
	buf_init(&stream->answer.body, 1 << 20);
	stream->next = connection->first;
	stream->before = &connection->first;
	if (stream->next)
		stream->next->before = &stream->next;
	connection->first = stream;
	connection->streams++;
	return stream;
}

/* ---- answers ---- */

#define FIELD(name, value)                                                                         \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name),         \
		    strlen(value), NGHTTP2_NV_FLAG_NONE                                            \
	}

/* grpc-status and what belongs to it; `to` has room for four. */
static size_t trailers_fill(struct http2_stream *stream, nghttp2_nv *to)
{
	const struct http2_answer *answer = &stream->answer;
	size_t count = 0;

	(void)snprintf(stream->code, sizeof(stream->code), "%d", answer->status);
	to[count++] = (nghttp2_nv)FIELD("grpc-status", stream->code);
	if (answer->status == GRPC_OK)
		return count;
	grpc_message_encode(answer->why, stream->message);
	to[count++] = (nghttp2_nv)FIELD("grpc-message", stream->message);
	if (answer->retry) {
		grpc_details_encode(answer->status, answer->why, stream->details);
		to[count++] = (nghttp2_nv)FIELD("grpc-status-details-bin", stream->details);
	}
	if (answer->status == GRPC_UNIMPLEMENTED)
		to[count++] = (nghttp2_nv)FIELD("grpc-accept-encoding", "gzip, identity");
	return count;
}

static ssize_t answer_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t max,
			   uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct http2_stream *stream = source->ptr;
	const struct buf *body = &stream->answer.body;
	size_t n = MIN(max, body->len - stream->sent);
	nghttp2_nv trailers[4];

	(void)arg;
	memcpy(to, body->data + stream->sent, n);
	stream->sent += n;
	if (stream->sent == body->len) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (nghttp2_submit_trailer(session, id, trailers, trailers_fill(stream, trailers)))
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

static int answer_submit(struct http2_stream *stream)
{
	nghttp2_session *session = stream->connection->session;
	nghttp2_data_provider body = {.source.ptr = stream, .read_callback = answer_read};
	char status[12];
	nghttp2_nv fields[8];
	size_t count = 0;
	bool has_body = stream->answer.body.len;

	(void)snprintf(status, sizeof(status), "%d", stream->answer.http_status);
	fields[count++] = (nghttp2_nv)FIELD(":status", status);
	if (stream->answer.http_status == 200) {
		fields[count++] = (nghttp2_nv)FIELD("content-type", "application/grpc");
		if (!has_body)
			count += trailers_fill(stream, fields + count);
	}
	return nghttp2_submit_response(session, stream->id, fields, count, has_body ? &body : NULL);
}

/* With what `answer` holds. The caller flushes. */
static void stream_answer(struct http2_stream *stream)
{
	stream->state = HTTP2_ANSWERED;
	body_release(stream);
	if (stream->answer.body.failed)
		stream->answer.status = GRPC_INTERNAL;
	if (stream->answer.status)
		buf_clear(&stream->answer.body);
	if (answer_submit(stream))
		(void)nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE,
						stream->id, NGHTTP2_INTERNAL_ERROR);
}

static void stream_refuse(struct http2_stream *stream, enum grpc_status status, bool retry,
			  const char *why)
{
	COUNT(stream->http2->stats.refused);
	stream->answer.status = status;
	stream->answer.retry = retry;
	(void)snprintf(stream->answer.why, sizeof(stream->answer.why), "%s", why);
	stream_answer(stream);
}

/* ---- work ---- */

static void job_run(void *arg)
{
	struct http2_stream *stream = arg;
	struct http2 *http2 = stream->http2;

	if (__atomic_load_n(&stream->cancelled, __ATOMIC_ACQUIRE))
		return;
	http2->options.serve(http2->options.arg, &stream->request, &stream->answer);
	COUNT(http2->stats.served);
}

static void job_done(void *arg)
{
	struct http2_stream *stream = arg;
	struct http2_connection *connection = stream->connection;

	if (!connection) {
		stream_free(stream);
		return;
	}
	connection->jobs--;
	if (!stream->id) { /* reset meanwhile */
		stream_free(stream);
		return;
	}
	stream_answer(stream);
	http2_touch(connection);
	http2_flush(connection);
}

static void stream_work(struct http2_stream *stream)
{
	struct http2_connection *connection = stream->connection;

	stream->job = (struct workers_job){.run = job_run, .done = job_done, .arg = stream};
	if (connection->jobs < HTTP2_STREAMS_MAX &&
	    !workers_add(stream->http2->workers, &stream->job)) {
		stream->state = HTTP2_WORKING;
		connection->jobs++;
		return;
	}
	stream_refuse(stream, GRPC_UNAVAILABLE, true,
		      "too many calls wait for their turn; try again");
}

/* ---- deadlines ---- */

/* What the workers have goes on without its stream: it is answered by a stand-in. */
static void stream_abandon(struct http2_stream *stream)
{
	struct http2_connection *connection = stream->connection;
	int32_t id = stream->id;

	__atomic_store_n(&stream->cancelled, true, __ATOMIC_RELEASE);
	stream->id = 0;
	struct http2_stream *other = stream_new(connection, id);

	if (!other || nghttp2_session_set_stream_user_data(connection->session, id, other)) {
		(void)nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, id,
						NGHTTP2_CANCEL);
		return;
	}
	other->ended = stream->ended;
	stream_refuse(other, GRPC_DEADLINE_EXCEEDED, false,
		      "the call's time was over before its work");
}

/* By the caller's own deadline it is no limit of ours. */
static void stream_is_late(struct http2_stream *stream)
{
	const struct http2_options *options = &stream->http2->options;
	char why[100] = "the call did not arrive within its time";

	if (!*stream->request.timeout) {
		(void)snprintf(why, sizeof(why),
			       "the call did not arrive within %lld s (limits.request_seconds)",
			       (long long)(options->call_ns / NS_PER_S));
		options->limited(options->arg, why);
	}
	stream_refuse(stream, GRPC_DEADLINE_EXCEEDED, false, why);
}

static void stream_expire(struct http2_stream *stream)
{
	COUNT(stream->http2->stats.timed_out);
	if (!stream->headed) /* nothing else can come over this connection */
		http2_doom(stream->connection);
	else if (stream->state == HTTP2_WORKING)
		stream_abandon(stream);
	else if (stream->state == HTTP2_READING)
		stream_is_late(stream);
	else
		(void)nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE,
						stream->id, NGHTTP2_CANCEL);
}

void http2_streams_check(struct http2_connection *connection, int64_t now_ns)
{
	struct http2_stream *next;

	for (struct http2_stream *stream = connection->first; stream; stream = next) {
		next = stream->next;
		if (!stream->id || stream->until_ns > now_ns)
			continue;
		/* Once more, for an answer that the peer does not take. */
		stream->until_ns = now_ns + HTTP2_STALL_NS;
		stream_expire(stream);
	}
}

void http2_streams_leave(struct http2_connection *connection)
{
	struct http2_stream *next;

	for (struct http2_stream *stream = connection->first; stream; stream = next) {
		next = stream->next;
		if (stream->state != HTTP2_WORKING) {
			stream_free(stream);
			continue;
		}
		__atomic_store_n(&stream->cancelled, true, __ATOMIC_RELEASE);
		stream_unlink(stream);
	}
}

/* ---- what nghttp2 tells ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_connection *connection = arg;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct http2_stream *stream = stream_new(connection, frame->hd.stream_id);

	if (!stream)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	http2_touch(connection);
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *arg)
{
	static const struct {
		const char *name;
		size_t at, max;
	} fields[] = {
#define KEEP(name, member)                                                                         \
	{name, offsetof(struct http2_request, member), sizeof(((struct http2_request *)0)->member)}
	    KEEP(":method", method),
	    KEEP(":path", path),
	    KEEP(":authority", authority),
	    KEEP("content-type", content_type),
	    KEEP("grpc-encoding", encoding),
	    KEEP("grpc-timeout", timeout),
	    KEEP("authorization", authorization),
	    KEEP("te", te),
	};
	struct http2_connection *connection = arg;
	struct http2_stream *stream =
	    nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	if (!stream)
		return 0;
	stream->headers_bytes += name_len + value_len + 32;
	if (stream->headers_bytes > HTTP2_HEADERS_MAX) {
		/* The rest may be large and cheap to send: not one more of its fields is looked at.
		 */
		http2_doom(connection);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *known = fields[i].name;
		char *to = (char *)&stream->request + fields[i].at;

		if (name_len != strlen(known) || memcmp(name, known, name_len))
			continue;
		if (value_len >= fields[i].max || memchr(value, '\0', value_len) || *to)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		memcpy(to, value, value_len);
		to[value_len] = '\0';
	}
	return 0;
}

/* The peer's own deadline is a bound beside ours. */
static bool timeout_apply(struct http2_stream *stream)
{
	int64_t ns, now_ns = clock_monotonic_ns();

	if (!*stream->request.timeout)
		return true;
	if (grpc_timeout_parse(stream->request.timeout, &ns))
		return false;
	stream->until_ns = MIN(stream->until_ns, sum_add(now_ns, ns));
	return true;
}

static void headers_whole(struct http2_stream *stream)
{
	const struct http2_options *options = &stream->http2->options;

	stream->headed = true;
	if (!timeout_apply(stream))
		stream_refuse(stream, GRPC_INVALID_ARGUMENT, false,
			      "grpc-timeout is not understood");
	else if (options->refuse(options->arg, &stream->request, &stream->answer)) {
		COUNT(stream->http2->stats.refused);
		stream_answer(stream);
	}
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t len, void *arg)
{
	struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)arg;
	if (!stream || stream->state != HTTP2_READING)
		return 0;
	struct http2 *http2 = stream->http2;
	char why[160];

	if (buf_add(&stream->request.body, bytes, len)) {
		(void)snprintf(why, sizeof(why),
			       "the message is above the limit of %zu bytes (limits.body_bytes)",
			       http2->options.body_max);
		http2->options.limited(http2->options.arg, why);
		stream_refuse(stream, GRPC_RESOURCE_EXHAUSTED, false, why);
		return 0;
	}
	stream->body_bytes += len;
	http2->body_bytes += len;
	if (http2->body_bytes > MAX(HTTP2_BODIES_MAX, http2->options.body_max + GRPC_HEAD))
		stream_refuse(stream, GRPC_UNAVAILABLE, true,
			      "the bodies of all calls together are above the limit; try again");
	return 0;
}

/* Resets are cheap for the peer and cost us a call each. */
static void reset_count(struct http2_connection *connection)
{
	int64_t now_ns = clock_monotonic_ns();
	int64_t seconds = (now_ns - connection->resets_forgiven_ns) / NS_PER_S;

	if (seconds > 0) {
		connection->resets -= (unsigned)MIN(seconds, (int64_t)connection->resets);
		connection->resets_forgiven_ns = now_ns;
	}
	COUNT(connection->http2->stats.resets);
	if (++connection->resets > HTTP2_RESETS_MAX)
		http2_doom(connection);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_connection *connection = arg;
	struct http2_stream *stream = NULL;

	if (frame->hd.stream_id)
		stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_SETTINGS && !connection->greeted) {
		connection->greeted = true;
		http2_touch(connection);
	}
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		reset_count(connection);
	if (!stream || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		headers_whole(stream);
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream->ended = true;
	if (stream->state == HTTP2_READING)
		stream_work(stream);
	return 0;
}

/* Answered before the peer has sent everything: it is asked to stop, as RFC 9113, 8.1 says. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_connection *connection = arg;

	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code && !connection->parting)
		COUNT(connection->http2->stats.cut);
	if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct http2_stream *stream =
	    nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (!stream || stream->ended)
		return 0;
	return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
					 NGHTTP2_NO_ERROR);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
	struct http2_connection *connection = arg;

	(void)code;
	if (!stream)
		return 0;
	if (stream->state != HTTP2_WORKING) {
		stream_free(stream);
	} else {
		/* Still in the connection's list, so that its job counts as one of its own. */
		__atomic_store_n(&stream->cancelled, true, __ATOMIC_RELEASE);
		stream->id = 0;
	}
	http2_touch(connection);
	return 0;
}

/* A call that nghttp2 resets for a malformed frame costs us what a reset of the peer's costs. */
static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *arg)
{
	struct http2_connection *connection = arg;

	(void)session;
	(void)code;
	/* grpc-go's farewell names a stream of its own, which is wrong and means no harm. */
	if (frame->hd.type == NGHTTP2_GOAWAY)
		connection->parting = true;
	if (frame->hd.stream_id)
		reset_count(connection);
	return 0;
}

int http2_callbacks_make(nghttp2_session_callbacks **ret_callbacks)
{
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
	*ret_callbacks = callbacks;
	return 0;
}
