/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sort.h"

#define FEW 48

static void insert(struct sort_item *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct sort_item item = items[i];
		size_t at = i;

		for (; at && items[at - 1].key > item.key; at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}

static void sort_byte(const struct sort_item *from, struct sort_item *to, size_t count,
		      unsigned shift)
{
	size_t starts[256] = {0}, sum = 0;

	for (size_t i = 0; i < count; i++)
		starts[from[i].key >> shift & 0xff]++;
	for (size_t i = 0; i < 256; i++) {
		size_t here = starts[i];

		starts[i] = sum;
		sum += here;
	}
	for (size_t i = 0; i < count; i++)
		to[starts[from[i].key >> shift & 0xff]++] = from[i];
}

void sort_items(struct sort_item *items, struct sort_item *scratch, size_t count)
{
	struct sort_item *from = items, *to = scratch;
	uint64_t differ = 0;

	if (count < FEW) {
		insert(items, count);
		return;
	}
	for (size_t i = 1; i < count; i++)
		differ |= items[i].key ^ items[0].key;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		if (!(differ >> shift & 0xff))
			continue;
		sort_byte(from, to, count, shift);
		struct sort_item *last = from;

		from = to;
		to = last;
	}
	if (from != items)
		memcpy(items, from, count * sizeof(*items));
}
