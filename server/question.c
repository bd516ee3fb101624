/* SPDX-License-Identifier: Apache-2.0 */
#include "server/question.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/time_parse.h"
#include "query/folded.h"

#define DEADLINE_NS (INT64_C(10) * NS_PER_S)
#define RANGE_DEFAULT_NS (INT64_C(3600) * NS_PER_S)
#define ARENA_MAX ((size_t)1 << 20)

int question_range(struct route_call *call, const char *from, const char *until,
		   struct query_range *ret_range, struct err *err)
{
	const char *first = http_query(call->request, from),
		   *last = http_query(call->request, until);
	struct query_range range = {.until_ns = call->now_ns};
	int rc = last ? time_parse(str_of(last), call->now_ns, &range.until_ns, err) : 0;

	range.from_ns = range.until_ns - RANGE_DEFAULT_NS;
	if (!rc && first)
		rc = time_parse(str_of(first), call->now_ns, &range.from_ns, err);
	if (!rc && range.from_ns >= range.until_ns)
		rc = err_set(err, -EINVAL, "%s is not before %s", from, until);
	if (!rc)
		*ret_range = range;
	return rc;
}

int question_count(struct route_call *call, const char *name, size_t initial, size_t *ret_value,
		   struct err *err)
{
	const char *value = http_query(call->request, name);
	char *end = NULL;

	*ret_value = initial;
	if (!value)
		return 0;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 10);

	if (errno || end == value || *end || value[0] == '-' || number > 100000000)
		return err_set(err, -EINVAL, "%s \"%.40s\" is not a count between 0 and 100000000",
			       name, value);
	*ret_value = (size_t)number;
	return 0;
}

int question_choice(struct route_call *call, const char *name, const char *const *names,
		    size_t *ret_number, struct err *err)
{
	const char *wanted = http_query(call->request, name);
	char all[160] = "";
	size_t at = 0;

	*ret_number = 0;
	for (size_t i = 0; wanted && names[i]; i++) {
		if (!strcmp(names[i], wanted)) {
			*ret_number = i;
			return 0;
		}
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", i ? ", " : "", names[i]);
		at = MIN(at, sizeof(all) - 1);
	}
	return wanted ? err_set(err, -EINVAL, "%s \"%.40s\" is none of %s", name, wanted, all) : 0;
}

static int flag_parse(struct route_call *call, const char *name, bool *ret_flag, struct err *err)
{
	static const char *const words[] = {"false", "true", NULL};
	size_t number;
	int rc = question_choice(call, name, words, &number, err);

	*ret_flag = number;
	return rc;
}

/* ---- which samples ---- */

static int filter_parse(struct route_call *call, struct question *q)
{
	const struct http_request *r = call->request;
	const struct query_filter_text text = {.focus = http_query(r, "focus"),
					       .ignore = http_query(r, "ignore"),
					       .hide = http_query(r, "hide"),
					       .show = http_query(r, "show"),
					       .show_from = http_query(r, "show_from"),
					       .tagfocus = http_query(r, "tagfocus"),
					       .tagignore = http_query(r, "tagignore")};

	return query_filter_new(&text, &q->filter, &q->err);
}

static bool is_hex(struct str text, size_t digits)
{
	for (size_t i = 0; i < text.len; i++)
		if (!isxdigit((unsigned char)text.ptr[i]))
			return false;
	return text.len == digits;
}

/* Ids with commas between. */
static int ids_parse(struct route_call *call, struct question *q, const char *name, size_t digits,
		     const struct str **ret_ids, size_t *ret_count)
{
	struct str rest = str_of(http_query(call->request, name));
	struct str *ids = rest.len ? arena_alloc(&q->arena, QUESTION_IDS_MAX * sizeof(*ids)) : NULL;
	size_t count = 0;

	if (!rest.len)
		return 0;
	if (!ids)
		return -ENOMEM;
	while (rest.len) {
		struct str id = str_cut(&rest, ',');

		if (!is_hex(id, digits))
			return err_set(&q->err, -EINVAL,
				       "%s \"%.*s\" is not %zu hexadecimal digits", name,
				       (int)MIN(id.len, (size_t)40), id.ptr, digits);
		if (count == QUESTION_IDS_MAX)
			return err_set(&q->err, -E2BIG, "%s: more than %d ids", name,
				       QUESTION_IDS_MAX);
		ids[count++] = id;
	}
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

static int context_parse(struct route_call *call, struct question *q)
{
	q->context.thread = str_of(http_query(call->request, "thread"));
	int rc =
	    ids_parse(call, q, "span_id", 16, &q->context.span_ids, &q->context.span_ids_count);

	if (!rc)
		rc = ids_parse(call, q, "trace_id", 32, &q->context.trace_ids,
			       &q->context.trace_ids_count);
	return rc;
}

/* ---- what becomes of them ---- */

static int path_parse(struct route_call *call, struct question *q)
{
	struct str rest = str_of(http_query(call->request, "path"));
	struct str *path =
	    rest.len ? arena_alloc(&q->arena, QUESTION_PATH_MAX * sizeof(*path)) : NULL;
	struct buf name;
	size_t count = 0;
	int rc = rest.len && !path ? -ENOMEM : 0;

	buf_init(&name, BUF_UNLIMITED);
	while (!rc && folded_next(&rest, &name)) {
		char *copy = arena_copy(&q->arena, name.data, name.len);

		if (count == QUESTION_PATH_MAX)
			rc = err_set(&q->err, -E2BIG, "path: more than %d frames",
				     QUESTION_PATH_MAX);
		else if (!copy)
			rc = err_set(&q->err, -E2BIG, "path: too long");
		else
			path[count++] = (struct str){copy, name.len};
	}
	buf_release(&name);
	q->query.shape.path = path;
	q->query.shape.path_count = count;
	return rc;
}

static int shape_parse(struct route_call *call, struct question *q)
{
	static const char *const names[] = {"full", "plain", "folded", NULL};
	static const char *const sides[] = {"callees", "callers", NULL};
	struct query_shape *shape = &q->query.shape;
	size_t level, side;
	int rc = question_choice(call, "names", names, &level, &q->err);

	if (!rc)
		rc = question_choice(call, "side", sides, &side, &q->err);
	if (!rc)
		rc = flag_parse(call, "collapse", &shape->collapse, &q->err);
	if (!rc)
		rc = flag_parse(call, "invert", &shape->invert, &q->err);
	if (rc)
		return rc;
	shape->names = (enum query_names_level)level;
	shape->side = (enum query_side)side;
	shape->sandwich = str_of(http_query(call->request, "sandwich"));
	return path_parse(call, q);
}

static int granularity_parse(struct route_call *call, struct question *q)
{
	static const char *const names[] = {
	    [QUERY_BY_FUNCTION] = "function", [QUERY_BY_LINE] = "line",
	    [QUERY_BY_ADDRESS] = "address",   [QUERY_BY_FILE] = "file",
	    [QUERY_BY_LIBRARY] = "library",   NULL};
	size_t number;
	int rc = question_choice(call, "granularity", names, &number, &q->err);

	q->query.granularity = (enum query_granularity)number;
	return rc;
}

static int samples_parse(struct route_call *call, struct question *q)
{
	const char *type = http_query(call->request, "type");
	int rc = profile_type_parse(str_of(type ? type : "cpu"), &q->query.type, &q->err);

	if (!rc)
		rc = granularity_parse(call, q);
	if (!rc)
		rc = filter_parse(call, q);
	if (!rc)
		rc = context_parse(call, q);
	if (!rc)
		rc = shape_parse(call, q);
	q->query.filter = q->filter;
	q->query.context = &q->context;
	return rc;
}

int question_open(struct route_call *call, bool needs_type, struct question *q)
{
	*q = (struct question){0};
	arena_init(&q->arena, ARENA_MAX);
	q->query.viewer =
	    (struct query_viewer){call->request->caller.sees_all, call->request->caller.uid};
	q->query.deadline_ns = clock_monotonic_ns() + DEADLINE_NS;
	int rc = question_range(call, "from", "until", &q->query.range, &q->err);

	q->closed = http_query(call->request, "from") && http_query(call->request, "until") &&
		    q->query.range.until_ns <= call->now_ns;
	if (!rc && needs_type)
		rc = samples_parse(call, q);
	if (!rc)
		rc = selector_parse(str_of(http_query(call->request, "query")), &q->selector,
				    &q->err);
	if (!rc) {
		processes_watch(call->agent->processes, q->query.range.until_ns);
		rc = readers_borrow(call->agent->readers, &q->reader, &q->err);
	}
	if (!rc)
		rc = symbols_view_new(call->agent->symbols, q->reader, &q->view);
	if (rc)
		return rc;
	q->names = symbols_view_names(q->view);
	q->query.names = &q->names;
	q->query.selector = q->selector;
	q->query.reader = q->reader;
	return 0;
}

void question_close(struct route_call *call, struct question *q, int rc)
{
	symbols_view_free(q->view);
	readers_return(call->agent->readers, q->reader);
	selector_free(q->selector);
	query_filter_free(q->filter);
	arena_release(&q->arena);
	if (rc)
		route_fail(call, rc, &q->err);
	else if (q->closed)
		route_tag(call);
}
