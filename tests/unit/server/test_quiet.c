/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <string.h>

#include "server/quiet.h"

#define MS NS_PER_MS

/* Two threads with slots and one without, as they are after a listing. */
struct drain {
	struct native_reading readings[3];
	struct native_vitals vitals;
};

static struct drain drain_of(uint64_t cpu_ms, uint64_t process_ms)
{
	struct drain d = {.vitals = {.known = true, .cpu_ns = process_ms * MS}};

	for (uint32_t i = 0; i < 3; i++) {
		d.readings[i].tid = 10 + i;
		d.readings[i].slot.tid = i < 2 ? 10 + i : 0;
		d.readings[i].has_schedstat = true;
		d.readings[i].cpu_ns = cpu_ms * MS;
		d.readings[i].wait_ns = MS;
	}
	return d;
}

static void keep(struct quiet *q, const struct drain *d)
{
	quiet_keep(q, d->readings, 3, &d->vitals, true);
}

static void test_a_thread_that_stood_still_is_quiet(void **state)
{
	struct quiet q = {0};
	struct drain first = drain_of(5, 15), now = drain_of(0, 15);

	(void)state;
	now.readings[0].has_schedstat = false;
	assert_false(quiet_take(&q, &now.readings[0], false)); /* never seen */
	keep(&q, &first);
	assert_false(quiet_take(&q, &now.readings[0], false)); /* seen once */
	keep(&q, &first);
	assert_true(quiet_take(&q, &now.readings[0], false));
	assert_true(now.readings[0].is_kept && now.readings[0].has_schedstat);
	assert_int_equal(now.readings[0].cpu_ns, 5 * MS);
	assert_int_equal(now.readings[0].wait_ns, MS);
	quiet_release(&q);
}

static void test_what_may_have_run_is_not(void **state)
{
	struct quiet q = {0};
	struct drain first = drain_of(5, 15), later = drain_of(6, 18);

	(void)state;
	keep(&q, &first);
	keep(&q, &first);
	struct drain now = first;

	assert_false(quiet_take(&q, &now.readings[0], true));  /* a record of it came */
	assert_false(quiet_take(&q, &now.readings[2], false)); /* it has no slot */
	now.readings[1].slot.blocked_calls++;
	assert_false(quiet_take(&q, &now.readings[1], false));
	now.readings[0].slot.generation++; /* another thread with its number */
	assert_false(quiet_take(&q, &now.readings[0], false));
	now.readings[0].slot = (struct ring_thread){0};
	assert_false(quiet_take(&q, &now.readings[0], false));
	now.readings[0].tid = 99;
	assert_false(quiet_take(&q, &now.readings[0], false));
	assert_false(now.readings[0].is_kept);

	keep(&q, &later);
	now = later;
	assert_false(quiet_take(&q, &now.readings[0], false)); /* its clock went on */
	now.readings[0].cpu_ns = later.readings[0].cpu_ns;
	keep(&q, &later);
	assert_true(quiet_take(&q, &now.readings[0], false));
	quiet_release(&q);
}

/* A reading that failed is no clock that stands still. */
static void test_unread_is_not_quiet(void **state)
{
	struct quiet q = {0};
	struct drain d = drain_of(0, 0);

	(void)state;
	d.readings[0].has_schedstat = false;
	keep(&q, &d);
	keep(&q, &d);
	assert_false(quiet_take(&q, &d.readings[0], false));
	quiet_release(&q);
}

static void test_the_process_clock_tells(void **state)
{
	struct quiet q = {0};
	struct drain d = drain_of(5, 1015); /* a second by threads that ended */

	(void)state;
	assert_true(quiet_overrun(&q, d.readings, 3, &d.vitals)); /* nothing is known */
	keep(&q, &d);
	assert_false(quiet_overrun(&q, d.readings, 3, &d.vitals));
	d.vitals.cpu_ns += QUIET_SLACK_NS;
	assert_false(quiet_overrun(&q, d.readings, 3, &d.vitals));
	d.vitals.cpu_ns++;
	assert_true(quiet_overrun(&q, d.readings, 3, &d.vitals));
	d.readings[1].cpu_ns++; /* who ran was looked at */
	assert_false(quiet_overrun(&q, d.readings, 3, &d.vitals));

	/* Drains that look at some do not move the mark. */
	quiet_keep(&q, d.readings, 3, &d.vitals, false);
	d.vitals.cpu_ns++;
	assert_true(quiet_overrun(&q, d.readings, 3, &d.vitals));
	d.vitals.known = false;
	assert_true(quiet_overrun(&q, d.readings, 3, &d.vitals));
	quiet_release(&q);
}

/* Whatever a client does to its clocks. */
static void test_sums_that_wrap(void **state)
{
	struct quiet q = {0};
	struct drain d = drain_of(0, 0);

	(void)state;
	for (int i = 0; i < 3; i++)
		d.readings[i].cpu_ns = UINT64_MAX - 1;
	keep(&q, &d);
	d.vitals.cpu_ns = UINT64_MAX;
	(void)quiet_overrun(&q, d.readings, 3, &d.vitals);
	d.readings[0].cpu_ns = 0;
	d.vitals.cpu_ns = INT64_MAX;
	(void)quiet_overrun(&q, d.readings, 3, &d.vitals);
	quiet_release(&q);
}

/* A thread that has not run has the switches that it had; one that ran is asked again. */
static void test_switches_are_kept_while_it_stands_still(void **state)
{
	struct quiet q = {0};
	struct drain d = drain_of(5, 15);

	(void)state;
	d.readings[0].has_switches = true;
	d.readings[0].voluntary = 7;
	keep(&q, &d);
	d.readings[0].has_switches = false;
	d.readings[0].voluntary = 0;
	keep(&q, &d);
	assert_true(quiet_find(&q, 10)->has_switches);
	assert_int_equal(quiet_find(&q, 10)->voluntary, 7);
	d.readings[0].cpu_ns++;
	keep(&q, &d);
	assert_false(quiet_find(&q, 10)->has_switches);
	quiet_release(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_thread_that_stood_still_is_quiet),
	    cmocka_unit_test(test_what_may_have_run_is_not),
	    cmocka_unit_test(test_unread_is_not_quiet),
	    cmocka_unit_test(test_the_process_clock_tells),
	    cmocka_unit_test(test_sums_that_wrap),
	    cmocka_unit_test(test_switches_are_kept_while_it_stands_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
