/* SPDX-License-Identifier: Apache-2.0 */
#include "server/builders.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define IDLE_MAX 4 /* as many as decode at once; each keeps a few MB at most */
#define ROOM_MAX ((size_t)8 << 20)

struct builders {
	struct profile_limits limits;
	pthread_mutex_t lock;
	struct builders_loan idle[IDLE_MAX]; /* the last is the next to go out */
	int64_t returned_ns[IDLE_MAX];
	size_t count;
};

int builders_new(const struct profile_limits *limits, struct builders **ret_builders)
{
	struct builders *builders = calloc(1, sizeof(*builders));

	if (!builders)
		return -ENOMEM;
	builders->limits = *limits;
	(void)pthread_mutex_init(&builders->lock, NULL);
	*ret_builders = builders;
	return 0;
}

static void loan_release(struct builders_loan *loan)
{
	profile_builder_free(loan->builder);
	pprof_room_release(&loan->room);
	loan->builder = NULL;
}

void builders_free(struct builders *builders)
{
	if (!builders)
		return;
	while (builders->count)
		loan_release(&builders->idle[--builders->count]);
	(void)pthread_mutex_destroy(&builders->lock);
	free(builders);
}

int builders_borrow(struct builders *builders, struct builders_loan *ret_loan)
{
	*ret_loan = (struct builders_loan){0};
	(void)pthread_mutex_lock(&builders->lock);
	if (builders->count)
		*ret_loan = builders->idle[--builders->count];
	(void)pthread_mutex_unlock(&builders->lock);
	int rc = ret_loan->builder ? profile_builder_again(ret_loan->builder)
				   : profile_builder_new(&builders->limits, &ret_loan->builder);

	if (rc)
		loan_release(ret_loan);
	return rc;
}

/* Those that came back longest ago are the first. */
static size_t take_old(struct builders *builders, int64_t before_ns, struct builders_loan *to)
{
	size_t old = 0, left;

	while (old < builders->count && builders->returned_ns[old] < before_ns)
		old++;
	left = builders->count - old;
	memcpy(to, builders->idle, old * sizeof(*to));
	memmove(builders->idle, builders->idle + old, left * sizeof(*builders->idle));
	memmove(builders->returned_ns, builders->returned_ns + old,
		left * sizeof(*builders->returned_ns));
	builders->count = left;
	return old;
}

void builders_return(struct builders *builders, struct builders_loan *loan, struct profile *profile,
		     int64_t now_ns)
{
	struct builders_loan gone[IDLE_MAX + 1];

	if (profile)
		profile_builder_give_back(loan->builder, profile);
	if (pprof_room_bytes(&loan->room) > ROOM_MAX)
		pprof_room_release(&loan->room);
	(void)pthread_mutex_lock(&builders->lock);
	size_t count = take_old(builders, now_ns - BUILDERS_KEPT_NS, gone);

	if (builders->count < IDLE_MAX) {
		builders->returned_ns[builders->count] = now_ns;
		builders->idle[builders->count++] = *loan;
	} else {
		gone[count++] = *loan;
	}
	(void)pthread_mutex_unlock(&builders->lock);
	*loan = (struct builders_loan){0};
	while (count)
		loan_release(&gone[--count]);
}

size_t builders_idle(struct builders *builders)
{
	(void)pthread_mutex_lock(&builders->lock);
	size_t count = builders->count;

	(void)pthread_mutex_unlock(&builders->lock);
	return count;
}
