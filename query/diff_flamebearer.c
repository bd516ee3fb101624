/* SPDX-License-Identifier: Apache-2.0 */
/* Pyroscope's double flamebearer, as /pyroscope/render-diff answers it: left is the base, right the
 * new. */
#include <errno.h>

#include "query/diff.h"
#include "query/levels.h"

/* The diff's columns as a pair, whose tree is the view's. */
static int pair_of(const struct query_diff_view *v, struct query_pair *pair)
{
	const struct query_side_values *sides[2] = {v->diff->base, v->diff->now};
	size_t count = v->sums.nodes_count;

	*pair = (struct query_pair){.tree = v->sums};
	for (int s = 0; s < 2; s++) {
		pair->self[s] = malloc((count + 1) * sizeof(int64_t));
		pair->total[s] = malloc((count + 1) * sizeof(int64_t));
		if (!pair->self[s] || !pair->total[s])
			return -ENOMEM;
		for (size_t i = 0; i < count; i++) {
			pair->self[s][i] = sides[s][i].self;
			pair->total[s][i] = sides[s][i].total;
		}
	}
	return 0;
}

/* Its tree is borrowed. */
static void pair_free(struct query_pair *pair)
{
	for (int s = 0; s < 2; s++) {
		free(pair->self[s]);
		free(pair->total[s]);
	}
}

static void body_write(const struct query_diff *diff, const struct query_levels *levels,
		       struct buf *out)
{
	struct json json;

	json_init(&json, out);
	json_open(&json, '{');
	query_levels_json(levels, &diff->tree, &json);
	json_key(&json, "base");
	json_open(&json, '{');
	query_facts_json(&diff->base_facts, &json);
	json_close(&json, '}');
	query_facts_json(&diff->tree.facts, &json);
	json_close(&json, '}');
}

static int write(const struct query_diff_view *v, struct buf *out)
{
	struct query_pair pair CLEANUP(pair_free) = {0};
	struct query_levels levels;
	int rc = pair_of(v, &pair);

	if (!rc)
		rc = query_levels_init(&levels, &v->view, &pair);
	if (!rc) {
		body_write(v->diff, &levels, out);
		query_levels_release(&levels);
	}
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

const struct query_diff_format diff_flamebearer = {
    .name = "flamebearer",
    .content_type = "application/json",
    .write = write,
};
