/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /api/v1/control: action=zoom (cpu_hz, for), pause (for) or resume, with service=, pid= or
 * all=true.  GET: the rules in force.  Over http.sock alone, where the kernel says who asks: root
 * and the agent's own user for everybody's processes, others for their own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/time_parse.h"
#include "server/control.h"
#include "server/route.h"

static int number_parse(const char *name, const char *text, double low, double high, double *ret,
			struct err *err)
{
	char *end;

	errno = 0;
	*ret = strtod(text, &end);
	if (end == text || *end || errno || !(*ret >= low && *ret <= high))
		return err_set(err, -EINVAL, "%s: \"%.40s\" is not a number from %.0f to %.0f",
			       name, text, low, high);
	return 0;
}

static int target_parse(struct route_call *call, struct control_target *target, struct err *err)
{
	const char *service = http_query(call->request, "service");
	const char *pid = http_query(call->request, "pid"), *all = http_query(call->request, "all");
	double number = 0;
	int rc = pid ? number_parse("pid", pid, 1, 4194304, &number, err) : 0;

	if (rc)
		return rc;
	if (!service && !pid && !(all && !strcmp(all, "true")))
		return err_set(err, -EINVAL, "control: say whom: service=NAME, pid=N or all=true");
	if (service && strlen(service) >= sizeof(target->service))
		return err_set(err, -EINVAL, "service: %zu bytes, the limit is %zu",
			       strlen(service), sizeof(target->service) - 1);
	(void)snprintf(target->service, sizeof(target->service), "%s", service ? service : "");
	target->pid = (int64_t)number;
	return 0;
}

static int rule_parse(struct route_call *call, struct control_rule *rule, struct err *err)
{
	const char *hz = http_query(call->request, "cpu_hz"),
		   *span = http_query(call->request, "for");
	int64_t duration_ns = 0;
	double rate = 0;
	int rc = 0;

	if (span)
		rc = duration_parse((struct str){span, strlen(span)}, &duration_ns, err);
	if (!rc && span && duration_ns <= 0)
		rc = err_set(err, -EINVAL, "for: \"%.40s\" is not a time ahead", span);
	if (!rc && rule->action == CONTROL_ZOOM) {
		if (!hz || !span)
			return err_set(err, -EINVAL, "zoom: cpu_hz and for are needed");
		rc = number_parse("cpu_hz", hz, CONTROL_HZ_MIN, CONTROL_HZ_MAX, &rate, err);
		if (!rc && duration_ns > CONTROL_ZOOM_MAX_NS)
			rc = err_set(err, -EINVAL, "for: %.40s, the limit of a zoom is 1h", span);
		rule->cpu_interval_us = rc ? 0 : (uint32_t)(1e6 / rate + 0.5);
	}
	rule->until_ns = span ? clock_monotonic_ns() + duration_ns : INT64_MAX;
	return rc;
}

static void rules_answer(struct route_call *call, const struct control_target *viewer)
{
	struct json json;

	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "schema", "hearth.control/1");
	control_json(call->agent->control, viewer, clock_monotonic_ns(), &json);
	json_close(&json, '}');
}

static struct control_target target_of(const struct route_call *call)
{
	return (struct control_target){.any_owner = call->request->caller.sees_all,
				       .owner = call->request->caller.uid};
}

void route_control(struct route_call *call)
{
	const char *action = http_query(call->request, "action");
	struct control_rule rule = {.target = target_of(call)};
	const struct control_target viewer = rule.target;
	struct err err = {0};
	int rc = target_parse(call, &rule.target, &err);

	if (!rc && action && !strcmp(action, "resume")) {
		if (!control_remove(call->agent->control, &rule.target))
			rc = err_set(&err, -ENOENT, "control: no rule is in force for that");
	} else if (!rc && action && (!strcmp(action, "zoom") || !strcmp(action, "pause"))) {
		rule.action = *action == 'z' ? CONTROL_ZOOM : CONTROL_PAUSE;
		rc = rule_parse(call, &rule, &err);
		if (!rc)
			rc = control_add(call->agent->control, &rule, &err);
	} else if (!rc) {
		rc = err_set(&err, -EINVAL, "action: zoom, pause or resume");
	}
	if (rc)
		route_fail(call, rc, &err);
	else
		rules_answer(call, &viewer);
}

void route_control_list(struct route_call *call)
{
	const struct control_target viewer = target_of(call);

	rules_answer(call, &viewer);
}
