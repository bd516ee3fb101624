/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/value.h"

#define FILE_MAX_BYTES ((size_t)256 << 20)

static const char usage[] =
    "usage: hearth import -S NAME [--label NAME=VALUE]... [--from TIME] [--to TIME] FILE...\n"
    "\n"
    "Gives files of other profilers to the agent: pprof, folded stacks, perf script's text, "
    "gperftools,\n"
    "speedscope, JFR; raw, gzip, zstd or LZ4.  A file named - is standard input.\n"
    "\n"
    "  -S, --service NAME   of which service they are (required)\n"
    "  --label NAME=VALUE   labels of the series; may be given again\n"
    "  --format FORMAT      what the files are (default: by their first bytes)\n"
    "  --from TIME, --to TIME   when (default: what the files say, else now)\n"
    "  --id ID              counts a file once within a day, however often it is given\n"
    "  --server unix:PATH|URL   which agent\n"
    "  --json               the agent's answers, one a line\n"
    "  -q, --quiet          neither progress nor what was taken\n";

static int file_read(const char *name, struct buf *to)
{
	int CLOSING opened = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	int fd = strcmp(name, "-") ? opened : STDIN_FILENO;

	buf_init(to, FILE_MAX_BYTES);
	if (fd < 0)
		return complain(EXIT_RUNTIME, "%s: %s", name, strerror(errno));
	for (;;) {
		char bytes[65536];
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return complain(EXIT_RUNTIME, "%s: %s", name, strerror(errno));
		if (n == 0)
			break;
		if (buf_add(to, bytes, (size_t)n))
			return complain(EXIT_RUNTIME, "%s: larger than %zu MiB", name,
					FILE_MAX_BYTES >> 20);
	}
	return to->len ? 0 : complain(EXIT_NO_DATA, "%s: empty", name);
}

/* NAME=VALUE of --label become parameters; `names` holds the cut names. */
static int labels_add(const struct options *o, struct parameter *parameters, size_t *count,
		      char names[][128])
{
	for (size_t i = 0; i < o->labels_count; i++) {
		const char *equal = strchr(o->labels[i], '=');

		if (!equal || equal == o->labels[i] || equal - o->labels[i] >= 128)
			return complain(EXIT_USAGE, "import: --label \"%s\": write NAME=VALUE",
					o->labels[i]);
		(void)snprintf(names[i], 128, "%.*s", (int)(equal - o->labels[i]), o->labels[i]);
		parameters[(*count)++] = (struct parameter){names[i], equal + 1};
	}
	return 0;
}

static void said_print(const struct options *o, const char *name, const struct buf *answer)
{
	json_t *said = json_loadb(answer->data ? answer->data : "", answer->len, 0, NULL);

	if (o->json)
		(void)printf("%.*s\n", (int)answer->len, answer->data);
	else if (!o->quiet)
		(void)fprintf(stderr, "hearth: %s: %.0f profiles, %.0f samples%s\n", name,
			      answer_number(said, "profiles"), answer_number(said, "samples"),
			      json_is_true(json_object_get(said, "duplicate")) ? ", known already"
									       : "");
	if (!o->quiet && answer_number(said, "rejected") > 0)
		(void)fprintf(stderr, "hearth: %s: %.0f left out: %s\n", name,
			      answer_number(said, "rejected"),
			      json_string_value(json_object_get(said, "why")));
	json_decref(said);
}

static int file_import(const struct options *o, const struct place *place, const char *name)
{
	struct parameter parameters[8 + OPTION_LABELS_MAX];
	char names[OPTION_LABELS_MAX][128];
	struct buf body, answer = {0};
	size_t count = 0;
	int code = file_read(name, &body);

	parameters[count++] = (struct parameter){"service", o->service};
	parameters[count++] = (struct parameter){"format", o->format};
	parameters[count++] = (struct parameter){"from", o->from};
	parameters[count++] = (struct parameter){"until", o->until};
	parameters[count++] = (struct parameter){"id", o->id};
	if (!code)
		code = labels_add(o, parameters, &count, names);
	if (!code)
		code =
		    ask(place, "/api/v1/profiles", parameters, count, body.data, body.len, &answer);
	if (!code)
		said_print(o, name, &answer);
	buf_release(&answer);
	buf_release(&body);
	return code;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_import;
	struct place place;
	struct options o;
	int rest, code = options_with_operands(&verb_import, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest == argc)
		return complain(EXIT_USAGE, "import: name the files");
	if (!o.service)
		return complain(EXIT_USAGE, "import: say with -S of which service they are");
	if (o.id && argc - rest > 1)
		return complain(EXIT_USAGE, "import: an --id is of one file");
	code = place_find(o.server, &place);
	bool progress = isatty(STDERR_FILENO) && argc - rest > 1 && !o.quiet;

	for (int i = rest; !code && i < argc; i++) {
		if (progress) /* what is printed of a file takes its place */
			(void)fprintf(stderr, "hearth: %d of %d\r", i - rest + 1, argc - rest);
		code = file_import(&o, &place, argv[i]);
	}
	return code;
}

const struct verb verb_import = {.name = "import", .usage = usage, .run = run};
