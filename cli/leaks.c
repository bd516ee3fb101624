/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/graph.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth leaks [-S NAME] [--since 1h] [-n COUNT] [--json]\n"
    "\n"
    "Prints which functions' live memory grew between two moments, and how old the live blocks "
    "are.\n"
    "What grows is not always a leak: a cache that fills looks the same.  What is old and grows is "
    "worth\n"
    "a look.\n"
    "\n"
    "  -n, --limit COUNT  rows (default 20; 0: all)\n"
    "  -t, --type TYPE    inuse_space (default) or inuse_objects\n"
    "  -S, --service NAME, -s, --select '{label=\"value\"}'   what to look at\n"
    "  --since 1h, --from TIME, --to TIME                   between which moments (default: an "
    "hour ago, now)\n"
    "  --server unix:PATH|URL                               which agent\n"
    "  --json             "
    "{\"schema\":\"hearth.leaks/1\",\"rows\":[...],\"ages\":[...]}\n" PAGER_HELP;

struct row {
	const char *name;
	double before, now;
};

struct rows {
	struct row *rows;
	size_t count, capacity;
};

/* Where memory was taken: the innermost function that is the program's own. */
static bool is_allocator(const char *name)
{
	static const char *const prefixes[] = {
	    "std::",  "__gnu_cxx::",   "operator new",   "malloc", "calloc", "realloc",
	    "strdup", "aligned_alloc", "posix_memalign", "mmap",   "["};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

static bool row_add(struct rows *to, const char *name, double value, bool now)
{
	size_t i = 0;

	while (i < to->count && strcmp(to->rows[i].name, name) != 0)
		i++;
	if (i == to->count) {
		if (array_grow(&to->rows, sizeof(*to->rows), &to->capacity, to->count + 1))
			return false;
		to->rows[to->count++] = (struct row){.name = name};
	}
	*(now ? &to->rows[i].now : &to->rows[i].before) += value;
	return true;
}

static bool graph_add(const struct graph *graph, struct rows *to, bool now)
{
	bool whole = true;

	for (size_t i = 1; whole && i < graph->count; i++) {
		size_t at = i;

		if (graph->nodes[i].self == 0)
			continue;
		while (graph->nodes[at].parent && is_allocator(graph->nodes[at].name))
			at = graph->nodes[at].parent;
		whole = row_add(to, graph->nodes[is_allocator(graph->nodes[at].name) ? i : at].name,
				graph->nodes[i].self, now);
	}
	return whole;
}

static int by_growth(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	double left = x->now - x->before, right = y->now - y->before;

	return left != right ? (left < right ? 1 : -1) : strcmp(x->name, y->name);
}

/* A gauge is answered at the end of a range: all there is until then. */
static int graph_at(const struct options *o, const char *until, struct graph *ret_graph)
{
	const struct parameter extra[] = {{"max_nodes", "0"}};
	struct options at = *o;

	at.type = o->type ? o->type : "inuse_space";
	at.from = "now-24h";
	at.until = until;
	return graph_ask(&at, extra, ARRAY_LEN(extra), ret_graph);
}

static int ages_ask(const struct options *o, json_t **ret_answer)
{
	const struct parameter extra[] = {
	    {"type", o->type ? o->type : "inuse_space"}, {"by", "age"}, {"limit", "0"}};
	struct options at = *o;

	at.from = "now-24h";
	return ask_json(&at, "/api/v1/top", extra, ARRAY_LEN(extra), ret_answer);
}

static void bytes_print(double value)
{
	char text[32];

	value_format(value, "bytes", text, sizeof(text));
	(void)printf("%10s ", text);
}

static void all_print(const struct rows *rows, json_t *ages, size_t limit)
{
	size_t shown = 0, i;
	json_t *row;

	(void)printf("%10s %10s %10s  function\n", "grew", "before", "now");
	for (; shown < rows->count && (!limit || shown < limit) &&
	       rows->rows[shown].now > rows->rows[shown].before;
	     shown++) {
		bytes_print(rows->rows[shown].now - rows->rows[shown].before);
		bytes_print(rows->rows[shown].before);
		bytes_print(rows->rows[shown].now);
		(void)putchar(' ');
		name_print(rows->rows[shown].name);
		(void)putchar('\n');
	}
	if (!shown)
		(void)printf("%10s\n", "nothing");
	(void)printf("\n%10s  age of live blocks\n", "now");
	json_array_foreach(json_object_get(ages, "rows"), i, row)
	{
		bytes_print(answer_number(row, "self"));
		(void)putchar(' ');
		name_print(answer_text(row, "name"));
		(void)putchar('\n');
	}
}

static void all_json(const struct rows *rows, json_t *ages, size_t limit)
{
	json_t *list = json_array(), *all;

	for (size_t i = 0; i < rows->count && (!limit || i < limit); i++)
		(void)json_array_append_new(
		    list, json_pack("{s:s, s:f, s:f, s:f}", "name", rows->rows[i].name, "before",
				    rows->rows[i].before, "now", rows->rows[i].now, "grew",
				    rows->rows[i].now - rows->rows[i].before));
	all = json_pack("{s:s, s:o, s:O}", "schema", "hearth.leaks/1", "rows", list, "ages",
			json_object_get(ages, "rows"));
	(void)json_dumpf(all, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(all);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_leaks;
	struct graph before = {0}, now = {0};
	struct rows rows = {0};
	json_t *ages = NULL;
	char since[80];
	struct options o;
	int rest, code = options_parse(&verb_leaks, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return complain(EXIT_USAGE, "leaks: \"%s\" is not understood", argv[rest]);
	(void)snprintf(since, sizeof(since), "now-%s", o.since ? o.since : "1h");
	code = graph_at(&o, o.until ? o.until : "now", &now);
	int then = code;

	if (!code) {
		/* Nothing may have run then: all that lives has grown. */
		struct options quiet = o;
		const struct parameter extra[] = {{"type", o.type ? o.type : "inuse_space"},
						  {"limit", "1"}};
		json_t *any = NULL;

		quiet.from = "now-24h";
		quiet.until = o.from ? o.from : since;
		then = ask_json(&quiet, "/api/v1/top", extra, ARRAY_LEN(extra), &any);
		if (!then && answer_number(any, "total") != 0)
			then = graph_at(&o, quiet.until, &before);
		json_decref(any);
		code = then;
	}
	if (!code)
		code = ages_ask(&o, &ages);
	if (!code && (!graph_add(&before, &rows, false) || !graph_add(&now, &rows, true)))
		code = complain(EXIT_RUNTIME, "out of memory");
	if (!code) {
		size_t limit = o.limit ? strtoul(o.limit, NULL, 10) : 20;

		qsort(rows.rows, rows.count, sizeof(*rows.rows), by_growth);
		if (o.json)
			all_json(&rows, ages, limit);
		else
			all_print(&rows, ages, limit);
		graph_notes(now.answer);
	}
	free(rows.rows);
	json_decref(ages);
	graph_release(&before);
	graph_release(&now);
	return code;
}

const struct verb verb_leaks = {.name = "leaks", .usage = usage, .pages = true, .run = run};
