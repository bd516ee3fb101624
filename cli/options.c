/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"

enum long_option { SERVER = 256, FROM, TO, SINCE, BY, FORMAT, JSON, MAX_NODES, GRANULARITY, HELP,
		   PID, CPU_HZ, FOR, ALL };

static const struct option long_options[] = {
	{ "server", required_argument, NULL, SERVER },
	{ "select", required_argument, NULL, 's' },
	{ "service", required_argument, NULL, 'S' },
	{ "type", required_argument, NULL, 't' },
	{ "from", required_argument, NULL, FROM },
	{ "to", required_argument, NULL, TO },
	{ "since", required_argument, NULL, SINCE },
	{ "by", required_argument, NULL, BY },
	{ "format", required_argument, NULL, FORMAT },
	{ "output", required_argument, NULL, 'o' },
	{ "limit", required_argument, NULL, 'n' },
	{ "max-nodes", required_argument, NULL, MAX_NODES },
	{ "granularity", required_argument, NULL, GRANULARITY },
	{ "pid", required_argument, NULL, PID },
	{ "cpu-hz", required_argument, NULL, CPU_HZ },
	{ "for", required_argument, NULL, FOR },
	{ "all", no_argument, NULL, ALL },
	{ "json", no_argument, NULL, JSON },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, HELP },
	{ 0 },
};

static const char **place_of(struct options *o, int option)
{
	switch (option) {
	case SERVER:
		return &o->server;
	case 's':
		return &o->select;
	case 'S':
		return &o->service;
	case 't':
		return &o->type;
	case FROM:
		return &o->from;
	case TO:
		return &o->until;
	case SINCE:
		return &o->since;
	case BY:
		return &o->by;
	case FORMAT:
		return &o->format;
	case 'o':
		return &o->output;
	case 'n':
		return &o->limit;
	case MAX_NODES:
		return &o->max_nodes;
	case GRANULARITY:
		return &o->granularity;
	case PID:
		return &o->pid;
	case CPU_HZ:
		return &o->cpu_hz;
	case FOR:
		return &o->duration;
	default:
		return NULL;
	}
}

int options_parse(const struct verb *verb, int argc, char **argv, struct options *ret_options,
		  int *ret_rest)
{
	int option;

	*ret_options = (struct options){ 0 };
	optind = 1;
	/* "+": what follows the first operand is the command's own. */
	while ((option = getopt_long(argc, argv, "+s:S:t:n:o:q", long_options, NULL)) != -1) {
		const char **place = place_of(ret_options, option);

		if (place) {
			*place = optarg;
		} else if (option == JSON) {
			ret_options->json = true;
		} else if (option == ALL) {
			ret_options->all = true;
		} else if (option == 'q') {
			ret_options->quiet = true;
		} else if (option == HELP) {
			(void)fputs(verb->usage, stdout);
			return EXIT_OK;
		} else {
			(void)fputs(verb->usage, stderr);
			return EXIT_USAGE;
		}
	}
	*ret_rest = optind;
	return -1;
}
