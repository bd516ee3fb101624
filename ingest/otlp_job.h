/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/otlp_job.h - one OTLP request on its way to a profile.
 *
 * Private to ingest/otlp*.c: otlp.c walks requests, resources and profiles, otlp_column.c says what
 * a profile measures, and otlp_samples.c makes records of its samples.
 */
#ifndef INGEST_OTLP_JOB_H
#define INGEST_OTLP_JOB_H

#include "ingest/ingest.h"
#include "ingest/otlp_stacks.h"
#include "ingest/tags.h"
#include "wire/otlp.h"

/* A column as it comes in, and what becomes of it. */
struct column {
	struct str type, unit, period_type, period_unit;
	int64_t period;
	bool is_cpu_samples; /* written as (count x period, count) */
	bool is_gauge;
	uint32_t kind;
};

/* A series that was made, by what names it within its profile. */
struct named {
	struct str service, program; /* program: where there is no service */
	size_t profile;              /* by `profiles_seen`; 0: none was made */
	uint32_t series;
};

struct job {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct ingest_findings *findings;
	struct err *err;
	struct otlp_dictionary d;
	struct ingest_tags tags; /* of the resource */
	struct str executable;   /* of the resource: names a service that has no name */
	struct ingest_otlp_stacks stacks;
	struct buf scratch; /* of the sample at hand */
	struct hash128 ids; /* of all profiles' ids */
	size_t ids_count, profiles_seen;
	bool is_broken; /* something that was rejected */
	struct named named[64];

	/* Of the profile at hand. */
	struct column column;
	int64_t time_ns;
	uint32_t series;
};

/* Pyroscope and the eBPF profiler agree: counted samples of a cpu clock are CPU time. */
void ingest_otlp_column_classify(struct column *c);

/* Make the kind of the column at hand. */
MUST_CHECK int ingest_otlp_column_kind(struct job *job);

/* Add one sample of the profile at hand; a failure has its reason in job->err, or in the
 * builder.  After -EINVAL the next may be added. */
MUST_CHECK int ingest_otlp_sample_add(struct job *job, struct proto_reader bytes,
				      enum otlp_generation generation);

#endif
