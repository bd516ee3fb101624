/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/type.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct profile_known_kind kinds[PROFILE_KINDS_COUNT] = {
/* clang-format off */
#define KIND(id, name_, period_type_, period_unit_)                                                \
	[PROFILE_KIND_##id] = { .name = (name_),                                                   \
				.period_type = (period_type_),                                     \
				.period_unit = (period_unit_) },
#define COLUMN(kind, index, alias_, type_, unit_, gauge_)
/* clang-format on */
#include "profile/kinds.def"
#undef KIND
#undef COLUMN
};

struct column {
	enum profile_kind_id kind;
	size_t index;
	const char *alias, *type, *unit;
	bool gauge;
};

static const struct column columns[] = {
#define KIND(id, name, period_type, period_unit)
#define COLUMN(kind, index, alias, type, unit, gauge)                                              \
	{PROFILE_KIND_##kind, index, alias, type, unit, gauge},
#include "profile/kinds.def"
#undef KIND
#undef COLUMN
};

const struct profile_known_kind *profile_known_kind(enum profile_kind_id id)
{
	static _Thread_local struct profile_known_kind filled[PROFILE_KINDS_COUNT];
	struct profile_known_kind *kind = &filled[id];

	if (kind->columns_count)
		return kind;
	*kind = kinds[id];
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (columns[i].kind != id)
			continue;
		kind->columns[columns[i].index].alias = columns[i].alias;
		kind->columns[columns[i].index].type = columns[i].type;
		kind->columns[columns[i].index].unit = columns[i].unit;
		kind->columns[columns[i].index].gauge = columns[i].gauge;
		kind->columns_count++;
	}
	return kind;
}

int profile_type_parse(struct str text, struct profile_type *ret_type, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (!str_is(text, columns[i].alias))
			continue;
		const struct profile_known_kind *kind = &kinds[columns[i].kind];

		*ret_type = (struct profile_type){
		    str_of(kind->name), str_of(columns[i].type), str_of(columns[i].unit),
		    str_of(kind->period_type), str_of(kind->period_unit)};
		return 0;
	}
	struct str parts[5];
	size_t count = 0;
	const char *at = text.ptr, *end = text.ptr + text.len;

	while (count < 5) {
		const char *colon = count < 4 ? memchr(at, ':', (size_t)(end - at)) : end;

		if (!colon)
			break;
		parts[count++] = (struct str){at, (size_t)(colon - at)};
		at = colon + (colon < end);
	}
	if (count < 5 || memchr(parts[4].ptr, ':', parts[4].len) || text.len >= PROFILE_TYPE_ID_MAX)
		return err_set(
		    err, -EINVAL,
		    "type \"%.*s\" is neither an alias (cpu, wall, alloc_space, ...) nor "
		    "name:type:unit:period_type:period_unit",
		    (int)MIN(text.len, (size_t)80), text.ptr);
	*ret_type = (struct profile_type){parts[0], parts[1], parts[2], parts[3], parts[4]};
	return 0;
}

int profile_type_format(const struct profile_type *t, char *to)
{
	int n = snprintf(to, PROFILE_TYPE_ID_MAX, "%.*s:%.*s:%.*s:%.*s:%.*s", (int)t->name.len,
			 t->name.ptr, (int)t->type.len, t->type.ptr, (int)t->unit.len, t->unit.ptr,
			 (int)t->period_type.len, t->period_type.ptr, (int)t->period_unit.len,
			 t->period_unit.ptr);

	return n < PROFILE_TYPE_ID_MAX ? 0 : -E2BIG;
}

const char *profile_type_alias(const struct profile_type *t)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		const struct profile_known_kind *kind = &kinds[columns[i].kind];

		if (str_is(t->name, kind->name) && str_is(t->type, columns[i].type) &&
		    str_is(t->unit, columns[i].unit) && str_is(t->period_type, kind->period_type) &&
		    str_is(t->period_unit, kind->period_unit))
			return columns[i].alias;
	}
	return NULL;
}

bool profile_type_is_gauge(struct str type)
{
	static const char *const gauges[] = {
	    "inuse_space",       "inuse_objects",  "inuse-space", "inuse-objects", "heap-space",
	    "heap-live-samples", "heap-live-size", "goroutine",   "live_space",    "live_objects"};

	for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
		if (str_is(type, gauges[i]))
			return true;
	return false;
}
