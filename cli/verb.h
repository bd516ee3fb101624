/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/verb.h - what a verb of `hearth` is, and the options that verbs share.
 *
 * Data goes to stdout, everything else to stderr.  Exit codes are those of enum exit_code; `run`
 * returns its command's own status.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_RUNTIME = 1,
	EXIT_USAGE = 2,
	EXIT_NO_DATA = 3,
	EXIT_NO_AGENT = 4,
	EXIT_THRESHOLD = 5,
};

#define OPTION_LABELS_MAX 32 /* --label NAME=VALUE */

struct verb {
	const char *name;
	const char *usage; /* whole text of --help */
	bool pages;        /* what it prints can be long, and goes through a pager on a terminal */
	int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

/* Options that every asking verb takes; zeroed fields mean: not given. */
struct options {
	const char *server, *select, *service, *type, *from, *until, *since, *by, *format, *output;
	const char *limit, *max_nodes, *granularity;
	const char *pid, *cpu_hz, *duration; /* of the verbs that give orders */
	/* pprof's filters, spelled as it spells them; each goes into the question as it is */
	const char *focus, *ignore, *hide, *show, *show_from, *tagfocus, *tagignore;
	const char *names, *thread;
	const char *normalize, *fail_above; /* of diff */
	const char *interval;               /* of tail */
	const char *id;                     /* of import */
	const char *service_of_agent;       /* of record */
	const char *labels[OPTION_LABELS_MAX];
	size_t labels_count;
	bool json, quiet, all, cum, invert, collapse, heap, lock;
};

/* Every option by its long name, for completions. */
extern const struct option options_known[];

/* The i-th verb and what it does in a line, or NULL behind the last. */
const struct verb *verb_at(size_t i, const char **ret_about);

/* A verb takes the options that its help names, by their long name or their letter. */
bool options_taken(const struct verb *verb, const struct option *option);

/* Parse the shared options; prints usage on --help and on errors, of which an option that the verb
 * does not take is one. Returns -1 to go on (the rest stands from argv[*ret_rest] on), else the
 * exit code. */
int options_parse(const struct verb *verb, int argc, char **argv, struct options *ret_options,
		  int *ret_rest);

/* The same for verbs whose operands may stand before their options: `diff 1h..30m now --json`. */
int options_with_operands(const struct verb *verb, int argc, char **argv,
			  struct options *ret_options, int *ret_rest);

/* Print "hearth: ..." on stderr and return `code`. */
int complain(int code, const char *fmt, ...) PRINTF(2, 3);

#endif
