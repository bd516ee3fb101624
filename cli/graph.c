/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/graph.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/value.h"

static const char *text_at(json_t *texts, json_t *column, size_t i)
{
	const char *text = json_string_value(
	    json_array_get(texts, (size_t)json_integer_value(json_array_get(column, i))));

	return text ? text : "";
}

static double number_at(json_t *column, size_t i)
{
	return json_number_value(json_array_get(column, i));
}

/* False when the answer is not what it should be. */
static bool nodes_fill(struct graph *graph)
{
	json_t *node = json_object_get(graph->answer, "node"),
	       *depth = json_object_get(node, "depth");
	json_t *self = json_object_get(node, "self"), *hidden = json_object_get(node, "hidden");
	size_t *open;

	graph->count = json_array_size(depth);
	graph->nodes = calloc(graph->count + 1, sizeof(*graph->nodes));
	open = calloc(graph->count + 1, sizeof(*open));
	bool whole = graph->nodes && open;

	for (size_t i = 0; whole && i < graph->count; i++) {
		struct graph_node *n = &graph->nodes[i];

		n->depth = (size_t)number_at(depth, i);
		if (n->depth > (i ? graph->nodes[i - 1].depth + 1 : 0) || (i && !n->depth)) {
			whole = false;
			break;
		}
		open[n->depth] = i;
		n->parent = n->depth ? open[n->depth - 1] : 0;
		n->name = text_at(json_object_get(graph->answer, "names"),
				  json_object_get(node, "name"), i);
		n->file = text_at(json_object_get(graph->answer, "files"),
				  json_object_get(node, "file"), i);
		n->library = text_at(json_object_get(graph->answer, "libraries"),
				     json_object_get(node, "library"), i);
		n->line = (long)number_at(json_object_get(node, "line"), i);
		n->self = number_at(self, i);
		n->total = n->self + number_at(hidden, i);
	}
	for (size_t i = graph->count; whole && i-- > 1;)
		graph->nodes[graph->nodes[i].parent].total += graph->nodes[i].total;
	free(open);
	return whole;
}

int graph_ask(const struct options *options, const struct parameter *extra, size_t extra_count,
	      struct graph *ret_graph)
{
	struct parameter parameters[8];
	const char *type = options->type ? options->type : "cpu";
	size_t count = 0;

	*ret_graph = (struct graph){0};
	parameters[count++] = (struct parameter){"type", type};
	for (size_t i = 0; i < extra_count && count < ARRAY_LEN(parameters); i++)
		parameters[count++] = extra[i];
	int code = ask_json(options, "/api/v1/flamegraph", parameters, count, &ret_graph->answer);

	if (code)
		return code;
	if (!nodes_fill(ret_graph))
		return complain(EXIT_RUNTIME,
				"the agent's flame graph is not whole, or out of memory");
	ret_graph->total = answer_number(ret_graph->answer, "total");
	ret_graph->unit = answer_text(ret_graph->answer, "unit");
	ret_graph->type = answer_text(ret_graph->answer, "type");
	if (ret_graph->total != 0)
		return 0;
	return complain(EXIT_NO_DATA,
			"no samples of %s in this selection; `hearth services` lists what there is",
			type);
}

void graph_release(struct graph *graph)
{
	json_decref(graph->answer);
	free(graph->nodes);
	*graph = (struct graph){0};
}

static void records_note(time_t since, const char *of)
{
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&since, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)fprintf(
	    stderr,
	    "hearth: %swhat came before %s is not in here: its records are gone, sums have "
	    "no labels\n",
	    of, text);
}

void facts_notes(json_t *answer, const char *of)
{
	const char *reason;
	json_t *count;

	if (json_is_true(json_object_get(answer, "partial")))
		(void)fprintf(stderr,
			      "hearth: %sthe deadline came first: this is a part of the answer\n",
			      of);
	if (json_is_true(json_object_get(answer, "folded")))
		(void)fprintf(stderr,
			      "hearth: %ssmall stacks are folded into [other]: the store was "
			      "short of room\n",
			      of);
	if (answer_number(answer, "records_from") > 0)
		records_note((time_t)(answer_number(answer, "records_from") / 1e9), of);
	json_object_foreach(json_object_get(answer, "lost"), reason, count)(void) fprintf(
	    stderr, "hearth: %slost %lld (%s)\n", of, (long long)json_integer_value(count), reason);
}

void graph_notes(json_t *answer)
{
	json_t *hidden = json_object_get(answer, "hidden");

	if (answer_number(hidden, "nodes") > 0)
		(void)fprintf(stderr, "hearth: %.0f nodes are hidden; --max-nodes 0 shows all\n",
			      answer_number(hidden, "nodes"));
	facts_notes(answer, "");
}
