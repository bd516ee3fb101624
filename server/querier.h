/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/querier.h - Pyroscope's questions, answered from our store.  Private to server/querier*.c
 * and route_pyroscope.c; pool threads.
 *
 * Its label service_name is our service; labels in double underscores are parts of a type id, which
 * no series of ours has.
 */
#ifndef SERVER_QUERIER_H
#define SERVER_QUERIER_H

#include "query/levels.h"
#include "server/route.h"
#include "wire/querier.h"

struct querier_call {
	struct agent *agent;
	struct query_viewer viewer;
	const struct querier_request *request;
	int64_t now_ns;
	bool utf8_names; /* the caller takes label names of any letters */
	struct buf *out; /* the answer's message, in binary form */
	struct err *err;
};

/* A question that is open: what it borrows is its own. */
struct querier_ask {
	struct query query;
	struct selector *selector;
	struct storage_reader *reader;
	struct symbols_view *view;
	struct query_names names;
	char type_id[PROFILE_TYPE_ID_MAX];
	bool is_void; /* a matcher of the type does not hold: nothing is selected */
};

/*
 * Open a question about one type. `type_id` may be "": then the selector names it by
 * __profile_type__ or
 * __name__.  Close it whatever is returned.  Returns 0, -EINVAL, -E2BIG, -EIO or -ENOMEM.
 */
MUST_CHECK int querier_open(const struct querier_call *call, struct str type_id,
			    struct str selector, int64_t start_ms, int64_t end_ms,
			    struct querier_ask *ret_ask);
void querier_close(const struct querier_call *call, struct querier_ask *ask);

/* The range of two times in ms; 0 and 0 is all there is. */
MUST_CHECK int querier_range(const struct querier_call *call, int64_t start_ms, int64_t end_ms,
			     struct query_range *ret_range);

/* Merge what is asked; the tree is empty when nothing is selected. Release it after 0 only. */
MUST_CHECK int querier_merge(const struct querier_call *call, struct querier_ask *ask,
			     struct query_tree *ret_tree);

/* Whether a question over time has a step and a range. */
MUST_CHECK int querier_step_check(const struct querier_call *call);

/* How many nodes are shown when `asked` is what was wanted. */
size_t querier_max_nodes(int64_t asked);

/* Our name for a label of theirs. */
struct str querier_label(struct str name);

typedef int (*querier_fn)(struct querier_call *call);

int querier_profile_types(struct querier_call *call);
int querier_label_names(struct querier_call *call);
int querier_label_values(struct querier_call *call);
int querier_series(struct querier_call *call);
int querier_profile_stats(struct querier_call *call);
int querier_analyze(struct querier_call *call);
int querier_stacktraces(struct querier_call *call);
int querier_span_profile(struct querier_call *call);
int querier_merge_profile(struct querier_call *call);
int querier_select_series(struct querier_call *call);
int querier_heatmap(struct querier_call *call);
int querier_diff(struct querier_call *call);

#endif
