/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/order.h"

#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/value.h"

static void rule_print(json_t *rule)
{
	double interval = answer_number(rule, "cpu_interval_us"),
	       left = answer_number(rule, "ends_in_ns");

	(void)fprintf(stderr, "  %s", answer_text(rule, "action"));
	if (answer_text(rule, "service")[0])
		(void)fprintf(stderr, " service %s", answer_text(rule, "service"));
	if (answer_number(rule, "pid") > 0)
		(void)fprintf(stderr, " pid %.0f", answer_number(rule, "pid"));
	if (interval > 0)
		(void)fprintf(stderr, ", %.0f samples a second of CPU", 1e6 / interval);
	if (left > 0)
		(void)fprintf(stderr, ", for %.0f s", left / 1e9);
	(void)fputc('\n', stderr);
}

static void rules_print(json_t *answer)
{
	json_t *rules = json_object_get(answer, "rules"), *rule;
	size_t i;

	if (json_is_true(json_object_get(answer, "paused_by_file")))
		(void)fprintf(stderr, "hearth: everything is paused while %s exists\n",
			      answer_text(answer, "switch_file"));
	(void)fprintf(stderr, json_array_size(rules) ? "hearth: in force:\n"
						     : "hearth: no orders are in force\n");
	json_array_foreach(rules, i, rule) rule_print(rule);
}

int order_give(const struct verb *verb, int argc, char **argv)
{
	struct place place;
	struct options o;
	struct buf body = {0};
	int rest, code;

	/* `zoom SERVICE --cpu-hz ...`: the service may come first. */
	if (argc > 1 && argv[1][0] != '-') {
		char *service = argv[1];

		memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
		argv[argc - 1] = service;
	}
	code = options_parse(verb, argc, argv, &o, &rest);
	if (code >= 0)
		return code;
	if (rest < argc && !o.service)
		o.service = argv[rest++];
	if (rest < argc)
		code =
		    complain(EXIT_USAGE, "%s: \"%s\" is one word too many", verb->name, argv[rest]);
	else if (!o.service && !o.pid && !o.all)
		code =
		    complain(EXIT_USAGE, "%s: say whom: a service, --pid N or --all", verb->name);
	else
		code = place_find(o.server, &place);
	const struct parameter parameters[] = {
	    {"action", verb->name}, {"service", o.service}, {"pid", o.pid},
	    {"cpu_hz", o.cpu_hz},   {"for", o.duration},    {"all", o.all ? "true" : NULL},
	};

	if (!code)
		code =
		    ask(&place, "/api/v1/control", parameters, ARRAY_LEN(parameters), "", 0, &body);
	json_t *answer = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);

	if (!code && o.json)
		(void)printf("%.*s\n", (int)body.len, body.data);
	else if (!code && !o.quiet)
		rules_print(answer);
	json_decref(answer);
	buf_release(&body);
	return code;
}
