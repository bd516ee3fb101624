/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"

enum long_option {
	SERVER = 256,
	FROM,
	TO,
	SINCE,
	BY,
	FORMAT,
	JSON,
	MAX_NODES,
	GRANULARITY,
	HELP,
	PID,
	CPU_HZ,
	FOR,
	ALL,
	FOCUS,
	IGNORE,
	HIDE,
	SHOW,
	SHOW_FROM,
	TAGFOCUS,
	TAGIGNORE,
	NAMES,
	THREAD,
	NORMALIZE,
	FAIL_ABOVE,
	INTERVAL,
	ID,
	LABEL,
	CUM,
	INVERT,
	NO_PAGER,
	HEAP,
	LOCK,
	COLLAPSE
};

const struct option options_known[] = {
    {"server", required_argument, NULL, SERVER},
    {"select", required_argument, NULL, 's'},
    {"service", required_argument, NULL, 'S'},
    {"type", required_argument, NULL, 't'},
    {"from", required_argument, NULL, FROM},
    {"to", required_argument, NULL, TO},
    {"since", required_argument, NULL, SINCE},
    {"by", required_argument, NULL, BY},
    {"format", required_argument, NULL, FORMAT},
    {"output", required_argument, NULL, 'o'},
    {"limit", required_argument, NULL, 'n'},
    {"max-nodes", required_argument, NULL, MAX_NODES},
    {"granularity", required_argument, NULL, GRANULARITY},
    {"pid", required_argument, NULL, PID},
    {"cpu-hz", required_argument, NULL, CPU_HZ},
    {"for", required_argument, NULL, FOR},
    {"all", no_argument, NULL, ALL},
    {"frequency", required_argument, NULL, 'F'},
    {"duration", required_argument, NULL, 'd'},
    {"service-of-agent", required_argument, NULL, 'p'},
    {"heap", no_argument, NULL, HEAP},
    {"lock", no_argument, NULL, LOCK},
    {"focus", required_argument, NULL, FOCUS},
    {"ignore", required_argument, NULL, IGNORE},
    {"hide", required_argument, NULL, HIDE},
    {"show", required_argument, NULL, SHOW},
    {"show-from", required_argument, NULL, SHOW_FROM},
    {"tagfocus", required_argument, NULL, TAGFOCUS},
    {"tagignore", required_argument, NULL, TAGIGNORE},
    {"names", required_argument, NULL, NAMES},
    {"thread", required_argument, NULL, THREAD},
    {"invert", no_argument, NULL, INVERT},
    {"collapse", no_argument, NULL, COLLAPSE},
    {"cum", no_argument, NULL, CUM},
    {"normalize", required_argument, NULL, NORMALIZE},
    {"fail-above", required_argument, NULL, FAIL_ABOVE},
    {"interval", required_argument, NULL, INTERVAL},
    {"id", required_argument, NULL, ID},
    {"label", required_argument, NULL, LABEL},
    {"json", no_argument, NULL, JSON},
    {"quiet", no_argument, NULL, 'q'},
    {"no-pager", no_argument, NULL, NO_PAGER}, /* main has seen it */
    {"help", no_argument, NULL, HELP},
    {0},
};

/* Where an option's text goes, and what one without a text sets; several may go to one place. */
static const struct {
	int option;
	size_t at;
} places[] = {
    {SERVER, offsetof(struct options, server)},
    {'s', offsetof(struct options, select)},
    {'S', offsetof(struct options, service)},
    {'t', offsetof(struct options, type)},
    {FROM, offsetof(struct options, from)},
    {TO, offsetof(struct options, until)},
    {SINCE, offsetof(struct options, since)},
    {BY, offsetof(struct options, by)},
    {FORMAT, offsetof(struct options, format)},
    {'o', offsetof(struct options, output)},
    {'n', offsetof(struct options, limit)},
    {MAX_NODES, offsetof(struct options, max_nodes)},
    {GRANULARITY, offsetof(struct options, granularity)},
    {PID, offsetof(struct options, pid)},
    {CPU_HZ, offsetof(struct options, cpu_hz)},
    {'F', offsetof(struct options, cpu_hz)},
    {FOR, offsetof(struct options, duration)},
    {'d', offsetof(struct options, duration)},
    {'p', offsetof(struct options, service_of_agent)},
    {FOCUS, offsetof(struct options, focus)},
    {IGNORE, offsetof(struct options, ignore)},
    {HIDE, offsetof(struct options, hide)},
    {SHOW, offsetof(struct options, show)},
    {SHOW_FROM, offsetof(struct options, show_from)},
    {TAGFOCUS, offsetof(struct options, tagfocus)},
    {TAGIGNORE, offsetof(struct options, tagignore)},
    {NAMES, offsetof(struct options, names)},
    {THREAD, offsetof(struct options, thread)},
    {NORMALIZE, offsetof(struct options, normalize)},
    {FAIL_ABOVE, offsetof(struct options, fail_above)},
    {INTERVAL, offsetof(struct options, interval)},
    {ID, offsetof(struct options, id)},
    {JSON, offsetof(struct options, json)},
    {'q', offsetof(struct options, quiet)},
    {ALL, offsetof(struct options, all)},
    {CUM, offsetof(struct options, cum)},
    {INVERT, offsetof(struct options, invert)},
    {COLLAPSE, offsetof(struct options, collapse)},
    {HEAP, offsetof(struct options, heap)},
    {LOCK, offsetof(struct options, lock)},
};

static bool option_set(struct options *o, const struct option *known, const char *text)
{
	if (known->val == LABEL)
		o->labels[o->labels_count++] = text;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (places[i].option != known->val)
			continue;
		if (known->has_arg)
			*(const char **)((char *)o + places[i].at) = text;
		else
			*(bool *)((char *)o + places[i].at) = true;
		return true;
	}
	return known->val == LABEL || known->val == NO_PAGER;
}

/* Whether `text` stands in `usage` as a word of its own, so that --show is not --show-from. */
static bool names_word(const char *usage, const char *text)
{
	static const char inside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	size_t len = strlen(text);

	for (const char *at = usage; (at = strstr(at, text)); at += len)
		if ((at == usage || !strchr(inside, at[-1])) &&
		    (!at[len] || !strchr(inside, at[len])))
			return true;
	return false;
}

bool options_taken(const struct verb *verb, const struct option *option)
{
	char text[64];

	if (option->val == HELP)
		return true;
	(void)snprintf(text, sizeof(text), "--%s", option->name);
	if (names_word(verb->usage, text))
		return true;
	(void)snprintf(text, sizeof(text), "-%c", option->val);
	return option->val < SERVER && names_word(verb->usage, text);
}

static const struct option *option_of(int value)
{
	const struct option *option = options_known;

	while (option->name && option->val != value)
		option++;
	return option->name ? option : NULL;
}

int options_parse(const struct verb *verb, int argc, char **argv, struct options *ret_options,
		  int *ret_rest)
{
	int option;

	*ret_options = (struct options){0};
	optind = 1;
	/* "+": what follows the first operand is the command's own. */
	while ((option = getopt_long(argc, argv, "+s:S:t:n:o:qF:d:p:", options_known, NULL)) !=
	       -1) {
		const struct option *known = option_of(option);

		if (known && option != NO_PAGER && !options_taken(verb, known))
			return complain(EXIT_USAGE,
					"%s takes no --%s: `hearth %s --help` lists what it takes",
					verb->name, known->name, verb->name);
		if (option == LABEL && ret_options->labels_count == OPTION_LABELS_MAX)
			return complain(EXIT_USAGE, "--label \"%s\": %d labels at most", optarg,
					OPTION_LABELS_MAX);
		if (option == HELP) {
			(void)fputs(verb->usage, stdout);
			return EXIT_OK;
		}
		if (known && option_set(ret_options, known, optarg))
			continue;
		(void)fputs(verb->usage, stderr);
		return EXIT_USAGE;
	}
	*ret_rest = optind;
	return -1;
}

int options_with_operands(const struct verb *verb, int argc, char **argv,
			  struct options *ret_options, int *ret_rest)
{
	int at = 1;

	/* Operands that stand first go behind the options, in their order. */
	while (at < argc && argv[at][0] != '-')
		at++;
	for (int moved = 1; moved < at; moved++) {
		char *operand = argv[1];

		memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
		argv[argc - 1] = operand;
	}
	return options_parse(verb, argc, argv, ret_options, ret_rest);
}
