/* SPDX-License-Identifier: Apache-2.0 */
/* What an OTLP profile measures: one kind of one column. */
#include "ingest/otlp_job.h"
#include "ingest/span.h"
#include "profile/mapping.h"

/* where cpu samples come without a period: 100 Hz, as Pyroscope takes it */
#define CPU_PERIOD_NS 10000000

static bool column_is(const struct column *c, const char *type, const char *unit)
{
	return str_is(c->type, type) && str_is(c->unit, unit);
}

void ingest_otlp_column_classify(struct column *c)
{
	c->is_cpu_samples = (column_is(c, "samples", "count") || column_is(c, "sample", "count")) &&
			    (str_is(c->period_type, "cpu") || !c->period_type.len) &&
			    (str_is(c->period_unit, "nanoseconds") || !c->period_unit.len);
	if (c->is_cpu_samples && c->period <= 0)
		c->period = CPU_PERIOD_NS;
}

int ingest_otlp_column_kind(struct job *job)
{
	struct column *c = &job->column;
	const struct profile_foreign column = {c->type, c->unit},
				     period = {c->period_type, c->period_unit};
	struct profile_mapped mapped;
	struct profile_kind kind = {.columns_count = 1, .period = c->period};

	if (c->is_cpu_samples)
		return profile_builder_known_kind(job->out, PROFILE_KIND_CPU, c->period, &c->kind);
	(void)profile_map_columns(&column, 1, period, (struct str){0}, &mapped);
	kind.columns[0].gauge = c->is_gauge = mapped.gauge;
	const struct {
		struct str text;
		uint32_t *to;
	} parts[] = {{mapped.type.name, &kind.name},
		     {mapped.type.type, &kind.columns[0].type},
		     {mapped.type.unit, &kind.columns[0].unit},
		     {mapped.type.period_type, &kind.period_type},
		     {mapped.type.period_unit, &kind.period_unit}};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int rc = ingest_string(job->out, parts[i].text, parts[i].to);

		if (rc)
			return rc;
	}
	return profile_builder_kind(job->out, &kind, &c->kind);
}
