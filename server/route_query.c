/* SPDX-License-Identifier: Apache-2.0 */
/* Questions over HTTP: parameters in, query/ in the middle, a document out. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "query/format.h"
#include "base/time_parse.h"
#include "server/route.h"

#define DEADLINE_NS (INT64_C(10) * NS_PER_S)
#define RANGE_DEFAULT_NS (INT64_C(3600) * NS_PER_S)

/* A query and what it borrows. */
struct question {
	struct query query;
	struct selector *selector;
	struct storage_reader *reader;
	struct symbols_view *view;
	struct query_names names;
	struct err err;
};

static int range_parse(struct route_call *call, struct question *q)
{
	const char *from = http_query(call->request, "from"), *until = http_query(call->request, "until");
	int rc = 0;

	q->query.range.until_ns = call->now_ns;
	if (until)
		rc = time_parse(str_of(until), call->now_ns, &q->query.range.until_ns, &q->err);
	q->query.range.from_ns = q->query.range.until_ns - RANGE_DEFAULT_NS;
	if (!rc && from)
		rc = time_parse(str_of(from), call->now_ns, &q->query.range.from_ns, &q->err);
	if (!rc && q->query.range.from_ns >= q->query.range.until_ns)
		rc = err_set(&q->err, -EINVAL, "from is not before until");
	return rc;
}

static int selector_build(struct route_call *call, struct question *q)
{
	const char *selector = http_query(call->request, "query");

	return selector_parse(str_of(selector), &q->selector, &q->err);
}

static int granularity_parse(struct route_call *call, struct question *q)
{
	static const char *const names[] = { [QUERY_BY_FUNCTION] = "function",
					     [QUERY_BY_LINE] = "line",
					     [QUERY_BY_ADDRESS] = "address",
					     [QUERY_BY_FILE] = "file",
					     [QUERY_BY_LIBRARY] = "library" };
	const char *wanted = http_query(call->request, "granularity");

	for (size_t i = 0; wanted && i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], wanted)) {
			q->query.granularity = (enum query_granularity)i;
			return 0;
		}
	return wanted ? err_set(&q->err, -EINVAL,
				"granularity \"%.40s\" is none of function, line, address, file, library",
				wanted) :
			0;
}

static int question_open(struct route_call *call, bool needs_type, struct question *q)
{
	const char *type = http_query(call->request, "type");

	*q = (struct question){ 0 };
	q->query.viewer = (struct query_viewer){ call->request->caller.sees_all,
						 call->request->caller.uid };
	q->query.deadline_ns = clock_monotonic_ns() + DEADLINE_NS;
	int rc = range_parse(call, q);

	if (!rc && needs_type)
		rc = profile_type_parse(str_of(type ? type : "cpu"), &q->query.type, &q->err);
	if (!rc)
		rc = granularity_parse(call, q);
	if (!rc)
		rc = selector_build(call, q);
	if (!rc)
		rc = readers_borrow(call->agent->readers, &q->reader, &q->err);
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

static void question_close(struct route_call *call, struct question *q, int rc)
{
	symbols_view_free(q->view);
	readers_return(call->agent->readers, q->reader);
	selector_free(q->selector);
	if (rc)
		route_fail(call, rc, &q->err);
}

/* A count in a parameter. */
static int count_parse(struct route_call *call, const char *name, size_t initial, size_t *ret_value,
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
		return err_set(err, -EINVAL, "%s \"%.40s\" is not a count between 0 and 100000000", name,
			       value);
	*ret_value = (size_t)number;
	return 0;
}

static int flamegraph(struct route_call *call, struct question *q)
{
	const char *name = http_query(call->request, "format");
	const struct query_format *format = query_format_find(str_of(name ? name : "json"));
	struct query_tree tree;
	struct query_view view;
	size_t max_nodes;

	if (format && !http_query(call->request, "granularity"))
		q->query.granularity = format->granularity;
	if (!format)
		return err_set(&q->err, -EINVAL, "format \"%.40s\" is not written here", name);
	int rc = count_parse(call, "max_nodes", QUERY_MAX_NODES_DEFAULT, &max_nodes, &q->err);

	if (!rc)
		rc = query_tree_init(&tree);
	if (rc)
		return rc;
	rc = query_merge(&q->query, &tree, &q->err);
	if (rc == -ENOENT)
		rc = 0; /* nothing yet is an answer too: an empty graph, with what was asked */
	if (!rc)
		rc = query_view_init(&view, &tree, max_nodes);
	if (!rc) {
		rc = format->write(&view, &call->answer->body);
		call->answer->content_type = format->content_type;
		query_view_release(&view);
	}
	query_tree_release(&tree);
	return rc;
}

void route_flamegraph(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, true, &q);

	question_close(call, &q, rc ? rc : flamegraph(call, &q));
}

static int top(struct route_call *call, struct question *q)
{
	struct query_table table;
	size_t limit;
	int rc = count_parse(call, "limit", 100, &limit, &q->err);

	if (rc)
		return rc;
	rc = query_top(&q->query, str_of(http_query(call->request, "by")), &table, &q->err);
	if (rc && rc != -ENOENT)
		return rc;
	rc = query_table_json(&table, limit, &call->answer->body);
	query_table_release(&table);
	return rc;
}

void route_top(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, true, &q);

	question_close(call, &q, rc ? rc : top(call, &q));
}

static int timeline(struct route_call *call, struct question *q)
{
	const char *step = http_query(call->request, "step");
	struct query_timeline line;
	int64_t step_ns = 0;
	int rc = step ? duration_parse(str_of(step), &step_ns, &q->err) : 0;

	if (rc)
		return rc;
	rc = query_timeline(&q->query, step_ns, str_of(http_query(call->request, "group_by")), &line,
			    &q->err);
	if (rc && rc != -ENOENT)
		return rc;
	rc = query_timeline_json(&line, &call->answer->body);
	query_timeline_release(&line);
	return rc;
}

void route_timeline(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, true, &q);

	question_close(call, &q, rc ? rc : timeline(call, &q));
}

void route_services(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, false, &q);

	question_close(call, &q, rc ? rc : query_services(&q.query, &call->answer->body, &q.err));
}

void route_types(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, false, &q);

	question_close(call, &q, rc ? rc : query_types(&q.query, &call->answer->body, &q.err));
}

void route_labels(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, false, &q);

	question_close(call, &q, rc ? rc : query_labels(&q.query, &call->answer->body, &q.err));
}

void route_label_values(struct route_call *call)
{
	struct question q;
	int rc = question_open(call, false, &q);

	question_close(call, &q,
		       rc ? rc :
			    query_label_values(&q.query, call->name, &call->answer->body, &q.err));
}
