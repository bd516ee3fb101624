/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles and series of totals, in the messages of Pyroscope's querier. */
#include <errno.h>
#include <string.h>

#include "query/groups.h"
#include "server/querier.h"

#define PPROF_MAX ((size_t)256 << 20)

/* ---- messages ---- */

static void put_levels(struct buf *out, const struct query_levels *levels)
{
	for (uint32_t i = 1; i < levels->names.count; i++)
		proto_put_bytes(out, 1, levels->names.strings[i].ptr, levels->names.strings[i].len);
	for (size_t i = 0; i < levels->levels_count; i++) {
		size_t begin = proto_message_begin(out, 2), values = proto_message_begin(out, 1);

		for (size_t k = 0; k < levels->levels[i].count; k++)
			(void)buf_add_varint(out, (uint64_t)levels->levels[i].values[k]);
		proto_message_end(out, values);
		proto_message_end(out, begin);
	}
	proto_put_nonzero(out, 3, (uint64_t)levels->total);
	proto_put_nonzero(out, 4, (uint64_t)levels->max_self);
}

/* FlameGraph; without data the field is absent, as a level without nodes breaks Grafana. */
static int put_flamegraph(const struct query_view *view, struct buf *out)
{
	struct query_levels levels;
	int rc = view->tree->total ? query_levels_init(&levels, view, NULL) : 0;

	if (rc || !view->tree->total)
		return rc;
	size_t begin = proto_message_begin(out, 1);

	put_levels(out, &levels);
	proto_message_end(out, begin);
	query_levels_release(&levels);
	return out->failed;
}

static void put_tree_node(struct buf *out, struct str name, int64_t self, size_t children)
{
	(void)buf_add_varint(out, name.len);
	(void)buf_add(out, name.ptr, name.len);
	(void)buf_add_varint(out, (uint64_t)self);
	(void)buf_add_varint(out, children);
}

/*
 * Pyroscope's tree bytes: preorder; a node is its name, its self and how many children follow.  The
 * root has no name and its self is not read, so what has no stack stands as a child.
 */
static int put_tree(const struct query_view *view, struct buf *out)
{
	size_t *CLEANUP(cleanup_free) children = calloc(view->count + 1, sizeof(*children));
	uint32_t deepest = 0;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	uint32_t *CLEANUP(cleanup_free) path = calloc((size_t)deepest + 1, sizeof(*path));

	if (!children || !path)
		return -ENOMEM;
	for (size_t i = 0; i < view->count; i++) {
		path[view->depth[i]] = (uint32_t)i;
		if (i)
			children[path[view->depth[i] - 1]]++;
		if (query_view_hidden(view, i))
			children[i]++;
	}
	int64_t bare = view_node(view, 0)->self;
	size_t begin = proto_message_begin(out, 2);

	for (size_t i = 0; i < view->count; i++) {
		put_tree_node(out, i ? view_name(view, i) : STR(""),
			      i ? view_node(view, i)->self : 0, children[i] + (!i && bare));
		if (!i && bare)
			put_tree_node(out, STR("[no stack]"), bare, 0);
		if (query_view_hidden(view, i))
			put_tree_node(out, STR("other"), query_view_hidden(view, i), 0);
	}
	proto_message_end(out, begin);
	return out->failed;
}

static int put_dot(const struct query_view *view, struct buf *out)
{
	size_t begin = proto_message_begin(out, 3);
	int rc = query_format_find(STR("dot"))->write(view, out);

	proto_message_end(out, begin);
	return rc;
}

static int put_pprof(const struct query_view *view, struct buf *out)
{
	size_t begin = proto_message_begin(out, 5), profile = proto_message_begin(out, 1);
	int rc = query_pprof_write(view, out);

	proto_message_end(out, profile);
	proto_message_end(out, begin);
	return rc;
}

/* ---- one profile ---- */

/* Ids of a fixed count of hexadecimal digits: anything else would find nothing and say nothing. */
static int ids_check(const struct querier_call *call, const struct querier_list *ids, size_t digits,
		     const char *name)
{
	for (size_t i = 0; i < ids->count; i++) {
		struct str id = ids->items[i];
		bool hex = id.len == digits;

		for (size_t k = 0; hex && k < id.len; k++)
			hex = strchr("0123456789abcdefABCDEF", id.ptr[k]) && id.ptr[k];
		if (!hex)
			return err_set(call->err, -EINVAL,
				       "%s \"%.*s\" is not %zu hexadecimal digits", name,
				       (int)MIN(id.len, (size_t)40), id.ptr, digits);
	}
	return 0;
}

static int selectors_check(const struct querier_call *call, const struct querier_request *request)
{
	if (request->profiles.count)
		return err_set(call->err, -EOPNOTSUPP,
			       "profile_id_selector: uploads are merged as they arrive, so single "
			       "profiles are not kept");
	int rc = ids_check(call, &request->spans, 16, "span_selector");

	return rc ? rc : ids_check(call, &request->traces, 32, "trace_id_selector");
}

/* Spans and traces restrict the records, a call site the stacks. `context` is as the request lives.
 */
static void selectors_apply(const struct querier_request *request, struct query_context *context,
			    struct query *query)
{
	*context = (struct query_context){.span_ids = request->spans.items,
					  .span_ids_count = request->spans.count,
					  .trace_ids = request->traces.items,
					  .trace_ids_count = request->traces.count};
	if (request->spans.count || request->traces.count)
		query->context = context;
	query->shape.path = request->call_site.items;
	query->shape.path_count = request->call_site.count;
}

static enum query_granularity granularity_of(int64_t format)
{
	return format == QUERIER_FORMAT_PPROF ? QUERY_BY_LINE : QUERY_BY_FUNCTION;
}

/* The tree that a request selects. Release it after 0 only. */
static int tree_ask(struct querier_call *call, const struct querier_request *request,
		    int64_t format, struct query_tree *ret_tree)
{
	struct query_context context;
	struct querier_ask ask = {0};
	int rc = selectors_check(call, request);

	if (rc)
		return rc;
	rc = querier_open(call, request->type_id, request->selector, request->start_ms,
			  request->end_ms, &ask);
	if (!rc) {
		ask.query.granularity = granularity_of(format);
		selectors_apply(request, &context, &ask.query);
		rc = querier_merge(call, &ask, ret_tree);
	}
	querier_close(call, &ask);
	return rc;
}

typedef int (*put_fn)(const struct query_view *view, struct buf *out);

static int profile_answer(struct querier_call *call, int64_t format, put_fn put)
{
	struct query_tree tree;
	struct query_view view;
	int rc = tree_ask(call, call->request, format, &tree);

	if (rc)
		return rc;
	rc = query_view_init(&view, &tree, querier_max_nodes(call->request->max_nodes));
	if (!rc) {
		rc = put(&view, call->out);
		query_view_release(&view);
	}
	query_tree_release(&tree);
	return rc;
}

static int formatted(struct querier_call *call)
{
	switch (call->request->format) {
	case QUERIER_FORMAT_DEFAULT:
	case QUERIER_FORMAT_FLAMEGRAPH:
		return profile_answer(call, QUERIER_FORMAT_FLAMEGRAPH, put_flamegraph);
	case QUERIER_FORMAT_TREE:
		return profile_answer(call, QUERIER_FORMAT_TREE, put_tree);
	case QUERIER_FORMAT_DOT:
		return profile_answer(call, QUERIER_FORMAT_DOT, put_dot);
	case QUERIER_FORMAT_PPROF:
		return profile_answer(call, QUERIER_FORMAT_PPROF, put_pprof);
	default:
		return err_set(call->err, -EINVAL, "format %lld is none of 0 to 4",
			       (long long)call->request->format);
	}
}

int querier_stacktraces(struct querier_call *call)
{
	return formatted(call);
}

int querier_span_profile(struct querier_call *call)
{
	if (!call->request->spans.count)
		return err_set(call->err, -EINVAL, "span_selector names the spans that are wanted");
	return formatted(call);
}

/* The answer is the pprof itself; without a word on nodes it is whole, as what reads it prunes. */
int querier_merge_profile(struct querier_call *call)
{
	struct querier_request whole = *call->request;
	struct querier_call again = *call;

	if (!whole.max_nodes)
		whole.max_nodes = -1;
	again.request = &whole;
	return profile_answer(&again, QUERIER_FORMAT_PPROF, query_pprof_write);
}

/* ---- two profiles ---- */

static int pair_put(struct querier_call *call, const struct query_tree *left,
		    const struct query_tree *right, int64_t max_nodes)
{
	struct query_pair pair;
	struct query_view view;
	struct query_levels levels;
	int rc = query_pair_init(&pair, left, right);

	if (rc)
		return rc;
	rc = query_view_init(&view, &pair.tree, querier_max_nodes(max_nodes));
	if (!rc) {
		rc = query_levels_init(&levels, &view, &pair);
		query_view_release(&view);
	}
	if (!rc) {
		size_t begin = proto_message_begin(call->out, 1);

		put_levels(call->out, &levels);
		proto_put_nonzero(call->out, 5, (uint64_t)levels.ticks[0]);
		proto_put_nonzero(call->out, 6, (uint64_t)levels.ticks[1]);
		proto_message_end(call->out, begin);
		query_levels_release(&levels);
		rc = call->out->failed;
	}
	query_pair_release(&pair);
	return rc;
}

int querier_diff(struct querier_call *call)
{
	const struct querier_method *method = querier_method_find(STR("SelectMergeStacktraces"));
	struct querier_request sides[2];
	struct query_tree left, right;
	int rc;

	if (!call->request->has_left || !call->request->has_right)
		return err_set(call->err, -EINVAL, "left and right are both required");
	rc = querier_decode(method, call->request->left, &sides[0], call->err);
	if (!rc)
		rc = querier_decode(method, call->request->right, &sides[1], call->err);
	if (!rc)
		rc = tree_ask(call, &sides[0], QUERIER_FORMAT_FLAMEGRAPH, &left);
	if (rc)
		return rc;
	rc = tree_ask(call, &sides[1], QUERIER_FORMAT_FLAMEGRAPH, &right);
	if (!rc) {
		if (strcmp(left.type_id, right.type_id) != 0)
			rc = err_set(call->err, -EINVAL, "left is of type %.80s, right of %.80s",
				     left.type_id, right.type_id);
		else
			rc = pair_put(call, &left, &right, sides[0].max_nodes);
		query_tree_release(&right);
	}
	query_tree_release(&left);
	return rc;
}

/* ---- totals over time ---- */

static void put_label(struct buf *out, struct str name, struct str value)
{
	size_t begin = proto_message_begin(out, 1);

	proto_put_bytes(out, 1, name.ptr, name.len);
	proto_put_bytes(out, 2, value.ptr, value.len);
	proto_message_end(out, begin);
}

/* A step without a sample is no point, so that a gap shows as one. */
static void put_series(struct querier_call *call, const struct query_groups *groups,
		       const struct query_group *group, double step_ms)
{
	const struct querier_list *labels = &call->request->labels;
	size_t begin = proto_message_begin(call->out, 1);

	for (size_t i = 0; i < labels->count; i++)
		if (group->values[i].len)
			put_label(call->out, labels->items[i], group->values[i]);
	for (size_t i = 0; i < groups->steps; i++) {
		if (!group->counts[i])
			continue;
		size_t point = proto_message_begin(call->out, 2);

		proto_put_double(call->out, 1, (double)group->sums[i]);
		proto_put_varint(
		    call->out, 2,
		    (uint64_t)(call->request->start_ms + (int64_t)((double)i * step_ms)));
		proto_message_end(call->out, point);
	}
	proto_message_end(call->out, begin);
}

static int groups_ask(struct querier_call *call, struct querier_ask *ask)
{
	const struct querier_request *request = call->request;
	struct str labels[QUERY_GROUP_LABELS_MAX];
	struct query_groups groups;

	if (request->labels.count > ARRAY_LEN(labels))
		return err_set(call->err, -EINVAL, "group_by names more than %d labels",
			       QUERY_GROUP_LABELS_MAX);
	for (size_t i = 0; i < request->labels.count; i++)
		labels[i] = querier_label(request->labels.items[i]);
	int64_t step_ns = (int64_t)(request->step_s * 1e9);
	int rc = query_group_totals(&ask->query, step_ns, labels, request->labels.count, &groups,
				    call->err);

	if (rc)
		return rc;
	if (request->aggregation && !groups.is_gauge && groups.count)
		rc = err_set(call->err, -EOPNOTSUPP,
			     "an average needs single profiles, which are not kept: ask for sums");
	size_t shown =
	    request->limit > 0 ? MIN((size_t)request->limit, groups.count) : groups.count;

	for (size_t i = 0; !rc && i < shown; i++) {
		put_series(call, &groups, &groups.groups[i], request->step_s * 1e3);
		rc = call->out->failed;
	}
	query_groups_release(&groups);
	return rc;
}

int querier_select_series(struct querier_call *call)
{
	const struct querier_request *request = call->request;
	struct querier_ask ask = {0};
	int rc = selectors_check(call, request);

	if (!rc)
		rc = querier_step_check(call);
	if (rc)
		return rc;
	rc = querier_open(call, request->type_id, request->selector, request->start_ms,
			  request->end_ms, &ask);
	if (!rc && !ask.is_void) {
		ask.query.shape.path = request->call_site.items;
		ask.query.shape.path_count = request->call_site.count;
		rc = groups_ask(call, &ask);
	}
	querier_close(call, &ask);
	return rc;
}
