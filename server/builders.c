/* SPDX-License-Identifier: Apache-2.0 */
#include "server/builders.h"

#include <errno.h>
#include <pthread.h>

#define IDLE_MAX 4 /* as many as decode at once; each keeps a few MB at most */
#define ROOM_MAX ((size_t)8 << 20)

struct builders {
	struct profile_limits limits;
	pthread_mutex_t lock;
	struct builders_loan idle[IDLE_MAX];
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

void builders_return(struct builders *builders, struct builders_loan *loan, struct profile *profile)
{
	if (profile)
		profile_builder_give_back(loan->builder, profile);
	if (pprof_room_bytes(&loan->room) > ROOM_MAX)
		pprof_room_release(&loan->room);
	(void)pthread_mutex_lock(&builders->lock);
	if (builders->count < IDLE_MAX) {
		builders->idle[builders->count++] = *loan;
		*loan = (struct builders_loan){0};
	}
	(void)pthread_mutex_unlock(&builders->lock);
	loan_release(loan);
}
