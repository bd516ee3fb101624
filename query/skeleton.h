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
 * Parents are numbered below children; node 0 is the root.  Stacks are deep and mostly go on in one way, and a
 * stack's nodes are numbered as they come: a node's first child is mostly the node behind it, which then needs no
 * link.  One thread.
 */
#ifndef QUERY_SKELETON_H
#define QUERY_SKELETON_H

#include "query/query.h"

/* The names of one frame of a table: a run in `keys`, outermost function first. */
struct skeleton_frame {
	uint32_t at, count; /* count 0: not named yet; a frame always has at least one key */
};

/* Where the nodes of one table of the store went. */
struct skeleton_source {
	uint64_t id; /* of struct storage_segment */
	uint64_t used;
	uint32_t *map; /* by node of the table; 0: not yet, or the root */
	size_t map_count;
	struct skeleton_frame *frames;
	size_t frames_count;
	uint32_t *keys;
	size_t keys_count, keys_capacity;
};

struct skeleton {
	struct query_tree names; /* strings, keys and aliases; it has no nodes */
	uint32_t *parent, *key;	 /* by node */
	size_t nodes_count, nodes_capacity;
	struct slots branches; /* children that are not behind their parent, by parent and key */
	uint64_t *key_hashes;
	size_t key_hashes_count, key_hashes_capacity;
	bool *again; /* by node, as far as somebody asked: its key stands above it too */
	size_t again_count, again_capacity;
	/* Likewise the first node whose path has the same names: functions, by line with their lines. */
	bool by_line;
	bool is_joined; /* false: each key has a name of its own, so each node is its own */
	uint32_t *joined;
	size_t joined_count, joined_capacity;
	struct slots join_slots; /* of those nodes, by what the parent is joined to and the name */
	struct intern classes;	 /* names */
	uint32_t *class_of;	 /* by key */
	size_t class_count, class_capacity;
	struct skeleton_source *sources;
	size_t sources_count, sources_capacity;
	uint64_t used; /* questions so far */
	struct skeleton_sums *spare; /* zero; NULL: lent */
};

MUST_CHECK int skeleton_init(struct skeleton *skeleton, bool by_line);
void skeleton_release(struct skeleton *skeleton);
size_t skeleton_bytes(const struct skeleton *skeleton);

/* A question begins: what no recent one used of the tables goes. */
void skeleton_begin(struct skeleton *skeleton);

/* The node's child of this key. Returns 0, -E2BIG beyond QUERY_TREE_NODES_MAX, or -ENOMEM. */
MUST_CHECK int skeleton_child(struct skeleton *skeleton, uint32_t parent, uint32_t key,
			      uint32_t *ret_node);

/* The source of this segment's tables, with room for all nodes and frames; valid until the next call. */
MUST_CHECK int skeleton_source(struct skeleton *skeleton, const struct storage_segment *segment,
			       struct skeleton_source **ret_source);
/* A number for each node, by which a path's names alone decide: depth, then a hash of them. */
struct skeleton_ranking {
	uint32_t node, rank; /* of the last one that was asked for; zero */
	uint32_t *path;
	size_t path_capacity;
};

/* Cheap when nodes are asked for by their number. Returns 0 or -ENOMEM. Free ranking->path. */
MUST_CHECK int skeleton_rank(struct skeleton *skeleton, struct skeleton_ranking *ranking, uint32_t node,
			     uint32_t *ret_rank);
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

/* Values of one selection: of its leaves, and by node when they are settled. */
struct skeleton_sums {
	struct skeleton_leaf *leaves; /* nodes with samples */
	size_t leaves_count, leaves_capacity;
	int64_t *totals;   /* by node; before they are settled a leaf's number + 1 */
	size_t capacity;
	bool *touched;	   /* by node, settled: samples are at it or below */
	uint64_t *samples; /* likewise how many */
	bool with_samples; /* to be asked for: few questions show them */
	size_t touched_capacity, samples_capacity;
};

/* Nothing, in memory that the skeleton keeps, if it is not lent: fresh memory costs more than to sum. Give it back. */
void skeleton_sums_borrow(struct skeleton_sums *ret_sums, struct skeleton *skeleton);
void skeleton_sums_return(struct skeleton_sums *sums, struct skeleton *skeleton);

/* Room for every node. */
MUST_CHECK int skeleton_reserve(struct skeleton_sums *sums, const struct skeleton *skeleton);
/* Add to a node that there is room for. */
MUST_CHECK int skeleton_add(struct skeleton_sums *sums, uint32_t node, int64_t value, uint64_t samples);
/* Take a leaf away again, before they are settled. */
void skeleton_drop_leaf(struct skeleton_sums *sums, size_t leaf);
/* Begin anew, before they are settled; and when they are. */
void skeleton_clear(struct skeleton_sums *sums);
void skeleton_wipe(struct skeleton_sums *sums, const struct skeleton *skeleton);
/* Sum up. */
MUST_CHECK int skeleton_settle(struct skeleton_sums *sums, const struct skeleton *skeleton);
void skeleton_sums_release(struct skeleton_sums *sums);

/* A selection without its columns, which another one's values have meanwhile: a column for each would be fresh memory,
 * which costs more than to sum once more. */
struct skeleton_leaves {
	struct skeleton_leaf *list;
	size_t count;
};

/* Move the leaves out of sums that are not settled, and begin anew. */
void skeleton_leaves_take(struct skeleton_sums *sums, struct skeleton_leaves *ret_leaves);
/* Add them to sums that are not settled. */
MUST_CHECK int skeleton_leaves_add(const struct skeleton_leaves *leaves, struct skeleton_sums *sums,
				   const struct skeleton *skeleton);
void skeleton_leaves_release(struct skeleton_leaves *leaves);

/* ---- a tree of what was touched ---- */

struct skeleton_take {
	struct skeleton *skeleton;
	struct skeleton_sums *sums; /* settled */
	bool joined;	  /* nodes whose paths have the same names become one; the sums are joined too */
	size_t max_nodes; /* 0: all */
};

/* Numbers, by node of the skeleton, of those nodes that a tree has: as many bits, and how many were set before each
 * 64.  A column of numbers would be fresh megabytes for each question. */
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
	uint32_t *dress; /* by key: what a joined node is shown with; NULL: its own */
};

/*
 * Choose the nodes that have samples below: all, or the root and those with the largest totals, by rank where
 * totals are equal.  Release the choice in every case.
 */
MUST_CHECK int skeleton_choose(const struct skeleton_take *take, struct skeleton_choice *ret_choice);
void skeleton_choice_release(struct skeleton_choice *choice);

/*
 * Fill a fresh tree with what was chosen, with these sums or others.  Names are copied; totals are final, and what is
 * left out is said in `hidden`.
 */
MUST_CHECK int skeleton_copy(const struct skeleton_take *take, const struct skeleton_choice *choice,
			     struct query_tree *tree);

/* Both.  ret_numbers may be NULL. */
MUST_CHECK int skeleton_tree(const struct skeleton_take *take, struct query_tree *tree,
			     struct skeleton_numbers *ret_numbers);

/* Join settled sums: the totals of nodes whose paths have the same names are the first one's. */
void skeleton_join_sums(const struct skeleton *skeleton, struct skeleton_sums *sums);

/* A skeleton with the nodes of a summed tree, which it empties, and their values, settled.  It takes no
 * further children. */
MUST_CHECK int skeleton_of_tree(struct query_tree *tree, struct skeleton *ret_skeleton,
				struct skeleton_sums *ret_sums);

#endif
