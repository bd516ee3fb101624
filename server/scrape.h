/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/scrape.h - asks programs for their /debug/pprof/, as `scrape:` of the configuration says.
 *
 * One thread with libcurl does all transfers at once, decodes and waits for commits.  What the
 * programs count since their start becomes differences (ingest/delta.h).  Time and size of each
 * transfer are bounded, redirects are not followed, and who fails does not stop the others.
 */
#ifndef SERVER_SCRAPE_H
#define SERVER_SCRAPE_H

#include "base/err.h"
#include "base/json.h"

struct agent;
struct scraper;

/* Start the thread. Without targets there is none, and *ret_scraper is NULL. */
MUST_CHECK int scrape_start(struct agent *agent, struct scraper **ret_scraper, struct err *err);

/* Break transfers off and end the thread. Before the writer's end. NULL is fine. */
void scrape_stop(struct scraper *scraper);

/* Write "scrapes": one entry a target and profile. Any thread. NULL is fine. */
void scrape_status(struct scraper *scraper, struct json *json);

#endif
