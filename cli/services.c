/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth services [--since 1h] [--json] [--server unix:PATH|URL]\n"
    "\n"
    "Lists the services that have profiles in the range, and which types.\n" PAGER_HELP;

static void time_print(json_t *ns)
{
	time_t seconds = (time_t)(json_integer_value(ns) / 1000000000);
	struct tm tm;
	char text[32];

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)printf("%s", text);
}

static void service_print(json_t *service)
{
	json_t *types = json_object_get(service, "types"), *type;
	const char *name = json_string_value(json_object_get(service, "name"));
	size_t i;

	name_print(name && *name ? name : "(no service label)");
	(void)printf("  last ");
	time_print(json_object_get(service, "last"));
	(void)putchar('\n');
	json_array_foreach(types, i, type)
	{
		(void)printf("  ");
		name_print(json_string_value(type));
		(void)putchar('\n');
	}
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_services;
	struct options o;
	json_t *answer = NULL, *service;
	size_t i;
	int rest, code = options_parse(&verb_services, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	code = ask_json(&o, "/api/v1/services", NULL, 0, &answer);
	json_t *services = json_object_get(answer, "services");

	if (!code && o.json) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else if (!code) {
		json_array_foreach(services, i, service) service_print(service);
	}
	if (!code && !json_array_size(services))
		code = complain(
		    EXIT_NO_DATA,
		    "nothing was profiled in this range; start with: hearth run -- COMMAND");
	json_decref(answer);
	return code;
}

const struct verb verb_services = {.name = "services", .usage = usage, .pages = true, .run = run};
