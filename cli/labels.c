/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth labels [NAME] [SELECTION] [--json]\n"
    "\n"
    "Lists the names of labels, or the values that one has.\n"
    "\n"
    "  -S, --service NAME, -s, --select '{label=\"value\"}'   of which series\n"
    "  --since 1h, --from TIME, --to TIME                   when (default: the last hour)\n"
    "  --server unix:PATH|URL                               which agent\n"
    "  --json             the agent's answer as it is\n" PAGER_HELP;

/* A name is one segment of the path. */
static void segment_escape(const char *name, char *to, size_t max)
{
	size_t at = 0;

	for (; *name && at + 4 < max; name++)
		at += (size_t)snprintf(
		    to + at, max - at,
		    isalnum((unsigned char)*name) || strchr("_.-", *name) ? "%c" : "%%%02X",
		    (unsigned char)*name);
	to[at] = '\0';
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_labels;
	char escaped[512], path[600] = "/api/v1/labels";
	json_t *answer = NULL, *text;
	struct options o;
	size_t i;
	int rest, code = options_with_operands(&verb_labels, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	const char *name = rest < argc ? argv[rest++] : NULL;

	if (rest < argc)
		return complain(EXIT_USAGE, "labels: \"%s\" is one word too many", argv[rest]);
	if (name) {
		segment_escape(name, escaped, sizeof(escaped));
		(void)snprintf(path, sizeof(path), "/api/v1/labels/%s/values", escaped);
	}
	code = ask_json(&o, path, NULL, 0, &answer);
	json_t *list = json_object_get(answer, name ? "values" : "labels");

	if (!code && o.json) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else if (!code) {
		json_array_foreach(list, i, text)
		{
			name_print(json_string_value(text));
			(void)putchar('\n');
		}
	}
	if (!code && !json_array_size(list))
		code = complain(EXIT_NO_DATA, "no series has %s%s in this range",
				name ? "the label " : "a label", name ? name : "");
	json_decref(answer);
	return code;
}

const struct verb verb_labels = {.name = "labels", .usage = usage, .pages = true, .run = run};
