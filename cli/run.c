/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `hearth run`: sets the environment and becomes the command, so its status is the command's own,
 * and no process of ours stays beside it.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/preload.h"

#define LIBRARY "libhearth-preload.so"

static const char usage[] =
    "usage: hearth run [--service NAME] [--server unix:PATH] [-q] -- COMMAND [ARGUMENT...]\n"
    "\n"
    "Starts COMMAND with the profiler preloaded and ends with COMMAND's own status.\n"
    "\n"
    "  -S, --service NAME  how the profile is called (default: the command's name)\n"
    "  --server unix:PATH  the agent's run directory or socket\n"
    "  -q, --quiet         say nothing\n"
    "\n"
    "HEARTH_ENV, HEARTH_VERSION and HEARTH_TAGS=key:value,... add labels; every setting of\n"
    "libhearth(3) may stand in the environment.\n";

/* A name that stands alone in a table of names. */
static bool has_name(const char *table, size_t len, const char *name)
{
	size_t bytes = strlen(name) + 1;

	for (const char *at = table; (at = memmem(at, len - (size_t)(at - table), name, bytes));
	     at++)
		if (at > table && at[-1] == '\0')
			return true;
	return false;
}

/* A sanitizer's runtime, in the program or beside it, by the names in a table. */
static bool names_sanitizer(const char *table, size_t len)
{
	static const char *const names[] = {"__asan_init", "__tsan_init", "__msan_init",
					    "__hwasan_init", "__lsan_init"};
	static const char *const libraries[] = {"libasan.so", "libtsan.so", "liblsan.so",
						"libhwasan.so", "libclang_rt."};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (has_name(table, len, names[i]) ||
		    memmem(table, len, libraries[i], strlen(libraries[i])))
			return true;
	return false;
}

/*
 * Only tables of names are looked at: a compiler or a debugger has the same words among its
 * constants. Without section headers the whole file is, which errs on the side of leaving a program
 * alone.
 */
static bool is_sanitized(const char *file, size_t len)
{
	const Elf64_Ehdr *head = (const void *)file;

	if (!head->e_shoff || !head->e_shnum)
		return names_sanitizer(file, len);
	for (size_t i = 0; i < head->e_shnum; i++) {
		size_t at = head->e_shoff + i * sizeof(Elf64_Shdr);
		Elf64_Shdr section;

		if (at > len || len - at < sizeof(section))
			break;
		memcpy(&section, file + at, sizeof(section));
		if (section.sh_type == SHT_STRTAB && section.sh_offset < len &&
		    section.sh_size <= len - section.sh_offset &&
		    names_sanitizer(file + section.sh_offset, section.sh_size))
			return true;
	}
	return false;
}

/* Why the preload would do nothing or harm: NULL when it is fine. */
static const char *objection(const char *file, size_t len)
{
	const Elf64_Ehdr *head = (const void *)file;
	bool dynamic = false;

	if (len < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG))
		return NULL;
	if (head->e_ident[EI_CLASS] != ELFCLASS64)
		return "is not a 64-bit program";
	for (size_t i = 0; i < head->e_phnum; i++) {
		size_t at = head->e_phoff + i * sizeof(Elf64_Phdr);

		if (at > len || len - at < sizeof(Elf64_Phdr))
			break;
		dynamic =
		    dynamic || ((const Elf64_Phdr *)(const void *)(file + at))->p_type == PT_INTERP;
	}
	if (!dynamic)
		return "is statically linked, so nothing can be preloaded; link libhearth.a "
		       "instead";
	if (is_sanitized(file, len))
		return "was built with a sanitizer, whose own hooks come first";
	return NULL;
}

static const char *program_check(const char *path, bool follow);

/* A script's interpreter is the program that the preload would go into. */
static const char *script_check(const char *file, size_t len)
{
	char path[PATH_MAX] = "";
	size_t at = 2, end;

	while (at < len && (file[at] == ' ' || file[at] == '\t'))
		at++;
	for (end = at; end < len && !strchr(" \t\r\n", file[end]);)
		end++;
	if (end - at >= sizeof(path))
		return NULL;
	memcpy(path, file + at, end - at);
	return program_check(path, false);
}

static const char *program_check(const char *path, bool follow)
{
	struct stat st;
	int CLOSING fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 4)
		return NULL; /* exec will say what is wrong */
	if (st.st_mode & (S_ISUID | S_ISGID))
		return "is setuid or setgid, where the loader ignores preloads";
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return "has file capabilities, where the loader ignores preloads";
	char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (file == MAP_FAILED)
		return NULL;
	const char *why = follow && file[0] == '#' && file[1] == '!'
			      ? script_check(file, (size_t)st.st_size)
			      : objection(file, (size_t)st.st_size);

	(void)munmap(file, (size_t)st.st_size);
	return why;
}

static bool command_find(const char *name, char *path, size_t max)
{
	const char *search = getenv("PATH");

	if (strchr(name, '/')) {
		(void)snprintf(path, max, "%s", name);
		return true;
	}
	while (search && *search) {
		size_t len = strcspn(search, ":");

		(void)snprintf(path, max, "%.*s/%s", (int)len, search, name);
		if (access(path, X_OK) == 0)
			return true;
		search += len + (search[len] == ':');
	}
	return false;
}

/* `library` NULL: none is preloaded; the settings hold for a program that has the library in
 * itself. */
static int environment_set(const char *library, const struct options *o)
{
	const char *preload = getenv("LD_PRELOAD");
	char joined[PATH_MAX * 2];
	struct place place;

	(void)snprintf(joined, sizeof(joined), "%s%s%s", library ? library : "",
		       preload && *preload ? ":" : "", preload ? preload : "");
	if (library)
		(void)setenv("LD_PRELOAD", joined, 1);
	(void)setenv("HEARTH_ENABLED", "1", 1);
	if (o->service)
		(void)setenv("HEARTH_SERVICE", o->service, 1);
	if (!o->server && !getenv("HEARTH_SERVER"))
		return EXIT_OK; /* the library looks where we would */
	int code = place_find(o->server, &place);

	if (code)
		return code;
	if (!place.directory[0])
		return complain(EXIT_USAGE, "run: a ring cannot cross TCP; name the agent with "
					    "--server unix:DIRECTORY");
	(void)snprintf(joined, sizeof(joined), "unix:%s/agent.sock", place.directory);
	(void)setenv("HEARTH_AGENT", joined, 1);
	return EXIT_OK;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_run;
	char library[PATH_MAX], path[PATH_MAX];
	struct options o;
	int rest, code = options_parse(&verb_run, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest == argc)
		return complain(EXIT_USAGE, "run: name a command behind --");
	const char *why =
	    command_find(argv[rest], path, sizeof(path)) ? program_check(path, true) : NULL;
	bool preload = !why && preload_find(LIBRARY, library, sizeof(library));

	if (why)
		(void)complain(0, "%s %s; it runs without the profiler", argv[rest], why);
	else if (!preload)
		(void)complain(0,
			       LIBRARY " is not beside this program; the command runs without it");
	code = environment_set(preload ? library : NULL, &o);
	if (code)
		return code;
	if (preload && !o.quiet)
		(void)fprintf(stderr,
			      "hearth: profiling %s; see it with `hearth top`, `hearth ui`\n",
			      argv[rest]);
	(void)execvp(argv[rest], argv + rest);
	code = errno == ENOENT ? 127 : 126;
	return complain(code, "%s: %s", argv[rest], strerror(errno));
}

const struct verb verb_run = {.name = "run", .usage = usage, .run = run};
