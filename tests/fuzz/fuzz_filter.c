/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters, paths and names, as a query string and other programs' profiles bring them: a byte of
 * choices, then a filter's text, a line end, and a folded stack that it is applied to.
 */
#include "query/filter.h"
#include "query/folded.h"
#include "query/reshape.h"
#include "query/tags.h"
#include "tests/fuzz/fuzz.h"

/* The stack as a tree of one path, with samples at its end. */
static int tree_make(struct query_tree *tree, struct str stack)
{
	struct buf name;
	uint32_t at = 0;
	int rc = 0;

	buf_init(&name, BUF_UNLIMITED);
	while (!rc && folded_next(&stack, &name)) {
		struct query_key key = {0};

		rc = intern_put(&tree->strings, name.data, name.len, &key.function);
		if (!rc)
			rc = query_tree_child(tree, at, &key, &at);
	}
	buf_release(&name);
	tree->nodes[at].self = 7;
	tree->nodes[at].samples = 1;
	tree->facts.samples = 1;
	return rc;
}

static void shape(const struct query_filter *filter, struct str stack, uint8_t choices)
{
	const struct query query = {.filter = filter,
				    .shape = {.names = (enum query_names_level)(choices % 3),
					      .by_name = choices & 8,
					      .collapse = choices & 16,
					      .sandwich = choices & 32 ? STR("f") : STR(""),
					      .side = choices & 64 ? QUERY_CALLERS : QUERY_CALLEES,
					      .invert = choices & 128}};
	struct query_tree tree;

	FUZZ_CHECK(query_tree_init(&tree) == 0);
	if (tree_make(&tree, stack) == 0 && reshape_tree(&query, &tree, NULL, NULL) == 0) {
		query_tree_sum(&tree);
		FUZZ_CHECK(tree.total + tree.facts.removed_value == 7);
		FUZZ_CHECK(tree.facts.samples + tree.facts.removed_samples == 1);
	}
	query_tree_release(&tree);
}

static void tags(struct str text, struct str labels)
{
	struct query_tags *filter = NULL;
	struct err err;

	if (query_tags_new(text, "tagfocus", &filter, &err))
		return;
	struct str value = labels, key = str_cut(&value, '=');
	uint32_t bits = query_tags_text(filter, key, value);

	bits |= query_tags_number(filter, key, (int64_t)labels.len << 40, value);
	(void)query_tags_match(filter, bits);
	query_tags_free(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (!len)
		return 0;
	struct str stack = {(const char *)bytes + 1, len - 1}, text = str_cut(&stack, '\n');
	char *copy = strndup(text.ptr, text.len);
	struct query_filter_text filters[] = {
	    {.focus = copy},     {.ignore = copy},   {.hide = copy},     {.show = copy},
	    {.show_from = copy}, {.tagfocus = copy}, {.tagignore = copy}};
	struct query_filter *filter = NULL;
	struct err err;

	FUZZ_CHECK(copy);
	tags(text, stack);
	if (query_filter_new(&filters[(bytes[0] >> 3) % ARRAY_LEN(filters)], &filter, &err) == 0)
		shape(filter, stack, bytes[0]);
	query_filter_free(filter);
	free(copy);
	return 0;
}
