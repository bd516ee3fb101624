/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile/mapping.h - what other profilers call their columns, in our names: the one table.
 *
 * An uploaded profile has a list of (type, unit) columns and one period type.  Columns that are
 * one of ours (mapping.def) get our type, unit and period; the others keep their own, under a name
 * that the period type suggests ("other" when it suggests none).  "samples" or "sample" in "count"
 * counts the samples of the cpu or wall column beside it, or of the period type.  Columns with
 * equal name and period type form one group, which becomes one kind.  Units are never converted
 * and no column is dropped.  Pure; any thread.
 */
#ifndef PROFILE_MAPPING_H
#define PROFILE_MAPPING_H

#include "profile/type.h"

struct profile_foreign {
	struct str type, unit;
};

struct profile_mapped {
	struct profile_type type; /* borrows from the arguments or from constants */
	size_t group;             /* counted from 0 in order of appearance */
	bool gauge;
	bool renamed;        /* `type.type` is not the foreign one */
	bool counts_samples; /* the value is the number of samples behind a record */
};

/*
 * Map `count` columns (ret_mapped has as many).  `name`, when not empty, is the name of every kind:
 * how Go's block profile, whose columns are those of its mutex profile, is told apart.  A second
 * column that would become one of ours that is taken keeps its own type.
 * Returns the number of groups.
 */
size_t profile_map_columns(const struct profile_foreign *columns, size_t count,
			   struct profile_foreign period, struct str name,
			   struct profile_mapped *ret_mapped);

#endif
