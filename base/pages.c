/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"

#include <errno.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)
#define WASTE_MAX (LARGE_PAGE / 2)

static void *allocate(size_t bytes)
{
	size_t tail = bytes % LARGE_PAGE, large = bytes - tail;
	void *p = NULL;

	if (tail >= LARGE_PAGE - WASTE_MAX)
		bytes = large = large + LARGE_PAGE;
	if (!large)
		return malloc(bytes);
	if (posix_memalign(&p, LARGE_PAGE, bytes))
		return NULL;
	(void)madvise(p, large, MADV_HUGEPAGE);
	return p;
}

void *pages_alloc(size_t count, size_t item_bytes)
{
	return count <= SIZE_MAX / 2 / item_bytes ? allocate(count * item_bytes + !count) : NULL;
}

void *pages_zeroes(size_t count, size_t item_bytes)
{
	void *p = pages_alloc(count, item_bytes);

	return p ? memset(p, 0, count * item_bytes) : NULL;
}

int pages_grow(void *array, size_t item_bytes, size_t *capacity, size_t want)
{
	size_t bytes = *capacity * item_bytes;
	void *old, *new;

	if (want <= *capacity)
		return 0;
	if (*capacity)
		want = MAX(want, *capacity * 2);
	new = pages_alloc(want, item_bytes);
	if (!new)
		return -ENOMEM;
	memcpy(&old, array, sizeof(old));
	if (bytes)
		memcpy(new, old, bytes);
	free(old);
	memcpy(array, &new, sizeof(new));
	*capacity = want;
	return 0;
}
