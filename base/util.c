/* SPDX-License-Identifier: Apache-2.0 */
#include "base/util.h"

#include <errno.h>
#include <string.h>

int array_grow_now(void *array, size_t item_bytes, size_t *capacity, size_t want)
{
	size_t grown = *capacity ? *capacity * 2 : 16;

	if (grown < want)
		grown = want;
	if (grown > SIZE_MAX / 2 / item_bytes)
		return -ENOMEM;

	void *old;

	memcpy(&old, array, sizeof(old));
	void *moved = realloc(old, grown * item_bytes);

	if (!moved)
		return -ENOMEM;
	memcpy(array, &moved, sizeof(moved));
	*capacity = grown;
	return 0;
}
