/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/processes_private.h"

#define KIB ((uint64_t)1 << 10)

static struct process process_of(uint32_t ring_bytes)
{
	struct process p = {
	    .memfd = memfd_create("ring", MFD_CLOEXEC),
	    .head = {.rings_at = 0, .rings_count = 2, .ring_bytes = ring_bytes},
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

/* ---- whose turn it is ---- */

static int proc_of(pid_t pid)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

#define MS NS_PER_MS

static void among_many_a_turn_comes_every_other_second(void **state)
{
	struct process p = process_of(256 * KIB);
	const int64_t now = 100 * NS_PER_S;

	(void)state;
	p.drained_ns = p.looked_ns = now;
	p.proc = proc_of(getpid());
	for (int64_t after = 0; after < 1000 * MS; after += 200 * MS) {
		assert_false(process_has_turn(&p, true, 1, now + after));
		assert_false(process_has_turn(&p, true, 65, now + after));
	}
	assert_true(process_has_turn(&p, true, 1, now + 1000 * MS));
	assert_true(process_has_turn(&p, true, 64, now + 1000 * MS));
	assert_false(process_has_turn(&p, true, 65, now + 1000 * MS));
	assert_false(process_has_turn(&p, true, 4096, now + 1999 * MS));
	assert_true(process_has_turn(&p, true, 65, now + 2000 * MS));
	assert_true(process_has_turn(&p, true, 4096, now + 2000 * MS));
	close(p.proc);
	close(p.memfd);
}

static uint64_t threads_of_ours(void)
{
	struct process p = process_of(256 * KIB);

	p.proc = proc_of(getpid());
	assert_false(process_is_gone(&p));
	close(p.proc);
	close(p.memfd);
	return p.looked.threads;
}

/* /proc is asked every two seconds, which the client's budget needs. */
static void unwatched_records_wait_for_ten_seconds_or_other_threads(void **state)
{
	struct process p = process_of(256 * KIB);
	const int64_t now = 100 * NS_PER_S;
	uint64_t told[2] = {0};

	(void)state;
	p.drained_ns = p.looked_ns = now;
	p.drained_threads = threads_of_ours();
	assert_int_equal(p.drained_threads, 1);
	p.proc = proc_of(getpid());
	for (int64_t after = 0; after < 10000 * MS; after += 200 * MS)
		assert_false(process_has_turn(&p, false, 1, now + after));
	assert_int_equal(p.looked_ns, now + 8000 * MS);
	assert_int_equal(
	    pread(p.memfd, told, sizeof(told), RING_PAGE + offsetof(struct ring_agent, cpu_ns)),
	    (ssize_t)sizeof(told));
	assert_int_equal(told[1], now + 8000 * MS);
	assert_true(process_has_turn(&p, false, 1, now + 10000 * MS));
	assert_true(process_has_turn(&p, false, 4096, now + 10000 * MS));
	p.attached_ns = now - 10 * NS_PER_S; /* young */
	assert_false(process_has_turn(&p, false, 1, now + 800 * MS));
	assert_true(process_has_turn(&p, false, 1, now + 1000 * MS));
	p.attached_ns = 0;
	p.drained_threads = 2;
	p.looked_ns = now;
	assert_false(process_has_turn(&p, false, 1, now + 1999 * MS));
	assert_true(process_has_turn(&p, false, 1, now + 2000 * MS));
	close(p.proc);
	close(p.memfd);
}

static void what_presses_has_its_turn_at_once(void **state)
{
	struct process p = process_of(256 * KIB);
	const int64_t now = 100 * NS_PER_S;

	(void)state;
	p.drained_ns = p.looked_ns = now;
	head_set(&p, 1, 192 * KIB);
	assert_true(process_has_turn(&p, true, 4096, now));
	p.positions[1] = 192 * KIB;
	assert_false(process_has_turn(&p, true, 4096, now));
	p.gone = true;
	assert_true(process_has_turn(&p, true, 4096, now));
	close(p.memfd);
}

/* A short life is seen to its end; of an old one the next drain says it. */
static void the_end_of_what_is_young_is_seen_at_once(void **state)
{
	struct process p = process_of(256 * KIB);
	const int64_t now = 100 * NS_PER_S;
	pid_t child = fork();

	(void)state;
	if (child == 0)
		_exit(0);
	assert_true(child > 0);
	p.proc = proc_of(child);
	while (waitpid(child, NULL, 0) < 0)
		assert_int_equal(errno, EINTR);
	p.drained_ns = p.looked_ns = now;
	assert_false(process_has_turn(&p, true, 65, now));
	p.attached_ns = now - 19 * NS_PER_S;
	assert_true(process_has_turn(&p, true, 65, now));
	assert_true(p.gone);
	close(p.proc);
	close(p.memfd);
}

/* ---- a process of our own ---- */

#define THREADS 16
#define RING_BYTES (UINT32_C(64) << 10)

static struct ring_head head_of_ours(void)
{
	struct ring_head head = {
	    .magic = RING_MAGIC,
	    .version = RING_VERSION,
	    .head_bytes = sizeof(head),
	    .runtime_id = {1, 2, 3},
	    .start_monotonic_ns = 1,
	    .pid = getpid(),
	    .modules_at = 3 * RING_PAGE,
	    .modules_max = 1,
	    .threads_at = 4 * RING_PAGE,
	    .threads_max = THREADS,
	    .rings_at = 5 * RING_PAGE,
	    .rings_count = 1,
	    .ring_bytes = RING_BYTES,
	    .hz = 250,
	};

	head.total_bytes = head.rings_at + RING_HEAD_BYTES + RING_BYTES;
	return head;
}

static struct process *process_of_ours(struct processes *all)
{
	const struct ring_head head = head_of_ours();
	struct native_hello hello = {0};
	struct process *p = NULL;
	struct err err = {0};
	const uint64_t nothing[RING_RINGS_MAX] = {0};
	int memfd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	memcpy(hello.runtime_id, head.runtime_id, sizeof(hello.runtime_id));
	assert_true(memfd >= 0);
	assert_int_equal(ftruncate(memfd, (off_t)head.total_bytes), 0);
	assert_int_equal(pwrite(memfd, &head, sizeof(head), 0), (int)sizeof(head));
	assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(
	    process_new(memfd, proc_of(getpid()), getuid(), getpid(), &hello, "host", &p, &err), 0);
	p->all = all;
	assert_int_equal(process_resume(p, nothing, &err), 0);
	return p;
}

static void counters_set(const struct process *p, const struct ring_counters *counters)
{
	assert_int_equal(pwrite(p->memfd, counters, sizeof(*counters), 2 * RING_PAGE),
			 (int)sizeof(*counters));
}

/* Of a kind whose first column is this. */
static int64_t sum_of(const struct profile *profile, const char *column)
{
	int64_t sum = 0;

	for (size_t i = 0; i < profile->records_count; i++) {
		const struct profile_record *r = &profile->records[i];
		const struct profile_kind *k = &profile->kinds[profile->series[r->series].kind];

		if (!strcmp(profile_string(profile, k->columns[0].type).ptr, column))
			sum += profile->values[r->values_at];
	}
	return sum;
}

/* A session may close while its program goes on in another: its last batch still has memory to
 * show. */
static void a_session_that_closes_says_what_was_resident(void **state)
{
	struct processes all = {0};
	struct process *p = process_of_ours(&all);
	struct ring_counters counters = {.interval_us = 10000, .state = RING_RUNNING};
	struct err err = {0};

	(void)state;
	counters_set(p, &counters);
	struct profile *first = process_drain(p, false, &err);

	assert_non_null(first);
	assert_false(first->instance.ended);
	assert_true(sum_of(first, "resident") > 0);
	profile_free(first);
	counters.state = RING_CLOSED;
	counters_set(p, &counters);
	struct profile *last = process_drain(p, false, &err);

	assert_non_null(last);
	assert_true(last->instance.ended);
	assert_true(p->ending);
	assert_true(sum_of(last, "resident") > 0);
	profile_free(last);
	process_free(p);
	profile_builder_free(all.builder);
	free(all.taken);
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
	    cmocka_unit_test(among_many_a_turn_comes_every_other_second),
	    cmocka_unit_test(unwatched_records_wait_for_ten_seconds_or_other_threads),
	    cmocka_unit_test(what_presses_has_its_turn_at_once),
	    cmocka_unit_test(the_end_of_what_is_young_is_seen_at_once),
	    cmocka_unit_test(a_session_that_closes_says_what_was_resident),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
