/* SPDX-License-Identifier: Apache-2.0 */
#include "server/writer.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/steady.h"

#define MAINTAIN_NS (INT64_C(2) * NS_PER_S)
#define GATHER_NS_MAX (5 * NS_PER_MS)

struct job {
	struct profile *profile; /* NULL: a task */
	writer_done_fn done;
	writer_task_fn task;
	void *arg;
	bool awaited; /* an upload, whose sender waits */
};

struct writer {
	struct storage *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job queue[WRITER_QUEUE_MAX];
	size_t first, count;
	size_t coming; /* uploads that are being read */
	size_t here;   /* uploads in the queue */
	size_t usual;  /* uploads that were at once when the last commit ended */
	bool held;     /* many are being put, one after another */
	bool stopping;
	struct writer_stats stats;
	struct steady steady; /* the writer thread's */
};

/* With the lock: whether a commit may begin. */
static bool has_work(const struct writer *writer)
{
	return writer->count >= (writer->held ? WRITER_BATCH_MAX : 1);
}

static bool sleep_until(struct writer *writer, int64_t until_ns)
{
	const struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

	return pthread_cond_timedwait(&writer->wake, &writer->lock, &until) == 0;
}

/* With the lock: whether nobody is missing. */
static bool is_complete(const struct writer *writer)
{
	return (!writer->coming && writer->here >= writer->usual) ||
	       writer->count >= WRITER_BATCH_MAX;
}

/*
 * A commit costs the same for one as for many.  What is being read will be here in a moment, and
 * who was answered together mostly sends again together: a commit waits until as many are here as
 * were at once last time, but no longer than a few commits take.  Who uploads alone never waits.
 */
static void others_await(struct writer *writer)
{
	int64_t until_ns =
	    clock_monotonic_ns() + MIN(4 * writer->stats.last_commit_ns, GATHER_NS_MAX);

	while (!is_complete(writer) && !writer->stopping && sleep_until(writer, until_ns))
		;
}

static int jobs_wait(struct writer *writer, struct job *jobs, int64_t until_ns)
{
	int count = 0;

	(void)pthread_mutex_lock(&writer->lock);
	while (!has_work(writer) && !writer->stopping && sleep_until(writer, until_ns))
		;
	if (has_work(writer))
		others_await(writer);
	bool take = has_work(writer) || writer->stopping;

	while (take && writer->count && count < WRITER_BATCH_MAX) {
		writer->here -= writer->queue[writer->first].awaited;
		jobs[count++] = writer->queue[writer->first];
		writer->first = (writer->first + 1) % WRITER_QUEUE_MAX;
		writer->count--;
	}
	if (!count && writer->stopping)
		count = -1;
	(void)pthread_mutex_unlock(&writer->lock);
	return count;
}

static void stats_add(struct writer *writer, const struct job *jobs, const int *results,
		      size_t count, int64_t took_ns, const struct err *err)
{
	(void)pthread_mutex_lock(&writer->lock);
	for (size_t i = 0; i < count; i++) {
		writer->stats.stored += results[i] == STORAGE_STORED;
		writer->stats.duplicates += results[i] == STORAGE_DUPLICATE;
		writer->stats.failed += results[i] < 0;
		if (results[i] == STORAGE_STORED)
			writer->stats.records += jobs[i].profile->records_count;
	}
	writer->usual = writer->here + writer->coming;
	for (size_t i = 0; i < count; i++)
		writer->usual += jobs[i].awaited;
	writer->stats.commits++;
	writer->stats.last_commit_ns = took_ns;
	(void)snprintf(writer->stats.trouble, sizeof(writer->stats.trouble), "%s",
		       err->code ? err->message : "");
	(void)pthread_mutex_unlock(&writer->lock);
}

static void profiles_put(struct writer *writer, struct job *jobs, size_t count)
{
	const struct profile *profiles[WRITER_BATCH_MAX];
	int results[WRITER_BATCH_MAX];
	struct err err = {0};
	int64_t start_ns = clock_monotonic_ns();

	for (size_t i = 0; i < count; i++) {
		profiles[i] = jobs[i].profile;
		results[i] = -EIO;
	}
	int rc = storage_put(writer->store, profiles, count, results, &err);

	if (rc < 0) {
		log_error("storage", "%s", err.message);
		for (size_t i = 0; i < count; i++)
			if (results[i] < 0)
				results[i] = rc;
	}
	stats_add(writer, jobs, results, count, clock_monotonic_ns() - start_ns, &err);
	for (size_t i = 0; i < count; i++)
		jobs[i].done(jobs[i].arg, jobs[i].profile, results[i], err.code ? err.message : "");
}

/* Tasks keep their place among the profiles. */
static void jobs_run(struct writer *writer, struct job *jobs, size_t count)
{
	for (size_t at = 0; at < count;) {
		size_t run = 0;

		while (at + run < count && jobs[at + run].profile)
			run++;
		if (run) {
			profiles_put(writer, jobs + at, run);
			at += run;
		} else {
			jobs[at].task(writer->store, jobs[at].arg);
			at++;
		}
	}
}

static void maintain(struct writer *writer)
{
	struct err err = {0};
	bool doubted = writer->steady.doubted_ns != 0;
	int64_t now_ns = steady_now(&writer->steady, clock_real_ns(), clock_monotonic_ns());

	if (writer->steady.doubted_ns && !doubted)
		log_warn("storage",
			 "the clock was set forward by more than an hour; nothing goes by it "
			 "for ten minutes");
	if (storage_maintain(writer->store, now_ns, &err) < 0)
		log_error("storage", "maintenance: %s", err.message);
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	struct job jobs[WRITER_BATCH_MAX];
	int64_t next_ns = clock_monotonic_ns() + MAINTAIN_NS;

	for (;;) {
		int count = jobs_wait(writer, jobs, next_ns);

		if (count < 0)
			break;
		jobs_run(writer, jobs, (size_t)count);
		if (clock_monotonic_ns() >= next_ns) {
			maintain(writer);
			next_ns = clock_monotonic_ns() + MAINTAIN_NS;
		}
	}
	maintain(writer);
	return NULL;
}

int writer_start(const char *location, const struct storage_options *options,
		 struct writer **ret_writer, struct err *err)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	pthread_condattr_t attributes;

	if (!writer)
		return err_set(err, -ENOMEM, "writer: out of memory");
	int rc = storage_open(location, options, &writer->store, err);

	if (rc) {
		free(writer);
		return rc;
	}
	(void)pthread_mutex_init(&writer->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&writer->wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	rc = -pthread_create(&writer->thread, NULL, writer_main, writer);
	if (rc) {
		storage_close(writer->store);
		free(writer);
		return err_set(err, rc, "writer: %s", strerror(-rc));
	}
	(void)pthread_setname_np(writer->thread, "writer");
	*ret_writer = writer;
	return 0;
}

void writer_stop(struct writer *writer)
{
	if (!writer)
		return;
	(void)pthread_mutex_lock(&writer->lock);
	writer->stopping = true;
	(void)pthread_cond_signal(&writer->wake);
	(void)pthread_mutex_unlock(&writer->lock);
	(void)pthread_join(writer->thread, NULL);
	storage_close(writer->store);
	(void)pthread_cond_destroy(&writer->wake);
	(void)pthread_mutex_destroy(&writer->lock);
	free(writer);
}

struct storage *writer_store(struct writer *writer)
{
	return writer->store;
}

/* With the lock: whether there is something to wake the writer for. */
static bool is_time(const struct writer *writer)
{
	return has_work(writer) && is_complete(writer);
}

/* `patient`: nobody waits for it. */
static int job_add(struct writer *writer, struct job job, bool patient)
{
	bool wake = false;
	int rc = 0;

	(void)pthread_mutex_lock(&writer->lock);
	writer->coming -= job.awaited;
	if (writer->count == WRITER_QUEUE_MAX || writer->stopping) {
		writer->stats.refused++;
		rc = -EAGAIN;
	} else {
		writer->queue[(writer->first + writer->count++) % WRITER_QUEUE_MAX] = job;
		writer->here += job.awaited;
		bool first = writer->count == 1 || writer->held;

		writer->held = writer->held && patient;
		/* The first sets the time until which others are waited for. */
		wake = (first && has_work(writer)) || is_time(writer);
	}
	(void)pthread_mutex_unlock(&writer->lock);
	if (wake)
		(void)pthread_cond_signal(&writer->wake);
	return rc;
}

void writer_expect(struct writer *writer)
{
	(void)pthread_mutex_lock(&writer->lock);
	writer->coming++;
	(void)pthread_mutex_unlock(&writer->lock);
}

void writer_expect_no_more(struct writer *writer)
{
	(void)pthread_mutex_lock(&writer->lock);
	writer->coming--;
	bool wake = is_time(writer);

	(void)pthread_mutex_unlock(&writer->lock);
	if (wake)
		(void)pthread_cond_signal(&writer->wake);
}

static void hold(struct writer *writer, bool held)
{
	(void)pthread_mutex_lock(&writer->lock);
	writer->held = held;
	bool wake = has_work(writer);

	(void)pthread_mutex_unlock(&writer->lock);
	if (wake)
		(void)pthread_cond_signal(&writer->wake);
}

void writer_hold(struct writer *writer)
{
	hold(writer, true);
}

void writer_release(struct writer *writer)
{
	hold(writer, false);
}

int writer_put(struct writer *writer, struct profile *profile, writer_done_fn done, void *arg)
{
	return job_add(writer, (struct job){.profile = profile, .done = done, .arg = arg}, true);
}

int writer_task(struct writer *writer, writer_task_fn task, void *arg)
{
	return job_add(writer, (struct job){.task = task, .arg = arg}, false);
}

struct waiter {
	sem_t ready;
	int result;
	char message[320];
};

static void waiter_done(void *arg, struct profile *profile, int result, const char *message)
{
	struct waiter *waiter = arg;

	(void)profile; /* who waits has it */
	waiter->result = result;
	(void)snprintf(waiter->message, sizeof(waiter->message), "%s", message);
	(void)sem_post(&waiter->ready); /* nothing of it may be touched from here on */
}

int writer_put_wait(struct writer *writer, struct profile *profile, struct err *err)
{
	struct waiter waiter = {.result = 0};

	(void)sem_init(&waiter.ready, 0, 0);
	const struct job job = {
	    .profile = profile, .done = waiter_done, .arg = &waiter, .awaited = true};
	int rc = job_add(writer, job, false);

	if (rc) {
		(void)sem_destroy(&waiter.ready);
		return err_set(err, rc,
			       "the queue to the store holds %d profiles and is full; try again",
			       WRITER_QUEUE_MAX);
	}
	while (sem_wait(&waiter.ready))
		;
	(void)sem_destroy(&waiter.ready);
	return waiter.result < 0 ? err_set(err, waiter.result, "%s", waiter.message)
				 : waiter.result;
}

void writer_stats(struct writer *writer, struct writer_stats *ret_stats)
{
	(void)pthread_mutex_lock(&writer->lock);
	*ret_stats = writer->stats;
	ret_stats->queued = writer->count;
	(void)pthread_mutex_unlock(&writer->lock);
}
