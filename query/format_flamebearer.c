/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pyroscope's flamebearer JSON, as /pyroscope/render answers it.
 *
 * Levels hold four numbers a node: x as the gap to the end of the node before it in the level, total,
 * self, name index.  names[0] is "total", level 0 the root alone; children start where their
 * parent's self ends.  What is hidden below a node is its child "other", whose self is its total.
 */
#include <errno.h>
#include <string.h>

#include "query/format.h"

struct level {
	struct buf text;
	int64_t end; /* x behind the last node written */
};

struct writer {
	const struct query_view *view;
	struct level *levels;
	size_t levels_count;
	int64_t *next_x; /* by depth: where the next child of the open node there starts */
	struct intern names;
	int64_t max_self;
};

static int node_write(struct writer *w, size_t depth, int64_t total, int64_t self, struct str name)
{
	struct level *level = &w->levels[depth];
	int64_t x = depth ? w->next_x[depth - 1] : 0;
	const int64_t numbers[3] = { x - level->end, total, self };
	uint32_t id;
	int rc = 0;

	if (depth)
		rc = intern_put(&w->names, name.ptr, name.len, &id);
	else
		id = 1; /* "total" was put first; number 0 of the interner is "" */
	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)buf_printf(&level->text, "%s%lld", level->text.len ? "," : "",
				 (long long)numbers[i]);
	(void)buf_printf(&level->text, ",%u", id ? id - 1 : 0);
	level->end = x + total;
	w->max_self = MAX(w->max_self, self);
	if (depth)
		w->next_x[depth - 1] = x + total;
	w->next_x[depth] = x + self;
	return level->text.failed;
}

static int levels_write(struct writer *w)
{
	const struct query_view *view = w->view;
	int rc = 0;

	for (size_t i = 0; !rc && i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);
		size_t depth = view->depth[i];

		rc = node_write(w, depth, node->total, node->self, view_name(view, i));
		if (!rc && view->hidden_self[i])
			rc = node_write(w, depth + 1, view->hidden_self[i], view->hidden_self[i],
					STR("other"));
	}
	return rc;
}

static void body_write(struct writer *w, struct buf *out)
{
	const struct query_tree *tree = w->view->tree;
	bool is_time = !strcmp(tree->unit, "nanoseconds");
	struct json json;

	json_init(&json, out);
	json_open(&json, '{');
	json_key_int(&json, "version", 1);
	json_key(&json, "flamebearer");
	json_open(&json, '{');
	json_key(&json, "names");
	json_open(&json, '[');
	for (uint32_t i = 1; i < w->names.count; i++)
		json_text(&json, w->names.strings[i].ptr, w->names.strings[i].len);
	json_close(&json, ']');
	json_key(&json, "levels");
	json_open(&json, '[');
	for (size_t i = 0; i < w->levels_count && w->levels[i].text.len; i++) {
		json_open(&json, '[');
		(void)buf_add(out, w->levels[i].text.data, w->levels[i].text.len);
		json_close(&json, ']');
	}
	json_close(&json, ']');
	json_key_int(&json, "numTicks", tree->total);
	json_key_int(&json, "maxSelf", w->max_self);
	json_close(&json, '}');
	json_key(&json, "metadata");
	json_open(&json, '{');
	json_key_text(&json, "format", "single");
	json_key_text(&json, "spyName", "hearth");
	json_key_int(&json, "sampleRate", is_time ? 1000000000 : 100);
	json_key_text(&json, "units", is_time ? "samples" : strcmp(tree->unit, "bytes") ? "objects" : "bytes");
	json_key_text(&json, "name", tree->type_id);
	json_close(&json, '}');
	query_facts_json(&tree->facts, &json);
	json_close(&json, '}');
}

static int writer_init(struct writer *w, const struct query_view *view)
{
	uint32_t id;
	size_t deepest = 0;

	*w = (struct writer){ .view = view };
	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, (size_t)view->depth[i]);
	w->levels_count = deepest + 2; /* one more for "other" below the deepest */
	w->levels = calloc(w->levels_count, sizeof(*w->levels));
	w->next_x = calloc(w->levels_count + 1, sizeof(*w->next_x));
	if (!w->levels || !w->next_x)
		return -ENOMEM;
	for (size_t i = 0; i < w->levels_count; i++)
		buf_init(&w->levels[i].text, BUF_UNLIMITED);
	int rc = intern_init(&w->names, (size_t)256 << 20);

	return rc ? rc : intern_put(&w->names, "total", 5, &id);
}

static void writer_release(struct writer *w)
{
	for (size_t i = 0; w->levels && i < w->levels_count; i++)
		buf_release(&w->levels[i].text);
	free(w->levels);
	free(w->next_x);
	intern_release(&w->names);
}

static int write(const struct query_view *view, struct buf *out)
{
	struct writer w;
	int rc = writer_init(&w, view);

	/* No data is no level: Grafana breaks on a root of nothing. */
	if (!rc && view->tree->total)
		rc = levels_write(&w);
	if (!rc)
		body_write(&w, out);
	writer_release(&w);
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

const struct query_format format_flamebearer = {
	.name = "flamebearer",
	.content_type = "application/json",
	.suffix = "flamebearer.json",
	.write = write,
};
