/* SPDX-License-Identifier: Apache-2.0 */
#include <dwarf.h>
#include <errno.h>

#include "symbol/reader.h"

#define DIE_DEPTH_MAX 128 /* of nesting; what is deeper is left out */

struct unit {
	struct reader *r;
	Dwarf_Die die;
	Dwarf_Files *files;
	size_t files_count;
};

static const char *unit_file(const struct unit *u, uint64_t index)
{
	return u->files && index < u->files_count ? dwarf_filesrc(u->files, index, NULL, NULL)
						  : NULL;
}

static void unit_lines(struct unit *u)
{
	Dwarf_Lines *lines;
	size_t count;
	const char *last = NULL;
	uint32_t last_id = 0;

	if (dwarf_getsrclines(&u->die, &lines, &count) != 0)
		return;
	for (size_t i = 0; i < count && !u->r->failed; i++) {
		Dwarf_Line *line = dwarf_onesrcline(lines, i);
		struct symbol_line row = {0};
		Dwarf_Addr address;
		bool end = false;
		int number = 0;

		if (!line || dwarf_lineaddr(line, &address) != 0)
			continue;
		(void)dwarf_lineendsequence(line, &end);
		row.address = address;
		if (!end) {
			const char *file = dwarf_linesrc(line, NULL, NULL);

			/* Neighbours are nearly always of one file, whose name is one pointer. */
			if (file != last)
				last_id = reader_text(u->r, file);
			last = file;
			(void)dwarf_lineno(line, &number);
			row.file = last_id;
			row.line = number > 0 ? (uint32_t)number : 0;
		}
		struct symbol_line *to = READER_ADD(u->r, lines);

		if (to)
			*to = row;
	}
}

static uint32_t die_name(struct reader *r, Dwarf_Die *die)
{
	static const unsigned attributes[] = {DW_AT_linkage_name, DW_AT_MIPS_linkage_name,
					      DW_AT_name};

	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		Dwarf_Attribute attribute;
		const char *name =
		    dwarf_formstring(dwarf_attr_integrate(die, attributes[i], &attribute));

		if (name && *name)
			return reader_name(r, name);
	}
	return 0;
}

static uint32_t die_number(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (dwarf_formudata(dwarf_attr_integrate(die, name, &attribute), &value) != 0)
		return 0;
	return value <= UINT32_MAX ? (uint32_t)value : 0;
}

static void add_subprogram(struct unit *u, Dwarf_Die *die)
{
	struct reader *r = u->r;
	Dwarf_Addr base = 0, start, end;
	ptrdiff_t at = 0;
	uint32_t name = 0, line = 0, file = 0;

	while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0 && !r->failed) {
		if (start >= end || !start)
			continue;
		if (!name) {
			name = die_name(r, die);
			line = die_number(die, DW_AT_decl_line);
			file = reader_text(r, dwarf_decl_file(die));
		}
		struct reader_function *f = name ? READER_ADD(r, subprograms) : NULL;

		if (f)
			*f = (struct reader_function){start, end, name, file, line, 0};
	}
}

/* Returns the new inlined function's place, or that of the one around it without a range. */
static uint32_t add_inline(struct unit *u, Dwarf_Die *die, uint32_t parent, uint32_t depth)
{
	struct reader *r = u->r;
	uint32_t place = (uint32_t)r->inlines_count;
	Dwarf_Addr base = 0, start, end;
	ptrdiff_t at = 0;
	bool any = false;

	while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0 && !r->failed) {
		if (start >= end || !start)
			continue;
		struct reader_range *range = READER_ADD(r, ranges);

		if (range)
			*range = (struct reader_range){start, end, place, depth};
		any = true;
	}
	if (!any || r->failed)
		return parent;
	struct symbol_inline made = {
	    .parent = parent,
	    .name = die_name(r, die),
	    .start_line = die_number(die, DW_AT_decl_line),
	    .call_file = reader_text(r, unit_file(u, die_number(die, DW_AT_call_file))),
	    .call_line = die_number(die, DW_AT_call_line),
	};
	struct symbol_inline *to = READER_ADD(r, inlines);

	if (to)
		*to = made;
	return place;
}

static bool has_code_below(int tag)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_lexical_block:
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
		return true;
	}
	return false;
}

/* The tree below a unit, without recursion: a hostile file may nest as deep as it likes. */
static void unit_functions(struct unit *u)
{
	struct {
		Dwarf_Die die;
		uint32_t inlined, depth;
	} open[DIE_DEPTH_MAX];
	size_t depth = 0;

	if (dwarf_child(&u->die, &open[0].die) != 0)
		return;
	open[0].inlined = open[0].depth = 0;
	for (;;) {
		Dwarf_Die *die = &open[depth].die;
		int tag = dwarf_tag(die);
		uint32_t inlined = open[depth].inlined, inlines = open[depth].depth;

		if (tag == DW_TAG_subprogram) {
			add_subprogram(u, die);
			inlined = inlines = 0;
		} else if (tag == DW_TAG_inlined_subroutine) {
			inlined = add_inline(u, die, inlined, ++inlines);
		}
		if (u->r->failed)
			return;
		if (has_code_below(tag) && depth + 1 < DIE_DEPTH_MAX &&
		    dwarf_child(die, &open[depth + 1].die) == 0) {
			open[++depth].inlined = inlined;
			open[depth].depth = inlines;
			continue;
		}
		while (dwarf_siblingof(&open[depth].die, &open[depth].die) != 0)
			if (!depth--)
				return;
	}
}

void reader_dwarf(struct reader *r, Elf *elf, Elf *alt)
{
	Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	Dwarf *common = alt ? dwarf_begin_elf(alt, DWARF_C_READ, NULL) : NULL;
	Dwarf_Off at = 0, next;
	size_t header;

	if (!dwarf || (alt && !common)) {
		(void)dwarf_end(dwarf);
		(void)dwarf_end(common);
		return;
	}
	if (common)
		dwarf_setalt(dwarf, common);
	while (!r->failed && dwarf_nextcu(dwarf, at, &next, &header, NULL, NULL, NULL) == 0 &&
	       next > at) {
		struct unit u = {.r = r};

		if (dwarf_offdie(dwarf, at + header, &u.die)) {
			if (dwarf_getsrcfiles(&u.die, &u.files, &u.files_count) != 0)
				u.files = NULL;
			unit_lines(&u);
			unit_functions(&u);
		}
		at = next;
	}
	r->flags |= SYMBOL_HAS_DWARF;
	(void)dwarf_end(dwarf);
	(void)dwarf_end(common);
}
