/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/series.h - which series a query means: its viewer, type, selector and range applied.
 *
 * Private to query/.
 */
#ifndef QUERY_SERIES_H
#define QUERY_SERIES_H

#include "query/query.h"

/* What the labels of a series decide about its records (query/context.h). */
enum query_fate { QUERY_ALL_IN, QUERY_ALL_OUT, QUERY_BY_RECORD };

struct query_series_verdict {
	enum query_fate fate;
	bool gauge;
	uint32_t focus, ignore; /* bits of the tag filters that the series' labels set */
	bool ignore_final;      /* and no label of a record changes what `ignore` says */
};

/* Series of one kind, so of one column of that type. */
struct query_series_set {
	struct hash128 *identities;
	char **groups; /* value of the group-by label, "" when absent */
	struct query_series_verdict *verdicts;
	size_t count, capacity;
	size_t column;
};

/* Every selected series, in sets by column number (one type may stand in another place in another
 * kind).  `group_by` may be empty. */
struct query_selection {
	struct query_series_set sets[PROFILE_COLUMNS_MAX];
	struct arena arena; /* of the groups */
	size_t series_count;
};

MUST_CHECK int query_select(const struct query *query, struct str group_by,
			    struct query_selection *ret_selection, struct err *err);
void query_selection_release(struct query_selection *selection);

/* The viewer may see it and the selector takes it. */
bool query_wants(const struct query *query, const struct storage_series *series);

/* The column of the series that has this type, or -1. */
int query_column_of(const struct profile_type *type, const struct storage_series *series);

/* Add the losses of the selection's series to `facts`. */
MUST_CHECK int query_add_losses(const struct query *query, const struct query_selection *selection,
				struct query_facts *facts, struct err *err);

/* An empty set with room for what `set` has, and one of its series copied into it; release it. */
MUST_CHECK int query_series_set_alike(const struct query_series_set *set,
				      struct query_series_set *ret_set);
void query_series_set_take(struct query_series_set *to, const struct query_series_set *from,
			   size_t i);
void query_series_set_release(struct query_series_set *set);

/* The scan of one set over the query's range. */
struct storage_scan query_scan(const struct query *query, const struct query_series_set *set);

/* Write the type id and unit of `query`. */
void query_type_text(const struct query *query, char type_id[PROFILE_TYPE_ID_MAX], char unit[64]);

static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len);
}

#endif
