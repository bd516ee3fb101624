/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/context.h - restriction by labels: tag filters, thread, spans, traces.  Private to query/.
 *
 * What the labels of a series decide is decided without its records; for the rest records are read,
 * which L0 alone has.
 */
#ifndef QUERY_CONTEXT_H
#define QUERY_CONTEXT_H

#include "query/series.h"
#include "query/tags.h"

/* Whether a label of a record names a span (its own, or its service's root), and which. */
bool context_label_span(const struct profile_label *label, struct str key, struct str text,
			uint64_t *ret_id);

/* The filter's, or NULL. */
const struct query_tags *query_filter_tagfocus(const struct query_filter *filter);
const struct query_tags *query_filter_tagignore(const struct query_filter *filter);

/* Whether labels decide anything. */
bool context_is_asked(const struct query *query);

/* What the labels of a series say. */
void context_of_series(const struct query *query, const struct storage_series *series,
		       struct query_series_verdict *ret_verdict);

/* The series of a set that are in whole, or out whole, or need their records: the first `count`
 * identities of the result are those with this fate.  Release as a selection's set. */
MUST_CHECK int context_split(const struct query_series_set *set, enum query_fate fate,
			     struct query_series_set *ret_set);

/* Reads records of a set one by one, with what the question says of each. */
struct context_reader;

enum context_verdict {
	CONTEXT_PASSES,
	CONTEXT_REMOVED, /* by a filter: to be counted */
	CONTEXT_REPLACED /* an older snapshot of a gauge: as if it were not there */
};

/* `query` and `set` outlive the reader. */
MUST_CHECK int context_reader_new(const struct query *query, const struct query_series_set *set,
				  struct context_reader **ret_reader, struct err *err);
void context_reader_free(struct context_reader *reader);

/* Whether verdicts need the records' times: of gauges. */
bool context_needs_times(const struct query_series_set *set);

/* Say in the facts how far back records go, where the range goes further and there was
 * something. */
MUST_CHECK int context_reach(const struct query *query, struct query_facts *facts, struct err *err);

/* Call with each batch before its records. */
MUST_CHECK int context_batch(struct context_reader *reader, const struct storage_records *records);
/* The verdict of a record of the batch, or negative. */
MUST_CHECK int context_record(struct context_reader *reader, const struct storage_records *records,
			      size_t i);

/*
 * Give the records of `set` that pass as segments with sums: what storage_scan gives of a set that
 * needs none, but that a stack may stand in it more than once, in no order.  What does not pass is
 * counted in `facts`.
 */
MUST_CHECK int context_scan(const struct query *query, const struct query_series_set *set,
			    struct query_facts *facts, storage_segment_fn fn, void *arg,
			    struct err *err);

#endif
