/* SPDX-License-Identifier: Apache-2.0 */
#include "client/heap.h"

#include "client/atomics.h"
#include "client/draw.h"

#define THIN_AT_A_TIME 32
#define MEAN_MAX (UINT64_C(1) << 50)
#define NONE UINT32_MAX

uint8_t heap_filter[1u << HEAP_FILTER_BITS];

static uint64_t *keys(struct ring_heap *h)
{
	return (uint64_t *)(void *)(h + 1);
}

static struct ring_heap_entry *entries(struct ring_heap *h)
{
	return (struct ring_heap_entry *)(void *)((char *)h + ring_heap_entries_at(h->entries_max));
}

static struct ring_heap_block *blocks(struct ring_heap *h)
{
	return (struct ring_heap_block *)(void *)((char *)h + ring_heap_blocks_at(h->entries_max));
}

static void filter_add(uint64_t address)
{
	uint8_t *at = heap_filter_at(address), was = load(at);

	while (was != HEAP_FILTER_STICKY && !replace(at, &was, (uint8_t)(was + 1)))
		;
}

static void filter_take(uint64_t address)
{
	uint8_t *at = heap_filter_at(address), was = load(at);

	while (was && was != HEAP_FILTER_STICKY && !replace(at, &was, (uint8_t)(was - 1)))
		;
}

bool heap_format(struct ring_heap *h, size_t bytes)
{
	uint32_t count = RING_HEAP_BUCKET;

	/* At most a quarter of the room for keys and entries: 20 to 40 frames each. */
	while (ring_heap_blocks_at(count * 2) <= bytes / 4)
		count *= 2;
	for (size_t i = 0; i < sizeof(heap_filter); i++)
		if (heap_filter[i] && heap_filter[i] != HEAP_FILTER_STICKY)
			heap_filter[i] = 0;
	if (ring_heap_blocks_at(count) + count * sizeof(struct ring_heap_block) > bytes)
		return false;
	h->entries_max = count;
	h->blocks_max =
	    (uint32_t)((bytes - ring_heap_blocks_at(count)) / sizeof(struct ring_heap_block));
	return true;
}

/* ---- chances ---- */

/* exp(-x) = exp(-x / 64)^64; where x is small by the series of 1 - exp(-x), which cancels
 * nothing. */
double heap_chance(uint64_t size, uint64_t mean)
{
	double x = mean ? (double)size / (double)mean : 40, y = x / 64, sum = 0;

	if (x >= 40)
		return 1;
	if (x < 0.5) {
		for (int k = 14; k >= 1; k--)
			sum = x / k * (1 - sum);
		return sum;
	}
	for (int k = 16; k >= 1; k--)
		sum = 1 - y / k * (k == 16 ? 1 : sum);
	for (int i = 0; i < 6; i++)
		sum *= sum;
	return 1 - sum;
}

/* Whether a block that came in with the mean `from` is kept with the larger mean `to`. */
static bool survives(uint64_t size, uint64_t from, uint64_t to, uint64_t *draws)
{
	double u = (double)(draw_next(draws) >> 11) * 0x1p-53;

	return to <= from || u * heap_chance(size, from) < heap_chance(size, to);
}

/* ---- frames, in chains of blocks ---- */

static uint32_t block_take(struct ring_heap *h)
{
	uint64_t top = load_acquire(&h->free_blocks);
	uint32_t fresh;

	while ((uint32_t)top) {
		/* Nonsense when another took the block meanwhile: then the exchange fails. */
		uint32_t next = load(&blocks(h)[(uint32_t)top - 1].next);

		if (replace(&h->free_blocks, &top, ((top >> 32) + 1) << 32 | next))
			return (uint32_t)top;
	}
	fresh = load(&h->fresh_blocks);
	while (fresh < h->blocks_max)
		if (replace(&h->fresh_blocks, &fresh, fresh + 1))
			return fresh + 1;
	return 0;
}

static void block_give(struct ring_heap *h, uint32_t block)
{
	uint64_t top = load(&h->free_blocks);

	do
		store(&blocks(h)[block - 1].next, (uint32_t)top);
	while (!replace(&h->free_blocks, &top, ((top >> 32) + 1) << 32 | block));
}

static void chain_give(struct ring_heap *h, uint32_t block, uint32_t frames)
{
	uint32_t count = (frames + RING_HEAP_FRAMES - 1) / RING_HEAP_FRAMES, given = 0;

	for (; given < count && block && block <= h->blocks_max; given++) {
		uint32_t next = load(&blocks(h)[block - 1].next);

		block_give(h, block);
		block = next;
	}
	add(&h->busy_blocks, -given);
}

/* The first of a chain with these frames, 0 when there is no room (or no frame). */
static uint32_t chain_make(struct ring_heap *h, const uint64_t *frames, uint32_t count)
{
	uint32_t first = 0, *link = &first, made = 0;

	for (uint32_t at = 0; at < count; at += RING_HEAP_FRAMES) {
		uint32_t block = block_take(h), n = count - at;
		struct ring_heap_block *b = &blocks(h)[block - 1];

		if (!block) {
			add(&h->busy_blocks, made);
			chain_give(h, first, at);
			return 0;
		}
		made++;
		n = n < RING_HEAP_FRAMES ? n : RING_HEAP_FRAMES;
		__builtin_memcpy(b->frames, frames + at, n * sizeof(*frames));
		store(&b->next, 0); /* block_take may still be looking */
		store(link, block);
		link = &b->next;
	}
	add(&h->busy_blocks, made);
	return first;
}

/* ---- places ---- */

/* The first key of each of the two buckets that an address may be in. */
static void buckets(const struct ring_heap *h, uint64_t address, uint32_t ret[2])
{
	uint64_t x = (address >> 3) * UINT64_C(0xff51afd7ed558ccd);
	uint32_t mask = h->entries_max / RING_HEAP_BUCKET - 1;

	x ^= x >> 29;
	ret[0] = ((uint32_t)(x >> 8) & mask) * RING_HEAP_BUCKET;
	ret[1] = ((uint32_t)(x >> 40) & mask) * RING_HEAP_BUCKET;
}

/* The entry at `place` is ours alone (RING_HEAP_HELD): empty it. */
static void give_place(struct ring_heap *h, uint32_t place, uint64_t address)
{
	const struct ring_heap_entry *e = &entries(h)[place];

	chain_give(h, e->block, e->frames);
	filter_take(address);
	add(&h->used, (uint64_t)-1);
	store_release(&keys(h)[place], 0);
}

/* Take the entry of `address` to `as`.  One that is held is marked: its holder does the rest. */
static uint32_t take_place(struct ring_heap *h, uint64_t address, uint64_t as, bool *ret_left)
{
	uint32_t at[2];

	*ret_left = false;
	buckets(h, address, at);
	for (uint32_t i = 0; i < 2 * RING_HEAP_BUCKET; i++) {
		uint32_t place = at[i / RING_HEAP_BUCKET] + i % RING_HEAP_BUCKET;
		uint64_t *key = &keys(h)[place], was = load_acquire(key);

		while ((was & ~(uint64_t)RING_HEAP_HELD) == address) {
			bool held = was & RING_HEAP_HELD;

			if (!replace(key, &was, held ? was | RING_HEAP_FREED : as))
				continue;
			*ret_left = held;
			return place;
		}
	}
	return NONE;
}

bool heap_remove(struct ring_heap *h, uint64_t address)
{
	bool left;
	uint32_t place = take_place(h, address, RING_HEAP_HELD, &left);

	if (place != NONE && !left)
		give_place(h, place, address);
	return place != NONE;
}

uint32_t heap_hide(struct ring_heap *h, uint64_t address)
{
	bool left;
	uint32_t place = take_place(h, address, address | RING_HEAP_MOVING, &left);

	/* Held: given up, as if the thinning that is just looking at it had hit it. */
	return left ? NONE : place;
}

void heap_settle(struct ring_heap *h, uint32_t place, uint64_t address, bool moved)
{
	if (place == NONE)
		return;
	if (!moved) {
		store_release(&keys(h)[place], address);
		return;
	}
	store(&keys(h)[place], (uint64_t)RING_HEAP_HELD);
	give_place(h, place, address);
}

/* A free place for `address`, which is then ours alone, in the emptier bucket. */
static uint32_t find_place(struct ring_heap *h, uint64_t address)
{
	uint32_t at[2], free_in[2] = {0, 0}, first;

	buckets(h, address, at);
	for (uint32_t i = 0; i < 2 * RING_HEAP_BUCKET; i++)
		free_in[i / RING_HEAP_BUCKET] +=
		    !load(&keys(h)[at[i / RING_HEAP_BUCKET] + i % RING_HEAP_BUCKET]);
	first = free_in[1] > free_in[0];
	for (uint32_t i = 0; i < 2 * RING_HEAP_BUCKET; i++) {
		uint32_t place = at[(i / RING_HEAP_BUCKET) ^ first] + i % RING_HEAP_BUCKET;
		uint64_t was = 0;

		if (!load(&keys(h)[place]) &&
		    replace(&keys(h)[place], &was, (uint64_t)RING_HEAP_HELD))
			return place;
	}
	return NONE;
}

/* ---- thinning ---- */

static bool nearly_full(const struct ring_heap *h)
{
	return load(&h->used) > h->entries_max / 4 * 3 ||
	       load(&h->busy_blocks) > h->blocks_max / 8 * 7;
}

static void thin_one(struct ring_heap *h, uint32_t place, uint64_t *draws)
{
	struct ring_heap_entry *e = &entries(h)[place];
	uint64_t *key = &keys(h)[place], address = load_acquire(key), mean = load(&h->mean_bytes);
	uint64_t held = address | RING_HEAP_HELD;
	bool keep;

	if (!address || address & RING_HEAP_FLAGS || load(&e->mean_bytes) >= mean ||
	    !replace(key, &address, held))
		return;
	keep = survives(e->size, load(&e->mean_bytes), mean, draws);
	if (keep) {
		store(&e->mean_bytes, mean);
		if (replace(key, &held, address))
			return;
	}
	/* Thinned out, or freed while it was held. */
	store(key, (uint64_t)RING_HEAP_HELD);
	give_place(h, place, address);
	add(&h->thinned, !keep);
}

/* Incremental, so that no allocation pays for the whole table. */
static void thin(struct ring_heap *h, uint64_t sampled_mean, uint64_t *draws)
{
	uint64_t mean = load(&h->mean_bytes);
	uint32_t left;

	if (!load(&h->thin_left)) {
		if (nearly_full(h) && mean < MEAN_MAX) {
			store(&h->mean_bytes, mean * 2);
			store(&h->thin_left, h->entries_max);
		} else if (load(&h->used) < h->entries_max / 8 && mean > sampled_mean) {
			/* Of new entries: each has a mean of its own. */
			store(&h->mean_bytes, mean / 2);
		}
	}
	left = load(&h->thin_left);
	for (int i = 0; left && i < THIN_AT_A_TIME; i++)
		thin_one(h, --left, draws);
	store(&h->thin_left, left);
}

/* ---- adding ---- */

static void fill(struct ring_heap *h, uint32_t place, const struct heap_block *b, uint64_t mean,
		 uint32_t chain)
{
	struct ring_heap_entry *e = &entries(h)[place];
	uint32_t sequence = load(&e->sequence) | 1;

	store(&e->sequence, sequence);
	store_fence();
	e->tid = b->tid;
	e->size = b->size;
	store(&e->mean_bytes, mean);
	e->time_ns = b->time_ns;
	e->span_id = b->span_id;
	e->root_span_id = b->root_span_id;
	e->block = chain;
	e->frames = chain ? b->frames_count : 0;
	store_release(&e->sequence, sequence + 1);
	filter_add(b->address);
	add(&h->used, 1);
	store_release(&keys(h)[place], b->address);
}

static enum heap_put put(struct ring_heap *h, const struct heap_block *b, uint64_t *draws)
{
	uint64_t mean = load(&h->mean_bytes);
	uint32_t place, chain;

	if (mean < b->mean_bytes) {
		mean = b->mean_bytes;
		if (!load(&h->mean_bytes))
			store(&h->mean_bytes, mean);
	}
	if (!survives(b->size, b->mean_bytes, mean, draws)) {
		add(&h->thinned, 1);
		return HEAP_THINNED;
	}
	place = find_place(h, b->address);
	chain = place == NONE ? 0 : chain_make(h, b->frames, b->frames_count);
	if (place == NONE || (!chain && b->frames_count)) {
		if (place != NONE)
			store_release(&keys(h)[place], 0);
		add(&h->full, 1);
		return HEAP_FULL;
	}
	fill(h, place, b, mean, chain);
	return HEAP_PUT;
}

enum heap_put heap_put(struct ring_heap *h, const struct heap_block *b, uint64_t *draws)
{
	enum heap_put done;

	if (load(heap_filter_at(b->address)) && heap_remove(h, b->address))
		add(&h->missed_frees, 1);
	done = put(h, b, draws);
	if (try_take(&h->thinning)) {
		thin(h, b->mean_bytes, draws);
		give_back(&h->thinning);
	}
	return done;
}
