/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <string.h>

#include "symbol/reader.h"

#define MINI_MAX ((size_t)64 << 20) /* .gnu_debugdata, decompressed */
#define SECTIONS_MAX 65536

void reader_segments(struct reader *r, Elf *elf)
{
	size_t count = 0;

	if (elf_getphdrnum(elf, &count) < 0)
		return;
	for (size_t i = 0; i < MIN(count, (size_t)4096); i++) {
		GElf_Phdr p;

		if (!gelf_getphdr(elf, (int)i, &p) || p.p_type != PT_LOAD)
			continue;
		struct symbol_segment *s = READER_ADD(r, segments);

		if (s)
			*s = (struct symbol_segment){p.p_offset, p.p_filesz, p.p_vaddr};
	}
}

/* Of two names for one address: with a size before without, global before weak before local. */
static uint32_t symbol_rank(const GElf_Sym *sym)
{
	unsigned bind = GELF_ST_BIND(sym->st_info);
	uint32_t rank = bind == STB_GLOBAL ? 3 : bind == STB_WEAK ? 2 : 1;

	return rank + (sym->st_size ? 4 : 0) + (GELF_ST_TYPE(sym->st_info) != STT_NOTYPE ? 8 : 0);
}

/* A variable: locks are named by theirs.  In writable sections alone, which leaves out most
 * objects. */
static bool is_variable(Elf *elf, const GElf_Sym *sym)
{
	GElf_Shdr h;

	if (GELF_ST_TYPE(sym->st_info) != STT_OBJECT || !sym->st_size || !sym->st_value ||
	    sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE)
		return false;
	return gelf_getshdr(elf_getscn(elf, sym->st_shndx), &h) && h.sh_flags & SHF_WRITE &&
	       h.sh_flags & SHF_ALLOC && sym->st_value >= h.sh_addr &&
	       sym->st_value < h.sh_addr + h.sh_size;
}

static bool is_code(Elf *elf, const GElf_Sym *sym, uint64_t *ret_section_end)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);
	GElf_Shdr h;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE || !sym->st_value)
		return false;
	if (!gelf_getshdr(elf_getscn(elf, sym->st_shndx), &h) || !(h.sh_flags & SHF_EXECINSTR))
		return false;
	*ret_section_end = h.sh_addr + h.sh_size;
	return sym->st_value >= h.sh_addr && sym->st_value < *ret_section_end;
}

static void symbols_of(struct reader *r, Elf *elf, Elf_Scn *section, const GElf_Shdr *h)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t count = data && h->sh_entsize ? data->d_size / h->sh_entsize : 0;

	for (size_t i = 1; i < count && i < INT32_MAX && !r->failed; i++) {
		uint64_t section_end;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym) ||
		    (!is_code(elf, &sym, &section_end) && !is_variable(elf, &sym)))
			continue;
		const char *name = elf_strptr(elf, h->sh_link, sym.st_name);

		/* Mapping symbols ("$x") and labels of the assembler name no function. */
		if (!name || !*name || *name == '$' || *name == '.')
			continue;
		struct reader_function *f = READER_ADD(r, symbols);

		if (f)
			*f = (struct reader_function){
			    .start = sym.st_value,
			    .end = sym.st_size ? sym.st_value + sym.st_size : 0,
			    .name = reader_name(r, name),
			    .rank = symbol_rank(&sym)};
	}
}

void reader_symbols(struct reader *r, Elf *elf)
{
	size_t sections = 0;

	for (Elf_Scn *s = NULL; (s = elf_nextscn(elf, s)) && sections++ < SECTIONS_MAX;) {
		GElf_Shdr h;

		if (gelf_getshdr(s, &h) && (h.sh_type == SHT_SYMTAB || h.sh_type == SHT_DYNSYM))
			symbols_of(r, elf, s, &h);
	}
}

static Elf_Scn *section_named(Elf *elf, const char *wanted, GElf_Shdr *ret_header)
{
	size_t names, sections = 0;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return NULL;
	for (Elf_Scn *s = NULL; (s = elf_nextscn(elf, s)) && sections++ < SECTIONS_MAX;) {
		const char *name = gelf_getshdr(s, ret_header)
				       ? elf_strptr(elf, names, ret_header->sh_name)
				       : NULL;

		if (name && !strcmp(name, wanted))
			return s;
	}
	return NULL;
}

static void plt_entry(struct reader *r, uint64_t start, uint64_t end, const char *name)
{
	char text[4096];

	if (snprintf(text, sizeof(text), "%s@plt", name) >= (int)sizeof(text))
		return;
	struct reader_function *f = READER_ADD(r, symbols);

	if (f)
		*f = (struct reader_function){
		    .start = start, .end = end, .name = reader_text(r, text)};
}

/* The i-th relocation's symbol is what the i-th entry behind `head` bytes jumps to. */
static void plt_section(struct reader *r, Elf *elf, const char *plt, uint64_t head,
			Elf_Data *relocations, const GElf_Shdr *rela, Elf_Data *symbols,
			const GElf_Shdr *dynsym)
{
	const uint64_t entry = 16;
	GElf_Shdr h;

	if (!section_named(elf, plt, &h) || h.sh_size < head)
		return;
	size_t count = rela->sh_entsize ? relocations->d_size / rela->sh_entsize : 0;

	for (size_t i = 0; i < count && i < (h.sh_size - head) / entry && i < INT32_MAX; i++) {
		uint64_t start = h.sh_addr + head + i * entry;
		GElf_Rela rel;
		GElf_Sym sym;

		if (!gelf_getrela(relocations, (int)i, &rel) ||
		    !gelf_getsym(symbols, (int)GELF_R_SYM(rel.r_info), &sym))
			continue;
		const char *name = elf_strptr(elf, dynsym->sh_link, sym.st_name);

		if (name && *name)
			plt_entry(r, start, start + entry, name);
	}
}

void reader_plt(struct reader *r, Elf *elf)
{
	GElf_Ehdr e;
	GElf_Shdr rela, dynsym;

	if (!gelf_getehdr(elf, &e) || (e.e_machine != EM_X86_64 && e.e_machine != EM_AARCH64))
		return;
	Elf_Scn *scn = section_named(elf, ".rela.plt", &rela);
	Elf_Data *relocations = scn ? elf_getdata(scn, NULL) : NULL;
	Elf_Scn *table = scn ? elf_getscn(elf, rela.sh_link) : NULL;
	Elf_Data *symbols = table && gelf_getshdr(table, &dynsym) ? elf_getdata(table, NULL) : NULL;

	if (!relocations || !symbols)
		return;
	plt_section(r, elf, ".plt", e.e_machine == EM_X86_64 ? 16 : 32, relocations, &rela, symbols,
		    &dynsym);
	if (e.e_machine == EM_X86_64)
		plt_section(r, elf, ".plt.sec", 0, relocations, &rela, symbols, &dynsym);
}

/* ---- functions without a symbol ---- */

#define PCREL_SDATA4 0x1b /* DW_EH_PE_pcrel | DW_EH_PE_sdata4 */
#define UDATA4 0x03
#define DATAREL_SDATA4 0x3b

struct unwind_sections {
	const uint8_t *header, *frames;
	size_t header_bytes, frames_bytes;
	uint64_t header_address, frames_address;
};

static const uint8_t *section_bytes(Elf *elf, const char *name, size_t *ret_bytes,
				    uint64_t *ret_address)
{
	GElf_Shdr h;
	Elf_Scn *scn = section_named(elf, name, &h);
	Elf_Data *data = scn && h.sh_type != SHT_NOBITS ? elf_rawdata(scn, NULL) : NULL;

	*ret_bytes = data && data->d_buf ? data->d_size : 0;
	*ret_address = h.sh_addr;
	return data ? data->d_buf : NULL;
}

static int32_t number_at(const uint8_t *bytes)
{
	int32_t number;

	memcpy(&number, bytes, sizeof(number));
	return number;
}

/* The end of what begins at `start`, by the description at address `at`: length, pointer to what is
 * common, start, size.  That the start is the same proves that these have the usual four bytes
 * each. 0: they have not. */
static uint64_t frame_end(const struct unwind_sections *u, uint64_t start, uint64_t at)
{
	uint64_t offset = at - u->frames_address;

	if (at < u->frames_address || u->frames_bytes < 16 || offset > u->frames_bytes - 16 ||
	    at + 8 + (uint64_t)(int64_t)number_at(u->frames + offset + 8) != start)
		return 0;
	return start + (uint32_t)number_at(u->frames + offset + 12);
}

/* The table for binary search that linkers make (LSB 5.0, "The .eh_frame_hdr section"), in its
 * usual encoding. */
void reader_frames(struct reader *r, Elf *elf)
{
	static const uint8_t usual[] = {1, PCREL_SDATA4, UDATA4, DATAREL_SDATA4};
	const size_t head = 12, entry = 8;
	const char *ident = elf_getident(elf, NULL);
	struct unwind_sections u;

	u.header = section_bytes(elf, ".eh_frame_hdr", &u.header_bytes, &u.header_address);
	u.frames = section_bytes(elf, ".eh_frame", &u.frames_bytes, &u.frames_address);
	if (!u.header || !u.frames || u.header_bytes < head ||
	    memcmp(u.header, usual, sizeof(usual)) != 0 || !ident ||
	    ident[EI_DATA] !=
		(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
		return;
	size_t count =
	    MIN((size_t)(uint32_t)number_at(u.header + 8), (u.header_bytes - head) / entry);

	for (size_t i = 0; i < count && !r->failed; i++) {
		const uint8_t *row = u.header + head + i * entry;
		uint64_t start = u.header_address + (uint64_t)(int64_t)number_at(row);
		uint64_t end =
		    frame_end(&u, start, u.header_address + (uint64_t)(int64_t)number_at(row + 4));

		if (end <= start)
			continue;
		struct reader_function *f = READER_ADD(r, frames);

		if (f)
			*f = (struct reader_function){.start = start, .end = end};
	}
}

/* MiniDebugInfo: an ELF file of symbols only, compressed by xz, in a section of a stripped one. */
void reader_mini(struct reader *r, Elf *elf)
{
	GElf_Shdr h;
	Elf_Scn *scn = section_named(elf, ".gnu_debugdata", &h);
	Elf_Data *data = scn ? elf_rawdata(scn, NULL) : NULL;
	uint64_t memory = MINI_MAX;
	size_t in = 0, out = 0;

	if (!data || !data->d_size)
		return;
	uint8_t *plain = malloc(MINI_MAX);

	if (!plain)
		return;
	if (lzma_stream_buffer_decode(&memory, 0, NULL, data->d_buf, &in, data->d_size, plain, &out,
				      MINI_MAX) == LZMA_OK) {
		Elf *inner = elf_memory((char *)plain, out);

		if (inner)
			reader_symbols(r, inner);
		elf_end(inner);
	}
	free(plain);
}

bool reader_has_dwarf(Elf *elf)
{
	GElf_Shdr h;

	if (section_named(elf, ".debug_info", &h) || section_named(elf, ".zdebug_info", &h))
		return h.sh_type != SHT_NOBITS && h.sh_size;
	return false;
}
