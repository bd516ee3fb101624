/* SPDX-License-Identifier: Apache-2.0 */
#include "server/scrape.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/delta.h"
#include "server/pipeline.h"

#define GRACE_S 5 /* beside the interval and the seconds that were asked for */

struct pull_stats {
	uint64_t scrapes, failures, restarts;
	int64_t last_success_ns, last_failure_ns; /* UTC */
	char error[200];                          /* the last failure, "" after a success */
};

/* One profile of one target. */
struct pull {
	struct scraper *scraper;
	const struct config_scrape *target;
	const char *profile;
	char url[400];
	struct delta *delta; /* of what is counted since the program's start; else NULL */
	CURL *easy;          /* NULL: not running */
	struct buf body;
	int64_t due_ns;  /* monotonic */
	int64_t kept_ns; /* UTC, when what was stored last was asked for; 0: never */
	struct pull_stats stats;
};

struct scraper {
	struct agent *agent;
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock; /* of each pull's stats */
	bool stopping;        /* atomic */
	size_t count;
	struct pull pulls[];
};

static bool is_cumulative(const char *profile)
{
	static const char *const names[] = {"allocs", "heap", "block", "mutex", "threadcreate"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], profile))
			return true;
	return false;
}

static bool is_timed(const struct pull *pull)
{
	return !strcmp(pull->profile, "profile");
}

/* ---- what came ---- */

static int change(void *arg, struct profile *profile, struct err *err)
{
	return delta_apply(arg, profile, err);
}

static size_t labels_fill(const struct config_scrape *target, struct ingest_label *to)
{
	size_t count = 0;

	to[count++] = (struct ingest_label){STR("service"), str_of(target->service)};
	for (size_t i = 0; i < target->labels_count; i++)
		to[count++] = (struct ingest_label){str_of(target->labels[i].key),
						    str_of(target->labels[i].value)};
	return count;
}

static int pull_keep(struct pull *pull, struct err *err)
{
	struct ingest_label labels[CONFIG_SCRAPE_LABELS_MAX + 1];
	struct pipeline_result result;
	int64_t now_ns = clock_real_ns();
	struct pipeline_upload upload = {
	    .body = {pull->body.len ? pull->body.data : "", pull->body.len},
	    .protocol = ingest_find(STR("pprof")),
	    .owner = geteuid(),
	    .request = {.labels = labels, .labels_count = labels_fill(pull->target, labels)},
	};

	if (!strcmp(pull->profile, "block"))
		upload.request.name = STR("block");
	if (pull->delta) {
		upload.change = change;
		upload.change_arg = pull->delta;
		upload.request.from_ns = pull->kept_ns ? pull->kept_ns : now_ns;
		upload.request.until_ns = now_ns;
	}
	int rc = pipeline_upload(pull->scraper->agent, &upload, &result, NULL, err);

	if (rc)
		return rc;
	pull->kept_ns = now_ns;
	if (pull->delta)
		delta_keep(pull->delta);
	return 0;
}

static void stats_add(struct pull *pull, const struct err *err)
{
	struct pull_stats *stats = &pull->stats;

	(void)pthread_mutex_lock(&pull->scraper->lock);
	bool news = err->code && !stats->error[0];

	stats->scrapes++;
	if (err->code) {
		stats->failures++;
		stats->last_failure_ns = clock_real_ns();
	} else {
		stats->last_success_ns = clock_real_ns();
		stats->restarts += pull->delta && delta_restarted(pull->delta);
	}
	(void)snprintf(stats->error, sizeof(stats->error), "%.199s", err->code ? err->message : "");
	(void)pthread_mutex_unlock(&pull->scraper->lock);
	/* Once for all failures in a row. */
	if (news)
		log_warn("scrape", "%s: %s", pull->url, err->message);
}

/* ---- transfers ---- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
	struct pull *pull = arg;

	return buf_add(&pull->body, bytes, size * count) ? 0 : size * count;
}

static int transfer_check(struct pull *pull, CURLcode code, struct err *err)
{
	long status = 0;

	if (pull->body.failed == -E2BIG)
		return err_set(err, -E2BIG,
			       "the answer is above the limit of %zu bytes (limits.body_bytes)",
			       pull->body.max);
	if (code != CURLE_OK)
		return err_set(err, -EIO, "%s", curl_easy_strerror(code));
	(void)curl_easy_getinfo(pull->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return err_set(err, -EIO, "the answer's status is %ld", status);
	return 0;
}

static void pull_finish(struct pull *pull, CURLcode code)
{
	struct err err = {0};
	int64_t now_ns = clock_monotonic_ns(), interval_ns = pull->target->interval_s * NS_PER_S;
	int rc = transfer_check(pull, code, &err);

	if (rc == -E2BIG)
		limits_refused(&pull->scraper->agent->limits, err.message);
	(void)curl_multi_remove_handle(pull->scraper->multi, pull->easy);
	curl_easy_cleanup(pull->easy);
	pull->easy = NULL;
	if (!rc)
		rc = pull_keep(pull, &err);
	buf_release(&pull->body);
	stats_add(pull, &err);
	/* An interval after it began: CPU time, which takes one to answer, is asked for without
	 * gaps. */
	pull->due_ns = MAX(now_ns, pull->due_ns + interval_ns);
}

static bool easy_set(struct pull *pull)
{
	CURL *easy = pull->easy;
	long seconds = (long)pull->target->interval_s * (is_timed(pull) ? 2 : 1) + GRACE_S;

	return !curl_easy_setopt(easy, CURLOPT_URL, pull->url) &&
	       !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
	       /* To the address that stands in the configuration, whatever the environment says. */
	       !curl_easy_setopt(easy, CURLOPT_PROXY, "") &&
	       !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_TIMEOUT, seconds) &&
	       !curl_easy_setopt(easy, CURLOPT_USERAGENT, "hearthd/" HEARTH_VERSION) &&
	       !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes) &&
	       !curl_easy_setopt(easy, CURLOPT_WRITEDATA, pull) &&
	       !curl_easy_setopt(easy, CURLOPT_PRIVATE, pull);
}

static void pull_begin(struct pull *pull, int64_t now_ns)
{
	const struct err no_memory = {-ENOMEM, "out of memory"};

	pull->due_ns = now_ns;
	buf_init(&pull->body, pull->scraper->agent->config.limits.body_bytes);
	pull->easy = curl_easy_init();
	if (pull->easy && easy_set(pull) &&
	    !curl_multi_add_handle(pull->scraper->multi, pull->easy))
		return;
	curl_easy_cleanup(pull->easy);
	pull->easy = NULL;
	pull->due_ns = now_ns + pull->target->interval_s * NS_PER_S;
	stats_add(pull, &no_memory);
}

/* Begin what is due. Returns milliseconds until something else is. */
static int due_begin(struct scraper *scraper)
{
	int64_t now_ns = clock_monotonic_ns(), next_ns = now_ns + 60 * NS_PER_S;

	for (size_t i = 0; i < scraper->count; i++) {
		struct pull *pull = &scraper->pulls[i];

		if (pull->easy)
			continue;
		if (pull->due_ns <= now_ns)
			pull_begin(pull, now_ns);
		if (!pull->easy)
			next_ns = MIN(next_ns, MAX(pull->due_ns, now_ns + NS_PER_MS * 100));
	}
	return (int)((next_ns - now_ns) / NS_PER_MS) + 1;
}

static void *scraper_main(void *arg)
{
	struct scraper *scraper = arg;

	while (!__atomic_load_n(&scraper->stopping, __ATOMIC_ACQUIRE)) {
		int wait_ms = due_begin(scraper), left, running;
		CURLMsg *message;

		(void)curl_multi_perform(scraper->multi, &running);
		while ((message = curl_multi_info_read(scraper->multi, &left))) {
			char *pull = NULL;
			CURLcode code = message->data.result;

			if (message->msg != CURLMSG_DONE)
				continue;
			(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &pull);
			pull_finish((struct pull *)(void *)pull, code);
			wait_ms = 0;
		}
		(void)curl_multi_poll(scraper->multi, NULL, 0, wait_ms, NULL);
	}
	return NULL;
}

/* ---- life ---- */

static int pull_add(struct scraper *scraper, const struct config_scrape *target,
		    const char *profile)
{
	struct pull *pull = &scraper->pulls[scraper->count++];

	pull->scraper = scraper;
	pull->target = target;
	pull->profile = profile;
	pull->due_ns = clock_monotonic_ns();
	int len = snprintf(pull->url, sizeof(pull->url), "%s/debug/pprof/%s", target->url, profile);

	if (is_timed(pull))
		(void)snprintf(pull->url + len, sizeof(pull->url) - (size_t)len, "?seconds=%u",
			       target->interval_s);
	return is_cumulative(profile) ? delta_new(&pull->delta) : 0;
}

static void scraper_free(struct scraper *scraper)
{
	for (size_t i = 0; i < scraper->count; i++) {
		struct pull *pull = &scraper->pulls[i];

		if (pull->easy) {
			(void)curl_multi_remove_handle(scraper->multi, pull->easy);
			curl_easy_cleanup(pull->easy);
			buf_release(&pull->body);
		}
		delta_free(pull->delta);
	}
	if (scraper->multi)
		(void)curl_multi_cleanup(scraper->multi);
	curl_global_cleanup();
	(void)pthread_mutex_destroy(&scraper->lock);
	free(scraper);
}

int scrape_start(struct agent *agent, struct scraper **ret_scraper, struct err *err)
{
	const struct config *config = &agent->config;
	size_t count = 0;
	int rc = 0;

	*ret_scraper = NULL;
	for (size_t i = 0; i < config->scrapes_count; i++)
		count += config->scrapes[i].profiles_count;
	if (!count)
		return 0;
	struct scraper *scraper = calloc(1, sizeof(*scraper) + count * sizeof(scraper->pulls[0]));

	if (!scraper)
		return err_set(err, -ENOMEM, "scrape: out of memory");
	scraper->agent = agent;
	(void)pthread_mutex_init(&scraper->lock, NULL);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(scraper->multi = curl_multi_init()))
		rc = -ENOMEM;
	for (size_t i = 0; i < config->scrapes_count; i++)
		for (size_t k = 0; !rc && k < config->scrapes[i].profiles_count; k++)
			rc = pull_add(scraper, &config->scrapes[i], config->scrapes[i].profiles[k]);
	if (!rc)
		rc = -pthread_create(&scraper->thread, NULL, scraper_main, scraper);
	if (rc) {
		scraper_free(scraper);
		return err_set(err, rc, "scrape: %s", strerror(-rc));
	}
	(void)pthread_setname_np(scraper->thread, "scraper");
	*ret_scraper = scraper;
	return 0;
}

void scrape_stop(struct scraper *scraper)
{
	if (!scraper)
		return;
	__atomic_store_n(&scraper->stopping, true, __ATOMIC_RELEASE);
	(void)curl_multi_wakeup(scraper->multi);
	(void)pthread_join(scraper->thread, NULL);
	scraper_free(scraper);
}

void scrape_status(struct scraper *scraper, struct json *json)
{
	json_key(json, "scrapes");
	json_open(json, '[');
	for (size_t i = 0; scraper && i < scraper->count; i++) {
		const struct pull *pull = &scraper->pulls[i];

		(void)pthread_mutex_lock(&scraper->lock);
		const struct pull_stats stats = pull->stats;

		(void)pthread_mutex_unlock(&scraper->lock);
		json_open(json, '{');
		json_key_text(json, "service", pull->target->service);
		json_key_text(json, "url", pull->url);
		json_key_uint(json, "scrapes", stats.scrapes);
		json_key_uint(json, "failures", stats.failures);
		json_key_uint(json, "restarts", stats.restarts);
		json_key_int(json, "last_success", stats.last_success_ns);
		json_key_int(json, "last_failure", stats.last_failure_ns);
		json_key_text(json, "last_error", stats.error);
		json_close(json, '}');
	}
	json_close(json, ']');
}
