/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/wire/oracle.h - compares wire/pprof with what protobuf-c makes of the same bytes.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "pprof.pb-c.h"
#include "wire/pprof.h"

/* NULL when both say the same, else what differs. */
static inline const char *oracle_differs(const struct pprof *p,
					 const Perftools__Profiles__Profile *o);

#define SAME(what, a, b)                                                                           \
	do {                                                                                       \
		if ((a) != (b))                                                                    \
			return what;                                                               \
	} while (0)

static inline uint32_t oracle_line(int64_t line)
{
	return line < 0 || line > (int64_t)UINT32_MAX ? 0 : (uint32_t)line;
}

/* protobuf-c ends a string at its first NUL. */
static inline bool oracle_string(const struct pprof *p, size_t i, const char *theirs)
{
	struct str ours = pprof_string(p, (uint32_t)i);

	return strnlen(ours.ptr, ours.len) == strlen(theirs) &&
	       !memcmp(ours.ptr, theirs, strlen(theirs));
}

static inline const char *oracle_stack_differs(const struct pprof *p, size_t i,
					       const Perftools__Profiles__Profile *o)
{
	const struct pprof_sample *ours = &p->samples[i];
	const Perftools__Profiles__Sample *s = o->sample[i];

	SAME("depth", ours[1].stack_at - ours[0].stack_at, s->n_location_id);
	for (size_t k = 0; k < s->n_location_id; k++) {
		uint32_t place = p->stacks[ours->stack_at + k];

		SAME("location id", o->location[place]->id, s->location_id[k]);
	}
	SAME("values", s->n_value, p->types_count);
	for (size_t k = 0; k < s->n_value; k++)
		SAME("value", p->values[i * p->types_count + k], s->value[k]);
	SAME("labels", ours[1].labels_at - ours[0].labels_at, s->n_label);
	for (size_t k = 0; k < s->n_label; k++) {
		const struct pprof_label *label = &p->labels[ours->labels_at + k];
		const Perftools__Profiles__Label *l = s->label[k];

		SAME("label key", label->key, l->key);
		SAME("label kind", label->is_number, l->str == 0);
		SAME("label text", label->text, l->str ? l->str : l->num_unit);
		SAME("label number", label->number, l->str ? 0 : l->num);
	}
	return NULL;
}

static inline const char *oracle_location_differs(const struct pprof *p, size_t i,
						  const Perftools__Profiles__Profile *o)
{
	const struct pprof_location *ours = &p->locations[i];
	const Perftools__Profiles__Location *l = o->location[i];

	SAME("address", ours->address, l->address);
	if (ours->mapping == PPROF_NONE)
		SAME("no mapping", l->mapping_id, 0);
	else
		SAME("mapping", o->mapping[ours->mapping]->id, l->mapping_id);
	SAME("lines", ours[1].lines_at - ours[0].lines_at, l->n_line);
	for (size_t k = 0; k < l->n_line; k++) {
		const struct pprof_line *line = &p->lines[ours->lines_at + k];

		SAME("line", line->line, oracle_line(l->line[k]->line));
		uint64_t theirs = l->line[k]->function_id;

		if (line->function == PPROF_NONE)
			SAME("no function", theirs, 0);
		else if (o->function[line->function]->id || !theirs)
			SAME("function", o->function[line->function]->id, theirs);
		else /* functions without ids: their places */
			SAME("function's place", line->function + UINT64_C(1), theirs);
	}
	return NULL;
}

static inline const char *oracle_tables_differ(const struct pprof *p,
					       const Perftools__Profiles__Profile *o)
{
	SAME("strings", p->strings_count, o->n_string_table);
	for (size_t i = 0; i < p->strings_count; i++)
		if (!oracle_string(p, i, o->string_table[i]))
			return "string";
	SAME("types", p->types_count, o->n_sample_type);
	for (size_t i = 0; i < p->types_count; i++) {
		SAME("type", p->types[i].type, o->sample_type[i]->type);
		SAME("unit", p->types[i].unit, o->sample_type[i]->unit);
	}
	SAME("mappings", p->mappings_count, o->n_mapping);
	for (size_t i = 0; i < p->mappings_count; i++) {
		SAME("start", p->mappings[i].start, o->mapping[i]->memory_start);
		SAME("limit", p->mappings[i].limit, o->mapping[i]->memory_limit);
		SAME("offset", p->mappings[i].file_offset, o->mapping[i]->file_offset);
		SAME("file", p->mappings[i].filename, o->mapping[i]->filename);
		SAME("build id", p->mappings[i].build_id, o->mapping[i]->build_id);
	}
	SAME("functions", p->functions_count, o->n_function);
	for (size_t i = 0; i < p->functions_count; i++) {
		SAME("name", p->functions[i].name, o->function[i]->name);
		SAME("system name", p->functions[i].system_name, o->function[i]->system_name);
		SAME("file name", p->functions[i].filename, o->function[i]->filename);
		SAME("start line", p->functions[i].start_line,
		     oracle_line(o->function[i]->start_line));
	}
	return NULL;
}

static inline const char *oracle_differs(const struct pprof *p,
					 const Perftools__Profiles__Profile *o)
{
	const char *why = oracle_tables_differ(p, o);

	SAME("locations", p->locations_count, o->n_location);
	for (size_t i = 0; !why && i < p->locations_count; i++)
		why = oracle_location_differs(p, i, o);
	SAME("samples", p->samples_count, o->n_sample);
	for (size_t i = 0; !why && i < p->samples_count; i++)
		why = oracle_stack_differs(p, i, o);
	SAME("time", p->time_ns, o->time_nanos);
	SAME("duration", p->duration_ns, o->duration_nanos);
	SAME("period", p->period, o->period);
	SAME("default type", p->default_type, o->default_sample_type);
	SAME("period type", p->has_period_type, o->period_type != NULL);
	if (o->period_type) {
		SAME("period type", p->period_type.type, o->period_type->type);
		SAME("period unit", p->period_type.unit, o->period_type->unit);
	}
	return why;
}

#endif
