/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth.diff/1: hearth.flamegraph/1 with both sides, and what the difference is worth.
 *
 * `node.self`, `hidden` and `samples` are the new side's, `base_…` the other's; `delta` is new -
 * base of the node's total by `normalize`, `se` its standard error (query/diff.h).
 */
#include <errno.h>

#include "query/diff.h"
#include "query/format.h"

static const char *const normals[] = {
    [QUERY_NORMAL_SHARE] = "share", [QUERY_NORMAL_TIME] = "time", [QUERY_NORMAL_NONE] = "none"};

static void head_json(struct json *json, const struct query_diff *diff, const char *schema)
{
	json_open(json, '{');
	json_key_text(json, "schema", schema);
	json_key_text(json, "type", diff->tree.type_id);
	json_key_text(json, "unit", diff->tree.unit);
	json_key_text(json, "normalize", normals[diff->normal]);
	json_key_int(json, "total", diff->tree.total);
	json_key_int(json, "base_total", diff->base_total);
}

static void tail_json(struct json *json, const struct query_diff *diff)
{
	json_key_int(json, "from", diff->tree.range.from_ns);
	json_key_int(json, "until", diff->tree.range.until_ns);
	json_key_int(json, "base_from", diff->base_range.from_ns);
	json_key_int(json, "base_until", diff->base_range.until_ns);
	json_key(json, "base");
	json_open(json, '{');
	query_facts_json(&diff->base_facts, json);
	json_close(json, '}');
	query_facts_json(&diff->tree.facts, json);
	json_close(json, '}');
}

/* ---- the tree ---- */

enum column {
	NAME,
	LIBRARY,
	FILE_NAME,
	LINE,
	DEPTH,
	SELF,
	HIDDEN,
	SAMPLES,
	BASE_SELF,
	BASE_HIDDEN,
	BASE_SAMPLES
};

static int64_t cell(const struct query_diff_view *v, enum column column, size_t i)
{
	uint32_t node = v->view.order[i];
	const struct query_key *key = &v->diff->tree.keys[v->diff->tree.nodes[node].key];

	switch (column) {
	case NAME:
		return key->function;
	case LIBRARY:
		return key->library;
	case FILE_NAME:
		return key->file;
	case LINE:
		return key->line;
	case DEPTH:
		return v->view.depth[i];
	case SELF:
		return v->diff->now[node].self;
	case HIDDEN:
		return v->hidden_now[i];
	case SAMPLES:
		return (int64_t)v->diff->now[node].samples;
	case BASE_SELF:
		return v->diff->base[node].self;
	case BASE_HIDDEN:
		return v->hidden_base[i];
	case BASE_SAMPLES:
		return (int64_t)v->diff->base[node].samples;
	}
	return 0;
}

/* Strings of one column, renumbered densely in order of first use; 0 is "". */
static void names_json(const struct query_diff_view *v, enum column column, const char *key,
		       struct json *json, uint32_t *number)
{
	uint32_t count = 1;

	json_key(json, key);
	json_open(json, '[');
	json_text(json, "", 0);
	for (size_t i = 0; i < v->view.count; i++) {
		int64_t string = cell(v, column, i);

		if (!string || number[string])
			continue;
		number[string] = count++;
		struct str s = intern_get(&v->diff->tree.strings, (uint32_t)string);

		json_text(json, s.ptr, s.len);
	}
	json_close(json, ']');
}

static void column_json(const struct query_diff_view *v, enum column column, const char *key,
			struct json *json, const uint32_t *number)
{
	json_key(json, key);
	json_open(json, '[');
	for (size_t i = 0; i < v->view.count; i++) {
		int64_t value = cell(v, column, i);

		json_int(json, number ? number[value] : value);
	}
	json_close(json, ']');
}

static void deltas_json(const struct query_diff_view *v, struct json *json)
{
	for (int error = 0; error < 2; error++) {
		json_key(json, error ? "se" : "delta");
		json_open(json, '[');
		for (size_t i = 0; i < v->view.count; i++) {
			const struct query_side_values *now = &v->diff->now[v->view.order[i]];
			const struct query_side_values *base = &v->diff->base[v->view.order[i]];
			struct query_delta delta =
			    query_diff_delta(v->diff, now->total, now->samples_total, base->total,
					     base->samples_total);

			json_decimal(json, error ? delta.se : delta.value);
		}
		json_close(json, ']');
	}
}

static int write(const struct query_diff_view *v, struct buf *out)
{
	static const struct {
		const char *key;
		enum column column;
	} numbers[] = {{"line", LINE},
		       {"depth", DEPTH},
		       {"self", SELF},
		       {"hidden", HIDDEN},
		       {"samples", SAMPLES},
		       {"base_self", BASE_SELF},
		       {"base_hidden", BASE_HIDDEN},
		       {"base_samples", BASE_SAMPLES}};
	size_t strings = v->diff->tree.strings.count;
	uint32_t *CLEANUP(cleanup_free) number = calloc(strings * 3, sizeof(*number));
	struct json json;

	if (!number)
		return out->failed = -ENOMEM;
	json_init(&json, out);
	head_json(&json, v->diff, "hearth.diff/1");
	names_json(v, NAME, "names", &json, number);
	names_json(v, LIBRARY, "libraries", &json, number + strings);
	names_json(v, FILE_NAME, "files", &json, number + 2 * strings);
	json_key(&json, "node");
	json_open(&json, '{');
	column_json(v, NAME, "name", &json, number);
	column_json(v, LIBRARY, "library", &json, number + strings);
	column_json(v, FILE_NAME, "file", &json, number + 2 * strings);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		column_json(v, numbers[i].column, numbers[i].key, &json, NULL);
	deltas_json(v, &json);
	json_close(&json, '}');
	json_key(&json, "hidden");
	json_open(&json, '{');
	json_key_uint(&json, "nodes", v->view.hidden_nodes);
	json_close(&json, '}');
	tail_json(&json, v->diff);
	return out->failed;
}

const struct query_diff_format diff_json = {
    .name = "json",
    .content_type = "application/json",
    .write = write,
};

/* ---- the table ---- */

static void delta_json(struct json *json, const char *key, const char *key_se,
		       const struct query_delta *delta)
{
	json_key(json, key);
	json_double(json, delta->value);
	json_key(json, key_se);
	json_double(json, delta->se);
}

static void row_json(struct json *json, const struct query_diff_row *row)
{
	json_open(json, '{');
	json_key_text(json, "name", row->name);
	json_key_text(json, "file", row->file);
	json_key_uint(json, "line", row->line);
	json_key_text(json, "library", row->library);
	json_key_int(json, "self", row->now.self);
	json_key_int(json, "total", row->now.total);
	json_key_uint(json, "samples", row->now.samples);
	json_key_uint(json, "samples_total", row->now.samples_total);
	json_key_int(json, "base_self", row->base.self);
	json_key_int(json, "base_total", row->base.total);
	json_key_uint(json, "base_samples", row->base.samples);
	json_key_uint(json, "base_samples_total", row->base.samples_total);
	delta_json(json, "self_delta", "self_se", &row->self);
	delta_json(json, "total_delta", "total_se", &row->total);
	json_close(json, '}');
}

int query_diff_table_json(const struct query_diff *diff, const struct query_diff_table *table,
			  size_t limit, struct buf *out)
{
	size_t shown = limit ? MIN(limit, table->count) : table->count;
	struct json json;

	json_init(&json, out);
	head_json(&json, diff, "hearth.diff_top/1");
	json_key(&json, "rows");
	json_open(&json, '[');
	for (size_t i = 0; i < shown; i++)
		row_json(&json, &table->rows[i]);
	json_close(&json, ']');
	json_key(&json, "hidden");
	json_open(&json, '{');
	json_key_uint(&json, "rows", table->count - shown);
	json_close(&json, '}');
	tail_json(&json, diff);
	return out->failed;
}
