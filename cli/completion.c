/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts that complete verbs, options and services, made of the tables that parse them. */
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"
#include "query/format.h"

static const char usage[] =
    "usage: hearth completion bash|zsh|fish\n"
    "\n"
    "Prints a script that completes verbs, options, types, formats and the names of services:\n"
    "\n"
    "  bash   hearth completion bash > /usr/share/bash-completion/completions/hearth\n"
    "  zsh    hearth completion zsh > /usr/share/zsh/site-functions/_hearth\n"
    "  fish   hearth completion fish > /usr/share/fish/vendor_completions.d/hearth.fish\n";

static const char types[] = "cpu cpu_samples wall wall_samples alloc_space alloc_objects "
			    "inuse_space inuse_objects lock_delay "
			    "lock_contentions lock_hold block_delay block_count exceptions";

static bool is_service(const struct option *option)
{
	return !strcmp(option->name, "service") || !strcmp(option->name, "service-of-agent");
}

static void formats_print(void)
{
	for (size_t i = 0; query_format_at(i); i++)
		(void)printf("%s%s", i ? " " : "", query_format_at(i)->name);
}

static void verb_options_print(const struct verb *verb)
{
	for (const struct option *option = options_known; option->name; option++)
		if (options_taken(verb, option))
			(void)printf(" --%s", option->name);
}

static void bash_print(void)
{
	const char *about;

	(void)printf("# hearth's completion for bash: made by `hearth completion bash`\n"
		     "_hearth() {\n"
		     "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
		     "verb=${COMP_WORDS[1]} words=\n"
		     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"");
	for (size_t i = 0; verb_at(i, &about); i++)
		(void)printf("%s%s", i ? " " : "", verb_at(i, &about)->name);
	(void)printf("\"\n\telse\n\t\tcase $before in\n"
		     "\t\t-S | --service | -p | --service-of-agent) words=$(hearth labels service "
		     "2>/dev/null) ;;\n"
		     "\t\t-t | --type) words=\"%s\" ;;\n\t\t--format) words=\"",
		     types);
	formats_print();
	(void)printf("\" ;;\n\t\t--by | --granularity) words=\"function line file library thread "
		     "address\" ;;\n"
		     "\t\t--names) words=\"full plain folded\" ;;\n"
		     "\t\t-o | --output) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
		     "\t\t*)\n\t\t\tcase $verb in\n");
	for (size_t i = 0; verb_at(i, &about); i++) {
		(void)printf("\t\t\t%s) words=\"", verb_at(i, &about)->name);
		verb_options_print(verb_at(i, &about));
		(void)puts("\" ;;");
	}
	(void)printf(
	    "\t\t\tesac\n\t\t\tcase $verb:$word in\n"
	    "\t\t\tcompletion:*) words=\"bash zsh fish\" ;;\n\t\t\tconfig:[!-]* | config:) "
	    "words=\"check show\" ;;\n"
	    "\t\t\trun:[!-]* | record:[!-]* | import:[!-]* | symbols:[!-]*) COMPREPLY=($(compgen "
	    "-f -c -- \"$word\")); return ;;\n"
	    "\t\t\tesac ;;\n\t\tesac\n\tfi\n"
	    "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\ncomplete -F _hearth hearth\n");
}

static void zsh_quoted(const char *text)
{
	for (; *text; text++)
		(void)printf(*text == '\'' ? "'\\''" : strchr("[]:", *text) ? "\\%c" : "%c", *text);
}

static void zsh_print(void)
{
	const char *about;

	(void)printf("#compdef hearth\n# made by `hearth completion zsh`\n_hearth() {\n\tlocal -a "
		     "verbs\n\tverbs=(\n");
	for (size_t i = 0; verb_at(i, &about); i++) {
		(void)printf("\t\t'%s:", verb_at(i, &about)->name);
		zsh_quoted(about);
		(void)puts("'");
	}
	(void)printf("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe verb "
		     "verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n");
	for (size_t i = 0; verb_at(i, &about); i++) {
		const struct verb *verb = verb_at(i, &about);

		(void)printf("\t%s) _arguments -S", verb->name);
		for (const struct option *option = options_known; option->name; option++) {
			if (!options_taken(verb, option))
				continue;
			const char *action = is_service(option)
						 ? ":service:($(hearth labels service 2>/dev/null))"
					     : !strcmp(option->name, "type")   ? ":type:(TYPES)"
					     : !strcmp(option->name, "format") ? ":format:(FORMATS)"
					     : !strcmp(option->name, "output") ? ":file:_files"
					     : option->has_arg == no_argument  ? ""
									       : ":value:";

			(void)printf(" '--%s", option->name);
			if (!strcmp(option->name, "type")) {
				(void)printf("=:type:(%s)'", types);
			} else if (!strcmp(option->name, "format")) {
				(void)printf("=:format:(");
				formats_print();
				(void)printf(")'");
			} else {
				(void)printf("%s%s'", option->has_arg == no_argument ? "" : "=",
					     action);
			}
		}
		(void)printf("%s ;;\n",
			     !strcmp(verb->name, "completion") ? " '*:shell:(bash zsh fish)'"
			     : !strcmp(verb->name, "config")   ? " '*:what:(check show)'"
			     : !strcmp(verb->name, "run") || !strcmp(verb->name, "record")
				 ? " '*:::command:_normal'"
				 : " '*:file:_files'");
	}
	(void)printf("\tesac\n}\n_hearth \"$@\"\n");
}

static void fish_print(void)
{
	const char *about;

	(void)printf("# hearth's completion for fish: made by `hearth completion fish`\ncomplete "
		     "-c hearth -f\n");
	for (size_t i = 0; verb_at(i, &about); i++) {
		(void)printf("complete -c hearth -n __fish_use_subcommand -a %s -d '",
			     verb_at(i, &about)->name);
		for (const char *c = about; *c; c++)
			(void)printf(*c == '\'' ? "\\%c" : "%c", *c);
		(void)puts("'");
	}
	for (size_t i = 0; verb_at(i, &about); i++) {
		const struct verb *verb = verb_at(i, &about);

		for (const struct option *option = options_known; option->name; option++) {
			if (!options_taken(verb, option))
				continue;
			(void)printf("complete -c hearth -n '__fish_seen_subcommand_from %s' -l %s",
				     verb->name, option->name);
			if (option->has_arg != no_argument)
				(void)printf(" -r");
			if (is_service(option))
				(void)printf(" -a '(hearth labels service 2>/dev/null)'");
			else if (!strcmp(option->name, "type"))
				(void)printf(" -a '%s'", types);
			else if (!strcmp(option->name, "output"))
				(void)printf(" -F");
			(void)putchar('\n');
		}
	}
	(void)puts(
	    "complete -c hearth -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n"
	    "complete -c hearth -n '__fish_seen_subcommand_from config' -a 'check show'\n"
	    "complete -c hearth -n '__fish_seen_subcommand_from run record' -a "
	    "'(__fish_complete_subcommand)'\n"
	    "complete -c hearth -n '__fish_seen_subcommand_from import symbols' -F");
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_completion;
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = {{"bash", bash_print}, {"zsh", zsh_print}, {"fish", fish_print}};
	struct options o;
	int rest, code = options_parse(&verb_completion, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	for (size_t i = 0; argc - rest == 1 && i < ARRAY_LEN(shells); i++) {
		if (strcmp(shells[i].shell, argv[rest]) != 0)
			continue;
		shells[i].print();
		return EXIT_OK;
	}
	return complain(EXIT_USAGE, "completion: name one of bash, zsh, fish");
}

const struct verb verb_completion = {.name = "completion", .usage = usage, .run = run};
