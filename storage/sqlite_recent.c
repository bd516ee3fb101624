/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_recent.h"

#include <string.h>

#include "base/clock.h"
#include "storage/storage.h"

static void forget_first(struct recent *r, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		r->bytes -= r->blocks[i]->bytes;
		free(r->blocks[i]);
	}
	r->count -= count;
	if (count && r->count)
		memmove(r->blocks, r->blocks + count, r->count * sizeof(struct recent_block *));
}

void recent_release(struct recent *r)
{
	forget_first(r, r->count);
	free(r->blocks);
	*r = (struct recent){0};
}

void recent_publish(struct recent *to, struct recent *from)
{
	for (size_t i = 0; i < from->count; i++) {
		struct recent_block *b = from->blocks[i];

		if (to->bytes + b->bytes > RECENT_BYTES_MAX ||
		    array_grow(&to->blocks, sizeof(struct recent_block *), &to->capacity,
			       to->count + 1)) {
			free(b);
			continue;
		}
		to->blocks[to->count++] = b;
		to->bytes += b->bytes;
	}
	from->count = from->bytes = 0;
}

const struct recent_block *recent_find(const struct recent *r, int64_t id)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->blocks[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->count && r->blocks[low]->id == id ? r->blocks[low] : NULL;
}

void recent_forget(struct recent *r, int64_t batch)
{
	size_t count = 0;

	while (count < r->count && r->blocks[count]->batch <= batch)
		count++;
	forget_first(r, count);
}

/* ---- adding up ---- */

void recent_adding_release(struct recent_adding *a)
{
	for (size_t w = 0; w < RECENT_WINDOWS; w++)
		free(a->sums[w]);
	*a = (struct recent_adding){0};
}

void recent_begin(struct recent_adding *a, bool on, size_t width)
{
	a->on = on;
	a->width = width;
	a->places = a->windows_count = a->last = 0;
}

int recent_add_place(struct recent_adding *a)
{
	size_t stride = RECENT_VALUES + a->width, end = (a->places + 1) * stride;

	for (size_t w = 0; a->on && w < RECENT_WINDOWS; w++) {
		int rc = array_grow(&a->sums[w], sizeof(**a->sums), &a->capacity[w], end);

		if (rc)
			return rc;
		memset(a->sums[w] + end - stride, 0, stride * sizeof(**a->sums));
	}
	a->places++;
	return 0;
}

size_t recent_window_of(struct recent_adding *a, int64_t time_ns)
{
	size_t w = 0;

	while (w < a->windows_count && !recent_is_in(&a->windows[w], time_ns))
		w++;
	if (w == a->windows_count && w < RECENT_WINDOWS)
		a->windows[a->windows_count++] = (struct recent_window){
		    .window_ns = clock_window_ns(time_ns, STORAGE_L1_WINDOW_NS),
		    .first_ns = INT64_MAX,
		    .last_ns = INT64_MIN};
	return w;
}

/* What is there of one window, behind what is there of the one before. */
static uint8_t *copy_window(const struct recent_adding *a, size_t w, const uint32_t *nodes,
			    struct recent_block *b, uint8_t *to)
{
	const int64_t *sums = a->sums[w];

	for (size_t i = 0; i < a->places; i++, sums += RECENT_VALUES + a->width) {
		struct recent_sum *sum = (void *)to;

		if (!sums[RECENT_RECORDS])
			continue;
		sum->node = nodes[i];
		sum->count = (uint64_t)sums[RECENT_COUNT];
		memcpy(sum->values, sums + RECENT_VALUES, a->width * sizeof(*sums));
		b->nodes_end = MAX(b->nodes_end, (size_t)nodes[i] + 1);
		to += recent_stride(a->width);
	}
	return to;
}

void recent_end(struct recent_adding *a, const uint32_t *nodes, int64_t id, int64_t batch,
		struct recent *to)
{
	size_t count = 0;

	for (size_t w = 0; w < a->windows_count; w++)
		count += a->windows[w].count;
	size_t bytes = sizeof(struct recent_block) + count * recent_stride(a->width);
	struct recent_block *b =
	    a->on && bytes <= RECENT_BYTES_MAX - to->bytes ? malloc(bytes) : NULL;

	if (!b)
		return;
	if (array_grow(&to->blocks, sizeof(struct recent_block *), &to->capacity, to->count + 1)) {
		free(b);
		return;
	}
	*b = (struct recent_block){.id = id,
				   .batch = batch,
				   .bytes = bytes,
				   .width = a->width,
				   .windows_count = (uint32_t)a->windows_count};
	memcpy(b->windows, a->windows, sizeof(b->windows));
	uint8_t *end = b->sums;

	for (size_t w = 0; w < a->windows_count; w++)
		end = copy_window(a, w, nodes, b, end);
	to->blocks[to->count++] = b;
	to->bytes += bytes;
}
