/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/graph.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth tree [-n PERCENT] [SELECTION] [--json]\n"
    "\n"
    "Prints the call tree: what each call holds with what it calls, and by itself.\n"
    "\n"
    "  -n, --limit PERCENT  leave out what holds less (default 1; 0: nothing)\n"
    "  --max-nodes N        the N largest nodes alone (default 0: all)\n"
    "  --granularity G      function (default), line, address, file, library\n" SELECTION_HELP
	SHAPE_HELP "  --json               the agent's flame graph as it is\n" PAGER_HELP;

static void node_print(const struct graph *graph, const struct graph_node *node)
{
	char total[32], self[32];

	value_format(node->total, graph->unit, total, sizeof(total));
	value_format(node->self, graph->unit, self, sizeof(self));
	share_begin(node->total / graph->total);
	(void)printf("%10s %6.2f%% %10s  %*s", total, 100 * node->total / graph->total, self,
		     (int)(2 * node->depth), "");
	name_print(node->name);
	share_end(node->total / graph->total);
	(void)putchar('\n');
}

static void tree_print(const struct graph *graph, double percent)
{
	size_t left_out = 0;

	(void)printf("Type: %s\n%10s %7s %10s\n", graph->type, "total", "total%", "self");
	for (size_t i = 0; i < graph->count; i++) {
		double share = 100 * graph->nodes[i].total / graph->total;

		if (share >= percent)
			node_print(graph, &graph->nodes[i]);
		else
			left_out++;
	}
	if (left_out)
		(void)fprintf(stderr,
			      "hearth: %zu nodes of less than %g%% are left out; -n 0 shows all\n",
			      left_out, percent);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_tree;
	struct graph graph = {0};
	struct options o;
	char *end = NULL;
	int rest, code = options_parse(&verb_tree, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	double percent = o.limit ? strtod(o.limit, &end) : 1;

	if (rest < argc ||
	    (o.limit && (end == o.limit || *end || !(percent >= 0 && percent <= 100))))
		return complain(EXIT_USAGE, "tree: \"%s\" is not understood",
				rest < argc ? argv[rest] : o.limit);
	const struct parameter extra[] = {{"max_nodes", o.max_nodes ? o.max_nodes : "0"},
					  {"granularity", o.granularity}};

	code = graph_ask(&o, extra, ARRAY_LEN(extra), &graph);
	if (!code && o.json) {
		(void)json_dumpf(graph.answer, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else if (!code) {
		tree_print(&graph, percent);
		graph_notes(graph.answer);
	}
	graph_release(&graph);
	return code;
}

const struct verb verb_tree = {.name = "tree", .usage = usage, .pages = true, .run = run};
