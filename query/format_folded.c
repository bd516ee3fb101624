/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folded stacks: "root;...;leaf value", one stack a line, as stackcollapse scripts write and flame
 * graph tools read.  What is hidden below a node stands as its own stack, ending in [hidden].
 */
#include <errno.h>
#include <inttypes.h>

#include "query/folded.h"
#include "query/format.h"

static void add_line(struct buf *out, const struct buf *stack, const char *last, int64_t value)
{
	(void)buf_add(out, stack->data, stack->len);
	if (*last)
		(void)buf_printf(out, "%s%s", stack->len ? ";" : "", last);
	(void)buf_printf(out, " %" PRId64 "\n", value);
}

static int write(const struct query_view *view, struct buf *out)
{
	size_t *CLEANUP(cleanup_free) ends = calloc(view->count + 1, sizeof(*ends));
	struct buf stack;

	if (!ends)
		return out->failed = -ENOMEM;
	buf_init(&stack, BUF_UNLIMITED);
	for (size_t i = 0; i < view->count; i++) {
		uint32_t depth = view->depth[i];

		/* The root is nobody's frame; a sample without frames is a line of its own. */
		if (depth) {
			stack.len = ends[depth - 1];
			if (stack.len)
				(void)buf_add_byte(&stack, ';');
			folded_name(&stack, view_name(view, i));
		}
		ends[depth] = stack.len;
		if (view_node(view, i)->self)
			add_line(out, &stack, depth ? "" : "[no stack]", view_node(view, i)->self);
		if (query_view_hidden(view, i))
			add_line(out, &stack, "[hidden]", query_view_hidden(view, i));
	}
	if (stack.failed && !out->failed)
		out->failed = stack.failed;
	buf_release(&stack);
	return out->failed;
}

const struct query_format format_folded = {
    .name = "folded",
    .content_type = "text/plain; charset=utf-8",
    .suffix = "folded",
    .write = write,
};
