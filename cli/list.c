/* SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/graph.h"
#include "cli/selection_help.h"
#include "cli/value.h"

#define CONTEXT_LINES 5

static const char usage[] =
    "usage: hearth list REGEX [SELECTION] [--json]\n"
    "\n"
    "Prints the source lines of the functions whose names match (POSIX extended), with what each "
    "line\n"
    "holds by itself (flat) and with what it calls (cum).  Files are read where the debug "
    "information says\n"
    "that they are; where one is not there, the lines are shown without their text.\n"
    "\n" SELECTION_HELP
    "  --json             {\"schema\":\"hearth.list/1\",\"functions\":[...]}\n" PAGER_HELP;

struct line {
	const char *name, *file;
	long number;
	double self, total;
};

struct lines {
	struct line *lines;
	size_t count, capacity;
};

static bool line_add(struct lines *to, const struct graph_node *node, double total)
{
	size_t i = 0;

	while (i < to->count &&
	       (to->lines[i].number != node->line || strcmp(to->lines[i].name, node->name) != 0 ||
		strcmp(to->lines[i].file, node->file) != 0))
		i++;
	if (i == to->count) {
		if (array_grow(&to->lines, sizeof(*to->lines), &to->capacity, to->count + 1))
			return false;
		to->lines[to->count++] = (struct line){node->name, node->file, node->line, 0, 0};
	}
	to->lines[i].self += node->self;
	to->lines[i].total += total;
	return true;
}

/* A line that is open above holds this node's value already. */
static bool is_open_above(const struct graph *graph, size_t i)
{
	const struct graph_node *nodes = graph->nodes;

	for (size_t at = nodes[i].parent; at; at = nodes[at].parent)
		if (nodes[at].line == nodes[i].line && !strcmp(nodes[at].name, nodes[i].name))
			return true;
	return false;
}

static int by_place(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (!order)
		order = strcmp(x->file, y->file);
	return order ? order : (x->number > y->number) - (x->number < y->number);
}

static bool same_function(const struct line *a, const struct line *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->file, b->file);
}

static void value_print(double value, const char *unit)
{
	char text[32];

	value_format(value, unit, text, sizeof(text));
	(void)printf("%10s ", value != 0 ? text : ".");
}

static void line_print(long number, const struct line *line, const char *unit, const char *text)
{
	value_print(line ? line->self : 0, unit);
	value_print(line ? line->total : 0, unit);
	(void)printf("%6ld:", number);
	if (text) {
		char *end = strchr(text, '\n');
		size_t len = end ? (size_t)(end - text) : strlen(text);

		for (size_t i = 0; i < len; i++)
			(void)putchar((unsigned char)text[i] < 0x20 && text[i] != '\t' ? '?'
										       : text[i]);
	}
	(void)putchar('\n');
}

/* Lines first..last of one function, with a few around them; without its file the lines alone. */
static void source_print(const struct line *lines, size_t count, const char *unit)
{
	FILE *file = lines[0].file[0] == '/' ? fopen(lines[0].file, "re") : NULL;
	long from = MAX(lines[0].number - CONTEXT_LINES, 1),
	     until = lines[count - 1].number + CONTEXT_LINES;
	char *text = NULL;
	size_t size = 0, next = 0;

	if (!file) {
		for (size_t i = 0; i < count; i++)
			line_print(lines[i].number, &lines[i], unit, NULL);
		return;
	}
	for (long number = 1; number <= until && getline(&text, &size, file) >= 0; number++) {
		const struct line *line =
		    next < count && lines[next].number == number ? &lines[next++] : NULL;

		if (number >= from)
			line_print(number, line, unit, text);
	}
	for (; next < count; next++)
		line_print(lines[next].number, &lines[next], unit, NULL);
	free(text);
	(void)fclose(file);
}

static void function_print(const struct graph *graph, const struct line *lines, size_t count)
{
	double self = 0, total = 0;
	char flat[32], cum[32];

	for (size_t i = 0; i < count; i++) {
		self += lines[i].self;
		total += lines[i].total;
	}
	value_format(self, graph->unit, flat, sizeof(flat));
	value_format(total, graph->unit, cum, sizeof(cum));
	(void)printf("ROUTINE ======================== ");
	name_print(lines[0].name);
	(void)printf(" in ");
	name_print(lines[0].file[0] ? lines[0].file : "(no source file)");
	(void)printf("\n%10s %10s (flat, cum) %.2f%% of total\n", flat, cum,
		     100 * total / graph->total);
	source_print(lines, count, graph->unit);
}

static void function_json(json_t *to, const struct line *lines, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(
		    list, json_pack("{s:I, s:f, s:f}", "line", (json_int_t)lines[i].number, "self",
				    lines[i].self, "total", lines[i].total));
	(void)json_array_append_new(to, json_pack("{s:s, s:s, s:o}", "name", lines[0].name, "file",
						  lines[0].file, "lines", list));
}

static void lines_print(const struct options *o, const struct graph *graph,
			const struct lines *lines)
{
	json_t *functions = json_array();

	for (size_t i = 0, j; i < lines->count; i = j) {
		for (j = i; j < lines->count && same_function(&lines->lines[i], &lines->lines[j]);)
			j++;
		if (o->json)
			function_json(functions, lines->lines + i, j - i);
		else
			function_print(graph, lines->lines + i, j - i);
	}
	if (o->json) {
		json_t *all = json_pack("{s:s, s:s, s:s, s:f, s:O}", "schema", "hearth.list/1",
					"type", graph->type, "unit", graph->unit, "total",
					graph->total, "functions", functions);

		(void)json_dumpf(all, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(all);
	}
	json_decref(functions);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_list;
	struct graph graph = {0};
	struct lines lines = {0};
	struct options o;
	regex_t regex;
	int rest, code = options_with_operands(&verb_list, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest + 1 != argc)
		return complain(EXIT_USAGE, "list: name one function, by a regular expression");
	if (regcomp(&regex, argv[rest], REG_EXTENDED | REG_NOSUB))
		return complain(EXIT_USAGE, "list: \"%s\" is no regular expression", argv[rest]);
	const struct parameter extra[] = {{"max_nodes", "0"}, {"granularity", "line"}};

	code = graph_ask(&o, extra, ARRAY_LEN(extra), &graph);
	for (size_t i = 1; !code && i < graph.count; i++)
		if (!regexec(&regex, graph.nodes[i].name, 0, NULL, 0) &&
		    !line_add(&lines, &graph.nodes[i],
			      is_open_above(&graph, i) ? 0 : graph.nodes[i].total))
			code = complain(EXIT_RUNTIME, "out of memory");
	if (!code && !lines.count)
		code = complain(EXIT_NO_DATA, "no function's name matches \"%s\"", argv[rest]);
	if (!code) {
		qsort(lines.lines, lines.count, sizeof(*lines.lines), by_place);
		lines_print(&o, &graph, &lines);
		graph_notes(graph.answer);
	}
	free(lines.lines);
	regfree(&regex);
	graph_release(&graph);
	return code;
}

const struct verb verb_list = {.name = "list", .usage = usage, .pages = true, .run = run};
