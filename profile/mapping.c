/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/mapping.h"

#include <string.h>

static const struct {
	const char *type, *unit, *alias;
} columns_as[] = {
#define COLUMN_AS(type, unit, alias) {type, unit, alias},
#define NAME_OF(period_type, name)
#include "profile/mapping.def"
#undef COLUMN_AS
#undef NAME_OF
};

static const struct {
	const char *period_type, *name;
} names_of[] = {
#define COLUMN_AS(type, unit, alias)
#define NAME_OF(period_type, name) {period_type, name},
#include "profile/mapping.def"
#undef COLUMN_AS
#undef NAME_OF
};

static bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

static bool foreign_is(const struct profile_foreign *f, const char *type, const char *unit)
{
	return str_is(f->type, type) && str_is(f->unit, unit);
}

/* "samples" says of what only by its company. */
static const char *samples_alias(const struct profile_foreign *columns, size_t count,
				 const struct profile_foreign *period)
{
	bool cpu = foreign_is(period, "cpu", "nanoseconds");
	bool wall = foreign_is(period, "wall", "nanoseconds");

	for (size_t i = 0; !cpu && !wall && i < count; i++) {
		cpu = foreign_is(&columns[i], "cpu", "nanoseconds");
		wall = foreign_is(&columns[i], "wall", "nanoseconds");
	}
	if (cpu)
		return "cpu_samples";
	return wall ? "wall_samples" : NULL;
}

static bool is_samples(const struct profile_foreign *column)
{
	return foreign_is(column, "samples", "count") || foreign_is(column, "sample", "count");
}

static const char *alias_of(const struct profile_foreign *column, const char *samples)
{
	if (is_samples(column))
		return samples;
	for (size_t i = 0; i < ARRAY_LEN(columns_as); i++)
		if (foreign_is(column, columns_as[i].type, columns_as[i].unit))
			return columns_as[i].alias;
	return NULL;
}

static struct str name_of(struct str period_type)
{
	for (size_t i = 0; i < ARRAY_LEN(names_of); i++)
		if (str_is(period_type, names_of[i].period_type))
			return (struct str){names_of[i].name, strlen(names_of[i].name)};
	return STR("other");
}

static bool type_equal(const struct profile_type *a, const struct profile_type *b)
{
	return str_equal(a->name, b->name) && str_equal(a->type, b->type) &&
	       str_equal(a->unit, b->unit) && str_equal(a->period_type, b->period_type) &&
	       str_equal(a->period_unit, b->period_unit);
}

static bool type_taken(const struct profile_mapped *mapped, size_t count,
		       const struct profile_type *type)
{
	for (size_t i = 0; i < count; i++)
		if (type_equal(&mapped[i].type, type))
			return true;
	return false;
}

/* The group of mapped[count], by the ones before it; *groups grows when it is a new one. */
static size_t group_of(const struct profile_mapped *mapped, size_t count, size_t *groups)
{
	const struct profile_type *type = &mapped[count].type;

	for (size_t i = 0; i < count; i++) {
		const struct profile_type *other = &mapped[i].type;

		if (str_equal(type->name, other->name) &&
		    str_equal(type->period_type, other->period_type) &&
		    str_equal(type->period_unit, other->period_unit))
			return mapped[i].group;
	}
	return (*groups)++;
}

size_t profile_map_columns(const struct profile_foreign *columns, size_t count,
			   struct profile_foreign period, struct str name,
			   struct profile_mapped *ret_mapped)
{
	const char *samples = samples_alias(columns, count, &period);
	size_t groups = 0;

	for (size_t i = 0; i < count; i++) {
		const char *alias = alias_of(&columns[i], samples);
		struct profile_type type;
		bool known =
		    alias && !profile_type_parse((struct str){alias, strlen(alias)}, &type, NULL);

		if (known && name.len)
			type.name = name;
		if (!known || type_taken(ret_mapped, i, &type))
			type = (struct profile_type){name.len ? name : name_of(period.type),
						     columns[i].type, columns[i].unit, period.type,
						     period.unit};
		ret_mapped[i] = (struct profile_mapped){
		    .type = type,
		    .gauge = profile_type_is_gauge(type.type),
		    .renamed = !str_equal(type.type, columns[i].type),
		    .counts_samples =
			is_samples(&columns[i]) || (alias && strstr(alias, "_samples")),
		};
		ret_mapped[i].group = group_of(ret_mapped, i, &groups);
	}
	return groups;
}
