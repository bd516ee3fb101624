/* SPDX-License-Identifier: Apache-2.0 */
#include "server/querier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define DEADLINE_NS (INT64_C(10) * NS_PER_S)
#define MS_MAX (INT64_MAX / 1000000) /* the year 2262 */
#define STEP_MAX_S 1e9
#define NODES_MAX ((size_t)1 << 20)

struct str querier_label(struct str name)
{
	return str_is(name, "service_name") || str_is(name, "__service_name__") ? STR("service")
										: name;
}

int querier_range(const struct querier_call *call, int64_t start_ms, int64_t end_ms,
		  struct query_range *ret_range)
{
	if (!start_ms && !end_ms) {
		*ret_range = (struct query_range){0, call->now_ns + 3600 * NS_PER_S};
		return 0;
	}
	if (start_ms < 0 || end_ms > MS_MAX || start_ms >= end_ms)
		return err_set(call->err, -EINVAL,
			       "start %lld is not before end %lld, in milliseconds since 1970",
			       (long long)start_ms, (long long)end_ms);
	*ret_range = (struct query_range){start_ms * 1000000, end_ms * 1000000};
	return 0;
}

/* What the type decides of the labels in double underscores; others are nobody's, so "". */
static bool type_knows(void *arg, struct str name, struct str *ret_value)
{
	const struct querier_ask *ask = arg;
	const struct profile_type *type = &ask->query.type;

	if (name.len < 2 || memcmp(name.ptr, "__", 2) || str_is(name, "__service_name__"))
		return false;
	*ret_value = str_is(name, "__name__")           ? type->name
		     : str_is(name, "__profile_type__") ? str_of(ask->type_id)
		     : str_is(name, "__type__")         ? type->type
		     : str_is(name, "__unit__")         ? type->unit
		     : str_is(name, "__period_type__")  ? type->period_type
		     : str_is(name, "__period_unit__")  ? type->period_unit
							: STR("");
	return true;
}

/* Without the ":delta" that Parca and old clients write behind it. */
static int type_parse(const struct querier_call *call, struct str type_id, struct querier_ask *ask)
{
	static const char delta[] = ":delta";

	if (!type_id.len && !selector_value(ask->selector, STR("__profile_type__"), &type_id) &&
	    !selector_value(ask->selector, STR("__name__"), &type_id))
		return err_set(call->err, -EINVAL,
			       "a profile type is required, such as "
			       "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
	if (type_id.len > sizeof(delta) - 1 &&
	    !memcmp(type_id.ptr + type_id.len - (sizeof(delta) - 1), delta, sizeof(delta) - 1))
		type_id.len -= sizeof(delta) - 1;
	if (type_id.len >= sizeof(ask->type_id))
		return err_set(call->err, -EINVAL, "the profile type is longer than %zu bytes",
			       sizeof(ask->type_id) - 1);
	memcpy(ask->type_id, type_id.ptr, type_id.len);
	ask->type_id[type_id.len] = '\0';
	return profile_type_parse(str_of(ask->type_id), &ask->query.type, call->err);
}

/* A render query has the whole id as its name; then that name is no matcher of the series' name. */
static bool names_type(const struct selector *selector)
{
	struct str name;

	return selector_value(selector, STR("__name__"), &name) && name.len &&
	       memchr(name.ptr, ':', name.len);
}

static int selector_settled(const struct querier_call *call, struct str type_id,
			    struct querier_ask *ask)
{
	bool by_name;
	int rc = type_parse(call, type_id, ask);

	if (rc)
		return rc;
	by_name = names_type(ask->selector);
	if (by_name)
		rc = selector_rename(ask->selector, STR("__name__"), STR("__profile_type__"));
	if (!rc)
		ask->is_void = !selector_settle(ask->selector, type_knows, ask);
	if (!rc)
		rc = selector_rename(ask->selector, STR("service_name"), STR("service"));
	if (!rc)
		rc = selector_rename(ask->selector, STR("__service_name__"), STR("service"));
	return rc;
}

int querier_open(const struct querier_call *call, struct str type_id, struct str selector,
		 int64_t start_ms, int64_t end_ms, struct querier_ask *ret_ask)
{
	struct querier_ask *ask = ret_ask;

	*ask = (struct querier_ask){
	    .query = {.viewer = call->viewer, .deadline_ns = clock_monotonic_ns() + DEADLINE_NS}};
	int rc = selector_parse(selector, &ask->selector, call->err);

	if (!rc)
		rc = selector_settled(call, type_id, ask);
	if (!rc)
		rc = querier_range(call, start_ms, end_ms, &ask->query.range);
	if (!rc) {
		processes_watch(call->agent->processes, ask->query.range.until_ns);
		rc = readers_borrow(call->agent->readers, &ask->reader, call->err);
	}
	if (!rc)
		rc = symbols_view_new(call->agent->symbols, ask->reader, &ask->view);
	if (rc)
		return rc == -ENOMEM ? err_set(call->err, rc, "out of memory") : rc;
	ask->names = symbols_view_names(ask->view);
	ask->query.names = &ask->names;
	ask->query.selector = ask->selector;
	ask->query.reader = ask->reader;
	return 0;
}

void querier_close(const struct querier_call *call, struct querier_ask *ask)
{
	symbols_view_free(ask->view);
	readers_return(call->agent->readers, ask->reader);
	selector_free(ask->selector);
}

int querier_step_check(const struct querier_call *call)
{
	const struct querier_request *request = call->request;

	if (!(request->step_s > 0 && request->step_s <= STEP_MAX_S))
		return err_set(call->err, -EINVAL, "step is seconds above 0");
	if (!request->start_ms || !request->end_ms)
		return err_set(call->err, -EINVAL, "start and end are required");
	return 0;
}

size_t querier_max_nodes(int64_t asked)
{
	if (!asked)
		return QUERY_MAX_NODES_DEFAULT;
	return asked < 0 || asked > (int64_t)NODES_MAX ? NODES_MAX : (size_t)asked;
}

int querier_merge(const struct querier_call *call, struct querier_ask *ask,
		  struct query_tree *ret_tree)
{
	int rc = query_tree_init(ret_tree);

	if (rc)
		return err_set(call->err, rc, "out of memory");
	if (ask->is_void) {
		struct str unit = ask->query.type.unit;

		memcpy(ret_tree->type_id, ask->type_id, sizeof(ask->type_id));
		(void)snprintf(ret_tree->unit, sizeof(ret_tree->unit), "%.*s", (int)unit.len,
			       unit.ptr);
		return 0;
	}
	rc = query_merge(&ask->query, ret_tree, call->err);
	if (rc == -ENOENT)
		rc = 0; /* no data is an answer: a flame graph that is absent */
	if (rc)
		query_tree_release(ret_tree);
	return rc;
}
