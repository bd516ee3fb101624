/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/tags.h - the labels of a request's series, gathered from what its protocol says.  Private
 * to ingest/.
 *
 * What names one process or one upload is no label of a series, which would be a new one each time:
 * it goes to the instance, or is left out.
 */
#ifndef INGEST_TAGS_H
#define INGEST_TAGS_H

#include "ingest/protocol.h"

#define INGEST_TAGS_MAX 96

struct ingest_tags {
	struct ingest_label labels[INGEST_TAGS_MAX]; /* the last of equal keys counts */
	size_t count;
	size_t dropped;                  /* those that a series keeps are the last to go */
	struct str runtime_id, sequence; /* empty: not said */
	int64_t pid;                     /* 0: not said */
};

/* Add one; both strings are borrowed. */
void ingest_tag_add(struct ingest_tags *tags, struct str key, struct str value);

/* Add "key:value,key:value,": a value may hold colons, and empty pieces are passed over. */
void ingest_tags_add(struct ingest_tags *tags, struct str text);

/* The value of a key that was added, or an empty string. */
struct str ingest_tag(const struct ingest_tags *tags, const char *key);

/* Note the instance's runtime id (a UUID, or the hash of what it is instead) and pid in the
 * profile, and count the tags that there was no room for. */
void ingest_tags_instance(const struct ingest_tags *tags, struct profile_builder *out);

/* The upload id "<runtime id>/<sequence>/<from_ns>", when both are known: a profiler that is
 * started again in its process counts anew, and a retry is of the same time.  Returns as
 * profile_builder_string. */
MUST_CHECK int ingest_tags_upload_id(const struct ingest_tags *tags, int64_t from_ns,
				     struct profile_builder *out);

#endif
