/* SPDX-License-Identifier: Apache-2.0 */
/* Pyroscope's older read API: flame graphs by GET, with a timeline; label names and values as
 * lists. */
#include <errno.h>
#include <string.h>

#include "base/time_parse.h"
#include "query/groups.h"
#include "server/querier.h"

#define RANGE_DEFAULT_NS (INT64_C(3600) * NS_PER_S)
#define STEP_LEAST_S 15
#define POINTS_WANTED 1500

static struct querier_call call_make(struct route_call *call, struct querier_request *request,
				     struct buf *out, struct err *err)
{
	return (struct querier_call){
	    .agent = call->agent,
	    .viewer = {call->request->caller.sees_all, call->request->caller.uid},
	    .request = request,
	    .now_ns = call->now_ns,
	    .utf8_names = true,
	    .out = out,
	    .err = err};
}

/* ---- parameters ---- */

static int time_read(struct route_call *call, const char *name, int64_t initial_ns, int64_t *ret_ms,
		     struct err *err)
{
	const char *text = http_query(call->request, name);
	int64_t ns = initial_ns;
	int rc = text && *text ? time_parse(str_of(text), call->now_ns, &ns, err) : 0;

	*ret_ms = ns / 1000000;
	return rc;
}

static int range_read(struct route_call *call, const char *from, const char *until,
		      struct querier_request *request, struct err *err)
{
	int rc = time_read(call, until, call->now_ns, &request->end_ms, err);

	return rc ? rc
		  : time_read(call, from, request->end_ms * 1000000 - RANGE_DEFAULT_NS,
			      &request->start_ms, err);
}

/* "type id{matchers}", or matchers alone, which then name the type. */
static int query_read(struct route_call *call, const char *name, struct querier_request *request,
		      struct err *err)
{
	const char *text = http_query(call->request, name);
	const char *brace = text ? strchr(text, '{') : NULL;

	if (!text || !*text)
		return err_set(err, -EINVAL,
			       "%s is required: a profile type and a selector, as in "
			       "process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"shop\"}",
			       name);
	request->type_id = (struct str){text, brace ? (size_t)(brace - text) : strlen(text)};
	request->selector = str_of(brace ? brace : "");
	return 0;
}

static int nodes_read(struct route_call *call, struct querier_request *request, struct err *err)
{
	const char *text = http_query(call->request, "maxNodes");
	char *end;

	if (!text)
		text = http_query(call->request, "max-nodes");
	if (!text || !*text)
		return 0;
	errno = 0;
	request->max_nodes = strtoll(text, &end, 10);
	return *end || errno ? err_set(err, -EINVAL, "maxNodes \"%.40s\" is not a number", text)
			     : 0;
}

/* ---- render ---- */

/* At most POINTS_WANTED steps, of a width that people count in. */
static int64_t step_choose(int64_t range_ms)
{
	static const int64_t friendly_s[] = {15,   30,   60,   120,   300,   600,  900,
					     1800, 3600, 7200, 14400, 21600, 43200};

	for (size_t i = 0; i < ARRAY_LEN(friendly_s); i++)
		if (range_ms / 1000 / friendly_s[i] <= POINTS_WANTED)
			return friendly_s[i];
	return 86400 * (range_ms / 1000 / 86400 / POINTS_WANTED + 1);
}

static void timeline_json(struct json *json, int64_t start_ms, int64_t step_s,
			  const struct query_group *group, size_t steps)
{
	json_open(json, '{');
	json_key_int(json, "startTime", start_ms / 1000);
	json_key(json, "samples");
	json_open(json, '[');
	for (size_t i = 0; i < steps; i++)
		json_int(json, group ? group->sums[i] : 0);
	json_close(json, ']');
	json_key_int(json, "durationDelta", step_s);
	json_key(json, "watermarks");
	json_open(json, '{');
	json_close(json, '}');
	json_close(json, '}');
}

/* "timeline", and "groups" by the values of one label. */
static int timelines_write(struct querier_call *call, struct querier_ask *ask, const char *group_by,
			   struct json *json)
{
	const struct querier_request *request = call->request;
	const struct str label = querier_label(str_of(group_by ? group_by : ""));
	int64_t step_s = step_choose(request->end_ms - request->start_ms);
	struct query_groups all, groups = {0};
	int rc = query_group_totals(&ask->query, step_s * NS_PER_S, NULL, 0, &all, call->err);

	if (!rc && label.len) {
		rc = query_group_totals(&ask->query, step_s * NS_PER_S, &label, 1, &groups,
					call->err);
		if (rc)
			query_groups_release(&all);
	}
	if (rc)
		return rc;
	json_key(json, "timeline");
	timeline_json(json, request->start_ms, step_s,
		      !ask->is_void && all.count ? &all.groups[0] : NULL, all.steps);
	json_key(json, "groups");
	json_open(json, '{');
	for (size_t i = 0; !ask->is_void && i < groups.count; i++) {
		json_key(json, groups.groups[i].values[0].ptr);
		timeline_json(json, request->start_ms, step_s, &groups.groups[i], groups.steps);
	}
	json_close(json, '}');
	json_key(json, "heatmap");
	json_cstring(json, NULL);
	query_groups_release(&all);
	query_groups_release(&groups);
	return 0;
}

static int render_json(struct route_call *call, struct querier_call *querier,
		       struct querier_ask *ask, const struct query_view *view)
{
	struct query_levels levels;
	struct json json;
	int rc = query_levels_init(&levels, view, NULL);

	if (rc)
		return rc;
	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	query_levels_json(&levels, view->tree, &json);
	query_levels_release(&levels);
	query_facts_json(&view->tree->facts, &json);
	rc = timelines_write(querier, ask, http_query(call->request, "groupBy"), &json);
	json_close(&json, '}');
	return rc ? rc : call->answer->body.failed;
}

static int rendered(struct route_call *call, struct querier_call *querier, struct querier_ask *ask)
{
	const char *format = http_query(call->request, "format");
	struct query_tree tree;
	struct query_view view;

	if (format && *format && strcmp(format, "json") != 0 && strcmp(format, "dot") != 0)
		return err_set(querier->err, -EINVAL, "format \"%.40s\" is none of json, dot",
			       format);
	int rc = querier_merge(querier, ask, &tree);

	if (rc)
		return rc;
	rc = query_view_init(&view, &tree, querier_max_nodes(querier->request->max_nodes));
	if (!rc && format && !strcmp(format, "dot")) {
		rc = query_format_find(STR("dot"))->write(&view, &call->answer->body);
		call->answer->content_type = query_format_find(STR("dot"))->content_type;
	} else if (!rc) {
		rc = render_json(call, querier, ask, &view);
	}
	query_view_release(&view);
	query_tree_release(&tree);
	return rc;
}

void route_render(struct route_call *call)
{
	struct querier_request *CLEANUP(cleanup_free) request = calloc(1, sizeof(*request));
	struct err err = {0};
	struct querier_call querier = call_make(call, request, NULL, &err);
	struct querier_ask ask = {0};
	int rc = request ? query_read(call, "query", request, &err) : -ENOMEM;

	if (!rc)
		rc = range_read(call, "from", "until", request, &err);
	if (!rc)
		rc = nodes_read(call, request, &err);
	if (!rc) {
		rc = querier_open(&querier, request->type_id, request->selector, request->start_ms,
				  request->end_ms, &ask);
		if (!rc)
			rc = rendered(call, &querier, &ask);
		querier_close(&querier, &ask);
	}
	if (rc) {
		buf_clear(&call->answer->body);
		route_fail(call, rc, &err);
	}
}

/* ---- render-diff ---- */

static int side_merge(struct route_call *call, struct querier_call *querier, bool left,
		      struct query_tree *ret_tree)
{
	struct querier_request *CLEANUP(cleanup_free) request = calloc(1, sizeof(*request));
	struct querier_ask ask = {0};
	int rc = request
		     ? query_read(call, left ? "leftQuery" : "rightQuery", request, querier->err)
		     : -ENOMEM;

	if (!rc)
		rc = range_read(call, left ? "leftFrom" : "rightFrom",
				left ? "leftUntil" : "rightUntil", request, querier->err);
	if (rc)
		return rc;
	rc = querier_open(querier, request->type_id, request->selector, request->start_ms,
			  request->end_ms, &ask);
	if (!rc)
		rc = querier_merge(querier, &ask, ret_tree);
	querier_close(querier, &ask);
	return rc;
}

static int pair_write(struct route_call *call, const struct query_tree *left,
		      const struct query_tree *right, size_t max_nodes)
{
	struct query_pair pair;
	struct query_view view = {0};
	struct query_levels levels;
	struct json json;
	int rc = query_pair_init(&pair, left, right);

	if (rc)
		return rc;
	rc = query_view_init(&view, &pair.tree, max_nodes);
	if (!rc)
		rc = query_levels_init(&levels, &view, &pair);
	if (!rc) {
		json_init(&json, &call->answer->body);
		json_open(&json, '{');
		query_levels_json(&levels, &pair.tree, &json);
		json_close(&json, '}');
		query_levels_release(&levels);
		rc = call->answer->body.failed;
	}
	query_view_release(&view);
	query_pair_release(&pair);
	return rc;
}

void route_render_diff(struct route_call *call)
{
	struct querier_request none = {0};
	struct err err = {0};
	struct querier_call querier = call_make(call, &none, NULL, &err);
	struct query_tree left, right;
	int rc = nodes_read(call, &none, &err);

	if (!rc)
		rc = side_merge(call, &querier, true, &left);
	if (rc) {
		route_fail(call, rc, &err);
		return;
	}
	rc = side_merge(call, &querier, false, &right);
	if (!rc) {
		if (strcmp(left.type_id, right.type_id) != 0)
			rc = err_set(&err, -EINVAL,
				     "leftQuery is of type %.80s, rightQuery of %.80s",
				     left.type_id, right.type_id);
		else
			rc = pair_write(call, &left, &right, querier_max_nodes(none.max_nodes));
		query_tree_release(&right);
	}
	query_tree_release(&left);
	if (rc)
		route_fail(call, rc, &err);
}

/* ---- lists ---- */

/* The names, or the ids of the types, in field 1 of a message of ours: an array of strings. */
static int list_write(struct route_call *call, const struct buf *message, bool of_types)
{
	struct proto_reader left =
	    proto_reader_of(message->data ? message->data : "", message->len);
	struct proto_field field, id;
	struct json json;

	json_init(&json, &call->answer->body);
	json_open(&json, '[');
	while (proto_next(&left, &field) == 1) {
		struct str text = proto_str(&field);

		if (of_types && proto_next(&field.bytes, &id) == 1) /* the ID comes first */
			text = proto_str(&id);
		json_text(&json, text.ptr, text.len);
	}
	json_close(&json, ']');
	return call->answer->body.failed;
}

static void lists(struct route_call *call, querier_fn answer, struct querier_request *request,
		  bool of_types)
{
	struct err err = {0};
	struct buf message;
	const char *query = http_query(call->request, "query");
	int rc = 0;

	buf_init(&message, (size_t)64 << 20);
	struct querier_call querier = call_make(call, request, &message, &err);

	if (http_query(call->request, "from") || http_query(call->request, "until"))
		rc = range_read(call, "from", "until", request, &err);
	if (query && *query)
		request->matchers.items[request->matchers.count++] = str_of(query);
	if (!rc)
		rc = answer(&querier);
	if (!rc)
		rc = list_write(call, &message, of_types);
	if (rc)
		route_fail(call, rc, &err);
	buf_release(&message);
}

void route_pyroscope_values(struct route_call *call)
{
	struct querier_request *CLEANUP(cleanup_free) request = calloc(1, sizeof(*request));
	const char *label = http_query(call->request, "label");
	struct err err = {0};

	if (!request || !label || !*label) {
		route_fail(call,
			   err_set(&err, request ? -EINVAL : -ENOMEM,
				   "label is the label whose values are wanted"),
			   &err);
		return;
	}
	request->name = str_of(label);
	bool of_types = !strcmp(label, "__name__");

	lists(call, of_types ? querier_profile_types : querier_label_values, request, of_types);
}

void route_pyroscope_labels(struct route_call *call)
{
	struct querier_request *CLEANUP(cleanup_free) request = calloc(1, sizeof(*request));

	if (request)
		lists(call, querier_label_names, request, false);
	else
		route_fail(call, -ENOMEM, &(struct err){0});
}

/* ---- probes ---- */

void route_buildinfo(struct route_call *call)
{
	struct json json;

	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "status", "success");
	json_key(&json, "data");
	json_open(&json, '{');
	json_key_text(&json, "application", "hearth");
	json_key_text(&json, "version", HEARTH_VERSION);
	json_key_text(&json, "revision", "");
	json_key_text(&json, "branch", "");
	json_key_text(&json, "buildUser", "");
	json_key_text(&json, "buildDate", "");
	json_key_text(&json, "goVersion", "");
	json_close(&json, '}');
	json_close(&json, '}');
}
