/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/graph.h - the agent's flame graph as a tree, for verbs that print parts of it.
 */
#ifndef CLI_GRAPH_H
#define CLI_GRAPH_H

#include "cli/ask.h"

struct graph_node {
	const char *name, *file, *library; /* of the answer */
	long line;
	size_t parent, depth; /* node 0 is the root; a parent stands before its children */
	double self, total;   /* what is hidden below counts in total */
};

struct graph {
	json_t *answer;
	struct graph_node *nodes; /* preorder, children by falling total */
	size_t count;
	double total;
	const char *unit, *type;
};

/* Ask for the flame graph that `options` select; `extra` goes with it.  Returns 0, EXIT_NO_DATA
 * when nothing was sampled, or another exit code, having complained; release in all cases. */
int graph_ask(const struct options *options, const struct parameter *extra, size_t extra_count,
	      struct graph *ret_graph);
void graph_release(struct graph *graph);

/* What is not whole about an answer, on stderr: loss, a deadline, records that are gone; of a
 * graph, hidden parts too. */
/* `of`: what stands before each, as "base: ". */
void facts_notes(json_t *answer, const char *of);
void graph_notes(json_t *answer);

#endif
