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

/* Where the head of the second ring is when somebody looks. */
static bool is_pressing_at(struct process *p, uint64_t head)
{
	const off_t at = RING_HEAD_BYTES + (off_t)p->head.ring_bytes;

	assert_int_equal(pwrite(p->memfd, &head, sizeof(head), at), (int)sizeof(head));
	return process_is_pressing(p);
}

static void a_ring_waits_while_it_has_room(void **state)
{
	struct process p = process_of(256 * KIB);

	(void)state;
	assert_false(is_pressing_at(&p, 0));
	assert_false(is_pressing_at(&p, 63 * KIB));
	assert_false(is_pressing_at(&p, 95 * KIB));  /* 161 left, and 32 came */
	assert_true(is_pressing_at(&p, 96 * KIB));
	p.positions[1] = 96 * KIB;
	assert_false(is_pressing_at(&p, 96 * KIB));
	assert_false(is_pressing_at(&p, 159 * KIB)); /* less than a quarter waits */
	close(p.memfd);
}

static void what_fills_fast_does_not_wait(void **state)
{
	struct process p = process_of(1024 * KIB);

	(void)state;
	assert_false(is_pressing_at(&p, 200 * KIB));
	assert_false(is_pressing_at(&p, 300 * KIB)); /* 724 left, and 100 came */
	assert_false(is_pressing_at(&p, 383 * KIB));
	p.heads_seen[1] = 183 * KIB;
	assert_true(is_pressing_at(&p, 383 * KIB)); /* 641 left, and 200 came */
	close(p.memfd);
}

static void a_quarter_of_a_small_ring_does_not_wait(void **state)
{
	struct process p = process_of(16 * KIB);

	(void)state;
	assert_false(is_pressing_at(&p, 4 * KIB - 64));
	assert_true(is_pressing_at(&p, 4 * KIB));
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
		cmocka_unit_test(what_fills_fast_does_not_wait),
		cmocka_unit_test(a_quarter_of_a_small_ring_does_not_wait),
		cmocka_unit_test(a_head_that_lies_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
