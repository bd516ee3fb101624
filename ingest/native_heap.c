/* SPDX-License-Identifier: Apache-2.0 */
/* Live heap: the table's copy becomes blocks, and the blocks a snapshot. */
#include "ingest/native_heap.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/native_emit.h"

#define AGES 6

/* ---- the copy ---- */

/* The head of a region; false when its parts do not lie inside. */
static bool head_read(const uint8_t *bytes, size_t len, struct ring_heap *ret)
{
	if (len < sizeof(*ret))
		return false;
	memcpy(ret, bytes, sizeof(*ret));
	uint64_t n = ret->entries_max, at;

	if (n < RING_HEAP_BUCKET || n & (n - 1) || n > len / sizeof(struct ring_heap_entry))
		return false;
	at = ring_heap_blocks_at((uint32_t)n);
	return at <= len && ret->blocks_max <= (len - at) / sizeof(struct ring_heap_block);
}

size_t native_heap_head_bytes(const uint8_t *bytes, size_t len)
{
	struct ring_heap head;

	return head_read(bytes, len, &head) ? (size_t)ring_heap_blocks_at(head.entries_max) : 0;
}

struct reader {
	struct native_heap *heap;
	const uint8_t *bytes;
	struct ring_heap head;
	uint8_t *used; /* a byte for each block: its frames were taken */
};

static uint64_t key_at(const uint8_t *bytes, size_t i)
{
	uint64_t key;

	memcpy(&key, bytes + sizeof(struct ring_heap) + i * sizeof(key), sizeof(key));
	return key;
}

static struct ring_heap_entry entry_at(const uint8_t *bytes, uint32_t entries_max, size_t i)
{
	struct ring_heap_entry e;

	memcpy(&e, bytes + ring_heap_entries_at(entries_max) + i * sizeof(e), sizeof(e));
	return e;
}

/* The frames of a chain. A chain that leaves the table or meets another's block is cut. */
static int frames_read(struct reader *r, uint32_t block, size_t count, struct native_block *to)
{
	struct native_heap *h = r->heap;
	int rc = array_grow(&h->frames, sizeof(*h->frames), &h->frames_capacity,
			    h->frames_count + count);

	if (rc)
		return rc;
	to->frames_at = h->frames_count;
	while (count && block && block <= r->head.blocks_max && !r->used[block - 1]) {
		struct ring_heap_block b;
		size_t n = MIN(count, (size_t)RING_HEAP_FRAMES);

		r->used[block - 1] = 1;
		memcpy(&b,
		       r->bytes + ring_heap_blocks_at(r->head.entries_max) +
			   (block - 1) * sizeof(b),
		       sizeof(b));
		memcpy(h->frames + h->frames_count, b.frames, n * sizeof(*h->frames));
		h->frames_count += n;
		to->frames_count = (uint16_t)(to->frames_count + n);
		count -= n;
		block = b.next;
	}
	return 0;
}

static int entry_read(struct reader *r, size_t i, const uint8_t *second)
{
	const uint64_t key = key_at(r->bytes, i), again = key_at(second, i);
	const uint64_t flags = RING_HEAP_FLAGS & ~(uint64_t)RING_HEAP_HELD;
	struct native_heap *h = r->heap;

	/* Held is live; freed, or on the move, is not any more. */
	if (!(key & ~RING_HEAP_FLAGS) || key & flags)
		return 0;
	const struct ring_heap_entry e = entry_at(r->bytes, r->head.entries_max, i);
	const struct ring_heap_entry then = entry_at(second, r->head.entries_max, i);

	if ((key ^ again) & ~(uint64_t)RING_HEAP_HELD || e.sequence != then.sequence ||
	    e.sequence & 1 || !e.size || e.size >> 56 || !e.mean_bytes || e.mean_bytes >> 56 ||
	    e.frames > RING_FRAMES_MAX) {
		h->torn++;
		return 0;
	}
	struct native_block block = {.size = e.size,
				     .mean_bytes = e.mean_bytes,
				     .time_ns = e.time_ns,
				     .tid = e.tid,
				     .span_id = e.span_id,
				     .root_span_id = e.root_span_id};
	int rc = frames_read(r, e.block, e.frames, &block);

	if (!rc)
		rc = array_grow(&h->blocks, sizeof(*h->blocks), &h->blocks_capacity,
				h->blocks_count + 1);
	if (!rc)
		h->blocks[h->blocks_count++] = block;
	return rc;
}

int native_heap_read(struct native_heap *heap, const uint8_t *first, size_t first_len,
		     const uint8_t *second, size_t second_len)
{
	struct reader r = {.heap = heap, .bytes = first};
	int rc = 0;

	heap->blocks_count = heap->frames_count = 0;
	heap->known = true;
	if (!head_read(first, first_len, &r.head) ||
	    second_len < ring_heap_blocks_at(r.head.entries_max)) {
		heap->torn++;
		return 0;
	}
	r.used = calloc(r.head.blocks_max + (size_t)1, 1);
	if (!r.used)
		return -ENOMEM;
	for (size_t i = 0; !rc && i < r.head.entries_max; i++)
		rc = entry_read(&r, i, second);
	free(r.used);
	return rc;
}

void native_heap_release(struct native_heap *heap)
{
	free(heap->blocks);
	free(heap->frames);
	*heap = (struct native_heap){0};
}

int native_process_heap(struct native_process *process, const uint8_t *first, size_t first_len,
			const uint8_t *second, size_t second_len)
{
	return native_heap_read(&process->heap, first, first_len, second, second_len);
}

/* ---- the snapshot ---- */

struct row {
	uint32_t node, context;
	double bytes, objects, variance; /* of the bytes */
	uint64_t count;
};

static size_t age_of(int64_t age_ns)
{
	static const int64_t below_s[AGES - 1] = {10, 60, 600, 3600, 86400};
	size_t i = 0;

	while (i < AGES - 1 && age_ns >= below_s[i] * NS_PER_S)
		i++;
	return i;
}

/* A context says the age: "age" and its bucket stand behind the text of the pending records. */
static int ages_add(struct native_process *p, size_t ret_at[AGES], uint16_t ret_len[AGES])
{
	static const char *const names[AGES] = {"< 10 s", "< 1 min", "< 10 min",
						"< 1 h",  "< 1 d",   ">= 1 d"};

	for (size_t i = 0; i < AGES; i++) {
		size_t len = sizeof("age") + strlen(names[i]) + 1;

		if (array_grow(&p->text, 1, &p->text_capacity, p->text_count + len))
			return -ENOMEM;
		ret_at[i] = p->text_count;
		ret_len[i] = (uint16_t)len;
		memcpy(p->text + p->text_count, "age", sizeof("age"));
		memcpy(p->text + p->text_count + sizeof("age"), names[i], strlen(names[i]) + 1);
		p->text_count += len;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct row *left = a, *right = b;

	if (left->node != right->node)
		return left->node < right->node ? -1 : 1;
	return (left->context > right->context) - (left->context < right->context);
}

static int64_t round_carried(double value, double *carry)
{
	double whole = floor(value + *carry + 0.5);

	*carry += value - whole;
	return whole > 0x1p62 ? INT64_MAX / 4 : (int64_t)whole;
}

/* Equal stacks of equal age are one record. */
static void rows_write(struct emitter *e, struct row *rows, size_t count, int64_t time_ns)
{
	double carry[2] = {0, 0};

	qsort(rows, count, sizeof(*rows), by_place);
	for (size_t i = 0, next; !e->rc && i < count; i = next) {
		struct row sum = rows[i];

		for (next = i + 1; next < count && !by_place(&rows[i], &rows[next]); next++) {
			sum.bytes += rows[next].bytes;
			sum.objects += rows[next].objects;
			sum.count += rows[next].count;
		}
		const int64_t values[2] = {round_carried(sum.bytes, &carry[0]),
					   round_carried(sum.objects, &carry[1])};

		emit_values(e, SERIES_INUSE, sum.node, sum.context, time_ns, values, sum.count);
	}
}

static struct row row_of(struct emitter *e, const struct native_block *b, const size_t *ages_at,
			 const uint16_t *ages_len)
{
	struct native_process *p = e->process;
	const struct native_thread unknown = {.tid = b->tid};
	/* A client's clock is what it says. */
	size_t age = age_of(e->clock->monotonic_ns -
			    MIN(MAX(b->time_ns, (int64_t)0), e->clock->monotonic_ns));
	const struct native_thread *thread = native_thread_find(p, b->tid);
	const struct native_pending said = {.span_id = b->span_id,
					    .root_span_id = b->root_span_id,
					    .text_at = ages_at[age],
					    .text_bytes = ages_len[age]};
	double chance = -expm1(-(double)b->size / (double)b->mean_bytes);
	double bytes = (double)b->size / chance;

	return (struct row){
	    .node = emit_stack(e, b->frames_count ? p->heap.frames + b->frames_at : NULL,
			       b->frames_count, false, NULL),
	    .context = emit_context(e, thread ? thread : &unknown, &said, NULL),
	    .bytes = bytes,
	    .objects = 1 / chance,
	    /* Horvitz and Thompson's estimate: each block was taken by itself. */
	    .variance = bytes * bytes * (1 - chance),
	    .count = 1,
	};
}

void native_heap_emit(struct emitter *e, bool ended)
{
	static const int64_t none[2];
	struct native_process *p = e->process;
	const struct native_heap *h = &p->heap;
	/* What was never freed is to be seen up to the end, which closes the snapshot. */
	int64_t time_ns = e->clock->real_ns - ended;
	double variance = 0;
	size_t ages_at[AGES];
	uint16_t ages_len[AGES];

	if (h->known) {
		p->live_known = true;
		p->live_bytes = 0;
	}
	if (!h->known || (!h->blocks_count && !p->heap_shown))
		return;
	struct row *CLEANUP(cleanup_free) rows = malloc((h->blocks_count + 1) * sizeof(*rows));

	if (!rows || ages_add(p, ages_at, ages_len)) {
		e->rc = -ENOMEM;
		return;
	}
	for (size_t i = 0; !e->rc && i < h->blocks_count; i++) {
		rows[i] = row_of(e, &h->blocks[i], ages_at, ages_len);
		p->live_bytes += rows[i].bytes;
		variance += rows[i].variance;
	}
	if (!e->rc && h->blocks_count)
		rows_write(e, rows, h->blocks_count, time_ns);
	else if (!e->rc) /* a 0 at the root: nothing is live any more */
		emit_values(e, SERIES_INUSE, 0, 0, time_ns, none, 1);
	p->heap_shown = h->blocks_count > 0;
	p->stats.heap_blocks = h->blocks_count;
	p->stats.heap_bytes = p->live_bytes;
	p->stats.heap_se_bytes = sqrt(variance);
	p->stats.heap_torn = h->torn;
	p->heap.known = false;
}
