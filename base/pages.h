/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/pages.h - memory for tables of megabytes that are filled at once.
 *
 * Fresh memory comes page by page, each with a fault of 2 us, two where a zero is read before it is written: for a
 * table of eight bytes an entry more than to fill it.  What these return begins at a large page (2 MB) and asks the
 * kernel for those, which cost a quarter; where it has none, nothing is different.  At most 1 MB of each table is
 * had for nothing.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include "base/util.h"

/* For free(); NULL without memory.  Zeroes are all touched. */
void *pages_alloc(size_t count, size_t item_bytes);
void *pages_zeroes(size_t count, size_t item_bytes);

/* array_grow() for a table that is soon full: to `room`, or as much as is wanted if that is more.  Room beyond what
 * is wanted is in small pages, and no memory before it is used. */
MUST_CHECK int pages_grow(void *array, size_t item_bytes, size_t *capacity, size_t want, size_t room);

#endif
