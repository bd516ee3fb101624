/* SPDX-License-Identifier: Apache-2.0 */
#include "server/readers.h"

#include <errno.h>
#include <pthread.h>

#define IDLE_MAX 4 /* each holds caches; two cores have no use for more */

struct readers {
	struct storage *store;
	pthread_mutex_t lock;
	struct storage_reader *idle[IDLE_MAX];
	size_t count;
};

int readers_new(struct storage *store, struct readers **ret_readers)
{
	struct readers *readers = calloc(1, sizeof(*readers));

	if (!readers)
		return -ENOMEM;
	readers->store = store;
	(void)pthread_mutex_init(&readers->lock, NULL);
	*ret_readers = readers;
	return 0;
}

void readers_free(struct readers *readers)
{
	if (!readers)
		return;
	while (readers->count)
		storage_reader_close(readers->idle[--readers->count]);
	(void)pthread_mutex_destroy(&readers->lock);
	free(readers);
}

int readers_borrow(struct readers *readers, struct storage_reader **ret_reader, struct err *err)
{
	struct storage_reader *reader = NULL;

	(void)pthread_mutex_lock(&readers->lock);
	if (readers->count)
		reader = readers->idle[--readers->count];
	(void)pthread_mutex_unlock(&readers->lock);
	if (!reader)
		return storage_reader_open(readers->store, ret_reader, err);
	*ret_reader = reader;
	return 0;
}

void readers_return(struct readers *readers, struct storage_reader *reader)
{
	if (!reader)
		return;
	(void)pthread_mutex_lock(&readers->lock);
	if (readers->count < IDLE_MAX) {
		readers->idle[readers->count++] = reader;
		reader = NULL;
	}
	(void)pthread_mutex_unlock(&readers->lock);
	storage_reader_close(reader);
}
