/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/graph.h"
#include "cli/rows.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth top [-t TYPE] [--by WHAT] [-n COUNT] [SELECTION] [--json]\n"
    "\n"
    "Prints what costs most, in pprof's columns: flat is a row's own, cum includes what it calls.\n"
    "\n"
    "  --by WHAT          function (default), line, file, library, thread, or a label's name\n"
    "  -n, --limit COUNT  rows (default 20; 0: all)\n"
    "  --cum              by what a row holds with what it calls\n" SELECTION_HELP
    "  --json             the agent's answer as it is\n" PAGER_HELP;

static void row_print(json_t *row, const char *unit, double total, double *sum)
{
	double self = answer_number(row, "self"), all = answer_number(row, "total");
	char flat[32], cum[32];

	*sum += self;
	value_format(self, unit, flat, sizeof(flat));
	value_format(all, unit, cum, sizeof(cum));
	share_begin(fabs(self / total));
	(void)printf("%10s %5.2f%% %6.2f%% %10s %6.2f%%  ", flat, 100 * self / total,
		     100 * *sum / total, cum, 100 * all / total);
	name_print(answer_text(row, "name"));
	if (answer_text(row, "file")[0]) {
		(void)printf("  ");
		name_print(answer_text(row, "file"));
		if (answer_number(row, "line") > 0)
			(void)printf(":%.0f", answer_number(row, "line"));
	}
	share_end(fabs(self / total));
	(void)putchar('\n');
}

static void notes_print(json_t *answer, size_t shown)
{
	double hidden = answer_number(json_object_get(answer, "hidden"), "rows");

	if (hidden > 0)
		(void)fprintf(stderr, "hearth: %zu rows shown, %.0f more with -n 0\n", shown,
			      hidden);
	facts_notes(answer, "");
}

int rows_print(json_t *answer)
{
	const char *unit = answer_text(answer, "unit");
	double total = answer_number(answer, "total"), sum = 0;
	json_t *rows = json_object_get(answer, "rows"), *row;
	char text[32];
	size_t i;

	if (!json_array_size(rows) || total == 0)
		return complain(
		    EXIT_NO_DATA,
		    "no samples of %s in this selection; `hearth services` lists what there is",
		    answer_text(answer, "type"));
	value_format(total, unit, text, sizeof(text));
	(void)printf("Type: %s\nTotal: %s, %.0f samples\n", answer_text(answer, "type"), text,
		     answer_number(answer, "samples"));
	(void)printf("%10s %6s %7s %10s %7s\n", "flat", "flat%", "sum%", "cum", "cum%");
	json_array_foreach(rows, i, row) row_print(row, unit, total, &sum);
	notes_print(answer, json_array_size(rows));
	return EXIT_OK;
}

static int by_total(const void *a, const void *b)
{
	json_t *const *x = a, *const *y = b;
	double left = answer_number(*x, "total"), right = answer_number(*y, "total");

	return left != right ? (left < right ? 1 : -1) : 0;
}

/* The agent's order is by self: all rows are asked for, and the first `limit` by total are kept. */
static void sort_by_total(json_t *answer, size_t limit)
{
	json_t *rows = json_object_get(answer, "rows"), *row, *sorted = json_array();
	size_t count = json_array_size(rows), i;
	json_t **order = calloc(count + 1, sizeof(json_t *));

	if (!order || !sorted) {
		free(order);
		json_decref(sorted);
		return;
	}
	json_array_foreach(rows, i, row) order[i] = row;
	if (count)
		qsort(order, count, sizeof(json_t *), by_total);
	for (i = 0; i < count && (!limit || i < limit); i++)
		(void)json_array_append(sorted, order[i]);
	(void)json_object_set_new(answer, "rows", sorted);
	(void)json_object_set_new(answer, "hidden",
				  json_pack("{s:I}", "rows", (json_int_t)(count - i)));
	free(order);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_top;
	struct options o;
	struct buf body;
	int rest, code = options_parse(&verb_top, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return complain(EXIT_USAGE, "top: \"%s\" is not understood", argv[rest]);
	const struct parameter extra[] = {{"type", o.type ? o.type : "cpu"},
					  {"by", o.by},
					  {"limit", o.cum     ? "0"
						    : o.limit ? o.limit
							      : "20"}};
	code = ask_selected(&o, "/api/v1/top", extra, ARRAY_LEN(extra), &body);
	json_t *answer = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);

	if (!code && !answer)
		code = complain(EXIT_RUNTIME, "the agent's answer is not JSON");
	if (!code && o.cum)
		sort_by_total(answer, o.limit ? strtoul(o.limit, NULL, 10) : 20);
	if (!code && o.json) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		(void)putchar('\n');
		code = answer_number(answer, "total") == 0 ? EXIT_NO_DATA : EXIT_OK;
	} else if (!code) {
		code = rows_print(answer);
	}
	json_decref(answer);
	buf_release(&body);
	return code;
}

const struct verb verb_top = {.name = "top", .usage = usage, .pages = true, .run = run};
