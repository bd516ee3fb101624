/* SPDX-License-Identifier: Apache-2.0 */
/* `export` and `flame`: the flame graph in a format, to a file or to stdout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/export.h"
#include "cli/selection_help.h"

static const char export_usage[] =
    "usage: hearth export [--format FORMAT] [-o FILE] [-t TYPE] [SELECTION]\n"
    "\n"
    "  --format FORMAT   folded (default), json, flamebearer, pprof, speedscope, svg, html, dot, "
    "text, csv,\n"
    "                    autofdo (clang's sample profile, by line)\n"
    "  -o, --output FILE where to (default: stdout)\n"
    "  --max-nodes N     keep the N largest nodes (default 0: all)\n"
    "  --granularity G   function (default; pprof, autofdo: line), line, address, file, "
    "library\n" SELECTION_HELP SHAPE_HELP "  -q, --quiet       do not say what was written\n";

static const char flame_usage[] =
    "usage: hearth flame -o FILE.svg [-t TYPE] [SELECTION]\n"
    "\n"
    "Writes a flame graph to a file; the name's ending says the format.\n"
    "\n"
    "  -o, --output FILE .svg, .html, .json, .folded, .pb.gz, .speedscope.json, .dot, .txt or "
    ".csv\n"
    "  --max-nodes N     keep the N largest nodes (default 8192; 0: all)\n" SELECTION_HELP
	SHAPE_HELP "  -q, --quiet       do not say what was written\n";

const struct query_format *export_format_of(const char *path)
{
	const struct query_format *best = NULL;
	size_t len = strlen(path);

	for (size_t i = 0; query_format_at(i); i++) {
		const struct query_format *format = query_format_at(i);
		size_t suffix = strlen(format->suffix);

		if (len > suffix + 1 && path[len - suffix - 1] == '.' &&
		    !strcmp(path + len - suffix, format->suffix) &&
		    (!best || suffix > strlen(best->suffix)))
			best = format;
	}
	return best;
}

int export_save(const struct options *o, const struct buf *body)
{
	const char *path = o->output;
	struct err err = {0};

	if (!path) {
		(void)fwrite(body->data, 1, body->len, stdout);
		return fflush(stdout) ? complain(EXIT_RUNTIME, "stdout: %s", strerror(errno))
				      : EXIT_OK;
	}
	if (fd_replace_file(path, body->data, body->len, 0644, &err))
		return complain(EXIT_RUNTIME, "%s", err.message);
	if (!o->quiet)
		(void)fprintf(stderr, "hearth: wrote %s, %zu bytes\n", path, body->len);
	return EXIT_OK;
}

/* Whether there was anything: asked of the same selection, so that a file is never empty unsaid. */
static int data_check(const struct options *o)
{
	const struct parameter extra[] = {{"type", o->type ? o->type : "cpu"}, {"limit", "1"}};
	json_t *answer = NULL;
	int code = ask_json(o, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	if (!code && json_integer_value(json_object_get(answer, "samples")) == 0)
		code = complain(
		    EXIT_NO_DATA,
		    "no samples of %s in this selection; `hearth services` lists what there is",
		    o->type ? o->type : "cpu");
	json_decref(answer);
	return code;
}

int export_write(const struct options *o, const struct query_format *format, const char *max_nodes)
{
	const struct parameter extra[] = {{"type", o->type ? o->type : "cpu"},
					  {"format", format->name},
					  {"max_nodes", o->max_nodes ? o->max_nodes : max_nodes},
					  {"granularity", o->granularity}};
	struct buf body = {0};

	if (format->binary && !o->output && isatty(STDOUT_FILENO))
		return complain(EXIT_USAGE, "%s is binary; name a file with -o", format->name);
	int code = data_check(o);

	if (code)
		return code;
	code = ask_selected(o, "/api/v1/flamegraph", extra, ARRAY_LEN(extra), &body);
	if (!code)
		code = export_save(o, &body);
	buf_release(&body);
	return code;
}

static int run_export(int argc, char **argv)
{
	extern const struct verb verb_export;
	struct options o;
	int rest, code = options_parse(&verb_export, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	const char *name = o.format ? o.format : "folded";
	const struct query_format *format = query_format_find((struct str){name, strlen(name)});

	if (rest < argc || !format)
		return complain(EXIT_USAGE, "export: \"%s\" is not understood",
				rest < argc ? argv[rest] : name);
	return export_write(&o, format, "0");
}

static int run_flame(int argc, char **argv)
{
	extern const struct verb verb_flame;
	struct options o;
	int rest, code = options_parse(&verb_flame, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc || !o.output)
		return complain(EXIT_USAGE, "flame: name a file with -o, for example -o cpu.svg");
	const struct query_format *format = export_format_of(o.output);

	if (!format)
		return complain(EXIT_USAGE,
				"flame: the ending of %s is none that `hearth flame --help` lists",
				o.output);
	return export_write(&o, format, NULL);
}

const struct verb verb_export = {.name = "export", .usage = export_usage, .run = run_export};
const struct verb verb_flame = {.name = "flame", .usage = flame_usage, .run = run_flame};
