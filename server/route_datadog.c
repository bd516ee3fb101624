/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Datadog tracer asks of its agent beside profiles, so that it starts without errors: what
 * is served here, and a polite answer to its spans, which are counted and not kept yet.
 */
#include <string.h>

#include "base/json.h"
#include "server/route.h"

static void endpoints_write(struct json *json)
{
	static const char *const served[] = {
	    "/profiling/v1/input", "/v0.3/traces",
	    "/v0.4/traces",        "/v0.5/traces",
	    "/v0.6/stats",         "/telemetry/proxy/",
	    "/debugger/v1/input",  "/debugger/v1/diagnostics",
	};

	json_key(json, "endpoints");
	json_open(json, '[');
	for (size_t i = 0; i < ARRAY_LEN(served); i++)
		json_cstring(json, served[i]);
	json_close(json, ']');
}

void route_datadog_info(struct route_call *call)
{
	struct json json;

	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "version", HEARTH_VERSION);
	endpoints_write(&json);
	/* Tracers drop what nobody wants only if somebody counts it instead; nobody does here. */
	json_key(&json, "client_drop_p0s");
	json_bool(&json, false);
	json_key(&json, "config");
	json_open(&json, '{');
	json_key_uint(&json, "max_request_bytes", call->agent->config.limits.body_bytes);
	json_close(&json, '}');
	json_close(&json, '}');
}

void route_datadog_traces(struct route_call *call)
{
	(void)__atomic_add_fetch(&call->agent->trace_payloads, 1, __ATOMIC_RELAXED);
	/* Keep every trace: the rate of services that have none of their own. */
	(void)buf_add_str(&call->answer->body, "{\"rate_by_service\":{\"service:,env:\":1}}");
}

void route_datadog_accept(struct route_call *call)
{
	(void)buf_add_str(&call->answer->body, "{}");
}
