/* SPDX-License-Identifier: Apache-2.0 */
#include "client/record.h"

#include "client/cursor.h"

/* DW_EH_PE_*: how a pointer is written. */
enum {
	PE_ABSPTR = 0,
	PE_ULEB128 = 1,
	PE_UDATA2 = 2,
	PE_UDATA4 = 3,
	PE_UDATA8 = 4,
	PE_SLEB128 = 9,
	PE_SDATA2 = 10,
	PE_SDATA4 = 11,
	PE_SDATA8 = 12,
	PE_FORMAT = 0x0f,
	PE_PCREL = 0x10,
	PE_DATAREL = 0x30,
	PE_RELATIVE = 0x70,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff
};

uint64_t record_pointer(struct cursor *c, uint8_t encoding, uint64_t header)
{
	uint64_t at = c->at, v;

	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		v = cursor_unsigned(c, 8);
		break;
	case PE_ULEB128:
		v = cursor_uleb(c);
		break;
	case PE_SLEB128:
		v = (uint64_t)cursor_sleb(c);
		break;
	case PE_UDATA2:
		v = cursor_unsigned(c, 2);
		break;
	case PE_UDATA4:
		v = cursor_unsigned(c, 4);
		break;
	case PE_SDATA2:
		v = cursor_signed(c, 2);
		break;
	case PE_SDATA4:
		v = cursor_signed(c, 4);
		break;
	default:
		c->bad = true;
		return 0;
	}
	switch (encoding & PE_RELATIVE) {
	case 0:
		return v;
	case PE_PCREL:
		return v + at;
	case PE_DATAREL:
		return v + header;
	default:
		c->bad = true;
		return 0;
	}
}

/* The last entry of the sorted table whose function starts at or below pc; 0 when there is none. */
static uint64_t table_search(const struct cfi_section *s, uint64_t table, uint64_t count,
			     uint64_t pc)
{
	uint64_t low = 0, high = count, bias = s->header;
	const unsigned char *p = (const unsigned char *)(uintptr_t)(table + s->memory.shift);
	int32_t entry[2];

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		__builtin_memcpy(entry, p + middle * sizeof(entry), sizeof(entry));
		if (bias + (uint64_t)(int64_t)entry[0] <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return 0;
	__builtin_memcpy(entry, p + (low - 1) * sizeof(entry), sizeof(entry));
	return bias + (uint64_t)(int64_t)entry[1];
}

/*
 * .eh_frame_hdr: u8 version (1), u8 encodings of the three that follow: pointer to .eh_frame,
 * number of entries, then the entries, sorted: (function start, FDE).  All linkers write entries as
 * DW_EH_PE_datarel | DW_EH_PE_sdata4; nothing else can be searched.
 */
static enum cfi_status find_fde(const struct cfi_section *s, uint64_t pc, uint64_t *ret_fde)
{
	struct cursor c = cursor_at(&s->memory, s->header);
	uint8_t version = cursor_u8(&c), frame = cursor_u8(&c), counted = cursor_u8(&c),
		entries = cursor_u8(&c);
	uint64_t count;

	if (!s->header || c.bad || version != 1 || counted == PE_OMIT ||
	    entries != (PE_DATAREL | PE_SDATA4))
		return CFI_NONE;
	if (frame != PE_OMIT)
		(void)record_pointer(&c, frame, s->header);
	count = record_pointer(&c, counted, s->header);
	if (c.bad || count > (c.end - c.at) / 8)
		return CFI_BAD;
	*ret_fde = table_search(s, c.at, count, pc);
	return *ret_fde ? CFI_OK : CFI_NONE;
}

/* A record's length; the cursor is left to end where the record ends. */
static bool enter_record(struct cursor *c)
{
	uint64_t length = cursor_unsigned(c, 4);

	/* 0 ends the section; 0xffffffff would be the 64-bit form, which nobody writes. */
	if (c->bad || length < 4 || length == 0xffffffff || length > c->end - c->at)
		return false;
	c->end = c->at + length;
	return true;
}

static bool read_augmentation(struct cursor *c, const char *letters, unsigned count,
			      struct cie *cie)
{
	uint64_t length, end;

	if (count == 0)
		return true;
	if (letters[0] != 'z')
		return false;
	cie->augmented = true;
	length = cursor_uleb(c);
	if (c->bad || length > c->end - c->at)
		return false;
	end = c->at + length;
	for (unsigned i = 1; i < count; i++) {
		uint8_t encoding;

		switch (letters[i]) {
		case 'R':
			cie->encoding = cursor_u8(c);
			break;
		case 'L':
			(void)cursor_u8(c);
			break;
		case 'P':
			encoding = cursor_u8(c);
			(void)record_pointer(c, encoding & PE_FORMAT, 0);
			break;
		case 'S':
			cie->signal_frame = true;
			break;
		case 'B': /* aarch64: signed with the B key */
		case 'G': /* aarch64: memory tagging */
			break;
		default: /* the length says where it ends, but not what it would change */
			return false;
		}
	}
	c->at = end;
	return !c->bad;
}

static enum cfi_status read_cie(const struct cfi_section *s, uint64_t at, struct cie *ret)
{
	struct cursor c = cursor_at(&s->memory, at);
	char letters[8];
	unsigned count = 0;
	uint8_t version, letter;

	if (!enter_record(&c) || cursor_unsigned(&c, 4) != 0)
		return CFI_BAD;
	version = cursor_u8(&c);
	if (version != 1 && version != 3)
		return CFI_BAD;
	while ((letter = cursor_u8(&c)) != 0) {
		if (count == sizeof(letters))
			return CFI_BAD;
		letters[count++] = (char)letter;
	}
	*ret = (struct cie){.end = c.end};
	ret->code_align = cursor_uleb(&c);
	ret->data_align = cursor_sleb(&c);
	ret->return_register = version == 1 ? cursor_u8(&c) : cursor_uleb(&c);
	if (!read_augmentation(&c, letters, count, ret) || ret->return_register >= ARCH_REGS)
		return CFI_BAD;
	ret->instructions = c.at;
	return c.bad ? CFI_BAD : CFI_OK;
}

static enum cfi_status read_fde(const struct cfi_section *s, uint64_t at, struct cie *ret_cie,
				struct fde *ret)
{
	struct cursor c = cursor_at(&s->memory, at);
	uint64_t field, back;
	enum cfi_status status;

	if (!enter_record(&c))
		return CFI_BAD;
	field = c.at;
	back = cursor_unsigned(&c, 4);
	if (back == 0 || back > field - s->memory.lo)
		return CFI_BAD;
	status = read_cie(s, field - back, ret_cie);
	if (status != CFI_OK)
		return status;
	if (ret_cie->encoding & PE_INDIRECT)
		return CFI_BAD;
	ret->start = record_pointer(&c, ret_cie->encoding, s->header);
	ret->size = record_pointer(&c, ret_cie->encoding & PE_FORMAT, 0);
	if (ret_cie->augmented)
		cursor_skip(&c, cursor_uleb(&c));
	ret->instructions = c.at;
	ret->end = c.end;
	return c.bad ? CFI_BAD : CFI_OK;
}

enum cfi_status record_find(const struct cfi_section *section, uint64_t pc, struct cie *ret_cie,
			    struct fde *ret_fde)
{
	uint64_t at;
	enum cfi_status status = find_fde(section, pc, &at);

	if (status == CFI_OK)
		status = read_fde(section, at, ret_cie, ret_fde);
	if (status == CFI_OK && pc - ret_fde->start >= ret_fde->size)
		return CFI_NONE;
	return status;
}
