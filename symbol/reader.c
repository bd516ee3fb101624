/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/reader.h"

#include <errno.h>
#include <string.h>

int reader_init(struct reader *r)
{
	*r = (struct reader){0};
	buf_init(&r->scratch, (size_t)1 << 20);
	int rc = intern_init(&r->strings, SYMBOL_TABLE_MAX);

	if (!rc)
		rc = intern_init(&r->mangled, SYMBOL_TABLE_MAX);
	(void)READER_ADD(r, inlines); /* place 0 is none */
	if (!rc && !r->failed)
		r->inlines[0] = (struct symbol_inline){0};
	rc = rc ? rc : r->failed;
	if (rc)
		reader_release(r);
	return rc;
}

void reader_release(struct reader *r)
{
	void *const tables[] = {r->demangled, r->segments, r->symbols, r->subprograms,
				r->frames,    r->lines,    r->ranges,  r->inlines};

	intern_release(&r->strings);
	intern_release(&r->mangled);
	buf_release(&r->scratch);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		free(tables[i]);
	*r = (struct reader){0};
}

void *reader_grow(struct reader *r, void *table, size_t item_bytes, size_t *room, size_t count)
{
	void *items;

	/* Nothing that is counted may pass what a table can hold. */
	if (!r->failed && count >= SYMBOL_TABLE_MAX / 8)
		r->failed = -E2BIG;
	if (!r->failed)
		r->failed = array_grow(table, item_bytes, room, count + 1);
	if (r->failed)
		return NULL;
	memcpy(&items, table, sizeof(items));
	return (char *)items + count * item_bytes;
}

uint32_t reader_text(struct reader *r, const char *text)
{
	uint32_t id = 0;

	if (text && !r->failed)
		r->failed = intern_put(&r->strings, text, strnlen(text, 65536), &id);
	return r->failed ? 0 : id;
}

uint32_t reader_name(struct reader *r, const char *mangled)
{
	size_t known = r->mangled.count;
	uint32_t id = 0;

	if (!mangled || r->failed)
		return 0;
	r->failed = intern_put(&r->mangled, mangled, strnlen(mangled, 65536), &id);
	if (!r->failed)
		r->failed = array_grow(&r->demangled, sizeof(*r->demangled), &r->demangled_room,
				       r->mangled.count);
	if (r->failed)
		return 0;
	if (id < known)
		return id ? r->demangled[id] : 0;
	buf_clear(&r->scratch);
	(void)symbol_demangle(mangled, &r->scratch);
	const char *plain = buf_cstr(&r->scratch);

	return r->demangled[id] = reader_text(r, plain ? plain : mangled);
}

/* ---- functions ---- */

static int compare_functions(const void *a, const void *b)
{
	const struct reader_function *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->rank == y->rank ? 0 : x->rank > y->rank ? -1 : 1;
}

/* Sort, keep one at each address, and cut what reaches into the next. */
static size_t functions_settle(struct reader_function *f, size_t count)
{
	size_t kept = 0;

	if (count)
		qsort(f, count, sizeof(*f), compare_functions);
	for (size_t i = 0; i < count; i++)
		if (!kept || f[i].start != f[kept - 1].start)
			f[kept++] = f[i];
	for (size_t i = 0; i < kept; i++) {
		bool last = i + 1 == kept;

		if (!f[i].end || f[i].end < f[i].start)
			f[i].end = last ? f[i].start + 1 : f[i + 1].start;
		if (!last && f[i].end > f[i + 1].start)
			f[i].end = f[i + 1].start;
	}
	return kept;
}

/* The furthest end of what begins at `start` or before; `*at` goes on from call to call. */
static uint64_t reach(const struct reader_function *f, size_t count, uint64_t start, size_t *at,
		      uint64_t *furthest)
{
	for (; *at < count && f[*at].start <= start; ++*at)
		if (f[*at].end > *furthest)
			*furthest = f[*at].end;
	return *furthest;
}

/* What no name is known of is still one function: add it among the symbols, without a name. */
static void frames_add(struct reader *r)
{
	size_t symbols = r->symbols_count, i = 0, k = 0;
	uint64_t symbols_end = 0, subprograms_end = 0;

	if (symbols)
		qsort(r->symbols, symbols, sizeof(*r->symbols), compare_functions);
	if (r->subprograms_count)
		qsort(r->subprograms, r->subprograms_count, sizeof(*r->subprograms),
		      compare_functions);
	if (r->frames_count)
		qsort(r->frames, r->frames_count, sizeof(*r->frames), compare_functions);
	for (size_t n = 0; n < r->frames_count && !r->failed; n++) {
		uint64_t start = r->frames[n].start;

		if (reach(r->symbols, symbols, start, &i, &symbols_end) > start ||
		    reach(r->subprograms, r->subprograms_count, start, &k, &subprograms_end) >
			start)
			continue;
		struct reader_function *f = READER_ADD(r, symbols);

		if (f)
			*f = r->frames[n];
	}
}

static void put_function(struct buf *to, const struct reader_function *f, uint64_t start,
			 uint64_t end, uint32_t *count)
{
	struct symbol_function out = {.start = start,
				      .end = end,
				      .name = f->name,
				      .file = f->file,
				      .start_line = f->start_line};

	if (start >= end)
		return;
	(void)buf_add(to, &out, sizeof(out));
	++*count;
}

/* Debug information knows a function's name best (no ".cold", no ".isra.0"); symbols fill the gaps.
 */
static void put_functions(struct reader *r, struct buf *to, uint32_t *count)
{
	frames_add(r);
	if (r->failed)
		return;

	size_t symbols = functions_settle(r->symbols, r->symbols_count), k = 0;
	size_t subprograms = functions_settle(r->subprograms, r->subprograms_count);

	for (size_t i = 0; i < symbols; i++) {
		const struct reader_function *s = &r->symbols[i];
		uint64_t at = s->start;

		for (; k < subprograms && r->subprograms[k].start < s->end; k++) {
			const struct reader_function *d = &r->subprograms[k];

			put_function(to, s, at, MIN(d->start, s->end), count);
			put_function(to, d, d->start, d->end, count);
			at = MAX(at, d->end);
		}
		/* One that began before this symbol may reach into it. */
		if (k && r->subprograms[k - 1].end > at)
			at = r->subprograms[k - 1].end;
		put_function(to, s, at, s->end, count);
	}
	for (; k < subprograms; k++)
		put_function(to, &r->subprograms[k], r->subprograms[k].start, r->subprograms[k].end,
			     count);
}

/* ---- lines ---- */

struct sorted_line {
	struct symbol_line line;
	size_t order;
};

static int compare_lines(const void *a, const void *b)
{
	const struct sorted_line *x = a, *y = b;

	if (x->line.address != y->line.address)
		return x->line.address < y->line.address ? -1 : 1;
	/* An end of one sequence comes before the beginning of the next at the same address. */
	if (!x->line.file != !y->line.file)
		return x->line.file ? 1 : -1;
	return x->order < y->order ? -1 : 1;
}

static void lines_sort(struct reader *r)
{
	bool sorted = true;

	for (size_t i = 1; i < r->lines_count && sorted; i++)
		sorted = r->lines[i].address > r->lines[i - 1].address ||
			 (r->lines[i].address == r->lines[i - 1].address && r->lines[i].file);
	if (sorted)
		return;
	struct sorted_line *all = malloc(r->lines_count * sizeof(*all));

	if (!all) {
		r->failed = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < r->lines_count; i++)
		all[i] = (struct sorted_line){r->lines[i], i};
	qsort(all, r->lines_count, sizeof(*all), compare_lines);
	for (size_t i = 0; i < r->lines_count; i++)
		r->lines[i] = all[i].line;
	free(all);
}

/* Of rows at one address the last counts; a row that says what the one before says is left out. */
static void put_lines(struct reader *r, struct buf *to, uint32_t *count)
{
	struct symbol_line last = {0};

	lines_sort(r);
	for (size_t i = 0; i < r->lines_count && !r->failed; i++) {
		const struct symbol_line *line = &r->lines[i];

		if (i + 1 < r->lines_count && line[1].address == line->address)
			continue;
		if (line->file == last.file && line->line == last.line)
			continue;
		last = *line;
		(void)buf_add(to, line, sizeof(*line));
		++*count;
	}
}

/* ---- inlined functions ---- */

static int compare_ranges(const void *a, const void *b)
{
	const struct reader_range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return x->end == y->end ? 0 : x->end > y->end ? -1 : 1;
}

static void put_scope(struct buf *to, uint64_t start, uint32_t inlined, uint32_t *count)
{
	struct symbol_scope scope = {.start = start, .inlined = inlined};

	(void)buf_add(to, &scope, sizeof(scope));
	++*count;
}

#define DEPTH_MAX 256

/* Nested ranges become a row of scopes: where one ends the one around it goes on. */
static void put_scopes(struct reader *r, struct buf *to, uint32_t *count)
{
	struct reader_range open[DEPTH_MAX];
	size_t depth = 0;

	if (r->ranges_count)
		qsort(r->ranges, r->ranges_count, sizeof(*r->ranges), compare_ranges);
	for (size_t i = 0; i <= r->ranges_count; i++) {
		uint64_t start = i < r->ranges_count ? r->ranges[i].start : UINT64_MAX;

		while (depth && open[depth - 1].end <= start) {
			uint64_t end = open[--depth].end;

			put_scope(to, end, depth ? open[depth - 1].inlined : 0, count);
		}
		if (i == r->ranges_count || depth == DEPTH_MAX)
			continue;
		open[depth] = r->ranges[i];
		if (depth && open[depth].end > open[depth - 1].end)
			open[depth].end = open[depth - 1].end;
		put_scope(to, start, open[depth++].inlined, count);
	}
}

/* ---- the whole ---- */

static void pad(struct buf *to)
{
	while (!to->failed && to->len % 8)
		(void)buf_add_byte(to, 0);
}

/* Strings are numbers until now: their places are known when all are written. */
static uint32_t *put_strings(struct reader *r, struct buf *to)
{
	uint32_t *places = calloc(r->strings.count + 1, sizeof(*places));

	for (uint32_t i = 0; places && i < r->strings.count; i++) {
		struct str text = intern_get(&r->strings, i);

		places[i] = (uint32_t)to->len;
		(void)buf_add(to, text.ptr, text.len);
		(void)buf_add_byte(to, 0);
	}
	/* What is padding here is the end of the last string there. */
	pad(to);
	return places;
}

static void renumber(char *part, size_t count, size_t item_bytes, size_t field,
		     const uint32_t *places)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t number;

		memcpy(&number, part + i * item_bytes + field, sizeof(number));
		memcpy(part + i * item_bytes + field, &places[number], sizeof(number));
	}
}

#define RENUMBER(part, count, type, field)                                                         \
	renumber(part, count, sizeof(struct type), offsetof(struct type, field), places)

int reader_finish(struct reader *r, struct buf *to)
{
	struct symbol_header h = {.magic = SYMBOL_MAGIC,
				  .flags = r->flags,
				  .segments_count = (uint32_t)r->segments_count,
				  .inlines_count = (uint32_t)r->inlines_count};
	struct buf strings;
	size_t functions, lines, inlines;

	if (r->failed)
		return r->failed;
	(void)buf_add(to, &h, sizeof(h));
	(void)buf_add(to, r->segments, r->segments_count * sizeof(*r->segments));
	functions = to->len;
	put_functions(r, to, &h.functions_count);
	lines = to->len;
	put_lines(r, to, &h.lines_count);
	put_scopes(r, to, &h.scopes_count);
	inlines = to->len;
	(void)buf_add(to, r->inlines, r->inlines_count * sizeof(*r->inlines));
	pad(to);
	buf_init(&strings, SYMBOL_TABLE_MAX);
	uint32_t *places = put_strings(r, &strings);

	h.strings_bytes = strings.len;
	(void)buf_add(to, strings.data, strings.len);
	if (!places || strings.failed || to->failed || r->failed) {
		int rc = r->failed ? r->failed : to->failed ? to->failed : strings.failed;

		free(places);
		buf_release(&strings);
		return rc ? rc : -ENOMEM;
	}
	memcpy(to->data, &h, sizeof(h));
	RENUMBER(to->data + functions, h.functions_count, symbol_function, name);
	RENUMBER(to->data + functions, h.functions_count, symbol_function, file);
	RENUMBER(to->data + lines, h.lines_count, symbol_line, file);
	RENUMBER(to->data + inlines, h.inlines_count, symbol_inline, name);
	RENUMBER(to->data + inlines, h.inlines_count, symbol_inline, call_file);
	free(places);
	buf_release(&strings);
	return 0;
}
