/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vdso.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/fd.h"

#define VDSO_BYTES_MAX ((size_t)256 << 10)

/* The GNU build id in a segment of notes (ELF gABI, note section). */
static bool build_id_find(const char *notes, size_t len, struct symbols_id *id)
{
	for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= len;) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		size_t name = at + sizeof(note), bytes = name + ((size_t)note.n_namesz + 3) / 4 * 4;
		size_t next = bytes + ((size_t)note.n_descsz + 3) / 4 * 4;

		if (next > len)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(notes + name, "GNU", 4) && note.n_descsz <= sizeof(id->build_id)) {
			memcpy(id->build_id, notes + bytes, note.n_descsz);
			id->len = note.n_descsz;
			return true;
		}
		at = next;
	}
	return false;
}

void vdso_add(struct symbols *symbols)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	struct symbols_id id = {0};
	Elf64_Ehdr head;
	bool found = false;

	if (!image)
		return;
	memcpy(&head, image, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_ident[EI_CLASS] != ELFCLASS64)
		return;
	/* The kernel's own image: its section headers stand last, and all of it is mapped. */
	size_t len = head.e_shoff + (size_t)head.e_shnum * head.e_shentsize;

	for (size_t i = 0; !found && i < head.e_phnum; i++) {
		Elf64_Phdr segment;

		memcpy(&segment, image + head.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type == PT_NOTE)
			found = build_id_find(image + segment.p_offset, segment.p_filesz, &id);
	}
	int CLOSING fd = found && len <= VDSO_BYTES_MAX ? memfd_create("vdso", MFD_CLOEXEC) : -1;

	if (fd < 0 || fd_write_all(fd, image, len))
		return;
	int taken = fd;

	fd = -1;
	/* a full queue at start: frames stay addresses */
	(void)symbols_add_own(symbols, taken, &id);
}
