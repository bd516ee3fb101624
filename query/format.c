/* SPDX-License-Identifier: Apache-2.0 */
#include "query/format.h"

#include <string.h>

#define FORMAT(name) extern const struct query_format format_##name;
#include "query/formats.def"
#undef FORMAT

static const struct query_format *const formats[] = {
#define FORMAT(name) &format_##name,
#include "query/formats.def"
#undef FORMAT
};

const struct query_format *query_format_at(size_t i)
{
	return i < ARRAY_LEN(formats) ? formats[i] : NULL;
}

const struct query_format *query_format_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (strlen(formats[i]->name) == name.len &&
		    !memcmp(formats[i]->name, name.ptr, name.len))
			return formats[i];
	return NULL;
}

void query_facts_json(const struct query_facts *facts, struct json *json)
{
	json_key_uint(json, "samples", facts->samples);
	json_key(json, "lost");
	json_open(json, '{');
	for (size_t i = 0; i < facts->losses_count; i++) {
		json_key_uint(json, facts->losses[i].reason, facts->losses[i].count);
	}
	json_close(json, '}');
	json_key(json, "partial");
	json_bool(json, facts->partial);
	if (facts->folded) {
		json_key(json, "folded");
		json_bool(json, true);
	}
	if (facts->records_from_ns)
		json_key_int(json, "records_from", facts->records_from_ns);
	if (!facts->filtered)
		return;
	json_key(json, "removed");
	json_open(json, '{');
	json_key_int(json, "value", facts->removed_value);
	json_key_uint(json, "samples", facts->removed_samples);
	json_close(json, '}');
}

static void head_json(struct json *json, const char *schema, const char *type_id, const char *unit)
{
	json_open(json, '{');
	json_key_text(json, "schema", schema);
	json_key_text(json, "type", type_id);
	json_key_text(json, "unit", unit);
}

static void range_json(struct json *json, const struct query_range *range)
{
	json_key_int(json, "from", range->from_ns);
	json_key_int(json, "until", range->until_ns);
}

static void row_json(struct json *json, const struct query_row *row)
{
	json_open(json, '{');
	json_key_text(json, "name", row->name);
	json_key_text(json, "file", row->file);
	json_key_uint(json, "line", row->line);
	json_key_text(json, "library", row->library);
	json_key_int(json, "self", row->self);
	json_key_int(json, "total", row->total);
	json_key_uint(json, "samples", row->samples);
	json_key_uint(json, "samples_total", row->samples_total);
	json_key(json, "self_se");
	json_double(json, row->self_se);
	json_key(json, "total_se");
	json_double(json, row->total_se);
	json_close(json, '}');
}

int query_table_page_json(const struct query_table *table, size_t from, size_t limit,
			  struct buf *out)
{
	size_t first = MIN(from, table->count), left = table->count - first;
	size_t shown = limit ? MIN(limit, left) : left;
	struct json json;

	json_init(&json, out);
	head_json(&json, "hearth.top/1", table->type_id, table->unit);
	json_key_int(&json, "total", table->total);
	json_key(&json, "rows");
	json_open(&json, '[');
	for (size_t i = first; i < first + shown; i++)
		row_json(&json, &table->rows[i]);
	json_close(&json, ']');
	json_key(&json, "hidden");
	json_open(&json, '{');
	json_key_uint(&json, "rows", table->count - shown);
	json_close(&json, '}');
	if (first + shown < table->count)
		json_key_uint(&json, "next", first + shown);
	range_json(&json, &table->range);
	query_facts_json(&table->facts, &json);
	json_close(&json, '}');
	return out->failed;
}

int query_table_json(const struct query_table *table, size_t limit, struct buf *out)
{
	return query_table_page_json(table, 0, limit, out);
}

int query_timeline_json(const struct query_timeline *timeline, struct buf *out)
{
	struct json json;

	json_init(&json, out);
	head_json(&json, "hearth.timeline/1", timeline->type_id, timeline->unit);
	json_key_int(&json, "start", timeline->start_ns);
	json_key_int(&json, "step", timeline->step_ns);
	json_key(&json, "groups");
	json_open(&json, '[');
	for (size_t i = 0; i < timeline->lines_count; i++) {
		const struct query_line *line = &timeline->lines[i];

		json_open(&json, '{');
		json_key_text(&json, "group", line->group);
		json_key(&json, "values");
		json_open(&json, '[');
		for (size_t k = 0; k < timeline->steps; k++)
			json_int(&json, line->sums[k]);
		json_close(&json, ']');
		json_key(&json, "samples");
		json_open(&json, '[');
		for (size_t k = 0; k < timeline->steps; k++)
			json_uint(&json, line->counts[k]);
		json_close(&json, ']');
		json_close(&json, '}');
	}
	json_close(&json, ']');
	range_json(&json, &timeline->range);
	query_facts_json(&timeline->facts, &json);
	json_close(&json, '}');
	return out->failed;
}
