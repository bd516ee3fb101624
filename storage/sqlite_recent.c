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

struct summing {
	const struct codec_columns *columns;
	struct recent_block *block; /* with a sum for each place in each window, at first */
	size_t stride;
};

static struct recent_sum *sum_at(const struct summing *s, size_t i)
{
	return (void *)(s->block->sums + i * s->stride);
}

static void add_record(const struct codec_columns *c, size_t i, struct recent_sum *sum,
		       size_t width)
{
	sum->count += c->counts[i];
	for (size_t v = 0; v < width; v++)
		sum->values[v] = storage_add(sum->values[v], c->values[v][i]);
}

/* For a width that the compiler knows. */
__attribute__((always_inline)) static inline void add_all(const struct summing *s, size_t width)
{
	const struct codec_columns *c = s->columns;

	for (size_t i = 0; i < c->count; i++)
		add_record(c, i, (void *)(s->block->sums + c->places[i] * recent_stride(width)),
			   width);
}

static void add_window(const struct summing *s, int64_t min_ns, int64_t max_ns)
{
	struct recent_window *w = &s->block->windows[0];

	w->first_ns = min_ns;
	w->last_ns = max_ns;
	w->records = s->columns->count;
	if (s->columns->values_count == 2)
		add_all(s, 2);
	else
		add_all(s, s->columns->values_count);
}

/* Whether every record is in one of them. */
static bool add_windows(const struct summing *s)
{
	const struct codec_columns *c = s->columns;
	struct recent_window *const windows = s->block->windows;

	for (size_t i = 0; i < c->count; i++) {
		size_t k = recent_is_in(&windows[1], c->times[i]);
		struct recent_window *w = &windows[k];

		if (!recent_is_in(w, c->times[i]))
			return false;
		w->first_ns = MIN(w->first_ns, c->times[i]);
		w->last_ns = MAX(w->last_ns, c->times[i]);
		w->records++;
		add_record(c, i, sum_at(s, k * c->names_count + c->places[i]), c->values_count);
	}
	return true;
}

/* Every window has a sum for each place: those of nothing go. */
static void drop_nothing(const struct summing *s)
{
	struct recent_block *b = s->block;
	size_t places = s->columns->names_count, kept = 0;

	for (size_t i = 0; i < b->windows_count * places; i++) {
		if (!sum_at(s, i)->count)
			continue;
		if (i != kept)
			memmove(sum_at(s, kept), sum_at(s, i), s->stride);
		b->windows[i / places].count++;
		kept++;
	}
	b->bytes = sizeof(*b) + kept * s->stride;
}

static bool begin(struct summing *s, int64_t min_ns, int64_t max_ns, size_t room)
{
	const struct codec_columns *c = s->columns;
	const int64_t windows_ns[] = {clock_window_ns(min_ns, STORAGE_L1_WINDOW_NS),
				      clock_window_ns(max_ns, STORAGE_L1_WINDOW_NS)};
	uint32_t count = windows_ns[0] == windows_ns[1] ? 1 : 2;
	size_t sums = count * c->names_count;

	if (sums > room / s->stride)
		return false;
	struct recent_block *b = s->block = calloc(1, sizeof(*b) + sums * s->stride);

	if (!b)
		return false;
	b->width = c->values_count;
	b->windows_count = count;
	for (uint32_t w = 0; w < count; w++)
		b->windows[w] = (struct recent_window){
		    .window_ns = windows_ns[w], .first_ns = INT64_MAX, .last_ns = INT64_MIN};
	for (size_t i = 0; i < sums; i++)
		sum_at(s, i)->node = c->names[i % c->names_count];
	for (size_t i = 0; i < c->names_count; i++)
		b->nodes_end = MAX(b->nodes_end, (size_t)c->names[i] + 1);
	return true;
}

void recent_sum(const struct codec_columns *columns, int64_t min_ns, int64_t max_ns, int64_t id,
		int64_t batch, struct recent *to)
{
	struct summing s = {.columns = columns, .stride = recent_stride(columns->values_count)};
	bool kept = true;

	if (!begin(&s, min_ns, max_ns, RECENT_BYTES_MAX - to->bytes))
		return;
	if (s.block->windows_count == 1)
		add_window(&s, min_ns, max_ns);
	else
		kept = add_windows(&s);
	drop_nothing(&s);
	if (!kept || to->bytes + s.block->bytes > RECENT_BYTES_MAX ||
	    array_grow(&to->blocks, sizeof(struct recent_block *), &to->capacity, to->count + 1)) {
		free(s.block);
		return;
	}
	s.block->id = id;
	s.block->batch = batch;
	to->blocks[to->count++] = s.block;
	to->bytes += s.block->bytes;
}
