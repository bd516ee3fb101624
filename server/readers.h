/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/readers.h - a pool of storage readers, so that a query finds one whose caches are warm.
 *
 * Any thread borrows one, uses it alone, and gives it back.
 */
#ifndef SERVER_READERS_H
#define SERVER_READERS_H

#include "storage/storage.h"

struct readers;

MUST_CHECK int readers_new(struct storage *store, struct readers **ret_readers);
/* Every reader must have been given back. */
void readers_free(struct readers *readers);

MUST_CHECK int readers_borrow(struct readers *readers, struct storage_reader **ret_reader,
			      struct err *err);
void readers_return(struct readers *readers, struct storage_reader *reader);

#endif
