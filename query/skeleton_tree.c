/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of those nodes of a skeleton that a question touched. */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "query/skeleton.h"

/* ---- joining ---- */

void skeleton_join_sums(const struct skeleton *s, struct skeleton_sums *sums)
{
	struct skeleton_run run = {0};

	while (skeleton_next_run(sums, s->tree.nodes_count, &run)) {
		if (s->joined[run.at] == run.at || !run.total->touched)
			continue;
		struct skeleton_total *to = skeleton_total_of(sums, s->joined[run.at]);

		to->total = sum_add(to->total, run.total->total);
		to->samples += run.total->samples;
		to->touched = true;
		*run.total = (struct skeleton_total){0};
	}
	for (size_t i = 0; i < sums->leaves_count; i++)
		sums->leaves[i].node = s->joined[sums->leaves[i].node];
}

/* What a name is shown with is the last of its keys that the question touched, in the order of
 * their texts. */
static uint32_t *keys_choose(const struct skeleton *s, const struct skeleton_sums *sums)
{
	bool *CLEANUP(cleanup_free) touched = calloc(s->names.keys_count, sizeof(*touched));
	uint32_t *CLEANUP(cleanup_free) last = calloc(s->classes.count, sizeof(*last));
	uint32_t *shown = calloc(s->names.keys_count, sizeof(*shown));

	if (!touched || !last || !shown) {
		free(shown);
		return NULL;
	}
	struct skeleton_run run = {0};

	while (skeleton_next_run(sums, s->tree.nodes_count, &run))
		for (size_t i = run.at; run.total->touched && i < run.end; i++)
			touched[skeleton_key(s, i)] = true;
	for (uint32_t i = 1; i < s->names.keys_count; i++)
		if (touched[i] && (!last[s->class_of[i]] ||
				   query_keys_compare(&s->names, &s->names.keys[i],
						      &s->names.keys[last[s->class_of[i]]]) > 0))
			last[s->class_of[i]] = i;
	for (size_t i = 1; i < s->names.keys_count; i++)
		shown[i] = last[s->class_of[i]];
	return shown;
}

/* ---- which nodes ---- */

#define BUCKET_BITS 8
#define BUCKETS ((64 - BUCKET_BITS + 1) << BUCKET_BITS)

/* Larger weights are never in smaller buckets. */
static size_t bucket_of(int64_t weight)
{
	unsigned shift = 0;

	if (weight <= 0)
		return 0;
	if (weight >> BUCKET_BITS)
		shift = 63 - BUCKET_BITS - (unsigned)__builtin_clzll((uint64_t)weight) + 1;
	return ((size_t)shift << BUCKET_BITS) + ((uint64_t)weight >> shift);
}

/* The least weight of this bucket and of those above. */
static int64_t bucket_floor(size_t bucket)
{
	size_t shift = bucket >> BUCKET_BITS, rest = bucket & ((1 << BUCKET_BITS) - 1);

	if (!shift)
		return bucket ? (int64_t)bucket : INT64_MIN;
	/* What was shifted has its highest bit. */
	return shift > 63 - BUCKET_BITS
		   ? INT64_MAX
		   : (int64_t)MAX(rest, (size_t)1 << (BUCKET_BITS - 1)) << shift;
}

struct candidate {
	int64_t weight;
	uint32_t rank, node;
};

/* Paths of one rank: mostly of the same names, in different libraries or files. */
static bool is_path_first(const struct skeleton *s, uint32_t x, uint32_t y)
{
	int order = 0;

	for (; x != y; x = skeleton_parent(s, x), y = skeleton_parent(s, y)) {
		int here = query_keys_compare(&s->names, &s->names.keys[skeleton_key(s, x)],
					      &s->names.keys[skeleton_key(s, y)]);

		order = here ? here : order; /* what differs next to the root decides */
	}
	return order < 0;
}

static bool is_first(const struct skeleton *s, const struct candidate *a, const struct candidate *b)
{
	if (a->weight != b->weight)
		return a->weight > b->weight;
	return a->rank != b->rank ? a->rank < b->rank
				  : a->node != b->node && is_path_first(s, a->node, b->node);
}

static void swap(struct candidate *a, struct candidate *b)
{
	struct candidate held = *a;

	*a = *b;
	*b = held;
}

/* Put the `wanted` first ones first (Hoare's select).  Where it parts is drawn, so that nobody can
 * choose values that make it slow. */
static void select_first(const struct skeleton *s, struct candidate *list, size_t count,
			 size_t wanted)
{
	size_t low = 0, high = count; /* what is not settled yet; wanted lies within */

	while (high - low > 1) {
		uint64_t drawn = hash_keyed(&low, sizeof(low)) ^ hash_keyed(&high, sizeof(high));
		struct candidate pivot = list[low + drawn % (high - low)];
		size_t kept = low;

		for (size_t i = low; i < high; i++)
			if (is_first(s, &list[i], &pivot))
				swap(&list[i], &list[kept++]);
		if (wanted <= kept) {
			high = kept;
			continue;
		}
		for (size_t i = kept; i < high; i++)
			if (list[i].node == pivot.node) {
				swap(&list[i], &list[kept]);
				break;
			}
		low = kept + 1;
	}
}

static uint32_t parent_of(const struct skeleton_take *take, uint32_t node)
{
	uint32_t parent = skeleton_parent(take->skeleton, node);

	return take->joined ? take->skeleton->joined[parent] : parent;
}

/* How many nodes are in each bucket. */
static size_t *buckets_count(const struct skeleton_sums *sums, size_t nodes)
{
	size_t *counts = calloc(BUCKETS, sizeof(*counts));
	struct skeleton_run run = {0};

	while (counts && skeleton_next_run(sums, nodes, &run))
		if (run.total->touched)
			counts[bucket_of(run.total->total)] += run.end - run.at;
	return counts;
}

/* Nodes by what they weigh: from `floor` all are shown, from `below` some. */
struct choosing {
	const struct skeleton_take *take;
	uint64_t *shown;
	int64_t floor, below;
	struct candidate *list;
	size_t count, capacity;
	struct skeleton_ranking ranking;
};

static void choosing_release(struct choosing *c)
{
	free(c->list);
	free(c->ranking.path);
}

static int candidate_add(struct choosing *c, uint32_t node, int64_t weight)
{
	uint32_t rank = 0;
	int rc = array_grow(&c->list, sizeof(*c->list), &c->capacity, c->count + 1);

	if (!rc)
		rc = skeleton_rank(c->take->skeleton, &c->ranking, node, &rank);
	if (!rc)
		c->list[c->count++] = (struct candidate){weight, rank, node};
	return rc;
}

static void run_choose(const struct skeleton_run *run, uint64_t *shown)
{
	for (size_t i = run->at; i < run->end; i++)
		shown[i / 64] |= UINT64_C(1) << i % 64;
}

static int heavy_choose(struct choosing *c)
{
	size_t nodes = c->take->skeleton->tree.nodes_count;
	struct skeleton_run run = {0};
	int rc = 0;

	while (!rc && skeleton_next_run(c->take->sums, nodes, &run)) {
		int64_t weight = run.total->total;

		if (weight < c->below || !run.total->touched)
			continue;
		if (weight >= c->floor)
			run_choose(&run, c->shown);
		for (size_t i = run.at; !rc && weight < c->floor && i < run.end; i++)
			rc = candidate_add(c, (uint32_t)i, weight);
	}
	return rc;
}

/* Where values are negative a parent's total may be below its child's: every ancestor is kept. */
static void ancestors_choose(const struct skeleton_take *take, uint64_t *shown)
{
	for (size_t word = take->skeleton->tree.nodes_count / 64 + 1; word-- > 0;) {
		uint64_t left = shown[word];

		while (left) {
			unsigned bit = 63 - (unsigned)__builtin_clzll(left);
			uint32_t node = (uint32_t)(word * 64 + bit),
				 parent = node ? parent_of(take, node) : 0;

			shown[parent / 64] |= UINT64_C(1) << parent % 64;
			left &= ~(UINT64_C(1) << bit);
			if (parent / 64 == word && parent != node)
				left |= UINT64_C(1) << parent % 64;
		}
	}
}

/* The largest: those of the buckets above the one in which the limit falls, and some of that one.
 * A parent's total is never below its child's, and its rank is: what is shown hangs together. */
static int largest_choose(const struct skeleton_take *take, uint64_t *shown)
{
	const struct skeleton *s = take->skeleton;
	size_t limit = take->max_nodes, bucket = BUCKETS, larger = 0;
	size_t *CLEANUP(cleanup_free) counts = buckets_count(take->sums, s->tree.nodes_count);
	struct choosing c CLEANUP(choosing_release) = {.take = take, .shown = shown};

	if (!counts)
		return -ENOMEM;
	while (larger + counts[bucket - 1] <= limit)
		larger += counts[--bucket];
	c.floor = bucket_floor(bucket);
	c.below = bucket_floor(bucket - 1);
	int rc = heavy_choose(&c);

	if (rc)
		return rc;
	select_first(s, c.list, c.count, limit - larger);
	for (size_t i = 0; i < MIN(limit - larger, c.count); i++)
		shown[c.list[i].node / 64] |= UINT64_C(1) << c.list[i].node % 64;
	ancestors_choose(take, shown);
	return 0;
}

static void touched_choose(const struct skeleton_sums *sums, size_t nodes, uint64_t *shown)
{
	struct skeleton_run run = {0};

	while (skeleton_next_run(sums, nodes, &run))
		if (run.total->touched)
			run_choose(&run, shown);
}

static int numbers_init(struct skeleton_numbers *numbers, size_t nodes)
{
	size_t words = nodes / 64 + 1;

	numbers->before = malloc(words * sizeof(*numbers->before));
	if (!numbers->before)
		return -ENOMEM;
	for (size_t word = 0; word < words; word++) {
		numbers->before[word] = (uint32_t)numbers->count;
		numbers->count += (size_t)__builtin_popcountll(numbers->bits[word]);
	}
	return 0;
}

void skeleton_numbers_release(struct skeleton_numbers *numbers)
{
	free(numbers->bits);
	free(numbers->before);
	*numbers = (struct skeleton_numbers){0};
}

int skeleton_choose(const struct skeleton_take *take, struct skeleton_choice *ret_choice)
{
	const struct skeleton *s = take->skeleton;
	struct skeleton_choice *c = ret_choice;
	uint64_t *shown = calloc(s->tree.nodes_count / 64 + 1, sizeof(*shown));
	int rc = 0;

	*c = (struct skeleton_choice){.numbers = {.bits = shown},
				      .dress = take->joined ? keys_choose(s, take->sums) : NULL};
	if (!shown || (take->joined && !c->dress))
		return -ENOMEM;
	if (take->joined)
		skeleton_join_sums(s, take->sums);
	struct skeleton_run run = {0};

	while (skeleton_next_run(take->sums, s->tree.nodes_count, &run))
		c->touched_count += run.total->touched ? run.end - run.at : 0;
	if (take->max_nodes && c->touched_count > take->max_nodes)
		rc = largest_choose(take, shown);
	else
		touched_choose(take->sums, s->tree.nodes_count, shown);
	shown[0] |= 1;
	return rc ? rc : numbers_init(&c->numbers, s->tree.nodes_count);
}

void skeleton_choice_release(struct skeleton_choice *choice)
{
	skeleton_numbers_release(&choice->numbers);
	free(choice->dress);
	*choice = (struct skeleton_choice){0};
}

/* ---- the tree ---- */

struct copying {
	const struct skeleton_take *take;
	const struct skeleton_choice *choice;
	struct query_tree *tree;
	uint32_t *strings; /* the tree's numbers + 1 by the skeleton's, 0: not copied yet */
	uint32_t *keys;
};

static int string_copy(struct copying *c, uint32_t string, uint32_t *ret_string)
{
	struct str text = intern_get(&c->take->skeleton->names.strings, string);
	int rc = 0;

	*ret_string = 0;
	if (!c->strings[string]) {
		rc = intern_put(&c->tree->strings, text.ptr, text.len, ret_string);
		c->strings[string] = rc ? 0 : *ret_string + 1;
	}
	*ret_string = rc ? 0 : c->strings[string] - 1;
	return rc;
}

static int key_copy(struct copying *c, uint32_t key, uint32_t *ret_key)
{
	uint32_t from = c->choice->dress ? c->choice->dress[key] : key;

	if (!c->keys[from]) {
		struct query_key copy = c->take->skeleton->names.keys[from];
		uint32_t number;
		int rc = string_copy(c, copy.function, &copy.function);

		if (!rc)
			rc = string_copy(c, copy.library, &copy.library);
		if (!rc)
			rc = string_copy(c, copy.file, &copy.file);
		if (!rc)
			rc = query_tree_key(c->tree, &copy, &number);
		if (rc)
			return rc;
		c->keys[from] = number + 1;
	}
	*ret_key = c->keys[from] - 1;
	return 0;
}

/* What else names that are shown are called. */
static int aliases_copy(struct copying *c)
{
	const struct intern *from = &c->take->skeleton->names.alias_index;
	struct intern *to = &c->tree->alias_index;
	int rc = from->count ? intern_init(to, from->arena.max) : 0;

	for (uint32_t i = 1; !rc && i < from->count; i++) {
		uint32_t pair[2], ignored;

		memcpy(pair, from->strings[i].ptr, sizeof(pair));
		if (!c->strings[pair[0]])
			continue;
		rc = string_copy(c, pair[0], &pair[0]);
		if (!rc)
			rc = string_copy(c, pair[1], &pair[1]);
		if (!rc)
			rc = intern_put(to, (const char *)pair, sizeof(pair), &ignored);
	}
	return rc;
}

static int node_copy(struct copying *c, uint32_t node)
{
	const struct skeleton_take *take = c->take;
	struct query_tree_node *to = &c->tree->nodes[c->tree->nodes_count];
	uint32_t key = 0;
	int rc = key_copy(c, skeleton_key(take->skeleton, node), &key);

	if (rc)
		return rc;
	*to = (struct query_tree_node){
	    .parent = skeleton_number(&c->choice->numbers, parent_of(take, node)),
	    .key = key,
	    .total = skeleton_total_of(take->sums, node)->total};
	c->tree->nodes_count++;
	return 0;
}

static int nodes_copy(struct copying *c)
{
	const uint64_t *shown = c->choice->numbers.bits;
	int rc = 0;

	c->tree->nodes[0].total = c->take->sums->totals[0].total;
	for (size_t word = 0; word <= c->take->skeleton->tree.nodes_count / 64; word++)
		for (uint64_t bits = word ? shown[word] : shown[word] & ~UINT64_C(1); !rc && bits;
		     bits &= bits - 1)
			rc = node_copy(c, (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits));
	return rc;
}

static void selves_copy(struct copying *c)
{
	const struct skeleton_sums *sums = c->take->sums;
	struct query_hidden *hidden = &c->tree->hidden;

	for (size_t i = 0; i < sums->leaves_count; i++) {
		const struct skeleton_leaf *leaf = &sums->leaves[i];
		uint32_t number = skeleton_number(&c->choice->numbers, leaf->node);

		if (number == UINT32_MAX) {
			hidden->value = sum_add(hidden->value, leaf->self);
			continue;
		}
		struct query_tree_node *node = &c->tree->nodes[number];

		node->self = sum_add(node->self, leaf->self);
		node->samples += leaf->samples;
	}
	c->tree->total = c->tree->nodes[0].total;
}

/* What hidden children held, by node: what a total is beyond its self and the children that are
 * shown. */
static int hidden_find(struct copying *c)
{
	const struct query_tree *tree = c->tree;
	struct query_hidden *hidden = &c->tree->hidden;

	hidden->nodes = c->choice->touched_count - tree->nodes_count;
	hidden->self = malloc(tree->nodes_count * sizeof(*hidden->self));
	if (!hidden->self)
		return -ENOMEM;
	for (size_t i = tree->nodes_count; i-- > 0;)
		hidden->self[i] = sum_sub(tree->nodes[i].total, tree->nodes[i].self);
	for (size_t i = tree->nodes_count; i-- > 1;) {
		int64_t *parent = &hidden->self[tree->nodes[i].parent];

		*parent = sum_sub(*parent, tree->nodes[i].total);
	}
	return 0;
}

int skeleton_copy(const struct skeleton_take *take, const struct skeleton_choice *choice,
		  struct query_tree *tree)
{
	const struct skeleton *s = take->skeleton;
	uint32_t *CLEANUP(cleanup_free) strings =
	    calloc(s->names.strings.count + 1, sizeof(*strings));
	uint32_t *CLEANUP(cleanup_free) keys = calloc(s->names.keys_count + 1, sizeof(*keys));
	struct copying c = {take, choice, tree, strings, keys};
	int rc = strings && keys ? 0 : -ENOMEM;

	if (!rc)
		rc = array_grow(&tree->nodes, sizeof(*tree->nodes), &tree->nodes_capacity,
				choice->numbers.count);
	if (!rc)
		rc = nodes_copy(&c);
	if (!rc)
		rc = aliases_copy(&c);
	if (rc)
		return rc;
	selves_copy(&c);
	return choice->numbers.count < choice->touched_count ? hidden_find(&c) : 0;
}

int skeleton_tree(const struct skeleton_take *take, struct query_tree *tree,
		  struct skeleton_numbers *ret_numbers)
{
	struct skeleton_choice choice CLEANUP(skeleton_choice_release) = {0};
	int rc = skeleton_choose(take, &choice);

	if (!rc)
		rc = skeleton_copy(take, &choice, tree);
	if (!rc && ret_numbers) {
		*ret_numbers = choice.numbers;
		choice.numbers = (struct skeleton_numbers){0};
	}
	return rc;
}

int skeleton_of_tree(struct query_tree *tree, struct skeleton *ret_skeleton,
		     struct skeleton_sums *ret_sums)
{
	size_t nodes = tree->nodes_count;
	struct skeleton_sums sums = {.with_samples = true};
	struct skeleton s = {0};
	int rc = skeleton_reserve(&s, nodes, 0);

	for (uint32_t i = 0; !rc && i < nodes; i++) {
		const struct query_tree_node *node = &tree->nodes[i];

		rc = i ? skeleton_append(&s, node->parent, node->key) : 0;
		if (!rc && (node->self || node->samples))
			rc = skeleton_add(&sums, i, node->self, node->samples);
	}
	if (!rc)
		rc = skeleton_settle(&sums, &s);
	if (rc) {
		skeleton_release(&s);
		skeleton_sums_release(&sums);
		return rc;
	}
	s.names = *tree;
	*tree = (struct query_tree){0};
	*ret_skeleton = s;
	*ret_sums = sums;
	return 0;
}
