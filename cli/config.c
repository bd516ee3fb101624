/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth config check [FILE]\n"
    "       hearth config show [--json] [--server unix:PATH|URL]\n"
    "\n"
    "check  reads hearthd's settings (default /etc/hearth/hearthd.yaml) as hearthd does, and says "
    "what is\n"
    "       wrong with them, with the place; ends with 2 when something is\n"
    "show   what the running agent is set to: where it keeps, where it listens, what it scrapes\n";

#define DEFAULT_FILE "/etc/hearth/hearthd.yaml"

/* The agent alone knows its settings: become it. */
static int check(const char *file)
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 16);

	if (access(file, R_OK))
		return complain(EXIT_RUNTIME, "%s: %s", file, strerror(errno));
	if (n <= 0)
		return complain(EXIT_RUNTIME, "config: where this program stands is not known");
	program[n] = '\0';
	char *name = strrchr(program, '/') + 1;

	memcpy(name, "hearthd", sizeof("hearthd"));
	(void)execl(program, "hearthd", "--config", file, "--check", (char *)NULL);
	return complain(EXIT_RUNTIME, "%s: %s", program, strerror(errno));
}

static json_t *settings_of(json_t *status)
{
	json_t *scrapes = json_array(), *scrape, *storage = json_object_get(status, "storage");
	size_t i;

	json_array_foreach(json_object_get(status, "scrapes"), i, scrape)(void)
	    json_array_append_new(scrapes,
				  json_pack("{s:s, s:s}", "service", answer_text(scrape, "service"),
					    "url", answer_text(scrape, "url")));
	return json_pack("{s:s, s:s, s:s, s:O, s:s, s:o}", "schema", "hearth.config/1", "version",
			 answer_text(status, "version"), "store", answer_text(storage, "location"),
			 "listen", json_object_get(json_object_get(status, "http"), "listen"),
			 "grpc", answer_text(json_object_get(status, "grpc"), "listen"), "scrape",
			 scrapes);
}

static void settings_print(json_t *settings)
{
	json_t *one;
	size_t i;

	(void)printf("version: %s\nstore: ", answer_text(settings, "version"));
	name_print(answer_text(settings, "store"));
	(void)puts("\nlisten:");
	json_array_foreach(json_object_get(settings, "listen"), i, one)(void)
	    printf("  - %s\n", json_string_value(one));
	if (answer_text(settings, "grpc")[0])
		(void)printf("grpc: %s\n", answer_text(settings, "grpc"));
	json_array_foreach(json_object_get(settings, "scrape"), i, one)
	{
		(void)printf("%s  - service: ", i ? "" : "scrape:\n");
		name_print(answer_text(one, "service"));
		(void)printf("\n    url: ");
		name_print(answer_text(one, "url"));
		(void)putchar('\n');
	}
}

static int show(const struct options *o)
{
	struct buf body = {0};
	struct place place;
	int code = place_find(o->server, &place);

	if (!code)
		code = ask(&place, "/api/v1/status", NULL, 0, NULL, 0, &body);
	json_t *status = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);
	json_t *settings = status ? settings_of(status) : NULL;

	if (!code && !settings)
		code = complain(EXIT_RUNTIME, "the agent's answer is not understood");
	if (!code && o->json) {
		(void)json_dumpf(settings, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else if (!code) {
		settings_print(settings);
	}
	json_decref(settings);
	json_decref(status);
	buf_release(&body);
	return code;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_config;
	struct options o;
	int rest, code = options_with_operands(&verb_config, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	const char *what = rest < argc ? argv[rest] : "";

	if (!strcmp(what, "check") && argc - rest <= 2)
		return check(argc - rest == 2 ? argv[rest + 1] : DEFAULT_FILE);
	if (!strcmp(what, "show") && argc - rest == 1)
		return show(&o);
	return complain(EXIT_USAGE, "config: say check or show");
}

const struct verb verb_config = {.name = "config", .usage = usage, .run = run};
