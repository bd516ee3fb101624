/* SPDX-License-Identifier: Apache-2.0 */
/* Two selections side by side over HTTP. */
#include <errno.h>
#include <string.h>

#include "query/diff.h"
#include "server/question.h"

/* The base's own; what is absent is as on the new side. */
static int base_parse(struct route_call *call, struct question *q, struct query *ret_base,
		      struct selector **ret_selector)
{
	const char *selector = http_query(call->request, "base_query");
	bool has_range =
	    http_query(call->request, "base_from") || http_query(call->request, "base_until");
	int rc = 0;

	*ret_base = q->query;
	if (!selector && !has_range)
		return err_set(&q->err, -EINVAL,
			       "a diff has another side: base_query, or base_from and base_until");
	if (has_range)
		rc = question_range(call, "base_from", "base_until", &ret_base->range, &q->err);
	if (rc || !selector)
		return rc;
	rc = selector_parse(str_of(selector), ret_selector, &q->err);
	ret_base->selector = *ret_selector;
	return rc;
}

static int rows_write(struct route_call *call, struct question *q, const struct query_diff *diff)
{
	struct query_diff_table table;
	size_t limit;
	int rc = question_count(call, "limit", 100, &limit, &q->err);

	if (!rc)
		rc = query_diff_rows(diff, &table);
	if (rc)
		return rc;
	rc = query_diff_table_json(diff, &table, limit, &call->answer->body);
	query_diff_table_release(&table);
	return rc;
}

static int graph_write(struct route_call *call, const struct query_diff *diff, size_t max_nodes,
		       const struct query_diff_format *format)
{
	struct query_diff_view view;
	int rc = query_diff_view_init(&view, diff, max_nodes);

	if (rc)
		return rc;
	rc = format->write(&view, &call->answer->body);
	call->answer->content_type = format->content_type;
	call->answer->sandboxed = format->is_page;
	query_diff_view_release(&view);
	return rc;
}

static int diff_answer(struct route_call *call, struct question *q, const struct query *base)
{
	static const char *const normals[] = {[QUERY_NORMAL_SHARE] = "share",
					      [QUERY_NORMAL_TIME] = "time",
					      [QUERY_NORMAL_NONE] = "none",
					      NULL};
	const char *name = http_query(call->request, "format");
	bool as_rows = name && !strcmp(name, "top");
	const struct query_diff_format *format =
	    query_diff_format_find(str_of(name ? name : "json"));
	struct query_diff diff;
	size_t normal, max_nodes;

	if (!format && !as_rows)
		return err_set(&q->err, -EINVAL, "format \"%.40s\" is not written here", name);
	int rc = question_choice(call, "normalize", normals, &normal, &q->err);

	if (!rc)
		rc =
		    question_count(call, "max_nodes", QUERY_MAX_NODES_DEFAULT, &max_nodes, &q->err);
	if (rc)
		return rc;
	q->query.max_nodes = as_rows ? 0 : max_nodes;
	rc = query_diff(base, &q->query, (enum query_normal)normal, &diff, &q->err);
	if (rc && rc != -ENOENT)
		return rc;
	rc = as_rows ? rows_write(call, q, &diff) : graph_write(call, &diff, max_nodes, format);
	query_diff_release(&diff);
	return rc;
}

void route_diff(struct route_call *call)
{
	struct selector *selector = NULL;
	struct question q;
	struct query base;
	int rc = question_open(call, true, &q);

	if (!rc)
		rc = base_parse(call, &q, &base, &selector);
	if (!rc)
		q.closed = q.closed && base.range.until_ns <= call->now_ns;
	if (!rc)
		rc = diff_answer(call, &q, &base);
	selector_free(selector);
	question_close(call, &q, rc);
}
