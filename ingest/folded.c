/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "ingest/span.h"

/*
 * Folded stacks, one a line, root first:
 *
 *	line   = frame *( ";" frame ) 1*SP count [ CR ] LF      LF is optional behind the last line
 *	frame  = 1*( any byte but ";" and control characters )  may hold spaces
 *	count  = 1*DIGIT                                        below 2^63
 *
 * Empty lines are skipped.  The request's name chooses what is counted: a type id or an alias
 * (docs/formats/http.md), or the name of the kind; process_cpu:samples:count:cpu:nanoseconds when
 * there is none.
 */

#define FRAMES_MAX                                                                                 \
	65536 /* of one line; the builder keeps the ends of deeper stacks than its own             \
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

static int kind_make(const struct ingest_request *request, struct profile_builder *out,
		     uint32_t *ret_series)
{
	struct profile_type type = {STR("process_cpu"), STR("samples"), STR("count"), STR("cpu"),
				    STR("nanoseconds")};
	struct profile_kind kind = {.columns_count = 1};
	uint32_t number;

	if (request->name.len && profile_type_parse(request->name, &type, NULL) < 0)
		type.name = request->name;
	kind.columns[0].gauge = profile_type_is_gauge(type.type);
	const struct {
		struct str text;
		uint32_t *to;
	} parts[] = {{type.name, &kind.name},
		     {type.type, &kind.columns[0].type},
		     {type.unit, &kind.columns[0].unit},
		     {type.period_type, &kind.period_type},
		     {type.period_unit, &kind.period_unit}};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int rc = ingest_string(out, parts[i].text, parts[i].to);

		if (rc)
			return rc;
	}
	int rc = profile_builder_kind(out, &kind, &number);

	return rc ? rc : ingest_series(request, out, number, NULL, ret_series);
}

/* The stack's frames, leaf first: the text is walked from its end. */
static int frames_of(struct profile_builder *out, struct str stack, uint32_t *frames,
		     size_t *ret_count)
{
	size_t count = 0;

	while (stack.len) {
		const char *semicolon = memrchr(stack.ptr, ';', stack.len);
		const char *at = semicolon ? semicolon + 1 : stack.ptr;
		struct str name = {at, (size_t)(stack.ptr + stack.len - at)};
		struct profile_frame frame = {0};

		if (count == FRAMES_MAX)
			return -EMSGSIZE;
		int rc = profile_builder_string(out, name, &frame.function);

		if (!rc)
			rc = profile_builder_frame(out, &frame, &frames[count]);
		if (rc)
			return rc;
		count++;
		stack.len = semicolon ? (size_t)(semicolon - stack.ptr) : 0;
	}
	*ret_count = count;
	return 0;
}

/* Whether a value says how many samples there were; of time or bytes nobody knows. */
static bool counts_samples(struct profile_builder *out, uint32_t series)
{
	const struct profile *p = profile_builder_profile(out);
	struct str unit = profile_string(p, p->kinds[p->series[series].kind].columns[0].unit);

	return unit.len == 5 && !memcmp(unit.ptr, "count", 5);
}

static int line_add(struct profile_builder *out, const struct line *line, uint32_t *frames,
		    struct profile_record *record)
{
	size_t count = 0;
	int rc = frames_of(out, line->stack, frames, &count);

	if (!rc)
		rc = profile_builder_stack(out, frames, count, &record->node);
	if (rc || !line->count)
		return rc;
	record->count = counts_samples(out, record->series) ?
				(uint32_t)MIN(line->count, (int64_t)UINT32_MAX) :
				1;
	return profile_builder_record(out, record, &line->count);
}

static int lines_add(struct str text, struct profile_builder *out, uint32_t *frames,
		     struct profile_record *record, struct err *err)
{
	for (size_t number = 1; text.len; number++) {
		struct str line = line_next(&text);
		struct line parsed;
		const char *wrong = line.len ? line_parse(line, &parsed) : NULL;

		if (wrong)
			return err_set(err, -EINVAL, "folded: line %zu: %s", number, wrong);
		if (!line.len)
			continue;
		int rc = line_add(out, &parsed, frames, record);

		if (rc == -EMSGSIZE)
			return err_set(err, -E2BIG,
				       "folded: line %zu: more than %d frames (fixed limit)",
				       number, FRAMES_MAX);
		if (rc)
			return ingest_failed(out, rc, err);
	}
	return 0;
}

static int folded_ingest(const struct ingest_request *request, struct profile_builder *out,
			struct ingest_findings *findings, struct err *err)
{
	struct profile_record record = {0};
	uint32_t *frames = malloc(FRAMES_MAX * sizeof(*frames));

	if (!frames)
		return err_set(err, -ENOMEM, "folded: out of memory");
	int rc = kind_make(request, out, &record.series);

	if (rc)
		rc = ingest_failed(out, rc, err);
	record.time_ns = ingest_span(request, 0, 0, profile_builder_profile(out));
	if (!rc)
		rc = lines_add(request->body, out, frames, &record, err);
	free(frames);
	findings->profiles += !rc;
	return rc;
}

const struct ingest_protocol ingest_folded = {
    .name = "folded",
    .sniff = folded_looks,
    .decode = folded_ingest,
};
