/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/pipeline.h - where decoders and the store meet: an upload becomes a stored profile.
 *
 * Owns what is neither the wire's nor the store's business: the owner of an upload, its window, the
 * accepted range of time, ids for retries.  Pool threads.
 */
#ifndef SERVER_PIPELINE_H
#define SERVER_PIPELINE_H

#include "server/agent.h"

#define PIPELINE_ACCEPT_BACK_NS (INT64_C(24) * 3600 * NS_PER_S)
#define PIPELINE_ACCEPT_AHEAD_NS (INT64_C(600) * NS_PER_S)

struct pipeline_upload {
	struct str body;                        /* as it came, perhaps compressed */
	const struct ingest_protocol *protocol; /* NULL: by `format`, or sniffed */
	struct str format;                      /* protocol name */
	struct str id;                 /* of a retry, before what the body says; empty: none */
	struct ingest_request request; /* labels, from, until; body and limits are filled here */
	uint32_t owner;
	/* Called with what was decoded, before it is stored; then nothing is kept of a profile
	 * without records.  May be NULL.  Returns 0 or a negative errno. */
	int (*change)(void *arg, struct profile *profile, struct err *err);
	void *change_arg;
};

struct pipeline_result {
	struct ingest_findings findings;
	size_t samples, series;
	bool duplicate, clamped;
	struct profile_cuts cuts;
};

/* Decode and store. Returns after the profile is on disk. 0 or a negative errno as in
 * struct ingest_protocol, storage_put and writer_put_wait.  `series_json` (may be NULL) gets the
 * type ids; `request` of `upload` is completed here. */
MUST_CHECK int pipeline_upload(struct agent *agent, struct pipeline_upload *upload,
			       struct pipeline_result *ret_result, struct buf *series_json,
			       struct err *err);

#endif
