/* SPDX-License-Identifier: Apache-2.0 */
/* Locks without hooks: names, marks of waiters, which holds are followed, how the rate is kept. */
#include "tests/cmocka.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/draw.h"
#include "client/hearth.h"
#include "client/lock_marks.h"
#include "client/lock_names.h"
#include "client/pace.h"
#include "client/source_lock.h"
#include "client/thread.h"

#define FAR INT64_MAX

static int start(void **state)
{
	const struct hearth_options options = {.size = sizeof(options),
					       .service = "test",
					       .agent = "unix:/nonexistent/agent.sock",
					       .cpu = HEARTH_OFF};

	*state = hearth_profiler_new(&options);
	return *state && hearth_profiler_start(*state, NULL) == HEARTH_OK ? 0 : -1;
}

static int stop(void **state)
{
	hearth_profiler_free(*state);
	return 0;
}

static const char *name_of(const void *lock)
{
	static char text[LOCK_TEXT_BYTES];
	uint16_t bytes = lock_name_text(lock, text);

	if (!bytes)
		return "";
	assert_string_equal(text, "lock name");
	assert_int_equal(bytes, strlen(text) + strlen(text + sizeof("lock name")) + 2);
	return text + sizeof("lock name");
}

static void names_are_given_changed_and_forgotten(void **state)
{
	static char locks[LOCK_NAMES_MAX + 1];
	char longest[LOCK_NAME_BYTES + 1], text[32];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[LOCK_NAME_BYTES] = '\0';
	assert_int_equal(hearth_lock_name(NULL, "a"), HEARTH_E_ARGUMENT);
	assert_int_equal(hearth_lock_name(&locks[0], longest), HEARTH_E_LIMIT);
	longest[LOCK_NAME_BYTES - 1] = '\0';
	assert_int_equal(hearth_lock_name(&locks[0], longest), HEARTH_OK);
	assert_string_equal(name_of(&locks[0]), longest);
	for (int i = 0; i < LOCK_NAMES_MAX; i++) {
		(void)snprintf(text, sizeof(text), "lock %d", i);
		assert_int_equal(hearth_lock_name(&locks[i], text), HEARTH_OK);
	}
	assert_string_equal(name_of(&locks[0]), "lock 0");
	assert_string_equal(name_of(&locks[1000]), "lock 1000");
	assert_int_equal(hearth_lock_name(&locks[LOCK_NAMES_MAX], "more"), HEARTH_E_LIMIT);
	assert_int_equal(hearth_lock_name(&locks[7], ""), HEARTH_OK);
	assert_string_equal(name_of(&locks[7]), "");
	assert_int_equal(hearth_lock_name(&locks[LOCK_NAMES_MAX], "more"), HEARTH_OK);
	assert_string_equal(name_of(&locks[LOCK_NAMES_MAX]), "more");
}

static void who_made_a_lock_is_remembered(void **state)
{
	int lock = 0, other = 0;

	(void)state;
	lock_creator_set(&lock, 4711);
	assert_int_equal(lock_creator_get(&lock), 4711);
	assert_int_equal(lock_creator_get(&other), 0);
	lock_creator_set(&lock, 4712);
	assert_int_equal(lock_creator_get(&lock), 4712);
}

static __attribute__((noinline)) void answer(const void *lock, int64_t now_ns)
{
	const struct call_site from = CALL_SITE;

	lock_marks_answer(lock, thread_self(), &from, now_ns);
}

static void a_mark_is_answered_once_its_time_has_come(void **state)
{
	int lock = 0, other = 0;
	uint64_t first_state, second_state;
	struct lock_mark_stack stack = {0};
	uint32_t first = lock_mark_enter(&lock, 1000, thread_self(), &first_state);
	uint32_t second = lock_mark_enter(&lock, 2000, thread_self(), &second_state);

	(void)state;
	assert_true(first && second && source_lock_marked(&lock) && source_lock_marks == 2);
	answer(&other, 5000);
	answer(&lock, 999);
	assert_false(lock_mark_leave(first, first_state, &stack));
	first = lock_mark_enter(&lock, 1000, thread_self(), &first_state);
	answer(&lock, 1500);
	assert_true(lock_mark_leave(first, first_state, &stack));
	assert_true(stack.count > 0 && stack.frames[0]);
	lock_mark_free(first);
	assert_false(lock_mark_leave(second, second_state, &stack)); /* its time had not come */
	assert_false(source_lock_marked(&lock));
	assert_int_equal(source_lock_marks, 0);
	/* What was given back is nobody's. */
	assert_false(lock_mark_leave(first, first_state, &stack));
	assert_int_equal(source_lock_marks, 0);
}

static void there_is_an_end_to_marks(void **state)
{
	int lock = 0;
	uint32_t marks[1000];
	uint64_t states[1000];
	struct lock_mark_stack stack;
	int n = 0;

	(void)state;
	while (n < 1000 && (marks[n] = lock_mark_enter(&lock, FAR, thread_self(), &states[n])) != 0)
		n++;
	assert_in_range(n, 32, 512);
	while (n-- > 0)
		assert_false(lock_mark_leave(marks[n], states[n], &stack));
	assert_int_equal(source_lock_marks, 0);
}

#define THREADS 16
#define ROUNDS 3000

static int shared_locks[4];

/* Every thread waits and lets go by turns, with no lock behind it that would keep them in order. */
static void *wait_and_answer(void *arg)
{
	struct thread *t = thread_self_make();
	uint64_t draws = (uintptr_t)arg + 1, mark_state;
	struct lock_mark_stack stack;
	uintptr_t answered = 0;

	for (int i = 0; i < ROUNDS; i++) {
		const void *mine = &shared_locks[draw_next(&draws) >> 62];
		const void *yours = &shared_locks[draw_next(&draws) >> 62];
		uint32_t mark =
		    lock_mark_enter(mine, (int64_t)(draw_next(&draws) >> 63), t, &mark_state);

		answer(yours, 0);
		if (mark && lock_mark_leave(mark, mark_state, &stack)) {
			answered += stack.count > 0;
			lock_mark_free(mark);
		}
	}
	return (void *)answered;
}

static void many_threads_leave_nothing_behind(void **state)
{
	pthread_t threads[THREADS];
	uintptr_t answered = 0;

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wait_and_answer, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		answered += (uintptr_t)result;
	}
	assert_true(answered > 0);
	assert_int_equal(source_lock_marks, 0);
	for (size_t i = 0; i < 1u << LOCK_FILTER_BITS; i++)
		assert_int_equal(source_lock_filter[i], 0);
}

/* One in a hundred, at random: as many as that and not evenly. */
static void holds_are_followed_at_random(void **state)
{
	const struct call_site from = CALL_SITE;
	const int n = 9000; /* fewer than make a hundred samples */
	int lock = 0, sampled = 0;
	double se = sqrt(n * 0.01 * 0.99);

	(void)state;
	source_lock_left = 0;
	thread_self()->lock_hold_mean = 0;
	for (int i = 0; i < n; i++) {
		struct lock_held held;

		if (--source_lock_left < 0)
			source_lock_hold(&lock, RING_LOCK_MUTEX, false);
		if (source_lock_marked(&lock) && source_lock_let_go(&lock, &from, &held)) {
			assert_int_equal(held.mean, 100);
			assert_true(held.end_ns >= held.start_ns);
			sampled++;
		}
	}
	assert_true(fabs(sampled - n * 0.01) <= 5 * se);
	assert_int_equal(source_lock_marks, 0);
}

static void a_lock_that_is_never_let_go_leaves_room(void **state)
{
	static int locks[100];
	const struct call_site from = CALL_SITE;
	struct lock_held held;

	(void)state;
	for (int i = 0; i < 100; i++) {
		source_lock_left = -1;
		thread_self()->lock_hold_mean = 1;
		source_lock_hold(&locks[i], RING_LOCK_MUTEX, false);
	}
	assert_int_equal(source_lock_marks, THREAD_LOCKS_HELD);
	assert_true(source_lock_let_go(&locks[99], &from, &held));
	source_lock_thread_end(thread_self());
	assert_int_equal(source_lock_marks, 0);
}

static void the_pace_is_kept(void **state)
{
	struct pace p = {0};
	int64_t now = 5 * PACE_WINDOW_NS;

	(void)state;
	/* Ten thousand a second would be too many: the mean grows until they are about a
	 * hundred. */
	for (int i = 0; i < 20000; i++) {
		now += 100000;
		if (i % (1 << pace_shift(&p)) == 0)
			pace_count(&p, now);
	}
	assert_in_range(pace_shift(&p), 6, 8);
	/* One in a minute: back at once. */
	pace_count(&p, now + 60 * PACE_WINDOW_NS);
	pace_count(&p, now + 120 * PACE_WINDOW_NS);
	assert_int_equal(pace_shift(&p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_given_changed_and_forgotten),
	    cmocka_unit_test(who_made_a_lock_is_remembered),
	    cmocka_unit_test(a_mark_is_answered_once_its_time_has_come),
	    cmocka_unit_test(there_is_an_end_to_marks),
	    cmocka_unit_test(many_threads_leave_nothing_behind),
	    cmocka_unit_test(holds_are_followed_at_random),
	    cmocka_unit_test(a_lock_that_is_never_let_go_leaves_room),
	    cmocka_unit_test(the_pace_is_kept),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
