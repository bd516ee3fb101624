/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pyroscope's double flamebearer, as /pyroscope/render-diff answers it: left is the base, right the new.
 *
 * Seven numbers a node: for each side x as the gap to the end of the node before it in the level, total and
 * self; then the name index.  What is hidden below a node is its child "other".
 */
#include <errno.h>
#include <string.h>

#include "query/diff.h"
#include "query/format.h"

struct place {
	int64_t end[2];	 /* of the level: x behind the last node written */
	int64_t next[2]; /* where the next child of the open node at this depth starts */
};

struct writer {
	const struct query_diff_view *view;
	struct buf *levels;
	struct place *places; /* by depth, one more than levels */
	size_t levels_count;
	struct intern names;
	int64_t max_self;
};

struct numbers {
	int64_t total[2], self[2];
};

static int node_write(struct writer *w, size_t depth, const struct numbers *n, struct str name)
{
	struct place *place = &w->places[depth];
	struct buf *out = &w->levels[depth];
	uint32_t id = 1; /* "total" was put first; number 0 of the interner is "" */
	int rc = depth ? intern_put(&w->names, name.ptr, name.len, &id) : 0;

	if (rc)
		return rc;
	for (int side = 0; side < 2; side++) {
		int64_t x = depth ? w->places[depth - 1].next[side] : 0;

		(void)buf_printf(out, "%s%lld,%lld,%lld", out->len ? "," : "",
				 (long long)(x - place->end[side]), (long long)n->total[side],
				 (long long)n->self[side]);
		place->end[side] = x + n->total[side];
		if (depth)
			w->places[depth - 1].next[side] = x + n->total[side];
		place->next[side] = x + n->self[side];
		w->max_self = MAX(w->max_self, n->self[side]);
	}
	(void)buf_printf(out, ",%u", id ? id - 1 : 0);
	return out->failed;
}

static int levels_write(struct writer *w)
{
	const struct query_diff *diff = w->view->diff;
	int rc = 0;

	for (size_t i = 0; !rc && i < w->view->view.count; i++) {
		uint32_t node = w->view->view.order[i];
		const struct numbers n = { { diff->base[node].total, diff->now[node].total },
					   { diff->base[node].self, diff->now[node].self } };
		const int64_t base = w->view->hidden_base[i], now = w->view->hidden_now[i];
		const struct numbers hidden = { { base, now }, { base, now } };
		uint32_t depth = w->view->view.depth[i];
		uint32_t function = diff->tree.keys[diff->tree.nodes[node].key].function;

		rc = node_write(w, depth, &n, intern_get(&diff->tree.strings, function));
		if (!rc && (base || now))
			rc = node_write(w, depth + 1, &hidden, STR("other"));
	}
	return rc;
}

static void body_write(struct writer *w, struct buf *out)
{
	const struct query_diff *diff = w->view->diff;
	bool is_time = !strcmp(diff->tree.unit, "nanoseconds");
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
	for (size_t i = 0; i < w->levels_count && w->levels[i].len; i++) {
		json_open(&json, '[');
		(void)buf_add(out, w->levels[i].data, w->levels[i].len);
		json_close(&json, ']');
	}
	json_close(&json, ']');
	json_key_int(&json, "numTicks", sum_add(diff->tree.total, diff->base_total));
	json_key_int(&json, "maxSelf", w->max_self);
	json_close(&json, '}');
	json_key(&json, "metadata");
	json_open(&json, '{');
	json_key_text(&json, "format", "double");
	json_key_text(&json, "spyName", "hearth");
	json_key_int(&json, "sampleRate", is_time ? 1000000000 : 100);
	json_key_text(&json, "units",
		      is_time ? "samples" : strcmp(diff->tree.unit, "bytes") ? "objects" : "bytes");
	json_key_text(&json, "name", diff->tree.type_id);
	json_close(&json, '}');
	json_key_int(&json, "leftTicks", diff->base_total);
	json_key_int(&json, "rightTicks", diff->tree.total);
	json_key(&json, "left");
	json_open(&json, '{');
	query_facts_json(&diff->base_facts, &json);
	json_close(&json, '}');
	query_facts_json(&diff->tree.facts, &json);
	json_close(&json, '}');
}

static int writer_init(struct writer *w, const struct query_diff_view *view)
{
	uint32_t id;
	size_t deepest = 0;

	*w = (struct writer){ .view = view };
	for (size_t i = 0; i < view->view.count; i++)
		deepest = MAX(deepest, (size_t)view->view.depth[i]);
	w->levels_count = deepest + 2; /* one more for "other" below the deepest */
	w->levels = calloc(w->levels_count, sizeof(*w->levels));
	w->places = calloc(w->levels_count + 1, sizeof(*w->places));
	if (!w->levels || !w->places)
		return -ENOMEM;
	for (size_t i = 0; i < w->levels_count; i++)
		buf_init(&w->levels[i], BUF_UNLIMITED);
	int rc = intern_init(&w->names, (size_t)256 << 20);

	return rc ? rc : intern_put(&w->names, "total", 5, &id);
}

static void writer_release(struct writer *w)
{
	for (size_t i = 0; w->levels && i < w->levels_count; i++)
		buf_release(&w->levels[i]);
	free(w->levels);
	free(w->places);
	intern_release(&w->names);
}

static int write(const struct query_diff_view *view, struct buf *out)
{
	struct writer w;
	int rc = writer_init(&w, view);

	/* No data is no level, as for one side. */
	if (!rc && (view->diff->tree.total || view->diff->base_total))
		rc = levels_write(&w);
	if (!rc)
		body_write(&w, out);
	writer_release(&w);
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

const struct query_diff_format diff_flamebearer = {
	.name = "flamebearer",
	.content_type = "application/json",
	.write = write,
};
