/* SPDX-License-Identifier: Apache-2.0 */
/* "root;...;leaf base new", one stack a line: what difffolded.pl writes and flamegraph.pl reads. */
#include <errno.h>
#include <inttypes.h>

#include "query/diff.h"
#include "query/folded.h"

static void add_line(struct buf *out, const struct buf *stack, const char *last, int64_t base,
		     int64_t now)
{
	if (!base && !now)
		return;
	(void)buf_add(out, stack->data, stack->len);
	if (*last)
		(void)buf_printf(out, "%s%s", stack->len ? ";" : "", last);
	(void)buf_printf(out, " %" PRId64 " %" PRId64 "\n", base, now);
}

static int write(const struct query_diff_view *v, struct buf *out)
{
	const struct query_tree *tree = &v->diff->tree;
	size_t *CLEANUP(cleanup_free) ends = calloc(v->view.count + 1, sizeof(*ends));
	struct buf stack;

	if (!ends)
		return out->failed = -ENOMEM;
	buf_init(&stack, BUF_UNLIMITED);
	for (size_t i = 0; i < v->view.count; i++) {
		uint32_t depth = v->view.depth[i], node = v->view.order[i];

		if (depth) {
			stack.len = ends[depth - 1];
			if (stack.len)
				(void)buf_add_byte(&stack, ';');
			folded_name(&stack, intern_get(&tree->strings,
						       tree->keys[tree->nodes[node].key].function));
		}
		ends[depth] = stack.len;
		add_line(out, &stack, depth ? "" : "[no stack]", v->diff->base[node].self,
			 v->diff->now[node].self);
		add_line(out, &stack, "[hidden]", v->hidden_base[i], v->hidden_now[i]);
	}
	if (stack.failed && !out->failed)
		out->failed = stack.failed;
	buf_release(&stack);
	return out->failed;
}

const struct query_diff_format diff_folded = {
    .name = "folded",
    .content_type = "text/plain; charset=utf-8",
    .write = write,
};
