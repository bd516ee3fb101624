/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/export.h"
#include "cli/graph.h"
#include "cli/selection_help.h"
#include "cli/value.h"

/* A change is news when it is so many standard errors: by chance alone that is one in 700. */
#define NEWS_ERRORS 3.0

static const char usage[] =
    "usage: hearth diff BASE [NEW] [SELECTION] [--fail-above POINTS%] [--json | -o FILE]\n"
    "\n"
    "Says what costs more and what costs less than before.  BASE and NEW are a label "
    "(version=1.2), a\n"
    "selector ({env=\"prod\"}) or a range (now-2h..now-1h); without NEW it is what SELECTION "
    "says.\n"
    "\n"
    "  -n, --limit COUNT  rows, by the size of their change (default 20; 0: all)\n"
    "  --normalize HOW    share (default: points of each side's total), time (a second of each "
    "range),\n"
    "                     none\n"
    "  --fail-above P%    end with 5 when a function's share grew by more than P points, and by "
    "more than\n"
    "                     three standard errors\n"
    "  -o, --output FILE  the double flame graph instead: .html, .svg, .folded, "
    ".json,\n"
    "                     .flamebearer.json; of --max-nodes N (default 8192; 0: all)\n"
    "  --granularity G    function (default), line, address, file, library\n" SELECTION_HELP
    "  --json             {\"schema\":\"hearth.diff_top/1\",...}\n" PAGER_HELP;

struct side {
	struct buf selector;
	char from[80], until[80]; /* "": as the selection says */
};

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

/* Matchers of an operand beside those of --select and --service. */
static int side_select(const struct options *o, const char *matchers, size_t len, struct side *side)
{
	const char *select = o->select ? o->select : "";
	size_t select_len = strlen(select);
	struct buf both;
	int rc;

	if (select_len >= 2 && *select == '{') {
		select++;
		select_len -= 2;
	}
	buf_init(&both, 65536);
	(void)buf_printf(&both, "{%.*s%s%.*s}", (int)select_len, select,
			 select_len && len ? "," : "", (int)len, matchers);
	rc = buf_cstr(&both) ? selector_make(o, both.data, &side->selector) : -1;
	buf_release(&both);
	return rc ? complain(EXIT_RUNTIME, "out of memory") : 0;
}

static int side_label(const struct options *o, const char *operand, const char *equal,
		      struct side *side)
{
	struct buf matcher;

	buf_init(&matcher, 4096);
	(void)buf_printf(&matcher, "%.*s=\"", (int)(equal - operand), operand);
	for (const char *c = equal + 1; *c; c++) {
		if (*c == '"' || *c == '\\')
			(void)buf_add_byte(&matcher, '\\');
		(void)buf_add_byte(&matcher, (uint8_t)*c);
	}
	(void)buf_add_byte(&matcher, '"');
	int code = matcher.failed ? complain(EXIT_USAGE, "diff: \"%.40s...\" is too long", operand)
				  : side_select(o, matcher.data, matcher.len, side);

	buf_release(&matcher);
	return code;
}

static int side_parse(const struct options *o, const char *operand, struct side *side)
{
	const char *dots = strstr(operand, ".."), *equal = strchr(operand, '=');
	size_t len = strlen(operand);

	buf_init(&side->selector, 65536);
	if (*operand == '@')
		return side_parse(o, operand + 1, side);
	if (len >= 2 && *operand == '{' && operand[len - 1] == '}')
		return side_select(o, operand + 1, len - 2, side);
	if (equal && (!dots || equal < dots))
		return side_label(o, operand, equal, side);
	if (!dots)
		return complain(EXIT_USAGE,
				"diff: \"%s\" is none of label=value, {selector}, from..until",
				operand);
	(void)snprintf(side->from, sizeof(side->from), "%.*s", (int)(dots - operand), operand);
	(void)snprintf(side->until, sizeof(side->until), "%s", dots[2] ? dots + 2 : "now");
	return side_select(o, "", 0, side);
}

static void share(double value, double total, char *to, size_t max)
{
	(void)snprintf(to, max, "%.2f%%", total != 0 ? 100 * value / total : 0);
}

/* "+3.10 +-0.80" points, or in the unit. */
static void delta_print(json_t *row, const char *delta, const char *se, const char *unit,
			bool points)
{
	double value = answer_number(row, delta), error = answer_number(row, se);
	char text[32], error_text[32];

	if (points) {
		(void)printf("%+8.2f +-%-6.2f ", value, error);
		return;
	}
	value_format(value, unit, text, sizeof(text));
	value_format(error, unit, error_text, sizeof(error_text));
	(void)printf("%s%9s +-%-8s ", value > 0 ? "+" : " ", text, error_text);
}

static void row_print(json_t *answer, json_t *row, bool points)
{
	double total = answer_number(answer, "total"),
	       base_total = answer_number(answer, "base_total");
	const char *unit = answer_text(answer, "unit");
	char before[32], now[32];

	share(answer_number(row, "base_self"), base_total, before, sizeof(before));
	share(answer_number(row, "self"), total, now, sizeof(now));
	(void)printf("%8s %8s ", before, now);
	delta_print(row, "self_delta", "self_se", unit, points);
	delta_print(row, "total_delta", "total_se", unit, points);
	(void)putchar(' ');
	name_print(answer_text(row, "name"));
	(void)putchar('\n');
}

static void table_print(json_t *answer, size_t limit)
{
	json_t *rows = json_object_get(answer, "rows"), *row;
	bool points = !strcmp(answer_text(answer, "normalize"), "share");
	char before[32], now[32];
	size_t i;

	value_format(answer_number(answer, "base_total"), answer_text(answer, "unit"), before,
		     sizeof(before));
	value_format(answer_number(answer, "total"), answer_text(answer, "unit"), now, sizeof(now));
	(void)printf("Type: %s\nBase: %s, %.0f samples\nNew: %s, %.0f samples\n",
		     answer_text(answer, "type"), before,
		     answer_number(json_object_get(answer, "base"), "samples"), now,
		     answer_number(answer, "samples"));
	(void)printf("%8s %8s %*s %*s  name\n", "before", "now", points ? 17 : 21, "flat change",
		     points ? 17 : 21, "cum change");
	json_array_foreach(rows, i, row)
	{
		if (limit && i == limit)
			break;
		row_print(answer, row, points);
	}
	if (limit && json_array_size(rows) > limit)
		(void)fprintf(stderr, "hearth: %zu rows shown, %zu more with -n 0\n", limit,
			      json_array_size(rows) - limit);
}

static bool grew(json_t *row, const char *delta, const char *se, double limit)
{
	double value = answer_number(row, delta);

	return value > limit && value > NEWS_ERRORS * answer_number(row, se);
}

static int threshold_check(json_t *answer, double limit)
{
	json_t *row;
	size_t i;
	int code = EXIT_OK;

	json_array_foreach(json_object_get(answer, "rows"), i, row)
	{
		bool self = grew(row, "self_delta", "self_se", limit);

		if (!self && !grew(row, "total_delta", "total_se", limit))
			continue;
		(void)fputs("hearth: ", stderr);
		for (const char *c = answer_text(row, "name"); *c; c++)
			(void)fputc((unsigned char)*c < 0x20 ? '?' : *c, stderr);
		(void)fprintf(stderr, " grew by %.2f points%s, above %g\n",
			      answer_number(row, self ? "self_delta" : "total_delta"),
			      self ? "" : " with what it calls", limit);
		code = EXIT_THRESHOLD;
	}
	return code;
}

/* One side or both may be of another selection than the options say. */
static int diff_ask(struct options *o, const struct side *base, const struct side *now,
		    const char *format, struct buf *body)
{
	struct options asked = *o;
	const struct parameter extra[] = {
	    {"type", o->type ? o->type : "cpu"},
	    {"base_query", base->selector.len ? base->selector.data : "{}"},
	    {"base_from", or_null(base->from)},
	    {"base_until", or_null(base->until)},
	    {"format", format},
	    {"normalize", o->normalize},
	    {"granularity", o->granularity},
	    {"max_nodes", o->max_nodes},
	    {"limit", "0"}};

	if (now) {
		asked.service = NULL; /* it stands in the side's selector */
		asked.select = now->selector.data;
		asked.from = or_null(now->from) ? now->from : asked.from;
		asked.until = or_null(now->until) ? now->until : asked.until;
	}
	return ask_selected(&asked, "/api/v1/diff", extra, ARRAY_LEN(extra), body);
}

/* ".svg" is svg: the formats of a double flame graph, by the ending of their files. */
static const char *format_of(const char *path)
{
	static const char *const endings[][2] = {{".flamebearer.json", "flamebearer"},
						 {".json", "json"},
						 {".svg", "svg"},
						 {".html", "html"},
						 {".folded", "folded"}};
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (len > strlen(endings[i][0]) &&
		    !strcmp(path + len - strlen(endings[i][0]), endings[i][0]))
			return endings[i][1];
	return NULL;
}

static int rows_show(const struct options *o, const struct buf *body, double fail_above)
{
	json_t *answer = json_loadb(body->data ? body->data : "", body->len, 0, NULL);
	int code = EXIT_OK;

	if (!answer)
		return complain(EXIT_RUNTIME, "the agent's answer is not JSON");
	if (answer_number(answer, "total") == 0 && answer_number(answer, "base_total") == 0)
		code = complain(EXIT_NO_DATA, "no samples of %s on either side",
				answer_text(answer, "type"));
	else if (!o->json)
		table_print(answer, o->limit ? strtoul(o->limit, NULL, 10) : 20);
	if (!code && !o->json) {
		facts_notes(json_object_get(answer, "base"), "base: ");
		facts_notes(answer, "new: ");
	}
	if (o->json)
		(void)printf("%.*s\n", (int)body->len, body->data);
	if (!code && o->fail_above)
		code = threshold_check(answer, fail_above);
	json_decref(answer);
	return code;
}

static int diff(struct options *o, const char *base_text, const char *now_text)
{
	struct side base = {0}, now = {0};
	struct buf body = {0};
	char *end = NULL;
	double fail_above = o->fail_above ? strtod(o->fail_above, &end) : 0;
	const char *format = o->output ? format_of(o->output) : "top";

	if (o->fail_above && (end == o->fail_above || (*end && strcmp(end, "%") != 0)))
		return complain(EXIT_USAGE, "diff: --fail-above \"%s\": write points, as 5%%",
				o->fail_above);
	if (o->fail_above && o->normalize && strcmp(o->normalize, "share") != 0)
		return complain(EXIT_USAGE, "diff: --fail-above is of shares");
	if (!format)
		return complain(EXIT_USAGE,
				"diff: the ending of %s is none that `hearth diff --help` lists",
				o->output);
	int code = side_parse(o, base_text, &base);

	if (!code && now_text)
		code = side_parse(o, now_text, &now);
	if (!code)
		code = diff_ask(o, &base, now_text ? &now : NULL, format, &body);
	if (!code && o->output)
		code = export_save(o, &body);
	else if (!code)
		code = rows_show(o, &body, fail_above);
	buf_release(&base.selector);
	buf_release(&now.selector);
	buf_release(&body);
	return code;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_diff;
	struct options o;
	int rest, code = options_with_operands(&verb_diff, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest == argc || argc - rest > 2)
		return complain(EXIT_USAGE,
				"diff: name the base, and perhaps what is compared with it");
	return diff(&o, argv[rest], argc - rest == 2 ? argv[rest + 1] : NULL);
}

const struct verb verb_diff = {.name = "diff", .usage = usage, .pages = true, .run = run};
