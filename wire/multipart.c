/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/multipart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/*
 *	--boundary CRLF                      the first may stand at the body's very beginning
 *	header: value CRLF ...
 *	CRLF
 *	data
 *	CRLF --boundary CRLF ...
 *	CRLF --boundary-- epilogue
 */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool starts_with(struct str s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && !strncasecmp(s.ptr, prefix, len);
}

/* The length of a quoted string's inside, which begins at `s`; escapes hide quotes. */
static size_t quoted_len(struct str s)
{
	size_t i = 0;

	while (i < s.len && s.ptr[i] != '"')
		i += s.ptr[i] == '\\' && i + 1 < s.len ? 2 : 1;
	return MIN(i, s.len);
}

/* The parameter `name` of "value; name=x; name=\"y\"". */
static struct str parameter(struct str header, const char *name)
{
	(void)str_cut(&header, ';');
	while (header.len) {
		struct str key = str_trim(str_cut(&header, '='));
		struct str value;

		while (header.len && is_blank(header.ptr[0]))
			header = (struct str){header.ptr + 1, header.len - 1};
		if (header.len && header.ptr[0] == '"') {
			header = (struct str){header.ptr + 1, header.len - 1};
			value = (struct str){header.ptr, quoted_len(header)};
			header = (struct str){header.ptr + value.len, header.len - value.len};
			(void)str_cut(&header, ';');
		} else {
			value = str_trim(str_cut(&header, ';'));
		}
		if (key.len == strlen(name) && !strncasecmp(key.ptr, name, key.len))
			return value;
	}
	return (struct str){0};
}

bool multipart_is(struct str content_type)
{
	return starts_with(content_type, "multipart/form-data");
}

/* Whether a delimiter line ends here; then `*rest` begins behind it. */
static bool line_ends(struct str *rest)
{
	struct str s = *rest;

	while (s.len && is_blank(s.ptr[0]))
		s = (struct str){s.ptr + 1, s.len - 1};
	if (s.len && s.ptr[0] == '\r')
		s = (struct str){s.ptr + 1, s.len - 1};
	if (!s.len || s.ptr[0] != '\n')
		return false;
	*rest = (struct str){s.ptr + 1, s.len - 1};
	return true;
}

/*
 * Find the next delimiter in `*rest`; what stands before it goes to `ret_before`.  A line that only
 * begins like one is data.  Returns false when there is none.
 */
static bool delimiter_find(struct multipart *m, struct str *rest, struct str *ret_before)
{
	const char *from = rest->ptr, *end = rest->ptr + rest->len;

	while (from < end) {
		const char *at = memmem(from, (size_t)(end - from), m->delimiter, m->delimiter_len);
		const char *behind = at ? at + m->delimiter_len : NULL;
		struct str tail = {behind, at ? (size_t)(end - behind) : 0};

		if (!at)
			return false;
		m->ended = tail.len >= 2 && !memcmp(tail.ptr, "--", 2);
		if (m->ended || line_ends(&tail)) {
			*ret_before = (struct str){rest->ptr, (size_t)(at - rest->ptr)};
			*rest = tail;
			return true;
		}
		from = behind;
	}
	return false;
}

int multipart_init(struct multipart *m, struct str content_type, struct str body, struct err *err)
{
	struct str boundary = parameter(content_type, "boundary"), preamble;

	*m = (struct multipart){.rest = body};
	if (!boundary.len || boundary.len > MULTIPART_BOUNDARY_MAX)
		return err_set(err, -EINVAL, "multipart: a boundary of 1 to %d bytes is asked for",
			       MULTIPART_BOUNDARY_MAX);
	m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%.*s",
					    (int)boundary.len, boundary.ptr);
	if (m->delimiter_len != boundary.len + 4)
		return err_set(err, -EINVAL, "multipart: a NUL byte in the boundary");

	/* The first may lack the line end before it. */
	struct str rest = body;

	if (rest.len >= boundary.len + 2 && !memcmp(rest.ptr, m->delimiter + 2, boundary.len + 2)) {
		rest = (struct str){rest.ptr + boundary.len + 2, rest.len - boundary.len - 2};
		m->ended = rest.len >= 2 && !memcmp(rest.ptr, "--", 2);
		if (m->ended || line_ends(&rest)) {
			m->rest = rest;
			return 0;
		}
	}
	if (!delimiter_find(m, &m->rest, &preamble))
		return err_set(err, -EINVAL, "multipart: the boundary is not in the body");
	return 0;
}

static int headers_read(struct multipart *m, struct multipart_part *part, struct err *err)
{
	size_t read = 0;

	for (;;) {
		struct str before = m->rest, line = str_trim(str_cut(&m->rest, '\n'));

		read += before.len - m->rest.len;
		if (read > MULTIPART_HEADERS_MAX)
			return err_set(
			    err, -E2BIG,
			    "multipart: part %zu has headers above %d bytes (fixed limit)",
			    m->parts, MULTIPART_HEADERS_MAX);
		if (!line.len && before.len == m->rest.len)
			return err_set(err, -EINVAL,
				       "multipart: cut inside the headers of part %zu", m->parts);
		if (!line.len)
			return 0;
		struct str key = str_cut(&line, ':');

		line = str_trim(line);
		if (key.len == 12 && starts_with(key, "content-type"))
			part->content_type = line;
		if (key.len == 19 && starts_with(key, "content-disposition")) {
			part->name = parameter(line, "name");
			part->filename = parameter(line, "filename");
		}
	}
}

int multipart_next(struct multipart *m, struct multipart_part *ret_part, struct err *err)
{
	struct multipart_part part = {0};

	if (m->ended)
		return 0;
	if (++m->parts > MULTIPART_PARTS_MAX)
		return err_set(err, -E2BIG, "multipart: more than %d parts (fixed limit)",
			       MULTIPART_PARTS_MAX);
	int rc = headers_read(m, &part, err);

	if (rc)
		return rc;
	/* An empty part: the blank line's end is the delimiter's beginning. */
	struct str rest = m->rest;

	if (rest.ptr[-1] == '\n' && rest.ptr[-2] == '\r')
		rest = (struct str){rest.ptr - 2, rest.len + 2};
	if (!delimiter_find(m, &rest, &part.data))
		return err_set(err, -EINVAL,
			       "multipart: part %zu has no end: the body is cut short", m->parts);
	if (part.data.len >= 2 && part.data.ptr < m->rest.ptr)
		part.data = (struct str){part.data.ptr + 2, part.data.len - 2};
	m->rest = rest;
	*ret_part = part;
	return 1;
}
