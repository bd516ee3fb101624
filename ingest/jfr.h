/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/jfr.h - what the parts of ingest/jfr*.c share.  Private to them.
 *
 *	jfr.c         two walks over the file: what it says of itself, then its records
 *	jfr_events.c  which events are what, and a record of each
 *	jfr_names.c   stacks, methods, classes and threads of one chunk, each made once
 *	jfr_labels.c  Pyroscope's labels by context id
 */
#ifndef INGEST_JFR_H
#define INGEST_JFR_H

#include "ingest/protocol.h"
#include "wire/jfr.h"

enum jfr_role {
	JFR_CPU,
	JFR_WALL,
	JFR_ALLOC,
	JFR_INUSE,
	JFR_LOCK,
	JFR_BLOCK,
	JFR_EXCEPTION,
	JFR_GC,
	JFR_NATIVE,
	JFR_QUEUE,
	JFR_RECORDS, /* those above make records; those below say something of them */
	JFR_SETTING = JFR_RECORDS,
	JFR_CONFIG,
	JFR_ENDPOINT,
	JFR_ROLES
};

/* Fields that mean something here, whichever event has them. */
enum jfr_slot {
	SLOT_NONE,
	SLOT_TIME,
	SLOT_DURATION,
	SLOT_THREAD,
	SLOT_STACK,
	SLOT_STATE,
	SLOT_SAMPLES,
	SLOT_WEIGHT,
	SLOT_SIZE,
	SLOT_TLAB,
	SLOT_PERIOD,
	SLOT_CLASS,  /* of an object that was allocated, or is alive */
	SLOT_LOCK,   /* its class */
	SLOT_TARGET, /* what was waited for: a class, host or path */
	SLOT_THROWN, /* class or name */
	SLOT_SPAN,
	SLOT_ROOT,
	SLOT_CONTEXT,
	SLOT_SPAN_NAME,
	SLOT_ENDPOINT,
	SLOT_NAME,
	SLOT_VALUE,
	SLOT_ID,
	SLOT_CAUSE,
	SLOT_PAUSES,
	SLOT_TASK,
	SLOT_CPU_INTERVAL,
	SLOT_WALL_INTERVAL,
	SLOT_ATTRIBUTE, /* of the tracer's own choice: labels by the field's name */
	SLOTS
};

#define JFR_ATTRIBUTES_MAX 16

/* One event; its times are ns. */
struct jfr_seen {
	bool has[SLOTS];
	struct jfr_value values[SLOTS];
	struct jfr_value attributes[JFR_ATTRIBUTES_MAX];
	size_t attributes_count, attributes_cut;
};

struct jfr_thread {
	uint32_t name; /* string; JFR_NONE: not read yet */
	int64_t id;
};

struct jfr_method {
	uint32_t function; /* string; JFR_NONE: not made yet */
	uint32_t module;
};

struct jfr_endpoint {
	uint64_t root;
	uint32_t name; /* string */
};

/* Pyroscope's LabelsSnapshot: sorted, so that a later one of an equal id counts. */
struct jfr_label_text {
	int64_t id;
	struct str text;
};

struct jfr_label_pair {
	int64_t context, key, value;
};

struct jfr_labels {
	struct jfr_label_text *strings;
	struct jfr_label_pair *pairs;
	size_t strings_count, strings_room, pairs_count, pairs_room;
};

struct jfr_job {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct err *err;
	struct buf scratch; /* for text that is not UTF-8 in the body */
	uint64_t work,
	    work_max; /* bytes of constants that were looked at; beyond, nothing is found */

	/* Of the file. */
	int64_t from_ns, until_ns; /* of the chunks */
	int64_t middle_ns;
	uint8_t best[JFR_RECORDS]; /* the rank of the best event there is for each role */
	int64_t cpu_period_ns, wall_period_ns, native_period_ns;
	bool wall_by_execution; /* async-profiler's event=wall before it had an event of its own */
	uint32_t counted;       /* string: what execution samples count, if not time; 0: time */
	struct jfr_endpoint *endpoints; /* sorted by root, once the first walk is over */
	size_t endpoints_count, endpoints_room;
	struct jfr_labels labels;
	uint32_t series[JFR_RECORDS]; /* JFR_NONE: not made */
	double carry[JFR_RECORDS];    /* parts of objects that are still to be counted */

	/* Of the chunk that is open. */
	struct jfr_chunk *chunk;
	const struct jfr_source **sources; /* by class; NULL: of no interest */
	uint8_t *slots;                    /* by field */
	uint32_t stack_class, thread_class, class_class, method_class;
	uint32_t *nodes, *classes; /* by constant; JFR_NONE: not made */
	struct jfr_method *methods;
	struct jfr_thread *threads;
	uint32_t *frames; /* of the stack that is made */
	size_t frames_room;
};

/* Where events of one sort come from: of several for one role the best rank counts. */
struct jfr_source {
	const char *event;
	uint8_t role, rank;
};

/* Every function here returns 0, -ENOMEM, -E2BIG or -EINVAL; a reason that is not the builder's is
 * in job->err. */

/* Find the events and fields that mean something in the chunk that was opened, and its caches. */
MUST_CHECK int jfr_plan(struct jfr_job *job);
void jfr_plan_release(struct jfr_job *job);
/* Returns 0, or -EINVAL when the event is not as its class is described. */
MUST_CHECK int jfr_see(struct jfr_job *job, const struct jfr_event *event, struct jfr_seen *seen);

/* What an event of the first walk says. */
MUST_CHECK int jfr_note(struct jfr_job *job, const struct jfr_source *source,
			const struct jfr_seen *seen);
/* A record of an event of the second. */
MUST_CHECK int jfr_record(struct jfr_job *job, const struct jfr_source *source,
			  const struct jfr_seen *seen);

MUST_CHECK int jfr_stack_node(struct jfr_job *job, const struct jfr_value *stack,
			      uint32_t *ret_node);
MUST_CHECK int jfr_class_name(struct jfr_job *job, const struct jfr_value *value,
			      uint32_t *ret_string);
MUST_CHECK int jfr_thread_of(struct jfr_job *job, const struct jfr_value *value,
			     struct jfr_thread *ret_thread);
/* A value that is text, or names a constant that has some. */
struct str jfr_value_text(struct jfr_job *job, const struct jfr_value *value);

MUST_CHECK int jfr_labels_read(struct str snapshot, struct jfr_labels *ret_labels, struct err *err);
void jfr_labels_release(struct jfr_labels *labels);
/* The pairs of a context, and how many. */
const struct jfr_label_pair *jfr_labels_of(const struct jfr_labels *labels, int64_t context,
					   size_t *ret_count);
struct str jfr_label_string(const struct jfr_labels *labels, int64_t id);

#endif
