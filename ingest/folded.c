/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "ingest/span.h"
#include "ingest/stacks.h"

/*
 * Folded stacks, one a line, root first:
 *
 *	line   = frame *( ";" frame ) 1*SP count [ CR ] LF      LF is optional behind the last line
 *	frame  = 1*( any byte but ";" and control characters )  may hold spaces
 *	count  = 1*DIGIT                                        below 2^63
 *
 * Empty lines are skipped.  A line that is none of these is left out and said where others are
 * good.  What is counted: ingest/stacks.h.
 */

#define SNIFF_BYTES 65536

struct line {
	struct str stack;
	int64_t count;
};

/* Cut the next line off `text`, without its end. */
static struct str line_next(struct str *text)
{
	const char *end = memchr(text->ptr, '\n', text->len);
	size_t len = end ? (size_t)(end - text->ptr) : text->len;
	struct str line = {text->ptr, len};

	text->ptr += end ? len + 1 : len;
	text->len -= end ? len + 1 : len;
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static const char *count_parse(struct str digits, int64_t *ret_count)
{
	int64_t count = 0;

	if (!digits.len)
		return "no count behind the stack";
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
			return "the count is not a whole number";
		if (__builtin_mul_overflow(count, 10, &count) ||
		    __builtin_add_overflow(count, digits.ptr[i] - '0', &count))
			return "the count is 2^63 or more";
	}
	*ret_count = count;
	return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *line_parse(struct str text, struct line *ret_line)
{
	const char *space = memrchr(text.ptr, ' ', text.len);

	if (!space)
		return "no space before a count";
	struct str digits = {space + 1, (size_t)(text.ptr + text.len - space - 1)};
	const char *wrong = count_parse(digits, &ret_line->count);

	if (wrong)
		return wrong;
	text.len = (size_t)(space - text.ptr);
	while (text.len && text.ptr[text.len - 1] == ' ')
		text.len--;
	char before = ';';

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return "a control character in a frame";
		if (c == ';' && before == ';')
			return "an empty frame";
		before = (char)c;
	}
	if (before == ';')
		return "an empty frame";
	ret_line->stack = text;
	return NULL;
}

static bool folded_looks(struct str body)
{
	struct str text = {body.ptr, MIN(body.len, (size_t)SNIFF_BYTES)};
	struct line line;

	while (text.len) {
		struct str first = line_next(&text);

		if (first.len)
			return !line_parse(first, &line);
	}
	return false;
}

static int lines_add(struct ingest_stacks *stacks, struct str text,
		     struct ingest_findings *findings, struct err *err)
{
	size_t good = 0, bad = 0;

	for (size_t number = 1; text.len; number++) {
		struct str line = line_next(&text);
		struct line parsed;
		const char *wrong = line.len ? line_parse(line, &parsed) : NULL;

		if (wrong) {
			ingest_leave_out(findings, "folded: line %zu: %s", number, wrong);
			bad++;
		}
		if (wrong || !line.len)
			continue;
		good++;
		int rc = ingest_stacks_add(stacks, parsed.stack, parsed.count);

		if (rc == -EMSGSIZE)
			return err_set(err, -E2BIG,
				       "folded: line %zu: more than %d frames (fixed limit)",
				       number, INGEST_STACK_FRAMES_MAX);
		if (rc)
			return ingest_failed(stacks->out, rc, err);
	}
	return good || !bad ? 0 : err_set(err, -EINVAL, "%s", findings->why);
}

static int folded_ingest(const struct ingest_request *request, struct profile_builder *out,
			 struct ingest_findings *findings, struct err *err)
{
	struct ingest_stacks stacks;
	int rc = ingest_stacks_init(&stacks, request, 0, 0, out, err);

	if (!rc)
		rc = lines_add(&stacks, request->body, findings, err);
	ingest_stacks_release(&stacks);
	findings->profiles += !rc;
	return rc;
}

const struct ingest_protocol ingest_folded = {
    .name = "folded",
    .sniff = folded_looks,
    .decode = folded_ingest,
};
