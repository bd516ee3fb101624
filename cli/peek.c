/* SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/graph.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth peek REGEX [SELECTION] [--json]\n"
    "\n"
    "Prints each function whose name matches (POSIX extended), with its callers above and its "
    "callees\n"
    "below, and what went through each.\n"
    "\n"
    "  -n, --limit COUNT  functions (default 10; 0: all)\n" SELECTION_HELP
    "  --json             {\"schema\":\"hearth.peek/1\",\"functions\":[...]}\n" PAGER_HELP;

struct edge {
	const char *name;
	double value;
};

struct edges {
	struct edge *edges;
	size_t count, capacity;
};

struct function {
	const char *name;
	double self, total;
	struct edges callers, callees;
};

static bool edge_add(struct edges *to, const char *name, double value)
{
	for (size_t i = 0; i < to->count; i++) {
		if (!strcmp(to->edges[i].name, name)) {
			to->edges[i].value += value;
			return true;
		}
	}
	if (array_grow(&to->edges, sizeof(*to->edges), &to->capacity, to->count + 1))
		return false;
	to->edges[to->count++] = (struct edge){name, value};
	return true;
}

static int by_value(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->value != y->value ? (x->value < y->value ? 1 : -1) : strcmp(x->name, y->name);
}

/* Whether the same call stands above this node: then its value is in that one's. */
static bool is_open_above(const struct graph *graph, size_t i, bool edge)
{
	const struct graph_node *nodes = graph->nodes;

	for (size_t at = nodes[i].parent; at; at = nodes[at].parent)
		if (!strcmp(nodes[at].name, nodes[i].name) &&
		    (!edge || !strcmp(nodes[nodes[at].parent].name, nodes[nodes[i].parent].name)))
			return true;
	return false;
}

static bool function_sum(const struct graph *graph, struct function *f)
{
	bool whole = true;

	for (size_t i = 1; whole && i < graph->count; i++) {
		const struct graph_node *node = &graph->nodes[i];
		bool is_it = !strcmp(node->name, f->name);

		if (is_it) {
			f->self += node->self;
			if (!is_open_above(graph, i, false))
				f->total += node->total;
		}
		if ((is_it ||
		     (node->parent && !strcmp(graph->nodes[node->parent].name, f->name))) &&
		    is_open_above(graph, i, true))
			continue;
		if (is_it && node->parent)
			whole = edge_add(&f->callers, graph->nodes[node->parent].name, node->total);
		if (whole && node->parent && !strcmp(graph->nodes[node->parent].name, f->name))
			whole = edge_add(&f->callees, node->name, node->total);
	}
	if (f->callers.count)
		qsort(f->callers.edges, f->callers.count, sizeof(struct edge), by_value);
	if (f->callees.count)
		qsort(f->callees.edges, f->callees.count, sizeof(struct edge), by_value);
	return whole;
}

static int by_total(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	return x->total != y->total ? (x->total < y->total ? 1 : -1) : strcmp(x->name, y->name);
}

/* Every function that matches, once. */
static struct function *functions_find(const struct graph *graph, const regex_t *regex,
				       size_t *ret_count)
{
	struct function *functions = NULL;
	size_t count = 0, capacity = 0;

	for (size_t i = 1; i < graph->count; i++) {
		const char *name = graph->nodes[i].name;
		size_t k = 0;

		while (k < count && strcmp(functions[k].name, name) != 0)
			k++;
		if (k < count || regexec(regex, name, 0, NULL, 0))
			continue;
		if (array_grow(&functions, sizeof(*functions), &capacity, count + 1))
			break;
		functions[count++] = (struct function){.name = name};
	}
	for (size_t i = 0; i < count; i++)
		(void)function_sum(graph, &functions[i]);
	if (count)
		qsort(functions, count, sizeof(*functions), by_total);
	*ret_count = count;
	return functions;
}

static void edges_print(const struct graph *graph, const struct function *f,
			const struct edges *edges)
{
	char value[32];

	for (size_t i = 0; i < edges->count; i++) {
		value_format(edges->edges[i].value, graph->unit, value, sizeof(value));
		(void)printf("%44s %10s %6.2f%%  |   ", "", value,
			     f->total != 0 ? 100 * edges->edges[i].value / f->total : 0);
		name_print(edges->edges[i].name);
		(void)putchar('\n');
	}
}

static void function_print(const struct graph *graph, const struct function *f)
{
	char self[32], total[32];

	value_format(f->self, graph->unit, self, sizeof(self));
	value_format(f->total, graph->unit, total, sizeof(total));
	edges_print(graph, f, &f->callers);
	(void)printf("%10s %6.2f%% %10s %6.2f%% %26s  | ", self, 100 * f->self / graph->total,
		     total, 100 * f->total / graph->total, "");
	name_print(f->name);
	(void)putchar('\n');
	edges_print(graph, f, &f->callees);
	(void)puts(
	    "----------------------------------------------------------------+-------------");
}

static json_t *edges_json(const struct edges *edges)
{
	json_t *list = json_array();

	for (size_t i = 0; i < edges->count; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:f}", "name", edges->edges[i].name,
						      "value", edges->edges[i].value));
	return list;
}

static void functions_print(const struct options *o, const struct graph *graph,
			    const struct function *functions, size_t count)
{
	json_t *list = json_array();

	if (!o->json) {
		(void)printf("Type: %s\n%10s %7s %10s %7s\n", graph->type, "flat", "flat%", "cum",
			     "cum%");
		(void)puts("----------------------------------------------------------------+------"
			   "-------");
	}
	for (size_t i = 0; i < count; i++) {
		const struct function *f = &functions[i];

		if (!o->json)
			function_print(graph, f);
		else
			(void)json_array_append_new(
			    list,
			    json_pack("{s:s, s:f, s:f, s:o, s:o}", "name", f->name, "self", f->self,
				      "total", f->total, "callers", edges_json(&f->callers),
				      "callees", edges_json(&f->callees)));
	}
	if (o->json) {
		json_t *all = json_pack("{s:s, s:s, s:s, s:f, s:O}", "schema", "hearth.peek/1",
					"type", graph->type, "unit", graph->unit, "total",
					graph->total, "functions", list);

		(void)json_dumpf(all, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(all);
	}
	json_decref(list);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_peek;
	struct function *functions = NULL;
	struct graph graph = {0};
	struct options o;
	regex_t regex;
	size_t count = 0;
	int rest, code = options_with_operands(&verb_peek, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest + 1 != argc)
		return complain(EXIT_USAGE, "peek: name one function, by a regular expression");
	if (regcomp(&regex, argv[rest], REG_EXTENDED | REG_NOSUB))
		return complain(EXIT_USAGE, "peek: \"%s\" is no regular expression", argv[rest]);
	const struct parameter extra[] = {{"max_nodes", "0"}};
	size_t limit = o.limit ? strtoul(o.limit, NULL, 10) : 10;

	code = graph_ask(&o, extra, ARRAY_LEN(extra), &graph);
	if (!code) {
		functions = functions_find(&graph, &regex, &count);
		if (!count)
			code =
			    complain(EXIT_NO_DATA, "no function's name matches \"%s\"", argv[rest]);
		else
			functions_print(&o, &graph, functions, limit ? MIN(limit, count) : count);
		if (limit && count > limit)
			(void)fprintf(stderr, "hearth: %zu functions shown, %zu more with -n 0\n",
				      limit, count - limit);
		graph_notes(graph.answer);
	}
	for (size_t i = 0; i < count; i++) {
		free(functions[i].callers.edges);
		free(functions[i].callees.edges);
	}
	free(functions);
	regfree(&regex);
	graph_release(&graph);
	return code;
}

const struct verb verb_peek = {.name = "peek", .usage = usage, .pages = true, .run = run};
