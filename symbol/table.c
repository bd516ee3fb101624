/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "symbol/format.h"
#include "symbol/symbol.h"

/* Where in a sorted part to look: the first item of each of equal stretches of addresses.  A search
 * over a large part misses the cache at every step; this leaves two or three steps of it. */
struct index {
	uint64_t base;
	unsigned shift;
	uint32_t *first; /* stretches + 1 */
	size_t stretches;
};

struct symbol_table {
	const struct symbol_header *header;
	const struct symbol_segment *segments;
	const struct symbol_function *functions;
	const struct symbol_line *lines;
	const struct symbol_scope *scopes;
	const struct symbol_inline *inlines;
	const char *strings;
	size_t len;
	struct index of_functions, of_lines, of_scopes;
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
	t->functions =
	    t->segments ? part_take(&bytes, &len, h->functions_count, sizeof(*t->functions)) : NULL;
	t->lines = t->functions ? part_take(&bytes, &len, h->lines_count, sizeof(*t->lines)) : NULL;
	t->scopes = t->lines ? part_take(&bytes, &len, h->scopes_count, sizeof(*t->scopes)) : NULL;
	t->inlines =
	    t->scopes ? part_take(&bytes, &len, h->inlines_count, sizeof(*t->inlines)) : NULL;
	t->strings = bytes;
	if (!t->inlines || h->strings_bytes != len)
		return "its parts do not fill it";
	/* With a NUL at the end every offset inside begins a string. */
	if (!len || t->strings[0] || t->strings[len - 1])
		return "its strings do not end";
	return order_wrong(t);
}

static uint64_t key_at(const void *items, size_t item_bytes, size_t at)
{
	uint64_t key;

	memcpy(&key, (const char *)items + at * item_bytes, sizeof(key));
	return key;
}

/* About one stretch for two items. False without memory. */
static bool index_make(struct index *index, const void *items, size_t count, size_t item_bytes)
{
	if (!count)
		return true;
	uint64_t span = key_at(items, item_bytes, count - 1) - key_at(items, item_bytes, 0);
	size_t at = 0;

	index->base = key_at(items, item_bytes, 0);
	while (span >> index->shift > count / 2)
		index->shift++;
	index->stretches = (size_t)(span >> index->shift) + 1;
	index->first = malloc((index->stretches + 1) * sizeof(*index->first));
	if (!index->first)
		return false;
	for (size_t i = 0; i < index->stretches; i++) {
		while (at < count &&
		       (key_at(items, item_bytes, at) - index->base) >> index->shift < i)
			at++;
		index->first[i] = (uint32_t)at;
	}
	index->first[index->stretches] = (uint32_t)count;
	return true;
}

static bool indexes_make(struct symbol_table *t)
{
	const struct symbol_header *h = t->header;

	return index_make(&t->of_functions, t->functions, h->functions_count,
			  sizeof(*t->functions)) &&
	       index_make(&t->of_lines, t->lines, h->lines_count, sizeof(*t->lines)) &&
	       index_make(&t->of_scopes, t->scopes, h->scopes_count, sizeof(*t->scopes));
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
	if (!indexes_make(t)) {
		symbol_table_close(t);
		return err_set(err, -ENOMEM, "symbol table: out of memory");
	}
	*ret_table = t;
	return 0;
}

void symbol_table_close(struct symbol_table *t)
{
	if (!t)
		return;
	free(t->of_functions.first);
	free(t->of_lines.first);
	free(t->of_scopes.first);
	free(t->copy);
	free(t);
}

static const char *text(const struct symbol_table *t, uint32_t string)
{
	return string && string < t->header->strings_bytes ? t->strings + string : NULL;
}

/* The last of the sorted items whose first field, a uint64_t, is not above `key`; or -1. */
static int64_t last_not_above(const struct index *index, const void *items, size_t item_bytes,
			      uint64_t key)
{
	if (!index->stretches || key < index->base)
		return -1;
	uint64_t stretch = (key - index->base) >> index->shift;

	if (stretch >= index->stretches)
		stretch = index->stretches - 1;
	size_t from = index->first[stretch], until = index->first[stretch + 1];

	/* The answer is in this stretch, or is the last item before it. */
	while (from < until) {
		size_t middle = from + (until - from) / 2;

		if (key_at(items, item_bytes, middle) <= key)
			from = middle + 1;
		else
			until = middle;
	}
	return (int64_t)from - 1;
}

static void line_find(const struct symbol_table *t, uint64_t address, struct symbol_frame *frame)
{
	int64_t at = last_not_above(&t->of_lines, t->lines, sizeof(*t->lines), address);

	if (at < 0 || !t->lines[at].file)
		return;
	frame->file = text(t, t->lines[at].file);
	frame->line = t->lines[at].line;
}

size_t symbol_table_find(const struct symbol_table *t, uint64_t address,
			 struct symbol_frame frames[SYMBOL_INLINES_MAX])
{
	int64_t at = last_not_above(&t->of_functions, t->functions, sizeof(*t->functions), address);

	if (at < 0 || address >= t->functions[at].end)
		return 0;
	const struct symbol_function *function = &t->functions[at];
	struct symbol_frame frame = {0};
	size_t count = 0;

	line_find(t, address, &frame);
	at = last_not_above(&t->of_scopes, t->scopes, sizeof(*t->scopes), address);
	/* Each frame's position is where the one inside it was called; the last place is kept for
	 * the real function. */
	for (uint32_t i = at < 0 ? 0 : t->scopes[at].inlined; i; i = t->inlines[i].parent) {
		const struct symbol_inline *inlined = &t->inlines[i];

		frame.function = text(t, inlined->name);
		frame.start_line = inlined->start_line;
		if (count < SYMBOL_INLINES_MAX - 1)
			frames[count++] = frame;
		frame = (struct symbol_frame){.file = text(t, inlined->call_file),
					      .line = inlined->call_line};
	}
	frame.function = text(t, function->name);
	frame.start_line = function->start_line;
	frame.inside = address - function->start;
	if (!frame.file)
		frame.file = text(t, function->file);
	frames[count++] = frame;
	return count;
}

const char *symbol_table_object(const struct symbol_table *t, uint64_t address,
				uint64_t *ret_offset)
{
	int64_t at = last_not_above(&t->of_functions, t->functions, sizeof(*t->functions), address);

	if (at < 0 || address >= t->functions[at].end)
		return NULL;
	*ret_offset = address - t->functions[at].start;
	return text(t, t->functions[at].name);
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
