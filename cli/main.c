/* SPDX-License-Identifier: Apache-2.0 */
/* cli/main.c - finds the verb. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/pager.h"
#include "cli/verb.h"

#define VERB(name, about) extern const struct verb verb_##name;
#include "cli/verbs.def"
#undef VERB

static const struct {
	const struct verb *verb;
	const char *about;
} verbs[] = {
#define VERB(name, about) {&verb_##name, about},
#include "cli/verbs.def"
#undef VERB
};

const struct verb *verb_at(size_t i, const char **ret_about)
{
	if (i >= ARRAY_LEN(verbs))
		return NULL;
	*ret_about = verbs[i].about;
	return verbs[i].verb;
}

int complain(int code, const char *fmt, ...)
{
	va_list args;

	(void)fputs("hearth: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return code;
}

static void help(FILE *to)
{
	(void)fputs("usage: hearth VERB [OPTIONS]\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		(void)fprintf(to, "  %-10s %s\n", verbs[i].verb->name, verbs[i].about);
	(void)fputs("\n`hearth VERB --help` says more. Exit status: 0 ok, 1 failure, 2 usage, 3 no "
		    "matching data,\n4 agent unreachable, 5 threshold exceeded; `run` returns its "
		    "command's own.\n",
		    to);
}

/* Machines read JSON, files have no terminal, and people can say that they want none. */
static bool wants_pager(const struct verb *verb, char **words)
{
	bool wants = verb->pages;

	for (; wants && *words; words++)
		wants = strcmp(*words, "--no-pager") != 0 && strcmp(*words, "--json") != 0 &&
			strcmp(*words, "--help") != 0 && strncmp(*words, "-o", 2) != 0 &&
			strncmp(*words, "--output", 8) != 0;
	return wants;
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_DFL);
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		help(stdout);
		return EXIT_OK;
	}
	const char *name = strcmp(argv[1], "--version") ? argv[1] : "version";

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i].verb->name, name)) {
			if (wants_pager(verbs[i].verb, argv + 2))
				pager_start();
			return verbs[i].verb->run(argc - 1, argv + 1);
		}
	return complain(EXIT_USAGE, "there is no verb \"%.40s\"; `hearth --help` lists them",
			argv[1]);
}
