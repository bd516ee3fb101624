/* SPDX-License-Identifier: Apache-2.0 */
#include "server/builders.h"

#include <errno.h>
#include <pthread.h>

#define IDLE_MAX 4 /* as many as decode at once; each keeps a few MB at most */

struct builders {
	struct profile_limits limits;
	pthread_mutex_t lock;
	struct profile_builder *idle[IDLE_MAX];
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

void builders_free(struct builders *builders)
{
	if (!builders)
		return;
	while (builders->count)
		profile_builder_free(builders->idle[--builders->count]);
	(void)pthread_mutex_destroy(&builders->lock);
	free(builders);
}

int builders_borrow(struct builders *builders, struct profile_builder **ret_builder)
{
	struct profile_builder *builder = NULL;

	(void)pthread_mutex_lock(&builders->lock);
	if (builders->count)
		builder = builders->idle[--builders->count];
	(void)pthread_mutex_unlock(&builders->lock);
	if (!builder)
		return profile_builder_new(&builders->limits, ret_builder);
	int rc = profile_builder_again(builder);

	if (rc)
		profile_builder_free(builder);
	else
		*ret_builder = builder;
	return rc;
}

void builders_return(struct builders *builders, struct profile_builder *builder,
		     struct profile *profile)
{
	if (profile)
		profile_builder_give_back(builder, profile);
	(void)pthread_mutex_lock(&builders->lock);
	if (builders->count < IDLE_MAX) {
		builders->idle[builders->count++] = builder;
		builder = NULL;
	}
	(void)pthread_mutex_unlock(&builders->lock);
	profile_builder_free(builder);
}
