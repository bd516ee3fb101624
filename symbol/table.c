/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "symbol/format.h"
#include "symbol/symbol.h"

struct symbol_table {
	const struct symbol_header *header;
	const struct symbol_segment *segments;
	const struct symbol_function *functions;
	const struct symbol_line *lines;
	const struct symbol_scope *scopes;
	const struct symbol_inline *inlines;
	const char *strings;
	size_t len;
	void *copy; /* when the caller's bytes are not aligned */
};

/* The next part of `count` items, or NULL when it does not fit into what is left. */
static const void *part_take(const char **at, size_t *left, uint64_t count, size_t item_bytes)
{
	const void *part = *at;

	if (count > *left / item_bytes)
		return NULL;
	size_t bytes = (size_t)count * item_bytes, padded = (bytes + 7) & ~(size_t)7;

	if (padded > *left)
		return NULL;
	*at += padded;
	*left -= padded;
	return part;
}

/* Order is what searching relies on; a parent below its child is what walking up relies on. */
static const char *order_wrong(const struct symbol_table *t)
{
	const struct symbol_header *h = t->header;

	for (uint32_t i = 0; i < h->functions_count; i++)
		if (t->functions[i].end < t->functions[i].start ||
		    (i && t->functions[i].start < t->functions[i - 1].end))
			return "functions are out of order";
	for (uint32_t i = 1; i < h->lines_count; i++)
		if (t->lines[i].address < t->lines[i - 1].address)
			return "lines are out of order";
	for (uint32_t i = 0; i < h->scopes_count; i++)
		if (t->scopes[i].inlined >= h->inlines_count ||
		    (i && t->scopes[i].start < t->scopes[i - 1].start))
			return "scopes are out of order";
	for (uint32_t i = 0; i < h->inlines_count; i++)
		if (i && t->inlines[i].parent >= i)
			return "an inlined function stands before its parent";
	return NULL;
}

static const char *parts_wrong(struct symbol_table *t, const char *bytes, size_t len)
{
	const struct symbol_header *h = part_take(&bytes, &len, 1, sizeof(*h));

	if (!h || h->magic != SYMBOL_MAGIC || h->flags & ~(uint32_t)SYMBOL_FLAGS)
		return "not a symbol table";
	t->header = h;
	t->segments = part_take(&bytes, &len, h->segments_count, sizeof(*t->segments));
	t->functions = t->segments ? part_take(&bytes, &len, h->functions_count,
					       sizeof(*t->functions)) : NULL;
	t->lines = t->functions ? part_take(&bytes, &len, h->lines_count, sizeof(*t->lines)) : NULL;
	t->scopes = t->lines ? part_take(&bytes, &len, h->scopes_count, sizeof(*t->scopes)) : NULL;
	t->inlines = t->scopes ? part_take(&bytes, &len, h->inlines_count, sizeof(*t->inlines)) :
				 NULL;
	t->strings = bytes;
	if (!t->inlines || h->strings_bytes != len)
		return "its parts do not fill it";
	/* With a NUL at the end every offset inside begins a string. */
	if (!len || t->strings[0] || t->strings[len - 1])
		return "its strings do not end";
	return order_wrong(t);
}

int symbol_table_open(const void *bytes, size_t len, struct symbol_table **ret_table,
		      struct err *err)
{
	struct symbol_table *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, -ENOMEM, "symbol table: out of memory");
	if ((uintptr_t)bytes % 8 && len) {
		t->copy = malloc(len);
		if (!t->copy) {
			free(t);
			return err_set(err, -ENOMEM, "symbol table: out of memory");
		}
		bytes = memcpy(t->copy, bytes, len);
	}
	t->len = len;
	const char *wrong = parts_wrong(t, bytes, len);

	if (wrong) {
		symbol_table_close(t);
		return err_set(err, -EINVAL, "symbol table: %s", wrong);
	}
	*ret_table = t;
	return 0;
}

void symbol_table_close(struct symbol_table *t)
{
	if (!t)
		return;
	free(t->copy);
	free(t);
}

static const char *text(const struct symbol_table *t, uint32_t string)
{
	return string && string < t->header->strings_bytes ? t->strings + string : NULL;
}

/* The last of `count` sorted items whose first field, a uint64_t, is not above `key`; or -1.
 * Without a branch that depends on the data: half of them would be mispredicted. */
static int64_t last_not_above(const void *items, size_t count, size_t item_bytes, uint64_t key)
{
	const char *base = items;
	uint64_t value;

	if (!count)
		return -1;
	for (size_t n = count; n > 1;) {
		size_t half = n / 2;

		memcpy(&value, base + half * item_bytes, sizeof(value));
		base = value <= key ? base + half * item_bytes : base;
		n -= half;
	}
	memcpy(&value, base, sizeof(value));
	return value <= key ? (base - (const char *)items) / (ptrdiff_t)item_bytes : -1;
}

static void line_find(const struct symbol_table *t, uint64_t address, struct symbol_frame *frame)
{
	int64_t at = last_not_above(t->lines, t->header->lines_count, sizeof(*t->lines), address);

	if (at < 0 || !t->lines[at].file)
		return;
	frame->file = text(t, t->lines[at].file);
	frame->line = t->lines[at].line;
}

size_t symbol_table_find(const struct symbol_table *t, uint64_t address,
			 struct symbol_frame frames[SYMBOL_INLINES_MAX])
{
	int64_t at = last_not_above(t->functions, t->header->functions_count,
				    sizeof(*t->functions), address);

	if (at < 0 || address >= t->functions[at].end)
		return 0;
	const struct symbol_function *function = &t->functions[at];
	struct symbol_frame frame = { 0 };
	size_t count = 0;

	line_find(t, address, &frame);
	at = last_not_above(t->scopes, t->header->scopes_count, sizeof(*t->scopes), address);
	/* Each frame's position is where the one inside it was called; the last place is kept for
	 * the real function. */
	for (uint32_t i = at < 0 ? 0 : t->scopes[at].inlined; i; i = t->inlines[i].parent) {
		const struct symbol_inline *inlined = &t->inlines[i];

		frame.function = text(t, inlined->name);
		frame.start_line = inlined->start_line;
		if (count < SYMBOL_INLINES_MAX - 1)
			frames[count++] = frame;
		frame = (struct symbol_frame){ .file = text(t, inlined->call_file),
					       .line = inlined->call_line };
	}
	frame.function = text(t, function->name);
	frame.start_line = function->start_line;
	if (!frame.file)
		frame.file = text(t, function->file);
	frames[count++] = frame;
	return count;
}

bool symbol_table_address(const struct symbol_table *t, uint64_t file_offset, uint64_t *ret_address)
{
	for (uint32_t i = 0; i < t->header->segments_count; i++) {
		const struct symbol_segment *s = &t->segments[i];

		if (file_offset >= s->offset && file_offset - s->offset < s->size) {
			*ret_address = s->address + (file_offset - s->offset);
			return true;
		}
	}
	return false;
}

void symbol_table_stats(const struct symbol_table *t, struct symbol_table_stats *ret_stats)
{
	*ret_stats = (struct symbol_table_stats){
		.functions = t->header->functions_count,
		.lines = t->header->lines_count,
		.inlines = t->header->inlines_count ? t->header->inlines_count - 1 : 0,
		.bytes = t->len,
		.has_dwarf = t->header->flags & SYMBOL_HAS_DWARF,
		.debug_separate = t->header->flags & SYMBOL_DEBUG_SEPARATE,
	};
}
