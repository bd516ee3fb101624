/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile/type.h - names of what is measured: kinds, columns, type ids and their aliases.
 *
 * A type id, as Pyroscope spells it, is name:type:unit:period_type:period_unit and names one column
 * of one kind.  Nothing here is an enum of dimensions for the store: types are data.  Any thread.
 */
#ifndef PROFILE_TYPE_H
#define PROFILE_TYPE_H

#include <stdbool.h>

#include "base/err.h"

#define PROFILE_COLUMNS_MAX 16
#define PROFILE_TYPE_ID_MAX 256  /* bytes of a type id with its NUL */
#define PROFILE_TYPE_PART_MAX 48 /* bytes of one part: five and four colons are an id */

/* The five parts of a type id; they point into the text that was parsed. */
struct profile_type {
	struct str name, type, unit, period_type, period_unit;
};

enum profile_kind_id {
#define KIND(id, name, period_type, period_unit) PROFILE_KIND_##id,
#define COLUMN(kind, index, alias, type, unit, gauge)
#include "profile/kinds.def"
#undef KIND
#undef COLUMN
	PROFILE_KINDS_COUNT
};

struct profile_known_kind {
	const char *name, *period_type, *period_unit;
	size_t columns_count;
	struct {
		const char *alias, *type, *unit;
		bool gauge;
	} columns[PROFILE_COLUMNS_MAX];
};

/* The kinds of kinds.def, by id. */
const struct profile_known_kind *profile_known_kind(enum profile_kind_id id);

/* Split a type id, or resolve an alias ("cpu"). `text` must outlive `ret_type` when it is a type
 * id.  Returns 0 or -EINVAL. */
MUST_CHECK int profile_type_parse(struct str text, struct profile_type *ret_type, struct err *err);

/* Write the type id into `to` (PROFILE_TYPE_ID_MAX bytes). Returns 0 or -E2BIG. */
MUST_CHECK int profile_type_format(const struct profile_type *type, char *to);

/* The alias of a type ("cpu"), or NULL when it has none. */
const char *profile_type_alias(const struct profile_type *type);

/* Whether a column of this (type, unit) is a gauge: inuse_*, heap-live-* and their like. */
bool profile_type_is_gauge(struct str type);

#endif
