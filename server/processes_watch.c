/* SPDX-License-Identifier: Apache-2.0 */
/* While somebody asks for what comes, rings are drained often; who asks first waits until what they
 * held is stored. */
#include <errno.h>

#include "base/clock.h"
#include "server/processes_private.h"

#define WATCHED_NS (INT64_C(30) * NS_PER_S) /* a page that is open asks again within it */
#define LATELY_NS (INT64_C(15) * NS_PER_S)  /* what rings may hold is not older */
#define WAIT_NS (INT64_C(500) * NS_PER_MS)

int watch_init(struct watch *watch, struct err *err)
{
	pthread_condattr_t attr;
	int rc = pthread_condattr_init(&attr);

	if (!rc)
		rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (!rc)
		rc = pthread_cond_init(&watch->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	watch->asked_ns = -WATCHED_NS;
	return rc ? err_set(err, -rc, "native: no condition variable") : 0;
}

void watch_release(struct watch *watch)
{
	(void)pthread_cond_destroy(&watch->changed);
}

bool watch_is_on(const struct watch *watch, int64_t now_ns)
{
	return now_ns - watch->asked_ns < WATCHED_NS;
}

/* Drained since then, and nothing of it is on its way.  What cannot be drained is not waited
 * for. */
static bool is_stored(const struct process *p, int64_t since_ns)
{
	return !p->ready || p->failed || p->waiting || (!p->busy && p->drained_ns >= since_ns);
}

void watch_go_on(struct processes *all)
{
	int64_t since_ns = all->watch.draining_ns;
	bool all_are = true;

	if (!since_ns)
		return;
	for (struct process *p = all->first, *next; p; p = next) {
		next = p->next;
		if (!is_stored(p, since_ns))
			process_turn(p, false);
		all_are = all_are && is_stored(p, since_ns);
	}
	if (!all_are)
		return;
	all->watch.draining_ns = 0;
	(void)pthread_mutex_lock(&all->lock);
	all->watch.stored_ns = since_ns;
	(void)pthread_cond_broadcast(&all->watch.changed);
	(void)pthread_mutex_unlock(&all->lock);
}

static void asked(void *arg)
{
	struct processes *all = arg;

	(void)pthread_mutex_lock(&all->lock);
	all->watch.posted = false;
	all->watch.draining_ns = all->watch.wanted_ns;
	(void)pthread_mutex_unlock(&all->lock);
	writer_hold(all->writer);
	watch_go_on(all);
	writer_release(all->writer);
}

/* ---- any thread ---- */

static void want(struct processes *all, int64_t now_ns)
{
	struct watch *watch = &all->watch;

	watch->wanted_ns = now_ns;
	if (!watch->posted)
		mailbox_post(all->mailbox, &watch->letter, asked, all);
	watch->posted = true;
}

void processes_watch(struct processes *all, int64_t until_ns)
{
	const int64_t now_ns = clock_monotonic_ns();
	struct watch *watch = &all->watch;
	int rc = 0;

	if (until_ns < clock_real_ns() - LATELY_NS)
		return;
	(void)pthread_mutex_lock(&all->lock);
	if (!watch_is_on(watch, now_ns) && all->count && !watch->ended)
		want(all, now_ns);
	watch->asked_ns = now_ns;
	/* Also who comes while another waits. */
	const int64_t wanted_ns = watch->wanted_ns, end_ns = wanted_ns + WAIT_NS;
	const struct timespec end = {end_ns / NS_PER_S, end_ns % NS_PER_S};

	while (!rc && !watch->ended && watch->stored_ns < wanted_ns)
		rc = pthread_cond_timedwait(&watch->changed, &all->lock, &end);
	(void)pthread_mutex_unlock(&all->lock);
}

void watch_end(struct processes *all)
{
	(void)pthread_mutex_lock(&all->lock);
	all->watch.ended = true;
	(void)pthread_cond_broadcast(&all->watch.changed);
	(void)pthread_mutex_unlock(&all->lock);
}
