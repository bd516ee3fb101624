/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/verb.h"

static int run(int argc, char **argv)
{
	extern const struct verb verb_version;
	struct options o;
	int rest, code = options_parse(&verb_version, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (o.json)
		(void)printf("{\"schema\":\"hearth.version/1\",\"version\":\"%s\"}\n",
			     HEARTH_VERSION);
	else
		(void)printf("hearth %s\n", HEARTH_VERSION);
	return EXIT_OK;
}

const struct verb verb_version = {
    .name = "version", .usage = "usage: hearth version [--json]\n", .run = run};
