/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: claims, the end of the ring, a full ring, many producers against one reader. */
#include "tests/cmocka.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "client/write.h"

#define BYTES 4096u

struct ring {
	struct ring_control control;
	uint64_t tail_a, tail_b;
	_Alignas(64) unsigned char data[BYTES];
	struct ring_writer writer;
	uint64_t read; /* the reader's own position */
	uint64_t skipped;
};

static struct ring *new_ring(uint64_t from)
{
	struct ring *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);

	assert_non_null(r);
	memset(r, 0, sizeof(*r));
	memset(r->data, 0xee, sizeof(r->data));
	r->control.head = r->tail_a = r->tail_b = r->read = from;
	r->writer = (struct ring_writer){&r->control, r->data, BYTES, &r->tail_a, &r->tail_b};
	return r;
}

static void move_tail(struct ring *r)
{
	store_release(&r->tail_a, r->read);
	store_release(&r->tail_b, r->read);
}

/* The next committed record, NULL when there is none. */
static const struct ring_record *next(struct ring *r)
{
	for (;;) {
		const struct ring_record *rec = (const void *)(r->data + (r->read & (BYTES - 1)));

		if (load_acquire(&rec->commit) != r->read + 1)
			return NULL;
		r->read += rec->bytes;
		if (rec->type != RING_PAD)
			return rec;
		r->skipped += rec->bytes;
	}
}

static bool put(struct ring *r, uint32_t bytes, uint32_t value)
{
	uint64_t position;
	struct ring_record *rec = ring_claim(&r->writer, bytes, &position);

	if (!rec)
		return false;
	rec->bytes = bytes;
	rec->type = RING_SAMPLE_CPU;
	rec->tid = value;
	memset(rec + 1, (int)(value & 0xff), bytes - sizeof(*rec));
	ring_commit(rec, position);
	return true;
}

static void test_order_and_wrap(void **state)
{
	struct ring *r = new_ring(0);
	uint32_t sent = 0, seen = 0;

	(void)state;
	for (int lap = 0; lap < 1000; lap++) {
		while (put(r, 128 + 64 * (sent % 7), sent))
			sent++;
		for (const struct ring_record *rec; (rec = next(r)); seen++) {
			assert_int_equal(rec->tid, seen);
			assert_int_equal(rec->bytes, 128 + 64 * (seen % 7));
			assert_int_equal(((const unsigned char *)(rec + 1))[rec->bytes - 73],
					 seen & 0xff);
		}
		move_tail(r);
	}
	assert_int_equal(seen, sent);
	assert_true(r->skipped > 0);
	free(r);
}

static void test_full(void **state)
{
	struct ring *r = new_ring(0);

	(void)state;
	for (unsigned i = 0; i < BYTES / 256; i++)
		assert_true(put(r, 256, i));
	assert_false(put(r, 256, 99));
	assert_non_null(next(r));
	/* One half of the tail alone is not to be believed: the reader may be in the middle. */
	store(&r->tail_a, r->read);
	assert_false(put(r, 256, 99));
	store(&r->tail_b, r->read);
	assert_true(put(r, 256, 99));
	assert_false(put(r, 256, 99));
	free(r);
}

static void test_short_end_is_padded(void **state)
{
	/* 64 bytes are left: less than a header, which must not be written over the ring's end. */
	struct ring *r = new_ring(BYTES - 64);

	(void)state;
	memset(r->data, 0, 8);
	assert_true(put(r, 128, 7));
	assert_int_equal(next(r)->tid, 7);
	assert_int_equal(r->skipped, 64);
	free(r);
}

static void test_abandoned_claim_is_never_taken_for_a_record(void **state)
{
	struct ring *r = new_ring(0);
	uint64_t position;

	(void)state;
	/* A lap of records, so that old bytes look like records everywhere. */
	for (unsigned i = 0; i < BYTES / 128; i++)
		assert_true(put(r, 128, i));
	while (next(r))
		;
	move_tail(r);
	assert_non_null(ring_claim(&r->writer, 128, &position));
	assert_int_equal(position, BYTES);
	assert_true(put(r, 128, 1000));
	assert_null(next(r));
	/* After the claim expired the reader goes on a unit at a time. */
	do
		r->read += RING_UNIT;
	while (r->read < position + 128);
	assert_int_equal(next(r)->tid, 1000);
	free(r);
}

static void test_tail_of_a_confused_reader(void **state)
{
	struct ring *r = new_ring(0);

	(void)state;
	store(&r->tail_a, UINT64_MAX / 2);
	store(&r->tail_b, UINT64_MAX / 2);
	for (unsigned i = 0; i < 3 * BYTES / 128; i++)
		assert_true(put(r, 128, i));
	free(r);
}

#define PRODUCERS 4
#define RECORDS 20000

struct producer {
	struct ring *ring;
	uint32_t number;
	uint64_t refused;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (uint32_t i = 0; i < RECORDS;) {
		if (put(p->ring, 128 + 64 * (i % 5), p->number << 24 | i)) {
			i++;
		} else {
			p->refused++;
			sched_yield();
		}
	}
	return NULL;
}

static void test_many_producers(void **state)
{
	struct ring *r = new_ring(0);
	struct producer p[PRODUCERS];
	pthread_t thread[PRODUCERS];
	uint32_t expected[PRODUCERS] = {0};

	(void)state;
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		p[i] = (struct producer){r, i, 0};
		assert_int_equal(pthread_create(&thread[i], NULL, produce, &p[i]), 0);
	}
	for (unsigned seen = 0; seen < PRODUCERS * RECORDS;) {
		const struct ring_record *rec = next(r);

		if (!rec) {
			sched_yield();
			continue;
		}
		uint32_t who = rec->tid >> 24, i = rec->tid & 0xffffff;

		assert_in_range(who, 0, PRODUCERS - 1);
		assert_int_equal(i, expected[who]);
		assert_int_equal(rec->bytes, 128 + 64 * (i % 5));
		for (uint32_t at = sizeof(*rec); at < rec->bytes; at++)
			assert_int_equal(((const unsigned char *)rec)[at], rec->tid & 0xff);
		expected[who]++;
		seen++;
		move_tail(r);
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(thread[i], NULL);
	assert_null(next(r));
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order_and_wrap),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_short_end_is_padded),
	    cmocka_unit_test(test_abandoned_claim_is_never_taken_for_a_record),
	    cmocka_unit_test(test_tail_of_a_confused_reader),
	    cmocka_unit_test(test_many_producers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
