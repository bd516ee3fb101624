/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"

static const char usage[] =
    "usage: hearth symbols add FILE... [--json] [--server unix:PATH]\n"
    "\n"
    "Gives the agent a binary or a debug file; frames that it could not name get their names, also "
    "in\n"
    "profiles that are already stored.  The file is found by its build id.\n";

/* The GNU build id note (ELF gABI, note section; type 3, name \"GNU\") in a run of notes. */
static bool note_find(const char *notes, size_t len, char hex[2 * 32 + 1])
{
	for (size_t at = 0; len >= sizeof(Elf64_Nhdr) && at <= len - sizeof(Elf64_Nhdr);) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		size_t name = at + sizeof(note), bytes = name + ((size_t)note.n_namesz + 3) / 4 * 4;
		size_t next = bytes + ((size_t)note.n_descsz + 3) / 4 * 4;

		if (bytes > len || next > len + 3 || note.n_descsz > len - bytes)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(notes + name, "GNU", 4) && note.n_descsz >= 4 && note.n_descsz <= 32) {
			for (size_t i = 0; i < note.n_descsz; i++)
				(void)snprintf(hex + 2 * i, 3, "%02x",
					       (unsigned char)notes[bytes + i]);
			return true;
		}
		at = next;
	}
	return false;
}

static bool build_id_find(const char *file, size_t len, char hex[2 * 32 + 1])
{
	Elf64_Ehdr head;

	if (len < sizeof(head))
		return false;
	memcpy(&head, file, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	for (size_t i = 0; i < head.e_shnum; i++) {
		Elf64_Shdr section;

		if (head.e_shoff > len || len - head.e_shoff < (i + 1) * sizeof(section))
			return false;
		memcpy(&section, file + head.e_shoff + i * sizeof(section), sizeof(section));
		if (section.sh_type == SHT_NOTE && section.sh_offset <= len &&
		    section.sh_size <= len - section.sh_offset &&
		    note_find(file + section.sh_offset, section.sh_size, hex))
			return true;
	}
	return false;
}

static int file_add(const struct place *place, const char *path, bool json)
{
	char hex[2 * 32 + 1];
	struct buf body = {0};
	struct stat st;
	int CLOSING fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return complain(EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	char *file = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)
				    : MAP_FAILED;

	if (file == MAP_FAILED)
		return complain(EXIT_RUNTIME, "%s: cannot be read", path);
	int code = build_id_find(file, (size_t)st.st_size, hex)
		       ? 0
		       : complain(EXIT_RUNTIME, "%s: not a 64-bit ELF file with a build id", path);
	const struct parameter parameter = {"build_id", hex};

	if (!code)
		code =
		    ask(place, "/api/v1/symbols", &parameter, 1, file, (size_t)st.st_size, &body);
	if (!code && json)
		(void)printf("{\"schema\":\"hearth.symbols/1\",\"build_id\":\"%s\"}\n", hex);
	else if (!code)
		(void)fprintf(stderr, "hearth: %s names build id %s now\n", path, hex);
	(void)munmap(file, (size_t)st.st_size);
	buf_release(&body);
	return code;
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_symbols;
	struct place place;
	struct options o;
	int rest, code = options_parse(&verb_symbols, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest + 1 >= argc || strcmp(argv[rest], "add"))
		return complain(EXIT_USAGE, "symbols: write `hearth symbols add FILE`");
	code = place_find(o.server, &place);
	for (int i = rest + 1; !code && i < argc; i++)
		code = file_add(&place, argv[i], o.json);
	return code;
}

const struct verb verb_symbols = {.name = "symbols", .usage = usage, .run = run};
