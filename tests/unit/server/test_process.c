/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <sys/mman.h>
#include <unistd.h>

#include "server/process.h"

#define KIB ((uint64_t)1 << 10)

static struct process process_of(uint32_t ring_bytes)
{
	struct process p = {
		.memfd = memfd_create("ring", MFD_CLOEXEC),
		.head = { .rings_at = 0, .rings_count = 2, .ring_bytes = ring_bytes },
	};

	assert_true(p.memfd >= 0);
	assert_int_equal(ftruncate(p.memfd, 2 * (RING_HEAD_BYTES + (off_t)ring_bytes)), 0);
	return p;
}

static void head_set(struct process *p, uint32_t ring, uint64_t head)
{
	const off_t at = (off_t)ring * (RING_HEAD_BYTES + (off_t)p->head.ring_bytes);

	assert_int_equal(pwrite(p->memfd, &head, sizeof(head), at), (int)sizeof(head));
}

/* Where the head of the second ring is when somebody looks. */
static bool is_pressing_at(struct process *p, uint64_t head)
{
	head_set(p, 1, head);
	return process_is_pressing(p);
}

static void a_ring_waits_while_it_has_room(void **state)
{
	struct process p = process_of(256 * KIB);

	(void)state;
	assert_false(is_pressing_at(&p, 0));
	assert_false(is_pressing_at(&p, 127 * KIB)); /* less than a quarter of both waits */
	assert_false(is_pressing_at(&p, 191 * KIB)); /* 321 left, and 64 came */
	assert_true(is_pressing_at(&p, 192 * KIB));
	p.positions[1] = 192 * KIB;
	assert_false(is_pressing_at(&p, 192 * KIB));
	assert_false(is_pressing_at(&p, 319 * KIB));
	close(p.memfd);
}

static void a_ring_and_its_next_are_judged_as_one(void **state)
{
	struct process p = process_of(256 * KIB);

	(void)state;
	head_set(&p, 0, 95 * KIB);
	p.heads_seen[0] = 95 * KIB;
	p.heads_seen[1] = 64 * KIB;
	assert_false(is_pressing_at(&p, 96 * KIB));
	assert_true(is_pressing_at(&p, 97 * KIB));
	assert_false(process_is_half_full(&p));
	head_set(&p, 0, 160 * KIB);
	assert_true(process_is_half_full(&p)); /* 257 of 512: a span may have no room */
	p.batch_positions[0] = 1 * KIB;
	assert_false(process_is_half_full(&p));
	close(p.memfd);
}

/* Who has one ring has no other to go to. */
static void a_ring_alone_is_judged_alone(void **state)
{
	struct process p = process_of(256 * KIB);

	(void)state;
	p.head.rings_count = 1;
	head_set(&p, 0, 95 * KIB);
	p.heads_seen[0] = 64 * KIB;
	assert_false(process_is_pressing(&p));
	head_set(&p, 0, 96 * KIB);
	assert_true(process_is_pressing(&p));
	head_set(&p, 0, 128 * KIB);
	assert_false(process_is_half_full(&p));
	head_set(&p, 0, 129 * KIB);
	assert_true(process_is_half_full(&p));
	close(p.memfd);
}

static void what_fills_fast_does_not_wait(void **state)
{
	struct process p = process_of(1024 * KIB);

	(void)state;
	assert_false(is_pressing_at(&p, 400 * KIB));
	assert_false(is_pressing_at(&p, 600 * KIB)); /* 1448 left, and 200 came */
	assert_false(is_pressing_at(&p, 767 * KIB));
	p.heads_seen[1] = 367 * KIB;
	assert_true(is_pressing_at(&p, 767 * KIB)); /* 1281 left, and 400 came */
	close(p.memfd);
}

static void a_quarter_of_a_small_ring_does_not_wait(void **state)
{
	struct process p = process_of(16 * KIB);

	(void)state;
	assert_false(is_pressing_at(&p, 8 * KIB - 64));
	assert_true(is_pressing_at(&p, 8 * KIB));
	close(p.memfd);
}

static void a_head_that_lies_is_looked_at(void **state)
{
	struct process p = process_of(256 * KIB);

	(void)state;
	assert_true(is_pressing_at(&p, UINT64_MAX));
	p.positions[1] = 512 * KIB;
	assert_true(is_pressing_at(&p, 0));
	close(p.memfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_waits_while_it_has_room),
		cmocka_unit_test(a_ring_and_its_next_are_judged_as_one),
		cmocka_unit_test(a_ring_alone_is_judged_alone),
		cmocka_unit_test(what_fills_fast_does_not_wait),
		cmocka_unit_test(a_quarter_of_a_small_ring_does_not_wait),
		cmocka_unit_test(a_head_that_lies_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
