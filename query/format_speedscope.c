/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speedscope's JSON: one sampled profile, whose samples are the stacks and whose weights are their
 * values.  What is hidden below a node is its callee [hidden].
 * Source: https://www.speedscope.app/file-format-schema.json
 */
#include <errno.h>
#include <string.h>

#include "query/format.h"

/* The schema's words; anything else it would not draw. */
static const char *unit_of(const char *unit)
{
	static const char *const known[] = {"nanoseconds", "microseconds", "milliseconds",
					    "seconds", "bytes"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i], unit))
			return known[i];
	return "none";
}

static void frames_write(const struct query_tree *tree, struct json *json)
{
	json_open(json, '[');
	for (size_t i = 1; i < tree->keys_count;
	     i++) { /* frame i - 1 is key i: the root is no frame */
		const struct query_key *key = &tree->keys[i];
		struct str name = intern_get(&tree->strings, key->function);
		struct str file = intern_get(&tree->strings, key->file);

		json_open(json, '{');
		json_key(json, "name");
		json_text(json, name.ptr, name.len);
		if (file.len) {
			json_key(json, "file");
			json_text(json, file.ptr, file.len);
		}
		if (key->line)
			json_key_uint(json, "line", key->line);
		json_close(json, '}');
	}
	json_open(json, '{');
	json_key_text(json, "name", "[hidden]");
	json_close(json, '}');
	json_close(json, ']');
}

/* Each stack with a value, in one order for both lists. */
static void stacks_write(const struct query_view *view, uint32_t *path, struct json *json,
			 bool weights)
{
	const struct query_tree *tree = view->tree;

	json_open(json, '[');
	for (size_t i = 0; i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);
		const int64_t values[] = {node->self, query_view_hidden(view, i)};
		uint32_t depth = view->depth[i];

		path[depth] = node->key;
		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			if (!values[v])
				continue;
			if (weights) {
				json_int(json, values[v]);
				continue;
			}
			json_open(json, '[');
			for (uint32_t d = 1; d <= depth; d++)
				json_uint(json, path[d] - 1);
			if (v)
				json_uint(json, tree->keys_count - 1);
			json_close(json, ']');
		}
	}
	json_close(json, ']');
}

static void profile_write(const struct query_view *view, uint32_t *path, struct json *json)
{
	const struct query_tree *tree = view->tree;

	json_open(json, '{');
	json_key_text(json, "type", "sampled");
	json_key_text(json, "name", tree->type_id);
	json_key_text(json, "unit", unit_of(tree->unit));
	json_key_int(json, "startValue", 0);
	json_key_int(json, "endValue", tree->total);
	json_key(json, "samples");
	stacks_write(view, path, json, false);
	json_key(json, "weights");
	stacks_write(view, path, json, true);
	json_close(json, '}');
}

static int write(const struct query_view *view, struct buf *out)
{
	uint32_t deepest = 0;
	struct json json;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	uint32_t *CLEANUP(cleanup_free) path = calloc((size_t)deepest + 1, sizeof(*path));

	if (!path)
		return out->failed = -ENOMEM;
	json_init(&json, out);
	json_open(&json, '{');
	json_key_text(&json, "$schema", "https://www.speedscope.app/file-format-schema.json");
	json_key_text(&json, "exporter", "hearth " HEARTH_VERSION);
	json_key_text(&json, "name", view->tree->type_id);
	json_key_int(&json, "activeProfileIndex", 0);
	json_key(&json, "shared");
	json_open(&json, '{');
	json_key(&json, "frames");
	frames_write(view->tree, &json);
	json_close(&json, '}');
	json_key(&json, "profiles");
	json_open(&json, '[');
	profile_write(view, path, &json);
	json_close(&json, ']');
	json_close(&json, '}');
	return out->failed;
}

const struct query_format format_speedscope = {
    .name = "speedscope",
    .content_type = "application/json",
    .suffix = "speedscope.json",
    .write = write,
};
