/* SPDX-License-Identifier: Apache-2.0 */
/* Questions over HTTP: parameters in, query/ in the middle, a document out. */
#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "base/time_parse.h"
#include "query/format.h"
#include "server/question.h"

#define TRIM_NODES ((size_t)100000)
#define TRIM_LEFT ((size_t)1 << 20) /* bytes */

/* One tree in one format. */
static int graph_write(struct route_call *call, struct question *q,
		       const struct query_format *format, size_t max_nodes)
{
	struct query_tree tree;
	struct query_view view;
	int rc = query_tree_init(&tree);

	if (rc)
		return rc;
	q->query.max_nodes = max_nodes;
	rc = query_merge(&q->query, &tree, &q->err);
	if (rc == -ENOENT)
		rc = 0; /* nothing yet is an answer too: an empty graph, with what was asked */
	if (!rc)
		rc = query_view_init(&view, &tree, max_nodes);
	/* A whole tree and its text are the most that a question needs: what was freed on the way
	 * there goes first. */
	if (!rc && tree.nodes_count > TRIM_NODES)
		(void)malloc_trim(TRIM_LEFT);
	if (!rc) {
		rc = format->write(&view, &call->answer->body);
		call->answer->content_type = format->content_type;
		call->answer->sandboxed = format->is_page;
		query_view_release(&view);
	}
	query_tree_release(&tree);
	return rc;
}

/* hearth.sandwich/1: both sides of a function, each a whole flame graph. */
static int sandwich_write(struct route_call *call, struct question *q,
			  const struct query_format *format, size_t max_nodes)
{
	struct buf *out = &call->answer->body;
	struct json json;

	json_init(&json, out);
	json_open(&json, '{');
	json_key_text(&json, "schema", "hearth.sandwich/1");
	json_key(&json, "function");
	json_text(&json, q->query.shape.sandwich.ptr, q->query.shape.sandwich.len);
	json_key(&json, "callers");
	q->query.shape.side = QUERY_CALLERS;
	int rc = graph_write(call, q, format, max_nodes);

	json.comma = true;
	json_key(&json, "callees");
	q->query.shape.side = QUERY_CALLEES;
	if (!rc)
		rc = graph_write(call, q, format, max_nodes);
	json_close(&json, '}');
	return rc ? rc : out->failed;
}

/* With the labels of the samples, unless they are not wanted; -EOPNOTSUPP: there are none. */
static int labelled_write(struct route_call *call, struct question *q,
			  const struct query_format *format, size_t max_nodes)
{
	static const char *const wanted[] = {"all", "none", NULL};
	size_t labels;
	int rc = question_choice(call, "labels", wanted, &labels, &q->err);

	if (rc || labels || !format->write_labelled)
		return rc ? rc : -EOPNOTSUPP;
	rc = format->write_labelled(&q->query, max_nodes, &call->answer->body, &q->err);
	if (!rc)
		call->answer->content_type = format->content_type;
	return rc;
}

static int flamegraph(struct route_call *call, struct question *q)
{
	const char *name = http_query(call->request, "format");
	const struct query_format *format = query_format_find(str_of(name ? name : "json"));
	size_t max_nodes;

	if (!format)
		return err_set(&q->err, -EINVAL, "format \"%.40s\" is not written here", name);
	if (!http_query(call->request, "granularity"))
		q->query.granularity = format->granularity;
	int rc = question_count(call, "max_nodes", QUERY_MAX_NODES_DEFAULT, &max_nodes, &q->err);

	if (rc)
		return rc;
	if (q->query.shape.sandwich.len && !http_query(call->request, "side") &&
	    !strcmp(format->name, "json"))
		return sandwich_write(call, q, format, max_nodes);
	rc = labelled_write(call, q, format, max_nodes);
	return rc == -EOPNOTSUPP ? graph_write(call, q, format, max_nodes) : rc;
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
	size_t limit, from;
	int rc = question_count(call, "limit", 100, &limit, &q->err);

	if (!rc)
		rc = question_count(call, "cursor", 0, &from, &q->err);
	if (rc)
		return rc;
	rc = query_top(&q->query, str_of(http_query(call->request, "by")), &table, &q->err);
	if (rc && rc != -ENOENT)
		return rc;
	rc = query_table_page_json(&table, from, limit, &call->answer->body);
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
	rc = query_timeline(&q->query, step_ns, str_of(http_query(call->request, "group_by")),
			    &line, &q->err);
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

/* A list of the catalogue, a page at a time. */
typedef int (*catalogue_fn)(const struct query *query, const struct query_page *page,
			    struct buf *out, struct err *err);

static void catalogue(struct route_call *call, catalogue_fn list)
{
	struct question q;
	int rc = question_open(call, false, &q);
	struct query_page page = {.name = call->name,
				  .after = str_of(http_query(call->request, "cursor"))};

	if (!rc)
		rc = question_count(call, "limit", 0, &page.limit, &q.err);
	question_close(call, &q, rc ? rc : list(&q.query, &page, &call->answer->body, &q.err));
}

void route_services(struct route_call *call)
{
	catalogue(call, query_services_page);
}

void route_types(struct route_call *call)
{
	catalogue(call, query_types_page);
}

void route_labels(struct route_call *call)
{
	catalogue(call, query_labels_page);
}

void route_label_values(struct route_call *call)
{
	catalogue(call, query_label_values_page);
}
