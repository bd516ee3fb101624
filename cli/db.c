/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth db: looks after the agent's store, by asking the agent.  Nothing here opens a live file.
 *
 * An export is a tar archive of the store's files, each as it was at one moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/value.h"

#define TAR_BLOCK 512
#define NAME_MAX_LEN 60

static const char usage[] =
    "usage: hearth db stats [--json] [--server unix:PATH]\n"
    "       hearth db check            read every file and decode what is in it\n"
    "       hearth db compact          write files anew without what they do not need\n"
    "       hearth db backup DIR       copy every file into a new directory\n"
    "       hearth db export FILE      the same as one tar archive\n"
    "       hearth db import FILE      take in files of an export that the store does not have\n"
    "\n"
    "The agent goes on meanwhile. Root and the agent's user may; the store's periods are hours, "
    "days\n"
    "and months, and import leaves alone what is there.  -q, --quiet shows no progress.\n";

struct job {
	const struct options *o;
	struct place place;
	size_t at, count, failed, skipped;
	int out; /* backup: the directory; export: the archive */
};

static int db_ask(const struct job *job, const char *action, const char *name, struct str body,
		  json_t **ret_json)
{
	const struct parameter parameters[] = {{"action", action}, {"name", name}};
	struct buf answer;
	int code = ask(&job->place, "/api/v1/db", parameters, action ? 2 : 0,
		       action ? body.ptr : NULL, body.len, &answer);

	*ret_json = code ? NULL : json_loadb(answer.data ? answer.data : "", answer.len, 0, NULL);
	buf_release(&answer);
	return code        ? code
	       : *ret_json ? 0
			   : complain(EXIT_RUNTIME, "the agent's answer is not JSON");
}

/* On a terminal alone; what comes after overwrites it. */
static void progress(const struct job *job, const char *what, const char *name)
{
	if (job->o->quiet || !isatty(STDERR_FILENO))
		return;
	(void)fprintf(stderr, "\r%s %zu of %zu: %s\033[K", what, job->at, job->count, name);
	if (job->at == job->count)
		(void)fputs("\r\033[K", stderr);
	(void)fflush(stderr);
}

/* `from_sums`: from the sums down to the records.  A file says how much of those below it has, so
 * that a copy of it must not be newer than theirs. */
static int each_file(struct job *job, const char *what, bool from_sums,
		     int (*fn)(struct job *, json_t *, const char *))
{
	json_t *answer, *files, *file;
	int code = db_ask(job, NULL, NULL, (struct str){0}, &answer);

	files = json_object_get(answer, "files");
	job->count = json_array_size(files);
	for (size_t i = 0; !code && i < job->count; i++) {
		file = json_array_get(files, from_sums ? job->count - 1 - i : i);
		const char *name = json_string_value(json_object_get(file, "name"));

		job->at = i + 1;
		progress(job, what, name ? name : "");
		code = fn(job, file, name ? name : "");
	}
	json_decref(answer);
	return code;
}

/* ---- stats, check, compact ---- */

static int stats_one(struct job *job, json_t *file, const char *name)
{
	double bytes = (double)json_integer_value(json_object_get(file, "bytes"));

	(void)job;
	(void)printf("%-20s %10.1f KB %12lld records\n", name, bytes / 1024,
		     (long long)json_integer_value(json_object_get(file, "records")));
	return 0;
}

static int stats(struct job *job)
{
	json_t *answer;

	if (!job->o->json)
		return each_file(job, "", false, stats_one);
	int code = db_ask(job, NULL, NULL, (struct str){0}, &answer);

	if (!code) {
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		(void)putchar('\n');
	}
	json_decref(answer);
	return code;
}

static int check_one(struct job *job, json_t *file, const char *name)
{
	json_t *answer;
	int code = db_ask(job, "check", name, (struct str){"", 0}, &answer);

	(void)file;
	if (!code && !json_is_true(json_object_get(answer, "ok"))) {
		const char *finding = json_string_value(json_object_get(answer, "finding"));

		(void)printf("%s: %s\n", name, finding ? finding : "damaged");
		job->failed++;
	}
	json_decref(answer);
	return code;
}

static int check(struct job *job)
{
	int code = each_file(job, "checking", false, check_one);

	if (code)
		return code;
	(void)printf("%zu files, %zu damaged\n", job->count, job->failed);
	return job->failed ? EXIT_RUNTIME : 0;
}

static int compact_one(struct job *job, json_t *file, const char *name)
{
	json_t *answer;
	int code = db_ask(job, "compact", name, (struct str){"", 0}, &answer);

	(void)file;
	json_decref(answer);
	return code;
}

/* ---- backup and export ---- */

static int fetch(const struct job *job, const char *name, struct buf *to)
{
	const struct parameter parameter = {"name", name};

	return ask(&job->place, "/api/v1/db/file", &parameter, 1, NULL, 0, to);
}

/* The agent's word is not a path until it is looked at. */
static bool is_name(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && len < NAME_MAX_LEN && !strcmp(name + len - 3, ".db") &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789T/.") == len &&
	       !strstr(name, "..") && name[0] != '/';
}

static int backup_one(struct job *job, json_t *file, const char *name)
{
	struct buf bytes;
	char folder[NAME_MAX_LEN];
	int code = is_name(name) ? fetch(job, name, &bytes)
				 : complain(EXIT_RUNTIME, "the agent names a file \"%.80s\"", name);

	(void)file;
	if (code)
		return code;
	(void)snprintf(folder, sizeof(folder), "%s", name);
	if (strchr(folder, '/')) {
		*strchr(folder, '/') = '\0';
		(void)mkdirat(job->out, folder, 0700);
	}
	int fd CLOSING = openat(job->out, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, bytes.data, bytes.len) || fsync(fd))
		code = complain(EXIT_RUNTIME, "%s: %s", name, strerror(errno));
	buf_release(&bytes);
	return code;
}

static int backup(struct job *job, const char *directory)
{
	if (mkdir(directory, 0700))
		return complain(EXIT_RUNTIME, "%s: %s", directory, strerror(errno));
	job->out = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (job->out < 0)
		return complain(EXIT_RUNTIME, "%s: %s", directory, strerror(errno));
	int code = each_file(job, "copying", true, backup_one);

	fd_close(&job->out);
	if (!code)
		(void)fprintf(stderr, "hearth: %zu files in %s\n", job->count, directory);
	return code;
}

/* POSIX ustar: texts, and numbers in octal. */
static void tar_head(char head[TAR_BLOCK], const char *name, size_t len)
{
	unsigned sum = 0;

	memset(head, 0, TAR_BLOCK);
	(void)snprintf(head, 100, "%s", name);
	(void)snprintf(head + 100, 8, "%07o", 0600);
	(void)snprintf(head + 108, 8, "%07o", 0);
	(void)snprintf(head + 116, 8, "%07o", 0);
	(void)snprintf(head + 124, 12, "%011llo", (unsigned long long)len);
	(void)snprintf(head + 136, 12, "%011o", 0);
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)head[i];
	(void)snprintf(head + 148, 8, "%06o", sum);
}

static int export_one(struct job *job, json_t *file, const char *name)
{
	static const char zeroes[TAR_BLOCK];
	char head[TAR_BLOCK];
	struct buf bytes;
	int code = fetch(job, name, &bytes);

	(void)file;
	if (code)
		return code;
	tar_head(head, name, bytes.len);
	size_t rest = (TAR_BLOCK - bytes.len % TAR_BLOCK) % TAR_BLOCK;

	if (fd_write_all(job->out, head, sizeof(head)) ||
	    fd_write_all(job->out, bytes.data, bytes.len) || fd_write_all(job->out, zeroes, rest))
		code = complain(EXIT_RUNTIME, "the archive cannot be written: %s", strerror(errno));
	buf_release(&bytes);
	return code;
}

static int export(struct job *job, const char *path)
{
	static const char end[2 * TAR_BLOCK];

	job->out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (job->out < 0)
		return complain(EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	int code = each_file(job, "copying", true, export_one);

	if (!code && (fd_write_all(job->out, end, sizeof(end)) || fsync(job->out)))
		code = complain(EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	fd_close(&job->out);
	if (!code)
		(void)fprintf(stderr, "hearth: %zu files in %s\n", job->count, path);
	return code;
}

/* ---- import ---- */

/* What the store has already is said and left alone. */
static int import_one(struct job *job, json_t *known, const char *name, struct str bytes)
{
	json_t *file, *answer;
	size_t i;

	json_array_foreach(
	    json_object_get(known, "files"), i,
	    file) if (!strcmp(name, json_string_value(json_object_get(file, "name")) ?: ""))
	{
		(void)fprintf(stderr, "hearth: %s is there already\n", name);
		job->skipped++;
		return 0;
	}
	if (!strcmp(name, "symbols.db"))
		return 0; /* names are read from binaries again */
	int code = db_ask(job, "import", name, bytes, &answer);

	json_decref(answer);
	job->count += !code;
	return code;
}

static int import_tar(struct job *job, json_t *known, struct str archive)
{
	size_t at = 0;
	int code = 0;

	while (!code && at + TAR_BLOCK <= archive.len && archive.ptr[at]) {
		char name[101], size[13];

		(void)snprintf(name, sizeof(name), "%.100s", archive.ptr + at);
		(void)snprintf(size, sizeof(size), "%.12s", archive.ptr + at + 124);
		size_t len = strtoull(size, NULL, 8);

		at += TAR_BLOCK;
		if (memcmp(archive.ptr + at - TAR_BLOCK + 257, "ustar", 5) ||
		    len > archive.len - at || !is_name(name))
			return complain(EXIT_RUNTIME, "not an archive of `hearth db export`");
		code = import_one(job, known, name, (struct str){archive.ptr + at, len});
		at += (len + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
	if (!code && at + TAR_BLOCK > archive.len)
		code =
		    complain(EXIT_RUNTIME, "the archive is cut short: not all of it was taken in");
	return code;
}

static int read_whole(const char *path, struct buf *to)
{
	struct stat st;
	int fd CLOSING = open(path, O_RDONLY | O_CLOEXEC);

	buf_init(to, BUF_UNLIMITED);
	if (fd < 0 || fstat(fd, &st))
		return complain(EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	char *room = buf_reserve(to, (size_t)st.st_size + 1);
	int rc = room ? fd_read_all(fd, room, (size_t)st.st_size) : -ENOMEM;

	to->len = rc ? 0 : (size_t)st.st_size;
	return rc ? complain(EXIT_RUNTIME, "%s: %s", path, strerror(-rc)) : 0;
}

static int import_file(struct job *job, json_t *known, const char *path)
{
	struct buf bytes;
	int code = read_whole(path, &bytes);

	if (!code)
		code = import_tar(job, known, (struct str){bytes.data, bytes.len});
	buf_release(&bytes);
	return code;
}

static int import(struct job *job, const char *path)
{
	json_t *known;
	int code = db_ask(job, NULL, NULL, (struct str){0}, &known);

	if (!code)
		code = import_file(job, known, path);
	json_decref(known);
	if (!code)
		(void)fprintf(stderr, "hearth: %zu files taken in, %zu were there\n", job->count,
			      job->skipped);
	return code;
}

static int compact(struct job *job, const char *path)
{
	(void)path;
	return each_file(job, "compacting", false, compact_one);
}

static int stats_of(struct job *job, const char *path)
{
	(void)path;
	return stats(job);
}

static int check_of(struct job *job, const char *path)
{
	(void)path;
	return check(job);
}

static const struct {
	const char *name;
	bool has_path;
	int (*run)(struct job *job, const char *path);
} actions[] = {
    {"stats", false, stats_of}, {"check", false, check_of}, {"compact", false, compact},
    {"backup", true, backup},   {"export", true, export},   {"import", true, import},
};

/* Options may stand behind what is to be done, and its path before or behind them. */
static int run(int argc, char **argv)
{
	extern const struct verb verb_db;
	const char *words[2] = {"", NULL};
	struct options o;
	struct job job = {.o = &o, .out = -1};
	int count = 0, rest;

	while (count < 2 && argc > 1 && argv[1][0] != '-') {
		words[count++] = argv[1];
		argv++;
		argc--;
	}
	int code = options_parse(&verb_db, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	while (count < 2 && rest < argc)
		words[count++] = argv[rest++];
	for (size_t i = 0; rest == argc && i < ARRAY_LEN(actions); i++) {
		if (strcmp(actions[i].name, words[0]) || actions[i].has_path != (words[1] != NULL))
			continue;
		code = place_find(o.server, &job.place);
		return code ? code : actions[i].run(&job, words[1]);
	}
	return complain(EXIT_USAGE,
			"db: write stats, check, compact, backup DIR, export FILE or import FILE");
}

const struct verb verb_db = {.name = "db", .usage = usage, .run = run};
