/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "query/merge.h"

#define TREE_STRINGS_MAX ((size_t)256 << 20)
#define TREE_KEYS_MAX ((size_t)1 << 30)

int query_tree_init(struct query_tree *tree)
{
	*tree = (struct query_tree){0};
	int rc = intern_init(&tree->strings, TREE_STRINGS_MAX);

	if (!rc)
		rc = intern_init(&tree->key_index, TREE_KEYS_MAX);
	for (uint64_t i = 0; i < ARRAY_LEN(tree->secret); i++)
		tree->secret[i] = hash_keyed(&i, sizeof(i));
	if (!rc)
		rc = array_grow(&tree->keys, sizeof(*tree->keys), &tree->keys_capacity, 1);
	if (!rc)
		rc = array_grow(&tree->nodes, sizeof(*tree->nodes), &tree->nodes_capacity, 1);
	if (!rc)
		rc = query_tree_key_string(tree, "total", &tree->keys[0].function);
	if (rc) {
		query_tree_release(tree);
		return rc;
	}
	tree->keys[0] = (struct query_key){.function = tree->keys[0].function};
	tree->keys_count = 1;
	tree->nodes[0] = (struct query_tree_node){0};
	tree->nodes_count = 1;
	return 0;
}

void query_tree_release(struct query_tree *tree)
{
	intern_release(&tree->strings);
	intern_release(&tree->key_index);
	slots_release(&tree->node_slots);
	free(tree->keys);
	free(tree->nodes);
	intern_release(&tree->alias_index);
	free(tree->hidden.self);
	*tree = (struct query_tree){0};
}

int query_tree_key_string(struct query_tree *tree, const char *text, uint32_t *ret_string)
{
	return intern_put(&tree->strings, text ? text : "", text ? strlen(text) : 0, ret_string);
}

/* Number 0 is the root's, as it is the empty key's in an interner. */
int query_tree_key(struct query_tree *tree, const struct query_key *key, uint32_t *ret_key)
{
	int rc = intern_put(&tree->key_index, (const char *)key, sizeof(*key), ret_key);

	if (rc || *ret_key < tree->keys_count)
		return rc;
	rc = array_grow(&tree->keys, sizeof(*tree->keys), &tree->keys_capacity,
			tree->keys_count + 1);
	if (!rc)
		tree->keys[tree->keys_count++] = *key;
	return rc;
}

int query_tree_child_of(struct query_tree *tree, uint32_t parent, uint32_t key, uint32_t *ret_node)
{
	uint32_t tag = slots_mix((uint64_t)parent << 32 | key, 0, tree->secret), node;
	size_t at = slots_first(&tree->node_slots, tag);

	while ((node = slots_next(&tree->node_slots, tag, &at)) != SLOTS_NONE) {
		if (tree->nodes[node].parent == parent && tree->nodes[node].key == key) {
			*ret_node = node;
			return 0;
		}
	}
	if (tree->nodes_count >= QUERY_TREE_NODES_MAX)
		return -E2BIG;
	int rc = array_grow(&tree->nodes, sizeof(*tree->nodes), &tree->nodes_capacity,
			    tree->nodes_count + 1);

	if (!rc)
		rc = slots_add(&tree->node_slots, tag, (uint32_t)tree->nodes_count);
	if (rc)
		return rc;
	tree->nodes[tree->nodes_count] = (struct query_tree_node){.parent = parent, .key = key};
	*ret_node = (uint32_t)tree->nodes_count++;
	return 0;
}

int query_tree_child(struct query_tree *tree, uint32_t parent, const struct query_key *key,
		     uint32_t *ret_node)
{
	uint32_t number;
	int rc = query_tree_key(tree, key, &number);

	return rc ? rc : query_tree_child_of(tree, parent, number, ret_node);
}

void query_tree_sum(struct query_tree *tree)
{
	for (size_t i = 0; i < tree->nodes_count; i++)
		tree->nodes[i].total = tree->nodes[i].self;
	for (size_t i = tree->nodes_count; i-- > 1;) {
		struct query_tree_node *parent = &tree->nodes[tree->nodes[i].parent];

		parent->total = sum_add(parent->total, tree->nodes[i].total);
	}
	tree->total = tree->nodes[0].total;
}

int query_tree_preorder(const struct query_tree *tree, uint32_t **ret_order, uint32_t **ret_depth)
{
	size_t n = tree->nodes_count, count = 0;
	/* Lists of children: 0 ends them, as the root is nobody's child. */
	uint32_t *CLEANUP(cleanup_free) child = calloc(n, sizeof(*child));
	uint32_t *CLEANUP(cleanup_free) next = calloc(n, sizeof(*next));
	uint32_t *CLEANUP(cleanup_free) order = malloc(n * sizeof(*order));
	uint32_t *CLEANUP(cleanup_free) depth = malloc(n * sizeof(*depth));

	if (!child || !next || !order || !depth)
		return -ENOMEM;
	for (size_t i = n; i-- > 1;) {
		next[i] = child[tree->nodes[i].parent];
		child[tree->nodes[i].parent] = (uint32_t)i;
	}
	uint32_t at = 0, down = 0;

	for (;;) {
		order[count] = at;
		depth[count++] = down;
		if (child[at]) {
			at = child[at];
			down++;
			continue;
		}
		while (at && !next[at]) {
			at = tree->nodes[at].parent;
			down--;
		}
		if (!at)
			break;
		at = next[at];
	}
	*ret_order = TAKE(order);
	*ret_depth = TAKE(depth);
	return 0;
}

uint64_t *query_tree_samples(const struct query_tree *tree)
{
	uint64_t *below = calloc(tree->nodes_count + 1, sizeof(*below));

	for (size_t i = tree->nodes_count; below && i-- > 0;) {
		below[i] += tree->nodes[i].samples;
		if (i)
			below[tree->nodes[i].parent] += below[i];
	}
	return below;
}

/* ---- the view ---- */

static bool is_larger(const struct query_tree *tree, uint32_t x, uint32_t y)
{
	int64_t a = tree->nodes[x].total, b = tree->nodes[y].total;

	return a != b ? a > b : x < y;
}

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t held = *a;

	*a = *b;
	*b = held;
}

/* Put the `wanted` largest first (Hoare's select).  Where it parts is drawn, so that nobody can
 * choose values that make it slow. */
static void select_largest(const struct query_tree *tree, uint32_t *order, size_t count,
			   size_t wanted)
{
	size_t low = 0, high = count; /* what is not settled yet; wanted lies within */

	while (high - low > 1) {
		uint64_t drawn = hash_keyed(&low, sizeof(low)) ^ hash_keyed(&high, sizeof(high));
		uint32_t pivot = order[low + drawn % (high - low)];
		size_t kept = low;

		for (size_t i = low; i < high; i++)
			if (is_larger(tree, order[i], pivot))
				swap(&order[i], &order[kept++]);
		/* Behind them the pivot and what is smaller; numbers differ, so the order is
		 * strict. */
		if (wanted <= kept) {
			high = kept;
			continue;
		}
		for (size_t i = kept; i < high; i++)
			if (order[i] == pivot) {
				swap(&order[i], &order[kept]);
				break;
			}
		low = kept + 1;
	}
}

/* Which nodes are shown: a parent's total is never below its child's, and at equal totals the
 * smaller number wins, so what is kept is always connected. */
static int choose(const struct query_tree *tree, size_t max_nodes, bool *shown)
{
	if (!max_nodes || tree->nodes_count <= max_nodes) {
		memset(shown, true, tree->nodes_count);
		return 0;
	}
	uint32_t *CLEANUP(cleanup_free) order = malloc(tree->nodes_count * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < tree->nodes_count; i++)
		order[i] = (uint32_t)i;
	select_largest(tree, order, tree->nodes_count, max_nodes);
	for (size_t i = 0; i < max_nodes; i++)
		shown[order[i]] = true;
	shown[0] = true;
	/* Negative values (a diff) break the order of totals: keep every ancestor of what is
	 * kept. */
	for (size_t i = tree->nodes_count; i-- > 1;)
		if (shown[i])
			shown[tree->nodes[i].parent] = true;
	return 0;
}

int query_keys_compare(const struct query_tree *tree, const struct query_key *a,
		       const struct query_key *b)
{
	const uint32_t texts[][2] = {
	    {a->function, b->function}, {a->library, b->library}, {a->file, b->file}};
	int order = 0;

	for (size_t i = 0; !order && i < ARRAY_LEN(texts); i++)
		if (texts[i][0] != texts[i][1])
			order = strcmp(intern_get(&tree->strings, texts[i][0]).ptr,
				       intern_get(&tree->strings, texts[i][1]).ptr);
	if (!order)
		order = (a->line > b->line) - (a->line < b->line);
	return order ? order : (a->start_line > b->start_line) - (a->start_line < b->start_line);
}

static int by_show(const void *a, const void *b, void *arg)
{
	const struct query_tree *tree = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const struct query_tree_node *n = &tree->nodes[x], *m = &tree->nodes[y];

	if (n->parent != m->parent)
		return n->parent < m->parent ? -1 : 1;
	if (n->total != m->total)
		return n->total < m->total ? 1 : -1;
	struct str s = intern_get(&tree->strings, tree->keys[n->key].function);
	struct str t = intern_get(&tree->strings, tree->keys[m->key].function);
	int order = strcmp(s.ptr, t.ptr);

	/* Where a library or a file tells them apart: numbers are in no order that a reader
	 * knows. */
	if (!order)
		order = query_keys_compare(tree, &tree->keys[n->key], &tree->keys[m->key]);
	return order ? order : (x > y) - (x < y);
}

/* Preorder without recursion: siblings stand together in `sorted`, `first[n]` tells where n's
 * are. */
static int walk(struct query_view *view, const uint32_t *sorted, size_t count, uint32_t *first)
{
	const struct query_tree *tree = view->tree;
	struct {
		uint32_t at, parent;
	} *stack = malloc((count + 1) * sizeof(*stack));
	size_t depth = 0;

	if (!stack)
		return -ENOMEM;
	view->order[0] = 0;
	view->depth[0] = 0;
	view->count = 1;
	stack[depth].at = first[0];
	stack[depth++].parent = 0;
	while (depth) {
		uint32_t at = stack[depth - 1].at;

		if (at >= count || tree->nodes[sorted[at]].parent != stack[depth - 1].parent) {
			depth--;
			continue;
		}
		stack[depth - 1].at++;
		view->order[view->count] = sorted[at];
		view->depth[view->count++] = (uint32_t)depth;
		stack[depth].at = first[sorted[at]];
		stack[depth++].parent = sorted[at];
	}
	free(stack);
	return 0;
}

static int view_build(struct query_view *view, const bool *shown)
{
	const struct query_tree *tree = view->tree;
	size_t n = tree->nodes_count, count = 0;
	uint32_t *CLEANUP(cleanup_free) sorted = malloc(n * sizeof(*sorted));
	uint32_t *CLEANUP(cleanup_free) first = malloc(n * sizeof(*first));
	bool hides = tree->hidden.self || memchr(shown, false, n);
	int64_t *CLEANUP(cleanup_free) hidden = hides ? calloc(n, sizeof(*hidden)) : NULL;

	if (!sorted || !first || (hides && !hidden))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		first[i] = UINT32_MAX;
	if (tree->hidden.self)
		memcpy(hidden, tree->hidden.self, n * sizeof(*hidden));
	view->hidden_nodes = tree->hidden.nodes;
	view->hidden_value = tree->hidden.value;
	for (size_t i = 1; i < n; i++) {
		if (shown[i]) {
			sorted[count++] = (uint32_t)i;
			continue;
		}
		view->hidden_nodes++;
		view->hidden_value = sum_add(view->hidden_value, tree->nodes[i].self);
		if (shown[tree->nodes[i].parent])
			hidden[tree->nodes[i].parent] =
			    sum_add(hidden[tree->nodes[i].parent], tree->nodes[i].total);
	}
	qsort_r(sorted, count, sizeof(*sorted), by_show, (void *)(uintptr_t)tree);
	for (size_t i = count; i-- > 0;)
		first[tree->nodes[sorted[i]].parent] = (uint32_t)i;
	view->order = malloc((count + 1) * sizeof(*view->order));
	view->depth = malloc((count + 1) * sizeof(*view->depth));
	view->hidden_self = hides ? malloc((count + 1) * sizeof(*view->hidden_self)) : NULL;
	if (!view->order || !view->depth || (hides && !view->hidden_self))
		return -ENOMEM;
	int rc = walk(view, sorted, count, first);

	for (size_t i = 0; !rc && hides && i < view->count; i++)
		view->hidden_self[i] = hidden[view->order[i]];
	return rc;
}

int query_view_init(struct query_view *view, const struct query_tree *tree, size_t max_nodes)
{
	*view = (struct query_view){.tree = tree};
	bool *CLEANUP(cleanup_free) shown = calloc(tree->nodes_count, sizeof(*shown));
	int rc = shown ? choose(tree, max_nodes, shown) : -ENOMEM;

	if (!rc)
		rc = view_build(view, shown);
	if (rc)
		query_view_release(view);
	return rc;
}

void query_view_release(struct query_view *view)
{
	free(view->order);
	free(view->depth);
	free(view->hidden_self);
	*view = (struct query_view){0};
}
