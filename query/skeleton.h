/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/skeleton.h - stacks by name without values, which outlive a question.  Private to query/.
 *
 * What a question costs is to find the place of each stack node of the store's files in one tree of
 * names.  That place does not depend on the question, and the tables of a file only grow: so a
 * skeleton keeps the tree, and for each table which node went where.  A question then adds up its
 * leaves by number, sums in one backward pass, and makes a struct query_tree of what it touched.
 * A skeleton has nodes that a question does not: only those with samples below count.
 *
 * Parents are numbered below children; node 0 is the root.  Stacks are deep and mostly go on in one
 * way, and a stack's nodes are numbered as they come: a node's first child is mostly the node
 * behind it, which then needs no link.  One thread.
 */
#ifndef QUERY_SKELETON_H
#define QUERY_SKELETON_H

#include "base/chains.h"
#include "query/query.h"

/* The names of one frame of a table: a run in `keys`, outermost function first. */
struct skeleton_frame {
	uint32_t at, count; /* count 0: not named yet; a frame always has at least one key */
};

/* Where nodes of a table went.  Of most tables a question takes few stacks: 64 nodes stand
 * together, where one of them went somewhere. */
struct skeleton_map {
	uint64_t *known;    /* by node, a bit; the root is */
	uint32_t *blocks;   /* by 64 nodes, where they stand in `nodes`; 0: nowhere yet */
	uint32_t *nodes;    /* of the skeleton; what is not known is not filled */
	size_t count, used; /* blocks; the first of `nodes` is nobody's */
};

/* Of a node that is known. */
static inline uint32_t skeleton_place(const struct skeleton_map *map, uint32_t node)
{
	return node ? map->nodes[(size_t)map->blocks[node / 64] * 64 + node % 64] : 0;
}

/* 0: the root's, or not known. */
static inline uint32_t skeleton_mapped(const struct skeleton_map *map, uint32_t node)
{
	return map->known[node / 64] >> node % 64 & 1 ? skeleton_place(map, node) : 0;
}

/* Where the nodes of one table of the store went. */
struct skeleton_source {
	uint64_t id; /* of struct storage_segment */
	uint64_t used;
	struct skeleton_map map;
	struct skeleton_frame *frames;
	size_t frames_count;
	uint32_t *keys;
	size_t keys_count, keys_capacity;
};

struct skeleton {
	struct query_tree names; /* strings, keys and aliases; it has no nodes */
	struct chains tree;
	uint64_t *forks; /* by node, a bit: it has a child that is not the node behind it */
	size_t forks_capacity;
	struct slots branches; /* these children, by parent and key */
	uint64_t *key_hashes;
	size_t key_hashes_count, key_hashes_capacity;
	bool *again; /* by node, as far as somebody asked: its key stands above it too */
	size_t again_count, again_capacity;
	/* Likewise the first node whose path has the same names: functions, by line with their
	 * lines. */
	bool by_line;
	bool is_joined; /* false: each key has a name of its own, so each node is its own */
	uint32_t *joined;
	size_t joined_count, joined_capacity;
	struct slots join_slots; /* of those nodes, by what the parent is joined to and the name */
	struct intern classes;   /* names */
	uint32_t *class_of;      /* by key */
	size_t class_count, class_capacity;
	struct skeleton_source *sources;
	size_t sources_count, sources_capacity;
	uint64_t used;               /* questions so far */
	struct skeleton_sums *spare; /* empty; NULL: lent */
};

MUST_CHECK int skeleton_init(struct skeleton *skeleton, bool by_line);
void skeleton_release(struct skeleton *skeleton);
size_t skeleton_bytes(const struct skeleton *skeleton);

/* A question begins: what no recent one used of the tables goes. */
void skeleton_begin(struct skeleton *skeleton);

/* Room for so many nodes, and for keys up to this one. Returns 0, -E2BIG beyond
 * QUERY_TREE_NODES_MAX, or -ENOMEM. */
MUST_CHECK int skeleton_reserve(struct skeleton *skeleton, size_t nodes, uint32_t key);
/* Add a node that is not found by its key. Returns likewise. */
MUST_CHECK int skeleton_append(struct skeleton *skeleton, uint32_t parent, uint32_t key);

MUST_CHECK int skeleton_child_far(struct skeleton *skeleton, uint32_t parent, uint32_t key,
				  uint32_t *ret_node);

/* The node's child of this key. Returns 0, -E2BIG beyond QUERY_TREE_NODES_MAX, or -ENOMEM.  The
 * node behind a parent is next to what was read before, where a place in a hash table is cold
 * memory. */
MUST_CHECK static inline int skeleton_child(struct skeleton *skeleton, uint32_t parent,
					    uint32_t key, uint32_t *ret_node)
{
	struct chains *tree = &skeleton->tree;
	uint32_t behind = parent + 1;

	*ret_node = behind;
	if (behind < tree->nodes_count && !chains_is_head(tree, behind) &&
	    chains_key(tree, behind) == key)
		return 0;
	if (behind != tree->nodes_count || !chains_has_room(tree, key))
		return skeleton_child_far(skeleton, parent, key, ret_node);
	chains_go_on(tree, key); /* the last one had no children yet */
	return 0;
}

static inline uint32_t skeleton_parent(const struct skeleton *skeleton, size_t node)
{
	return chains_parent(&skeleton->tree, (uint32_t)node);
}

static inline uint32_t skeleton_key(const struct skeleton *skeleton, size_t node)
{
	return chains_key(&skeleton->tree, (uint32_t)node);
}

/* The source of this segment's tables, with room for all nodes and frames; valid until the next
 * call. */
MUST_CHECK int skeleton_source(struct skeleton *skeleton, const struct storage_segment *segment,
			       struct skeleton_source **ret_source);
/* Where the 64 nodes of this block stand. */
uint32_t *skeleton_map_block(struct skeleton_map *map, size_t block);
/* A number for each node, by which a path's names alone decide: depth, then a hash of them. */
struct skeleton_ranking {
	uint32_t node, rank; /* of the last one that was asked for; zero */
	uint32_t *path;
	size_t path_capacity;
};

/* Cheap when nodes are asked for by their number. Returns 0 or -ENOMEM. Free ranking->path. */
MUST_CHECK int skeleton_rank(struct skeleton *skeleton, struct skeleton_ranking *ranking,
			     uint32_t node, uint32_t *ret_rank);
/* Bring `again` up to the last node. */
MUST_CHECK int skeleton_find_again(struct skeleton *skeleton);
/* Find out whether nodes are to be joined, and bring `joined` up to the last node. */
MUST_CHECK int skeleton_join(struct skeleton *skeleton);

/* ---- values ---- */

struct skeleton_leaf {
	uint32_t node;
	int64_t self;
	uint64_t samples;
};

/*
 * Values of one selection: of its leaves, and of all nodes when they are settled.  On the way down
 * from a node to the next leaf or fork nothing is added and nothing goes off: the nodes of such a
 * run have one total, which stands there once.  A tree has twenty times as many nodes as runs.
 */
struct skeleton_sums {
	struct skeleton_leaf *leaves; /* nodes with samples */
	size_t leaves_count, leaves_capacity;
	struct slots places; /* of leaves, by node */
	bool with_samples;   /* to be asked for: few questions show them */
	bool joined;         /* likewise: nodes that will be joined have runs of their own */
	/* Settled. */
	uint64_t *starts; /* by node, a bit: a run begins */
	uint32_t *before; /* how many were set before each 64 */
	size_t words_capacity, before_capacity;
	struct skeleton_total {
		int64_t total;
		uint64_t samples; /* with_samples */
		bool touched;     /* samples are at it or below */
	} * totals;               /* by run */
	size_t runs_count, runs_capacity;
};

/* Nothing, in memory that the skeleton keeps, if it is not lent: fresh memory costs more than to
 * sum. Give it back. */
void skeleton_sums_borrow(struct skeleton_sums *ret_sums, struct skeleton *skeleton);
void skeleton_sums_return(struct skeleton_sums *sums, struct skeleton *skeleton);

MUST_CHECK int skeleton_add(struct skeleton_sums *sums, uint32_t node, int64_t value,
			    uint64_t samples);
/* Leave only leaves that pass, before they are settled. Returns 0 or -ENOMEM. */
MUST_CHECK int skeleton_keep(struct skeleton_sums *sums, const bool *passes);
/* Begin anew. */
void skeleton_clear(struct skeleton_sums *sums);
/* Sum up. */
MUST_CHECK int skeleton_settle(struct skeleton_sums *sums, const struct skeleton *skeleton);
void skeleton_sums_release(struct skeleton_sums *sums);

static inline struct skeleton_total *skeleton_total_of(const struct skeleton_sums *sums,
						       size_t node)
{
	uint64_t upto = sums->starts[node / 64] & (UINT64_MAX >> (63 - node % 64));

	return &sums->totals[sums->before[node / 64] + (size_t)__builtin_popcountll(upto) - 1];
}

/* Nodes with one total, from `at` up to `end`.  Zero begins; false: there are no more. */
struct skeleton_run {
	size_t at, end;
	struct skeleton_total *total;
};
bool skeleton_next_run(const struct skeleton_sums *sums, size_t nodes, struct skeleton_run *run);

/* A selection's leaves alone, while another one has its totals: a second column of these would be
 * fresh memory, which costs more than to sum once more. */
struct skeleton_leaves {
	struct skeleton_leaf *list;
	size_t count;
};

/* Move the leaves out of sums that are not settled, and begin anew. */
void skeleton_leaves_take(struct skeleton_sums *sums, struct skeleton_leaves *ret_leaves);
/* Add them to sums that are not settled. */
MUST_CHECK int skeleton_leaves_add(const struct skeleton_leaves *leaves,
				   struct skeleton_sums *sums);
void skeleton_leaves_release(struct skeleton_leaves *leaves);

/* ---- a tree of what was touched ---- */

struct skeleton_take {
	struct skeleton *skeleton;
	struct skeleton_sums *sums; /* settled */
	/* nodes whose paths have the same names become one; the sums are joined too */
	bool joined;
	size_t max_nodes; /* 0: all */
};

/* Numbers, by node of the skeleton, of those nodes that a tree has: as many bits, and how many were
 * set before each 64.  A column of numbers would be fresh megabytes for each question. */
struct skeleton_numbers {
	uint64_t *bits;
	uint32_t *before;
	size_t count; /* of the tree's nodes */
};

/* The tree's node, UINT32_MAX for none. */
static inline uint32_t skeleton_number(const struct skeleton_numbers *numbers, uint32_t node)
{
	uint64_t word = numbers->bits[node / 64], bit = UINT64_C(1) << node % 64;

	if (!(word & bit))
		return UINT32_MAX;
	return numbers->before[node / 64] + (uint32_t)__builtin_popcountll(word & (bit - 1));
}

void skeleton_numbers_release(struct skeleton_numbers *numbers);

/* Which nodes a tree has. */
struct skeleton_choice {
	struct skeleton_numbers numbers;
	size_t touched_count; /* with samples below */
	uint32_t *dress;      /* by key: what a joined node is shown with; NULL: its own */
};

/*
 * Choose the nodes that have samples below: all, or the root and those with the largest totals, by
 * rank where totals are equal.  Release the choice in every case.
 */
MUST_CHECK int skeleton_choose(const struct skeleton_take *take,
			       struct skeleton_choice *ret_choice);
void skeleton_choice_release(struct skeleton_choice *choice);

/*
 * Fill a fresh tree with what was chosen, with these sums or others.  Names are copied; totals are
 * final, and what is left out is said in `hidden`.
 */
MUST_CHECK int skeleton_copy(const struct skeleton_take *take, const struct skeleton_choice *choice,
			     struct query_tree *tree);

/* Both.  ret_numbers may be NULL. */
MUST_CHECK int skeleton_tree(const struct skeleton_take *take, struct query_tree *tree,
			     struct skeleton_numbers *ret_numbers);

/* Join settled sums: the totals of nodes whose paths have the same names are the first one's. */
void skeleton_join_sums(const struct skeleton *skeleton, struct skeleton_sums *sums);

/* A skeleton with the nodes of a summed tree, which it empties, and their values, settled.  It
 * takes no further children. */
MUST_CHECK int skeleton_of_tree(struct query_tree *tree, struct skeleton *ret_skeleton,
				struct skeleton_sums *ret_sums);

#endif
