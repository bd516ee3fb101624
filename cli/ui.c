/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/ask.h"

static const char usage[] = "usage: hearth ui [--json] [--server unix:PATH]\n"
			    "\n"
			    "Prints a link to the web page. It works once, within ten minutes, and "
			    "lets that browser read.\n";

static int run(int argc, char **argv)
{
	extern const struct verb verb_ui;
	struct place place;
	struct options o;
	struct buf body = {0};
	int rest, code = options_parse(&verb_ui, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	code = place_find(o.server, &place);
	if (!code && !place.socket[0])
		code = complain(EXIT_USAGE, "ui: the link is made over the agent's Unix socket");
	if (!code)
		code = ask(&place, "/api/v1/login", NULL, 0, "", 0, &body);
	json_t *answer = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);
	const char *address = json_string_value(json_object_get(answer, "address"));
	const char *path = json_string_value(json_object_get(answer, "path"));

	if (!code && (!address || !path))
		code =
		    complain(EXIT_RUNTIME, "the agent does not listen on TCP, so it has no page");
	if (!code)
		(void)printf(o.json ? "{\"schema\":\"hearth.ui/1\",\"url\":\"http://%s%s\"}\n"
				    : "http://%s%s\n",
			     address, path);
	json_decref(answer);
	buf_release(&body);
	return code;
}

const struct verb verb_ui = {.name = "ui", .usage = usage, .run = run};
