/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth db: looks after the agent's store, by asking the agent.  Nothing here opens a live file.
 *
 * An export is a tar archive of the store's files, each as it was at one moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
    "usage: hearth db stats            files, bytes and records\n"
    "       hearth db check            read every file and decode what is in it\n"
    "       hearth db compact          write files anew without what they do not need\n"
    "       hearth db backup DIR       copy every file into a new directory\n"
    "       hearth db export FILE      the same as one tar archive\n"
    "       hearth db import FILE      take in files of an export that the store does not have\n"
    "\n"
    "The agent goes on meanwhile. Root and the agent's user may; the store's periods are hours, "
    "days\n"
    "and months, and import leaves alone what is there, but for symbols.db, of which it takes "
    "what\n"
    "is missing.  A copy has its name when it is whole; until then it is NAME.partial.\n"
    "\n"
    "  --json              what was done, as {\"schema\":\"hearth.db.ACTION/1\",...}\n"
    "  --server unix:PATH  the agent\n"
    "  -q, --quiet         no progress\n";

struct job {
	const struct options *o;
	struct place place;
	size_t at, count, failed, skipped;
	int out;       /* backup: the directory; export: the archive */
	json_t *files; /* what is said of each */
};

/* A piece of an open file. */
struct piece {
	int fd;
	uint64_t at, len;
};

/* `action` NULL: what there is.  `file`: the body, or NULL. */
static int db_ask(const struct job *job, const char *action, const char *name,
		  const struct piece *file, json_t **ret_json)
{
	const struct parameter parameters[] = {{"action", action}, {"name", name}};
	struct buf answer;
	int code = file ? ask_from_file(&job->place, "/api/v1/db", parameters, 2, file->fd,
					file->at, file->len, &answer)
			: ask(&job->place, "/api/v1/db", parameters, action ? 2 : 0,
			      action ? "" : NULL, 0, &answer);

	*ret_json = code ? NULL : json_loadb(answer.data ? answer.data : "", answer.len, 0, NULL);
	buf_release(&answer);
	return code        ? code
	       : *ret_json ? 0
			   : complain(EXIT_RUNTIME, "the agent's answer is not JSON");
}

/* With --json the object, which is taken; else nothing. */
static int tell(const struct job *job, const char *action, json_t *object)
{
	char schema[40];

	(void)snprintf(schema, sizeof(schema), "hearth.db.%s/1", action);
	json_t *all = json_pack("{s:s}", "schema", schema);
	bool ok = all && object && !json_object_update(all, object);

	if (job->o->json && ok) {
		(void)json_dumpf(all, stdout, JSON_COMPACT);
		(void)putchar('\n');
	}
	json_decref(all);
	json_decref(object);
	return ok ? 0 : complain(EXIT_RUNTIME, "out of memory");
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
	int code = db_ask(job, NULL, NULL, NULL, &answer);

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
	int code = db_ask(job, NULL, NULL, NULL, &answer);

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
	int code = db_ask(job, "check", name, NULL, &answer);

	(void)file;
	if (!code && !json_is_true(json_object_get(answer, "ok"))) {
		const char *finding = json_string_value(json_object_get(answer, "finding"));

		finding = finding ? finding : "damaged";
		(void)json_array_append_new(
		    job->files, json_pack("{s:s, s:s}", "name", name, "finding", finding));
		if (!job->o->json)
			(void)printf("%s: %s\n", name, finding);
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
	if (!job->o->json)
		(void)printf("%zu files, %zu damaged\n", job->count, job->failed);
	(void)tell(job, "check",
		   json_pack("{s:I, s:O}", "files", (json_int_t)job->count, "damaged", job->files));
	return job->failed ? EXIT_RUNTIME : 0;
}

static json_int_t bytes_of(json_t *file)
{
	return json_integer_value(json_object_get(file, "bytes"));
}

static int add_bytes(struct job *job, json_t *file, const char *name)
{
	return json_array_append_new(job->files,
				     json_pack("{s:s, s:I}", "name", name, "bytes", bytes_of(file)))
		   ? complain(EXIT_RUNTIME, "out of memory")
		   : 0;
}

static json_int_t sum_of(json_t *files)
{
	json_int_t sum = 0;
	json_t *file;
	size_t i;

	json_array_foreach(files, i, file) sum += bytes_of(file);
	return sum;
}

static int compact_one(struct job *job, json_t *file, const char *name)
{
	json_t *answer;
	int code = db_ask(job, "compact", name, NULL, &answer);

	(void)file;
	json_decref(answer);
	return code;
}

/* ---- backup and export ---- */

/* Into `fd`. `*ret_there` is false when retention has taken the file meanwhile, which is said. */
static int fetch(struct job *job, const char *name, int fd, uint64_t *ret_bytes, bool *ret_there)
{
	const struct parameter parameter = {"name", name};
	int code =
	    ask_to_file(&job->place, "/api/v1/db/file", &parameter, 1, fd, ret_bytes, ret_there);

	if (!code && !*ret_there) {
		(void)fprintf(stderr, "hearth: %s went meanwhile, for its time was over\n", name);
		job->skipped++;
	}
	return code;
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
	char folder[NAME_MAX_LEN];
	uint64_t bytes;
	bool there;

	(void)file;
	if (!is_name(name))
		return complain(EXIT_RUNTIME, "the agent names a file \"%.80s\"", name);
	(void)snprintf(folder, sizeof(folder), "%s", name);
	if (strchr(folder, '/')) {
		*strchr(folder, '/') = '\0';
		(void)mkdirat(job->out, folder, 0700);
	}
	int fd CLOSING = openat(job->out, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return complain(EXIT_RUNTIME, "%s: %s", name, strerror(errno));
	int code = fetch(job, name, fd, &bytes, &there);

	if (!code && !there)
		(void)unlinkat(job->out, name, 0);
	else if (!code && fsync(fd))
		code = complain(EXIT_RUNTIME, "%s: %s", name, strerror(errno));
	return code;
}

/* PATH.partial. */
static int partial_name(const char *path, char *to, size_t size)
{
	if (!access(path, F_OK))
		return complain(EXIT_RUNTIME, "%s is there already", path);
	return (size_t)snprintf(to, size, "%s.partial", path) < size
		   ? 0
		   : complain(EXIT_RUNTIME, "%s: the name is too long", path);
}

/* It is whole, and has its name from now on. */
static int finish(struct job *job, const char *action, const char *partial, const char *path)
{
	if (fsync(job->out) || renameat2(AT_FDCWD, partial, AT_FDCWD, path, RENAME_NOREPLACE))
		return complain(EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	(void)fprintf(stderr, "hearth: %zu files in %s\n", job->count - job->skipped, path);
	return tell(job, action,
		    json_pack("{s:s, s:I, s:I}", "path", path, "files",
			      (json_int_t)(job->count - job->skipped), "went",
			      (json_int_t)job->skipped));
}

static int backup(struct job *job, const char *directory)
{
	char partial[PATH_MAX];
	int code = partial_name(directory, partial, sizeof(partial));

	if (code)
		return code;
	if (mkdir(partial, 0700))
		return complain(EXIT_RUNTIME, "%s: %s", partial, strerror(errno));
	job->out = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (job->out < 0)
		return complain(EXIT_RUNTIME, "%s: %s", partial, strerror(errno));
	code = each_file(job, "copying", true, backup_one);
	if (!code)
		code = finish(job, "backup", partial, directory);
	else
		(void)fprintf(stderr, "hearth: what was copied is in %s\n", partial);
	fd_close(&job->out);
	return code;
}

#define OCTAL_MAX ((UINT64_C(1) << 33) - 1)

/* POSIX ustar: texts, and numbers in octal; a size above 8 GiB in binary, as GNU's and others'. */
static void tar_head(char head[TAR_BLOCK], const char *name, uint64_t len)
{
	unsigned sum = 0;

	memset(head, 0, TAR_BLOCK);
	(void)snprintf(head, 100, "%s", name);
	(void)snprintf(head + 100, 8, "%07o", 0600);
	(void)snprintf(head + 108, 8, "%07o", 0);
	(void)snprintf(head + 116, 8, "%07o", 0);
	(void)snprintf(head + 124, 12, "%011llo", (unsigned long long)(len & OCTAL_MAX));
	for (int i = 0; len > OCTAL_MAX && i < 12; i++)
		head[124 + i] = (char)(i == 0 ? 0x80 : i < 4 ? 0 : len >> (8 * (11 - i)) & 0xff);
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

/* UINT64_MAX: none. */
static uint64_t tar_size(const char head[TAR_BLOCK])
{
	char octal[13];
	uint64_t size = 0;

	if ((unsigned char)head[124] == 0x80) {
		for (int i = 1; i < 12; i++)
			size = size >> 56 ? UINT64_MAX : size << 8 | (unsigned char)head[124 + i];
		return size;
	}
	(void)snprintf(octal, sizeof(octal), "%.12s", head + 124);
	return strtoull(octal, NULL, 8);
}

/* How long it is stands before it, and is known behind it. */
static int export_one(struct job *job, json_t *file, const char *name)
{
	static const char zeroes[TAR_BLOCK];
	char head[TAR_BLOCK];
	off_t at = lseek(job->out, 0, SEEK_CUR);
	uint64_t bytes;
	bool there;

	(void)file;
	if (at < 0 || lseek(job->out, TAR_BLOCK, SEEK_CUR) < 0)
		return complain(EXIT_RUNTIME, "the archive cannot be written: %s", strerror(errno));
	int code = fetch(job, name, job->out, &bytes, &there);

	if (code)
		return code;
	if (!there) {
		(void)lseek(job->out, at, SEEK_SET);
		return 0;
	}
	tar_head(head, name, bytes);
	if (pwrite(job->out, head, sizeof(head), at) != sizeof(head) ||
	    fd_write_all(job->out, zeroes, (TAR_BLOCK - bytes % TAR_BLOCK) % TAR_BLOCK))
		code = complain(EXIT_RUNTIME, "the archive cannot be written: %s", strerror(errno));
	return code;
}

static int export(struct job *job, const char *path)
{
	static const char end[2 * TAR_BLOCK];
	char partial[PATH_MAX];
	int code = partial_name(path, partial, sizeof(partial));

	if (code)
		return code;
	job->out = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (job->out < 0)
		return complain(EXIT_RUNTIME, "%s: %s", partial, strerror(errno));
	code = each_file(job, "copying", true, export_one);
	if (!code && fd_write_all(job->out, end, sizeof(end)))
		code = complain(EXIT_RUNTIME, "%s: %s", partial, strerror(errno));
	if (!code)
		code = finish(job, "export", partial, path);
	if (code)
		(void)unlink(partial);
	fd_close(&job->out);
	return code;
}

/* ---- import ---- */

/* What the store has already is said and left alone. */
static int import_one(struct job *job, json_t *known, const char *name, const struct piece *bytes)
{
	json_t *file, *answer;
	size_t i;

	/* Of the symbol store it takes what is missing. */
	json_array_foreach(
	    json_object_get(known, "files"), i,
	    file) if (strcmp(name, "symbols.db") &&
		      !strcmp(name, json_string_value(json_object_get(file, "name")) ?: ""))
	{
		(void)fprintf(stderr, "hearth: %s is there already\n", name);
		job->skipped++;
		return 0;
	}
	int code = db_ask(job, "import", name, bytes, &answer);

	json_decref(answer);
	job->count += !code;
	return code;
}

static int import_tar(struct job *job, json_t *known, int archive, uint64_t size)
{
	char head[TAR_BLOCK];
	uint64_t at = 0;
	int code = 0;

	while (!code && at + TAR_BLOCK <= size) {
		char name[101];

		if (pread(archive, head, sizeof(head), (off_t)at) != sizeof(head))
			return complain(EXIT_RUNTIME, "the archive cannot be read: %s",
					strerror(errno));
		if (!head[0])
			break;
		(void)snprintf(name, sizeof(name), "%.100s", head);
		at += TAR_BLOCK;
		struct piece piece = {archive, at, tar_size(head)};

		if (memcmp(head + 257, "ustar", 5) || piece.len > size - at || !is_name(name))
			return complain(EXIT_RUNTIME, "not an archive of `hearth db export`");
		code = import_one(job, known, name, &piece);
		at += (piece.len + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
	if (!code && at + TAR_BLOCK > size)
		code =
		    complain(EXIT_RUNTIME, "the archive is cut short: not all of it was taken in");
	return code;
}

static int import_file(struct job *job, json_t *known, const char *path)
{
	struct stat st;
	int fd CLOSING = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return complain(EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	return import_tar(job, known, fd, (uint64_t)st.st_size);
}

static int import(struct job *job, const char *path)
{
	json_t *known;
	int code = db_ask(job, NULL, NULL, NULL, &known);

	if (!code)
		code = import_file(job, known, path);
	json_decref(known);
	if (!code)
		(void)fprintf(stderr, "hearth: %zu files taken in, %zu were there\n", job->count,
			      job->skipped);
	return code ? code
		    : tell(job, "import",
			   json_pack("{s:I, s:I}", "files", (json_int_t)job->count, "were_there",
				     (json_int_t)job->skipped));
}

static int compact(struct job *job, const char *path)
{
	(void)path;
	int code = each_file(job, "", false, add_bytes);
	json_int_t before = sum_of(job->files);

	if (!code)
		code = each_file(job, "compacting", false, compact_one);
	(void)json_array_clear(job->files);
	if (!code)
		code = each_file(job, "", false, add_bytes);
	if (code)
		return code;
	json_int_t after = sum_of(job->files);

	if (!job->o->json)
		(void)printf("%zu files, %.1f KB, %.1f KB before\n", job->count,
			     (double)after / 1024, (double)before / 1024);
	return tell(job, "compact",
		    json_pack("{s:I, s:I, s:O}", "bytes_before", before, "bytes", after, "files",
			      job->files));
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
		job.files = json_array();
		code = code ? code : actions[i].run(&job, words[1]);
		json_decref(job.files);
		return code;
	}
	return complain(EXIT_USAGE,
			"db: write stats, check, compact, backup DIR, export FILE or import FILE");
}

const struct verb verb_db = {.name = "db", .usage = usage, .run = run};
