/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth.flamegraph/1: columns in preorder, names as indexes.  A reader derives totals and
 * positions in one pass: a node's total is its self and what is hidden below it, plus its
 * children's totals.
 */
#include <errno.h>

#include "query/format.h"

typedef int64_t (*column_fn)(const struct query_view *view, size_t i);

static const struct query_key *key_of(const struct query_view *view, size_t i)
{
	return &view->tree->keys[view_node(view, i)->key];
}

static int64_t name_of(const struct query_view *view, size_t i)
{
	return key_of(view, i)->function;
}

static int64_t library_of(const struct query_view *view, size_t i)
{
	return key_of(view, i)->library;
}

static int64_t file_of(const struct query_view *view, size_t i)
{
	return key_of(view, i)->file;
}

static int64_t line_of(const struct query_view *view, size_t i)
{
	return key_of(view, i)->line;
}

static int64_t depth_of(const struct query_view *view, size_t i)
{
	return view->depth[i];
}

static int64_t self_of(const struct query_view *view, size_t i)
{
	return view_node(view, i)->self;
}

static int64_t hidden_of(const struct query_view *view, size_t i)
{
	return query_view_hidden(view, i);
}

static int64_t samples_of(const struct query_view *view, size_t i)
{
	return (int64_t)view_node(view, i)->samples;
}

/* Numbers in a column of strings, renumbered densely in order of first use; 0 is "". */
struct names {
	uint32_t *number; /* by string of the tree, 0: not used */
	uint32_t *strings;
	size_t count;
};

static int names_collect(struct names *names, const struct query_view *view, column_fn column)
{
	names->number = calloc(view->tree->strings.count, sizeof(*names->number));
	names->strings = calloc(view->tree->strings.count + 1, sizeof(*names->strings));
	if (!names->number || !names->strings)
		return -1;
	names->count = 1; /* strings[0] is the tree's 0, which is "" */
	for (size_t i = 0; i < view->count; i++) {
		uint32_t string = (uint32_t)column(view, i);

		if (!string || names->number[string])
			continue;
		names->number[string] = (uint32_t)names->count;
		names->strings[names->count++] = string;
	}
	return 0;
}

static void names_release(struct names *names)
{
	free(names->number);
	free(names->strings);
}

static void write_names(struct json *json, const char *key, const struct names *names,
			const struct query_view *view)
{
	json_key(json, key);
	json_open(json, '[');
	for (size_t i = 0; i < names->count; i++) {
		struct str s = intern_get(&view->tree->strings, names->strings[i]);

		json_text(json, s.ptr, s.len);
	}
	json_close(json, ']');
}

static void write_column(struct json *json, const char *key, const struct query_view *view,
			 column_fn column, const struct names *names)
{
	json_key(json, key);
	json_open(json, '[');
	for (size_t i = 0; i < view->count; i++) {
		int64_t value = column(view, i);

		json_int(json, names ? names->number[value] : value);
	}
	json_close(json, ']');
}

static void write_body(struct json *json, const struct query_view *view, const struct names *names,
		       const struct names *libraries, const struct names *files)
{
	write_names(json, "names", names, view);
	write_names(json, "libraries", libraries, view);
	write_names(json, "files", files, view);
	json_key(json, "node");
	json_open(json, '{');
	write_column(json, "name", view, name_of, names);
	write_column(json, "library", view, library_of, libraries);
	write_column(json, "file", view, file_of, files);
	write_column(json, "line", view, line_of, NULL);
	write_column(json, "depth", view, depth_of, NULL);
	write_column(json, "self", view, self_of, NULL);
	write_column(json, "hidden", view, hidden_of, NULL);
	write_column(json, "samples", view, samples_of, NULL);
	json_close(json, '}');
}

static int write(const struct query_view *view, struct buf *out)
{
	const struct query_tree *tree = view->tree;
	struct names names = {0}, libraries = {0}, files = {0};
	struct json json;

	if (names_collect(&names, view, name_of) || names_collect(&libraries, view, library_of) ||
	    names_collect(&files, view, file_of)) {
		out->failed = -ENOMEM;
	} else {
		json_init(&json, out);
		json_open(&json, '{');
		json_key_text(&json, "schema", "hearth.flamegraph/1");
		json_key_text(&json, "type", tree->type_id);
		json_key_text(&json, "unit", tree->unit);
		json_key_int(&json, "total", tree->total);
		write_body(&json, view, &names, &libraries, &files);
		json_key(&json, "hidden");
		json_open(&json, '{');
		json_key_uint(&json, "nodes", view->hidden_nodes);
		json_key_int(&json, "value", view->hidden_value);
		json_close(&json, '}');
		json_key_int(&json, "from", tree->range.from_ns);
		json_key_int(&json, "until", tree->range.until_ns);
		query_facts_json(&tree->facts, &json);
		json_close(&json, '}');
	}
	names_release(&names);
	names_release(&libraries);
	names_release(&files);
	return out->failed;
}

const struct query_format format_json = {
    .name = "json",
    .content_type = "application/json",
    .suffix = "json",
    .write = write,
};
