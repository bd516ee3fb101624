/* SPDX-License-Identifier: Apache-2.0 */
/* Pyroscope's flamebearer JSON, as /pyroscope/render answers it (query/levels.h). */
#include "query/levels.h"

static int write(const struct query_view *view, struct buf *out)
{
	struct query_levels levels;
	struct json json;
	int rc = query_levels_init(&levels, view, NULL);

	if (rc)
		return out->failed = rc;
	json_init(&json, out);
	json_open(&json, '{');
	query_levels_json(&levels, view->tree, &json);
	query_facts_json(&view->tree->facts, &json);
	json_close(&json, '}');
	query_levels_release(&levels);
	return out->failed;
}

const struct query_format format_flamebearer = {
    .name = "flamebearer",
    .content_type = "application/json",
    .suffix = "flamebearer.json",
    .write = write,
};
