/* SPDX-License-Identifier: Apache-2.0 */
#include "server/head.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static bool str_is_nocase(struct str s, const char *text)
{
	return s.len == strlen(text) && !strncasecmp(s.ptr, text, s.len);
}

/* RFC 9110, 5.6.2 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.ptr[i]) && !strchr("!#$%&'*+-.^_`|~", s.ptr[i]))
			return false;
	return s.len > 0;
}

static struct str trimmed(struct str s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = (struct str){s.ptr + 1, s.len - 1};
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

bool head_host_allowed(struct str host, const struct head_rules *rules)
{
	static const char *const loopback[] = {"127.0.0.1", "localhost", "[::1]", NULL};
	const char *const *lists[] = {loopback, rules->hosts};
	const char *close = host.len && host.ptr[0] == '[' ? memchr(host.ptr, ']', host.len) : NULL;
	const char *from = close ? close : host.ptr;
	const char *colon = memchr(from, ':', host.len - (size_t)(from - host.ptr));
	struct str name = {host.ptr, colon ? (size_t)(colon - host.ptr) : host.len};

	if (colon) {
		const char *end = host.ptr + host.len;

		if (colon + 1 == end || end - colon > 6)
			return false;
		for (const char *p = colon + 1; p < end; p++)
			if (!isdigit((unsigned char)*p))
				return false;
	}
	if (rules->any_host)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (const char *const *at = lists[i]; at && *at; at++)
			if (str_is_nocase(name, *at))
				return true;
	return false;
}

struct headers {
	size_t count, hosts, lengths, encodings;
	struct str host, length, encoding;
};

static int refuse(int *ret_status, int status, struct err *err, const char *why)
{
	*ret_status = status;
	return err_set(err, -EINVAL, "%s", why);
}

/* "GET /path HTTP/1.1" */
static int request_line(struct str line, const struct head_rules *rules, int *ret_status,
			struct err *err)
{
	const char *space = memchr(line.ptr, ' ', line.len);
	struct str method = {line.ptr, space ? (size_t)(space - line.ptr) : 0};
	struct str rest = {method.ptr + method.len + 1, space ? line.len - method.len - 1 : 0};
	const char *last = rest.len ? memchr(rest.ptr, ' ', rest.len) : NULL;

	if (!space || !last || !is_token(method))
		return refuse(ret_status, 400, err, "the request line is malformed");
	struct str target = {rest.ptr, (size_t)(last - rest.ptr)};
	struct str version = {last + 1, rest.len - target.len - 1};

	if (!str_is_nocase(version, "HTTP/1.1") && !str_is_nocase(version, "HTTP/1.0"))
		return refuse(ret_status, 505, err, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	for (size_t i = 0; i < target.len; i++)
		if ((unsigned char)target.ptr[i] <= 0x20 || (unsigned char)target.ptr[i] >= 0x7f)
			return refuse(ret_status, 400, err,
				      "the request target has a forbidden byte");
	if (target.len && target.ptr[0] == '/')
		return 0;
	if (str_is_nocase(target, "*") && str_is_nocase(method, "OPTIONS"))
		return 0;
	if (target.len > 7 && !strncasecmp(target.ptr, "http://", 7)) {
		struct str authority = {target.ptr + 7, 0};

		authority.len = strcspn(authority.ptr, "/?# ");
		if (head_host_allowed(authority, rules))
			return 0;
		return refuse(ret_status, 421, err, "the request target names another host");
	}
	return refuse(ret_status, 400, err, "the request target is neither a path nor a URL");
}

static int header_line(struct str line, struct headers *headers, int *ret_status, struct err *err)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	struct str name = {line.ptr, colon ? (size_t)(colon - line.ptr) : 0};

	/* A line that starts with white space would continue the one before (RFC 9112, 5.2). */
	if (!colon || !is_token(name))
		return refuse(ret_status, 400, err, "a header line is malformed");
	struct str value = trimmed((struct str){colon + 1, line.len - name.len - 1});

	if (++headers->count > HEAD_HEADERS_MAX)
		return refuse(ret_status, 431, err, "more than 64 header lines");
	if (str_is_nocase(name, "host")) {
		headers->hosts++;
		headers->host = value;
	} else if (str_is_nocase(name, "content-length")) {
		headers->lengths++;
		headers->length = value;
	} else if (str_is_nocase(name, "transfer-encoding")) {
		headers->encodings++;
		headers->encoding = value;
	}
	return 0;
}

static int framing_check(const struct headers *headers, int *ret_status, struct err *err)
{
	if (headers->lengths > 1 || headers->encodings > 1)
		return refuse(ret_status, 400, err,
			      "Content-Length or Transfer-Encoding stands twice");
	if (headers->lengths && headers->encodings)
		return refuse(ret_status, 400, err,
			      "Content-Length and Transfer-Encoding exclude each other");
	if (headers->encodings && !str_is_nocase(headers->encoding, "chunked"))
		return refuse(ret_status, 501, err, "the only Transfer-Encoding here is chunked");
	for (size_t i = 0; headers->lengths && i < headers->length.len; i++)
		if (!isdigit((unsigned char)headers->length.ptr[i]))
			return refuse(ret_status, 400, err, "Content-Length is not a number");
	if (headers->lengths && (!headers->length.len || headers->length.len > 18))
		return refuse(ret_status, 400, err, "Content-Length is not a number");
	return 0;
}

static int host_check(const struct headers *headers, const struct head_rules *rules,
		      int *ret_status, struct err *err)
{
	if (headers->hosts != 1)
		return refuse(ret_status, 400, err, "a request carries exactly one Host header");
	if (head_host_allowed(headers->host, rules))
		return 0;
	*ret_status = 421;
	return err_set(err, -EINVAL,
		       "Host \"%.*s\" is not served here; add it to hosts: if it should be",
		       (int)MIN(headers->host.len, (size_t)80), headers->host.ptr);
}

/* Where the empty line ends, or 0. A bare CR or LF or a NUL before it is refused. */
static int head_end(const char *bytes, size_t len, int *ret_status, struct err *err)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '\n' && (!i || bytes[i - 1] != '\r'))
			return refuse(ret_status, 400, err,
				      "a line ends without a carriage return");
		if (c == '\r' && i + 1 < len && bytes[i + 1] != '\n')
			return refuse(ret_status, 400, err, "a carriage return stands alone");
		if (c < 0x20 && c != '\r' && c != '\n' && c != '\t')
			return refuse(ret_status, 400, err, "the head has a control character");
		if (c == '\n' && i >= 3 && !memcmp(bytes + i - 3, "\r\n\r\n", 4))
			return (int)i + 1;
	}
	return 0;
}

int head_check(const char *bytes, size_t len, const struct head_rules *rules, int *ret_status,
	       struct err *err)
{
	struct headers headers = {0};
	int end = head_end(bytes, MIN(len, (size_t)HEAD_BYTES_MAX), ret_status, err);

	if (end < 0)
		return end;
	if (!end && len >= HEAD_BYTES_MAX)
		return refuse(ret_status, 431, err, "the head is longer than 16384 bytes");
	if (!end)
		return 0;
	bool first = true;
	int rc = 0;

	for (const char *at = bytes; !rc && at < bytes + end - 2;) {
		const char *cr = memchr(at, '\r', (size_t)(bytes + end - at));
		struct str line = {at, (size_t)(cr - at)};

		rc = first ? request_line(line, rules, ret_status, err)
			   : header_line(line, &headers, ret_status, err);
		first = false;
		at = cr + 2;
	}
	if (!rc)
		rc = framing_check(&headers, ret_status, err);
	if (!rc)
		rc = host_check(&headers, rules, ret_status, err);
	return rc ? rc : end;
}
