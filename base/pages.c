/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"

#include <errno.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)
#define WASTE_MAX (LARGE_PAGE / 2)

/* The first `filled` bytes in large pages. */
static void *allocate(size_t bytes, size_t filled)
{
	size_t tail = filled % LARGE_PAGE, large = filled - tail;
	void *p = NULL;

	if (tail >= LARGE_PAGE - WASTE_MAX)
		large += LARGE_PAGE;
	bytes = MAX(bytes, large);
	if (!large)
		return malloc(bytes);
	if (posix_memalign(&p, LARGE_PAGE, bytes))
		return NULL;
	(void)madvise(p, large, MADV_HUGEPAGE);
	return p;
}

void *pages_alloc(size_t count, size_t item_bytes)
{
	size_t bytes = count * item_bytes + !count;

	return count <= SIZE_MAX / 2 / item_bytes ? allocate(bytes, bytes) : NULL;
}

void *pages_zeroes(size_t count, size_t item_bytes)
{
	void *p = pages_alloc(count, item_bytes);

	return p ? memset(p, 0, count * item_bytes) : NULL;
}

int pages_grow(void *array, size_t item_bytes, size_t *capacity, size_t want, size_t room)
{
	size_t bytes = *capacity * item_bytes;
	void *old, *new;

	if (want <= *capacity)
		return 0;
	room = MAX(MAX(want, room), *capacity * 2);
	if (room > SIZE_MAX / 2 / item_bytes)
		return -ENOMEM;
	new = allocate(room * item_bytes, want * item_bytes);
	if (!new)
		return -ENOMEM;
	memcpy(&old, array, sizeof(old));
	if (bytes)
		memcpy(new, old, bytes);
	free(old);
	memcpy(array, &new, sizeof(new));
	*capacity = room;
	return 0;
}
