/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "ingest/jfr.h"
#include "ingest/span.h"

/*
 * Java Flight Recorder's files, as the JDK, async-profiler and Datadog's and Pyroscope's agents
 * write them (docs/formats/jfr.md).  Two walks: settings, endpoints and which sources there are may
 * stand behind the samples that need them, in any chunk.
 */

#define SCRATCH_BYTES 16384 /* of one text; the builder keeps less */

/* Real recordings look at three times their size; one long constant that all events lead to is a
 * bomb. */
#define WORK_FACTOR 64
#define WORK_MIN ((uint64_t)16 << 20)

static void chunk_time(struct jfr_job *job)
{
	int64_t from = job->chunk->start_ns, until = sum_add(from, MAX(job->chunk->duration_ns, 0));

	if (from <= 0)
		return;
	job->from_ns = job->from_ns ? MIN(job->from_ns, from) : from;
	job->until_ns = MAX(job->until_ns, until);
}

static int first_walk(struct jfr_job *job, const struct jfr_event *event, struct jfr_seen *seen)
{
	const struct jfr_source *source = job->sources[event->class];

	if (source->role < JFR_RECORDS) {
		job->best[source->role] = MAX(job->best[source->role], source->rank);
		return 0;
	}
	int rc = jfr_see(job, event, seen);

	return rc ? rc : jfr_note(job, source, seen);
}

static int second_walk(struct jfr_job *job, const struct jfr_event *event, struct jfr_seen *seen)
{
	const struct jfr_source *source = job->sources[event->class];

	if (source->role >= JFR_RECORDS || source->rank < job->best[source->role])
		return 0;
	int rc = jfr_see(job, event, seen);

	return rc ? rc : jfr_record(job, source, seen);
}

static int chunk_walk(struct jfr_job *job, bool first)
{
	struct jfr_reader events = jfr_events(job->chunk);
	struct jfr_event event;
	struct jfr_seen seen;
	int rc = jfr_plan(job), more = 0;

	if (first)
		chunk_time(job);
	while (!rc && (more = jfr_event_next(job->chunk, &events, &event, job->err)) == 1) {
		if (event.class != JFR_NONE && job->sources[event.class])
			rc = first ? first_walk(job, &event, &seen)
				   : second_walk(job, &event, &seen);
		if (!rc && job->work > job->work_max)
			rc = err_set(job->err, -E2BIG,
				     "jfr: events look at more than %d times the bytes there are "
				     "(fixed limit)",
				     WORK_FACTOR);
	}
	jfr_plan_release(job);
	return rc ? rc : MIN(more, 0);
}

static int file_walk(struct jfr_job *job, const struct jfr_limits *limits, bool first)
{
	struct str body = job->request->body;
	struct jfr_chunk chunk;
	size_t at = 0;
	int rc;

	do {
		rc = jfr_chunk_open(body.ptr + at, body.len - at, limits, &chunk, job->err);
		if (rc)
			return rc;
		job->chunk = &chunk;
		at += chunk.size;
		rc = chunk_walk(job, first);
		job->chunk = NULL;
		jfr_chunk_close(&chunk);
	} while (!rc && at < body.len);
	return rc;
}

static int endpoint_order(const void *a, const void *b)
{
	const struct jfr_endpoint *x = a, *y = b;

	return x->root < y->root ? -1 : x->root > y->root;
}

static int job_run(struct jfr_job *job, const struct jfr_limits *limits)
{
	int rc = jfr_labels_read(job->request->jfr_labels, &job->labels, job->err);

	if (!rc)
		rc = file_walk(job, limits, true);
	if (rc)
		return rc;
	if (job->endpoints_count)
		qsort(job->endpoints, job->endpoints_count, sizeof(*job->endpoints),
		      endpoint_order);
	job->middle_ns = ingest_span(job->request, job->from_ns, job->until_ns - job->from_ns,
				     profile_builder_profile(job->out));
	return file_walk(job, limits, false);
}

static int jfr_ingest(const struct ingest_request *request, struct profile_builder *out,
		      struct ingest_findings *findings, struct err *err)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;
	/* Constants of real recordings take a third of their bytes here; of hostile ones eight
	 * times. */
	const struct jfr_limits of_wire = {
	    .memory_bytes = limits->decompressed_bytes / 2,
	    .memory_setting = "half of limits.decompressed_bytes",
	};
	struct err why = {0};
	struct jfr_job *job = calloc(1, sizeof(*job));

	if (!job)
		return err_set(err, -ENOMEM, "jfr: out of memory");
	job->request = request;
	job->work_max = MAX(WORK_FACTOR * (uint64_t)request->body.len, WORK_MIN);
	job->out = out;
	job->err = &why;
	buf_init(&job->scratch, SCRATCH_BYTES);
	memset(job->series, 0xff, sizeof(job->series)); /* JFR_NONE */
	/* Now, so that no text is lost for want of memory later. */
	int rc = buf_reserve(&job->scratch, SCRATCH_BYTES) ? job_run(job, &of_wire) : -ENOMEM;

	if (rc)
		rc = why.code ? err_set(err, rc, "%s", why.message) : ingest_failed(out, rc, err);
	findings->profiles += !rc;
	jfr_labels_release(&job->labels);
	buf_release(&job->scratch);
	free(job->endpoints);
	free(job->frames);
	free(job);
	return rc;
}

static bool jfr_looks(struct str body)
{
	return jfr_sniff(body.ptr, body.len);
}

const struct ingest_protocol ingest_jfr = {
    .name = "jfr",
    .sniff = jfr_looks,
    .decode = jfr_ingest,
};
