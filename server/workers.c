/* SPDX-License-Identifier: Apache-2.0 */
#include "server/workers.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct workers {
	struct mailbox *mailbox;
	pthread_t threads[WORKERS_COUNT];
	size_t threads_count;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct workers_job *queue[WORKERS_QUEUE_MAX];
	size_t first, count;
	bool stopping;
};

static struct workers_job *job_take(struct workers *workers)
{
	struct workers_job *job = NULL;

	(void)pthread_mutex_lock(&workers->lock);
	while (!workers->count && !workers->stopping)
		(void)pthread_cond_wait(&workers->wake, &workers->lock);
	if (workers->count) {
		job = workers->queue[workers->first];
		workers->first = (workers->first + 1) % WORKERS_QUEUE_MAX;
		workers->count--;
	}
	(void)pthread_mutex_unlock(&workers->lock);
	return job;
}

static void *worker_main(void *arg)
{
	struct workers *workers = arg;
	struct workers_job *job;

	while ((job = job_take(workers))) {
		job->run(job->arg);
		mailbox_post(workers->mailbox, &job->letter, job->done, job->arg);
	}
	return NULL;
}

int workers_start(struct mailbox *mailbox, struct workers **ret_workers, struct err *err)
{
	struct workers *workers = calloc(1, sizeof(*workers));
	int rc = 0;

	if (!workers)
		return err_set(err, -ENOMEM, "workers: out of memory");
	workers->mailbox = mailbox;
	(void)pthread_mutex_init(&workers->lock, NULL);
	(void)pthread_cond_init(&workers->wake, NULL);
	while (!rc && workers->threads_count < WORKERS_COUNT) {
		pthread_t *thread = &workers->threads[workers->threads_count];

		rc = -pthread_create(thread, NULL, worker_main, workers);
		if (rc)
			break;
		(void)pthread_setname_np(*thread, "worker");
		workers->threads_count++;
	}
	if (rc) {
		workers_stop(workers);
		return err_set(err, rc, "workers: %s", strerror(-rc));
	}
	*ret_workers = workers;
	return 0;
}

int workers_add(struct workers *workers, struct workers_job *job)
{
	int rc = -EAGAIN;

	(void)pthread_mutex_lock(&workers->lock);
	if (workers->count < WORKERS_QUEUE_MAX && !workers->stopping) {
		workers->queue[(workers->first + workers->count++) % WORKERS_QUEUE_MAX] = job;
		(void)pthread_cond_signal(&workers->wake);
		rc = 0;
	}
	(void)pthread_mutex_unlock(&workers->lock);
	return rc;
}

void workers_stop(struct workers *workers)
{
	if (!workers)
		return;
	(void)pthread_mutex_lock(&workers->lock);
	workers->stopping = true;
	(void)pthread_cond_broadcast(&workers->wake);
	(void)pthread_mutex_unlock(&workers->lock);
	for (size_t i = 0; i < workers->threads_count; i++)
		(void)pthread_join(workers->threads[i], NULL);
	(void)pthread_cond_destroy(&workers->wake);
	(void)pthread_mutex_destroy(&workers->lock);
	free(workers);
}
