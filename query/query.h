/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/query.h - questions and answers: the room's front.
 *
 * A question is a type, a selector and a range; an answer is a tree, a table or a series of totals,
 * which a format (query/format.h) then writes.  Everything streams over one storage_reader, so all
 * functions run on the thread that owns the reader.  Names of addresses come from the caller
 * (struct query_names), which keeps this room free of symbol tables.
 */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "base/buf.h"
#include "base/slots.h"
#include "query/selector.h"
#include "storage/storage.h"

#define QUERY_MAX_NODES_DEFAULT 8192
#define QUERY_TREE_NODES_MAX ((size_t)8 << 20) /* half a GB; a host's month has a tenth; -E2BIG */
#define QUERY_LOSSES_MAX 32
#define QUERY_INLINES_MAX 32

struct query_name {
	const char *function, *file; /* NULL: unknown */
	uint32_t line, start_line;
	/* bytes from the function's begin, which names it when nothing else does */
	uint64_t inside;
};

/* Names an address. Innermost frame first; returns how many, 0 when nothing is known. */
struct query_names {
	void *arg;
	/* another one for each set of answers: names are kept by it. 0: never keep them */
	uint64_t epoch;
	size_t (*find)(void *arg, const struct profile_module *module, uint32_t owner,
		       uint64_t address, bool is_file_offset,
		       struct query_name names[QUERY_INLINES_MAX]);
};

/* What two frames must share to be one node. */
enum query_granularity {
	QUERY_BY_FUNCTION, /* name, library, file */
	QUERY_BY_LINE,     /* and the line */
	QUERY_BY_ADDRESS,  /* the address itself, as binary+0x... beside its name */
	QUERY_BY_FILE,     /* the source file alone */
	QUERY_BY_LIBRARY   /* the binary alone */
};

/* Who asks: owners of series that may be seen. `all` for root, the agent's own user and tokens. */
struct query_viewer {
	bool all;
	uint32_t owner;
};

struct query_range {
	int64_t from_ns, until_ns; /* half open, UTC */
};

/* Which records: by what they say of themselves, which only L0 knows.  Zeroed: all. */
struct query_context {
	struct str thread; /* a name, or a number */
	/* 16 and 32 hexadecimal digits each; any of them.  A span is also the root of its
	 * service. */
	const struct str *span_ids, *trace_ids;
	size_t span_ids_count, trace_ids_count;
};

/* How much of a name is shown; what then has one name is one node. */
enum query_names_level {
	QUERY_NAMES_FULL,
	QUERY_NAMES_PLAIN, /* f<int>(int) const is f<int> */
	QUERY_NAMES_FOLDED /* and f<...> */
};

enum query_side { QUERY_CALLEES, QUERY_CALLERS };

/* What becomes of the merged and filtered tree, in the order of the members.  Zeroed: nothing. */
struct query_shape {
	enum query_names_level names;
	/* one function (by line: and line) is one node, whatever its file and library */
	bool by_name;
	/* a function stands once on a path: a call of what is open returns to it */
	bool collapse;
	/* one function ("": none): the stacks that hold it, cut at its outermost call */
	struct str sandwich;
	enum query_side side;   /* below it, or above it and callers below */
	bool invert;            /* leaves first */
	const struct str *path; /* names from the root: the stacks that start so */
	size_t path_count;
};

struct query_filter; /* query/filter.h */

struct query {
	struct storage_reader *reader;
	const struct query_names *names; /* NULL: addresses stay addresses */
	struct query_viewer viewer;
	struct profile_type type;
	const struct selector *selector; /* NULL: everything */
	struct query_range range;
	enum query_granularity granularity;
	int64_t deadline_ns;                 /* CLOCK_MONOTONIC; 0: none */
	const struct query_filter *filter;   /* NULL: none */
	const struct query_context *context; /* NULL: every record */
	struct query_shape shape;
	/* a tree may leave out what a view of so many does not show. 0: it is whole */
	size_t max_nodes;
};

/* What stands in every answer beside its numbers. */
struct query_facts {
	uint64_t samples; /* behind the answer */
	bool partial;     /* the deadline came first */
	bool folded;      /* small stacks stand at "[other]": the store had no room for them */
	/* A restriction by what records say reaches back to here, though the range and the data
	 * begin earlier: only L0 has records. 0: it reaches all. */
	int64_t records_from_ns;
	/* Of a question with a filter, a context or a shape: what was selected and is not shown.
	 * The answer's total and `removed_value` are the whole. */
	bool filtered;
	int64_t removed_value;
	uint64_t removed_samples;
	size_t losses_count;
	struct {
		char reason[48];
		uint64_t count;
	} losses[QUERY_LOSSES_MAX];
};

/* ---- trees ---- */

/* A merged tree.  Node 0 is the root ("total"); parents are numbered below children. */
struct query_tree_node {
	uint32_t parent;
	uint32_t key; /* in keys; 0 is the root's */
	int64_t self, total;
	uint64_t samples; /* behind self */
};

/* What a node is called. Strings are in `strings`; "" is unknown. */
struct query_key {
	uint32_t function, library, file, line;
	uint32_t start_line; /* of the function; by line alone, where `line` is not that already */
};

/* What a tree was made without. */
struct query_hidden {
	int64_t *self; /* by node: what its hidden children held. NULL: nothing is hidden */
	size_t nodes;
	int64_t value;
};

struct query_tree {
	struct intern strings, key_index;
	struct slots node_slots; /* by parent and key */
	uint64_t secret[2];
	/* pairs of strings: what else a library or an address is called */
	struct intern alias_index;
	struct query_key *keys;
	size_t keys_count, keys_capacity;
	struct query_tree_node *nodes;
	size_t nodes_count, nodes_capacity;
	struct query_hidden hidden;
	int64_t total;
	struct query_facts facts;
	char type_id[PROFILE_TYPE_ID_MAX], unit[64];
	struct query_range range;
};

MUST_CHECK int query_tree_init(struct query_tree *tree);
void query_tree_release(struct query_tree *tree);

/* Merge everything that the query selects into a fresh tree, which takes no further children.
 * Returns 0, -ENOENT when no series matches (the tree is empty but whole), -EINVAL, -EIO or
 * -ENOMEM. */
MUST_CHECK int query_merge(const struct query *query, struct query_tree *tree, struct err *err);

/* Add to a node's child of this name. For building trees in tests and from other sources. */
MUST_CHECK int query_tree_child(struct query_tree *tree, uint32_t parent,
				const struct query_key *key, uint32_t *ret_node);
/* The same with a key's number, which stays that key's. */
MUST_CHECK int query_tree_key(struct query_tree *tree, const struct query_key *key,
			      uint32_t *ret_key);
MUST_CHECK int query_tree_child_of(struct query_tree *tree, uint32_t parent, uint32_t key,
				   uint32_t *ret_node);
MUST_CHECK int query_tree_key_string(struct query_tree *tree, const char *text,
				     uint32_t *ret_string);
/* The order of two keys: by function, library, file, line. As strcmp. */
int query_keys_compare(const struct query_tree *tree, const struct query_key *a,
		       const struct query_key *b);
/* Totals from selves, in one backward pass. */
void query_tree_sum(struct query_tree *tree);

/*
 * The tree as it is shown: preorder, children by falling total then name, nodes beyond the
 * `max_nodes` largest hidden and counted (0: none hidden).
 */
struct query_view {
	const struct query_tree *tree;
	uint32_t *order; /* tree nodes, preorder; order[0] is the root */
	uint32_t *depth; /* of order[i] */
	/* what order[i]'s hidden children held (query_view_hidden()); NULL: none is hidden */
	int64_t *hidden_self;
	size_t count;
	size_t hidden_nodes;
	int64_t hidden_value;
};

/* Every node in preorder with its depth, in no order among siblings; both are the caller's to
 * free. */
MUST_CHECK int query_tree_preorder(const struct query_tree *tree, uint32_t **ret_order,
				   uint32_t **ret_depth);
/* Samples below and at each node; free it. NULL without memory. */
uint64_t *query_tree_samples(const struct query_tree *tree);

MUST_CHECK int query_view_init(struct query_view *view, const struct query_tree *tree,
			       size_t max_nodes);
void query_view_release(struct query_view *view);

static inline int64_t query_view_hidden(const struct query_view *view, size_t i)
{
	return view->hidden_self ? view->hidden_self[i] : 0;
}

/* ---- tables ---- */

struct query_row {
	char *name, *file, *library; /* owned by the table */
	uint32_t line;
	int64_t self, total;
	uint64_t samples; /* behind self */
	uint64_t samples_total;
	double self_se, total_se; /* standard errors (query/diff.h) */
};

struct query_table {
	struct query_row *rows; /* by falling self, then total, then name */
	size_t count;
	int64_t total;
	struct query_facts facts;
	char type_id[PROFILE_TYPE_ID_MAX], unit[64];
	struct query_range range;
	struct arena arena;
};

/* Rows by `by`: "function", "name" (of the function, wherever it stands, as pprof's rows), "file",
 * "line", "address", "library", "thread", or the name of a label (of the series, else of the
 * records' context).  Recursion counts once in a row's total.  Returns as query_merge; after
 * -ENOENT the table is empty, but whole, and is to be released. */
MUST_CHECK int query_top(const struct query *query, struct str by, struct query_table *ret_table,
			 struct err *err);
void query_table_release(struct query_table *table);

/* ---- totals over time ---- */

struct query_line {
	char *group; /* value of the group-by label; "" without one */
	int64_t *sums;
	uint64_t *counts;
};

struct query_timeline {
	int64_t start_ns, step_ns;
	size_t steps;
	struct query_line *lines;
	size_t lines_count;
	struct query_facts facts;
	char type_id[PROFILE_TYPE_ID_MAX], unit[64];
	struct query_range range;
	struct arena arena;
};

#define QUERY_STEPS_MAX 11000

/* `step_ns` 0 chooses about 120 steps of a round width. `group_by` may be empty.
 * Returns -EINVAL when range / step is above QUERY_STEPS_MAX, else as query_top. */
MUST_CHECK int query_timeline(const struct query *query, int64_t step_ns, struct str group_by,
			      struct query_timeline *ret_timeline, struct err *err);
void query_timeline_release(struct query_timeline *timeline);

/* ---- the catalogue ---- */

/* A part of a sorted list: entries behind `after` ("": from the first), at most `limit` (0:
 * all). */
struct query_page {
	struct str name; /* of the label whose values are wanted */
	struct str after;
	size_t limit;
};

/* Write {"schema":...} documents straight into `out`; the range and viewer of `query` count. A page
 * that is not the last has "next", which is the next one's `after`. */
MUST_CHECK int query_services_page(const struct query *query, const struct query_page *page,
				   struct buf *out, struct err *err);
MUST_CHECK int query_types_page(const struct query *query, const struct query_page *page,
				struct buf *out, struct err *err);
MUST_CHECK int query_labels_page(const struct query *query, const struct query_page *page,
				 struct buf *out, struct err *err);
MUST_CHECK int query_label_values_page(const struct query *query, const struct query_page *page,
				       struct buf *out, struct err *err);

/* The same, whole. */
MUST_CHECK int query_services(const struct query *query, struct buf *out, struct err *err);
MUST_CHECK int query_types(const struct query *query, struct buf *out, struct err *err);
MUST_CHECK int query_labels(const struct query *query, struct buf *out, struct err *err);
MUST_CHECK int query_label_values(const struct query *query, struct str name, struct buf *out,
				  struct err *err);

/* Write a table or a timeline as JSON (hearth.top/1, hearth.timeline/1). `limit` 0: all rows. */
MUST_CHECK int query_table_json(const struct query_table *table, size_t limit, struct buf *out);
/* Rows from the `from`-th; "next" is where the page after this one starts. */
MUST_CHECK int query_table_page_json(const struct query_table *table, size_t from, size_t limit,
				     struct buf *out);
MUST_CHECK int query_timeline_json(const struct query_timeline *timeline, struct buf *out);

#endif
