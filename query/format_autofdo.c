/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sample profile as clang reads it (-fprofile-sample-use): samples by function and by line,
 * counted from the line where the function begins.
 *
 *	function:samples:calls
 *	 offset: samples
 *
 * Samples are charged to the function that they were in, inlined or not, and calls are not counted
 * (0): a sampled stack says neither how often a call was made nor which copy of an inlined function
 * ran.  A function without a start line, or lines that stand before it, have no offset and are left
 * out, as the format has no place to say so.  Names are as the store has them, which for C++ is
 * without linkage.  Source: llvm.org, "Sample Profile Format"; llvm/ProfileData/SampleProf.h
 * (offsets have 16 bits).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/rows.h"

#define OFFSET_MAX 0xffff

struct entry {
	const struct view_row *row;
	uint32_t offset;
	uint64_t function_samples; /* of all entries of this function */
};

/* A name that would not stay on its line, or would look like a body line. */
static bool is_name(struct str name)
{
	if (!name.len || name.ptr[0] == ' ' || name.ptr[0] == '[')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
			return false;
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->row->name.ptr, y->row->name.ptr);

	if (order)
		return order;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_samples(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->function_samples != y->function_samples)
		return x->function_samples < y->function_samples ? 1 : -1;
	return by_name(a, b);
}

/* Rows are keys in order behind the root: the start line is the key's. */
static size_t collect(const struct view_rows *rows, const struct query_tree *tree,
		      struct entry *entries)
{
	size_t count = 0;

	for (size_t i = 1; i < tree->keys_count; i++) {
		const struct query_key *key = &tree->keys[i];
		const struct view_row *row = &rows->rows[rows->row_of[i]];

		if (!row->samples || !key->start_line || key->line < key->start_line ||
		    key->line - key->start_line > OFFSET_MAX || !is_name(row->name))
			continue;
		entries[count++] =
		    (struct entry){.row = row, .offset = key->line - key->start_line};
	}
	return count;
}

static void functions_sum(struct entry *entries, size_t count)
{
	for (size_t i = 0, j; i < count; i = j) {
		uint64_t samples = 0;

		for (j = i;
		     j < count && !strcmp(entries[j].row->name.ptr, entries[i].row->name.ptr); j++)
			samples += entries[j].row->samples;
		for (size_t k = i; k < j; k++)
			entries[k].function_samples = samples;
	}
}

static void entries_write(const struct entry *entries, size_t count, struct buf *out)
{
	for (size_t i = 0, j; i < count; i = j) {
		const char *name = entries[i].row->name.ptr;

		(void)buf_printf(out, "%s:%llu:0\n", name,
				 (unsigned long long)entries[i].function_samples);
		for (j = i; j < count && !strcmp(entries[j].row->name.ptr, name);) {
			uint32_t offset = entries[j].offset;
			uint64_t samples = 0;

			/* One name may stand in two libraries. */
			for (; j < count && entries[j].offset == offset &&
			       !strcmp(entries[j].row->name.ptr, name);
			     j++)
				samples += entries[j].row->samples;
			(void)buf_printf(out, " %u: %llu\n", offset, (unsigned long long)samples);
		}
	}
}

static int write(const struct query_view *view, struct buf *out)
{
	struct view_rows rows;
	struct entry *CLEANUP(cleanup_free) entries =
	    calloc(view->tree->keys_count, sizeof(*entries));
	int rc = entries ? view_rows_init(&rows, view, ROWS_BY_KEY) : -ENOMEM;

	if (rc)
		return out->failed = rc;
	size_t count = collect(&rows, view->tree, entries);

	if (count) {
		qsort(entries, count, sizeof(*entries), by_name);
		functions_sum(entries, count);
		qsort(entries, count, sizeof(*entries), by_samples);
	}
	entries_write(entries, count, out);
	view_rows_release(&rows);
	return out->failed;
}

const struct query_format format_autofdo = {
    .name = "autofdo",
    .content_type = "text/plain; charset=utf-8",
    .suffix = "afdo",
    .granularity = QUERY_BY_LINE,
    .write = write,
};
