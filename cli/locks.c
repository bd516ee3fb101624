/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/selection_help.h"
#include "cli/value.h"

static const char usage[] =
    "usage: hearth locks [-n COUNT] [SELECTION] [--json]\n"
    "\n"
    "Prints which locks were waited for, who held them, and who waited.\n"
    "\n"
    "  LOCK     its name (hearth_lock_name), its symbol, or the function that created it, by the "
    "time\n"
    "           that threads waited for it\n"
    "  HOLDER   the function that let the lock go for which others waited: the same time, charged\n"
    "           to the cause.  [holder not seen]: the lock was free by then, or the wait too "
    "short\n"
    "  WAITER   the function that waited\n"
    "\n"
    "  -n, --limit COUNT  rows of each (default 10; 0: all)\n"
    "  -S, --service NAME, -s, --select '{label=\"value\"}'   what to look at\n"
    "  --since 1h, --from TIME, --to TIME                   when (default: the last "
    "hour)\n" FILTER_HELP "  --server unix:PATH|URL                               which agent\n"
    "  --json             {\"locks\":[...],\"holders\":[...],\"waiters\":[...]}, "
    "nanoseconds\n" PAGER_HELP;

struct row {
	char *name;
	double ns, count, held_ns;
};

struct rows {
	struct row *rows;
	size_t count, capacity;
	double total;
};

static void rows_release(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free(rows->rows[i].name);
	free(rows->rows);
}

static struct row *row_of(struct rows *rows, const char *name, size_t len)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strlen(rows->rows[i].name) == len && !memcmp(rows->rows[i].name, name, len))
			return &rows->rows[i];
	if (array_grow(&rows->rows, sizeof(*rows->rows), &rows->capacity, rows->count + 1))
		return NULL;
	struct row *row = &rows->rows[rows->count];

	*row = (struct row){.name = strndup(name, len)};
	if (!row->name)
		return NULL;
	rows->count++;
	return row;
}

static int by_time(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns > y->ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* ---- locks ---- */

enum column { WAITED, COUNT, HELD };

static int locks_ask(const struct options *o, const char *type, enum column column, struct rows *to)
{
	const struct parameter extra[] = {{"type", type}, {"by", "lock name"}, {"limit", "0"}};
	json_t *answer = NULL, *row;
	size_t i;
	int code = ask_json(o, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	json_array_foreach(json_object_get(answer, "rows"), i, row)
	{
		const char *name = answer_text(row, "name");
		double value = answer_number(row, "total");
		struct row *at = row_of(to, name, strlen(name));

		if (!at)
			break;
		*(column == WAITED  ? &at->ns
		  : column == COUNT ? &at->count
				    : &at->held_ns) += value;
		to->total += column == WAITED ? value : 0;
	}
	json_decref(answer);
	return code;
}

/* ---- functions ---- */

/* What stands between a program and its locks: the function that calls it is meant. */
static bool is_wrapper(const char *name, size_t len)
{
	static const char *const prefixes[] = {"std::", "__gthread_", "__gthrw_",
					       "boost::", "absl::"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (len >= strlen(prefixes[i]) && !memcmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

/* "root;...;leaf value": the function nearest to the leaf that is the program's own. */
static void stack_add(const char *line, size_t len, struct rows *to)
{
	const char *space = memrchr(line, ' ', len), *from, *end;

	if (!space)
		return;
	for (end = space;; end = from - 1) {
		const char *semicolon = memrchr(line, ';', (size_t)(end - line));

		from = semicolon ? semicolon + 1 : line;
		if (from == line || !is_wrapper(from, (size_t)(end - from)))
			break;
	}
	struct row *row = row_of(to, from, (size_t)(end - from));

	if (row)
		row->ns += strtod(space, NULL);
	to->total += strtod(space, NULL);
}

static int functions_ask(const struct options *o, const char *type, struct rows *to)
{
	const struct parameter extra[] = {{"type", type}, {"format", "folded"}, {"max_nodes", "0"}};
	struct buf body;
	int code = ask_selected(o, "/api/v1/flamegraph", extra, ARRAY_LEN(extra), &body);
	const char *at = code ? NULL : buf_cstr(&body);

	while (at && *at) {
		size_t len = strcspn(at, "\n");

		stack_add(at, len, to);
		at += len + (at[len] == '\n');
	}
	buf_release(&body);
	return code;
}

/* ---- what is printed ---- */

static void cell_print(double value, const char *unit)
{
	char text[32];

	value_format(value, unit, text, sizeof(text));
	(void)printf("%10s ", text);
}

static void functions_print(const char *title, const struct rows *rows, size_t limit)
{
	(void)printf("\n%10s %6s  %s\n", "waited", "%", title);
	for (size_t i = 0; i < rows->count && i < limit; i++) {
		cell_print(rows->rows[i].ns, "nanoseconds");
		(void)printf("%5.1f%%  ", 100 * rows->rows[i].ns / rows->total);
		name_print(rows->rows[i].name);
		(void)putchar('\n');
	}
}

static void locks_print(const struct rows *rows, size_t limit)
{
	(void)printf("%10s %6s %10s %10s %10s  LOCK\n", "waited", "%", "times", "average", "held");
	for (size_t i = 0; i < rows->count && i < limit; i++) {
		const struct row *row = &rows->rows[i];

		cell_print(row->ns, "nanoseconds");
		(void)printf("%5.1f%% %10.0f ", rows->total > 0 ? 100 * row->ns / rows->total : 0,
			     row->count);
		cell_print(row->count > 0 ? row->ns / row->count : 0, "nanoseconds");
		cell_print(row->held_ns, "nanoseconds");
		(void)putchar(' ');
		name_print(strcmp(row->name, "(none)") != 0 ? row->name : "[not sampled]");
		(void)putchar('\n');
	}
}

static json_t *rows_json(const struct rows *rows, size_t limit, bool locks)
{
	json_t *all = json_array();

	for (size_t i = 0; i < rows->count && i < limit; i++) {
		const struct row *row = &rows->rows[i];
		json_t *one = json_pack("{s:s%, s:f}", "name", row->name, strlen(row->name),
					"waited_ns", row->ns);

		if (locks && one) {
			(void)json_object_set_new(one, "count", json_real(row->count));
			(void)json_object_set_new(one, "held_ns", json_real(row->held_ns));
		}
		(void)json_array_append_new(all, one);
	}
	return all;
}

static void all_print(const struct options *o, struct rows *locks, struct rows *holders,
		      struct rows *waiters)
{
	size_t limit = o->limit ? strtoul(o->limit, NULL, 10) : 10;

	limit = limit ? limit : SIZE_MAX;
	if (o->json) {
		json_t *all = json_pack("{s:o, s:o, s:o}", "locks", rows_json(locks, limit, true),
					"holders", rows_json(holders, limit, false), "waiters",
					rows_json(waiters, limit, false));

		(void)json_dumpf(all, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(all);
		return;
	}
	locks_print(locks, limit);
	functions_print("HOLDER", holders, limit);
	functions_print("WAITER", waiters, limit);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_locks;
	struct rows locks = {0}, holders = {0}, waiters = {0};
	struct options o;
	int rest, code = options_parse(&verb_locks, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return complain(EXIT_USAGE, "locks: \"%s\" is not understood", argv[rest]);
	code = locks_ask(&o, "lock_delay", WAITED, &locks);
	if (!code)
		code = locks_ask(&o, "lock_contentions", COUNT, &locks);
	if (!code)
		code = locks_ask(&o, "lock_hold", HELD, &locks);
	if (!code && locks.total == 0)
		code = complain(EXIT_NO_DATA, "nobody waited for a lock in this selection");
	if (!code)
		code = functions_ask(&o, "lock_blame", &holders);
	if (!code)
		code = functions_ask(&o, "lock_delay", &waiters);
	if (!code) {
		struct rows *all[] = {&locks, &holders, &waiters};

		for (size_t i = 0; i < ARRAY_LEN(all); i++)
			if (all[i]->count)
				qsort(all[i]->rows, all[i]->count, sizeof(struct row), by_time);
		all_print(&o, &locks, &holders, &waiters);
	}
	rows_release(&locks);
	rows_release(&holders);
	rows_release(&waiters);
	return code;
}

const struct verb verb_locks = {.name = "locks", .usage = usage, .pages = true, .run = run};
