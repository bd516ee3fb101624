/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was acknowledged is there after SIGKILL, once.  A child puts numbered profiles and says over
 * a pipe which were acknowledged; it is killed somewhere; the store is opened again and must hold
 * every number up to its own cursor exactly once, and the cursor may not be behind the last
 * acknowledged. HEARTH_CYCLES says how often.
 */
#include "tests/cmocka.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/unit/storage/numbered.h"

#define STEP_NS (SECONDS(3) / 2) /* an hour every 2400 */

static int64_t time_of(uint64_t n)
{
	return T0 + (int64_t)n * STEP_NS;
}

/* Put from the cursor on until killed; each number that is acknowledged goes into the pipe. */
static void child(const struct fixture *f, int pipe_fd)
{
	struct storage *store;
	uint8_t id[16];
	uint64_t n;

	instance_id(1, id);
	if (storage_open(f->location, &f->options, &store, NULL) ||
	    storage_cursor(store, id, 0, &n, NULL))
		_exit(10);
	/* The one before may have been acknowledged by nobody: it is sent again. */
	for (uint64_t round = 0;; round++) {
		struct profile *batch[3];
		size_t count = 1 + round % 3;
		uint64_t first = n ? n : 1;
		int results[3];

		for (size_t i = 0; i < count; i++)
			batch[i] = numbered(first + i, STEP_NS);
		const struct profile *list[] = {batch[0], batch[1 % count], batch[2 % count]};

		if (storage_put(store, list, count, results, NULL))
			_exit(11);
		if (n && results[0] != STORAGE_DUPLICATE)
			_exit(12);
		n = first + count - 1;
		for (size_t i = 0; i < count; i++)
			profile_free(batch[i]);
		if (fd_write_all(pipe_fd, &n, sizeof(n)))
			_exit(13);
		if (round % 10 == 9 && storage_maintain(store, time_of(n) + SECONDS(15), NULL))
			_exit(14);
	}
}

static void killed_anywhere_nothing_acknowledged_is_lost(void **state)
{
	const char *cycles = getenv("HEARTH_CYCLES");
	uint64_t count = cycles ? strtoull(cycles, NULL, 10) : 20, reached = 0;
	int64_t slowest_ns = 0;
	struct fixture f;

	(void)state;
	fixture_init(&f, &storage_sqlite);
	for (uint64_t cycle = 0; cycle < count; cycle++) {
		int ends[2];
		uint64_t acked = 0;
		unsigned acks = (unsigned)(cycle * 7919 % 60), status;

		fixture_close(&f);
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			child(&f, ends[1]);
		(void)close(ends[1]);
		for (unsigned i = 0; i <= acks; i++)
			assert_int_equal(fd_read_all(ends[0], &acked, sizeof(acked)), 0);
		/* Not always right behind an acknowledgement: also within a put or a derivation. */
		for (int64_t end = clock_monotonic_ns() + (int64_t)(cycle * 104729 % 3000) * 1000;
		     clock_monotonic_ns() < end;)
			;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, (int *)&status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (!fd_read_all(ends[0], &acked, sizeof(acked)))
			;
		(void)close(ends[0]);
		int64_t start_ns = clock_monotonic_ns();

		fixture_open(&f);
		slowest_ns = MAX(slowest_ns, clock_monotonic_ns() - start_ns);
		reached = numbered_check(&f, acked, STEP_NS);
	}
	fixture_maintain(&f, time_of(reached) + SECONDS(100));
	assert_int_equal(numbered_check(&f, 0, STEP_NS), reached);
	fixture_close(&f);
	numbered_check_files(f.dir);
	print_message("%llu cycles, %llu profiles, slowest opening %.1f ms\n",
		      (unsigned long long)count, (unsigned long long)reached,
		      (double)slowest_ns / 1e6);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_anywhere_nothing_acknowledged_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
