/* SPDX-License-Identifier: Apache-2.0 */
/* Locks and exceptions of a native process: totals by counters, attribution by samples, names. */
#include "tests/cmocka.h"

#include <math.h>
#include <string.h>

#include "client/draw.h"
#include "ingest/native_account.h"
#include "tests/unit/ingest/native_fixture.h"

static void fixture_init(struct fixture *f, bool resumed)
{
	const struct native_options options = {.owner = 1000, .pid = 7, .executable = "x"};
	const struct ring_module module = {
	    .path = "/usr/bin/shop", .build_id = {1}, .build_id_len = 1};

	fixture_begin(f, &options);
	assert_int_equal(native_process_module(f->process, &module), 0);
	native_process_resume(f->process, resumed);
}

static struct profile *emit(struct fixture *f, bool ended)
{
	f->after_ns += NS_PER_S;
	fixture_feed(f);
	return fixture_emit(f, NULL, 0, f->after_ns, ended);
}

/* Sum of a column of a type ("delay"); `leaf` 0: all, else the leaf's address. */
static int64_t sum_of(const struct profile *p, const char *type, uint64_t leaf)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		const struct profile_kind *k = &p->kinds[p->series[r->series].kind];

		for (uint32_t c = 0; c < k->columns_count; c++)
			if (!strcmp(profile_string(p, k->columns[c].type).ptr, type) &&
			    (!leaf || p->frames[p->nodes[r->node].frame].address == leaf))
				sum += p->values[r->values_at + c];
	}
	return sum;
}

static int64_t sum_named(const struct profile *p, const char *type, const char *leaf)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		const struct profile_kind *k = &p->kinds[p->series[r->series].kind];
		const struct profile_frame *frame = &p->frames[p->nodes[r->node].frame];

		for (uint32_t c = 0; c < k->columns_count; c++)
			if (!strcmp(profile_string(p, k->columns[c].type).ptr, type) &&
			    !strcmp(profile_string(p, frame->function).ptr, leaf))
				sum += p->values[r->values_at + c];
	}
	return sum;
}

static bool has_label(const struct profile *p, const char *key, const char *value)
{
	for (size_t i = 0; i < p->labels_count; i++)
		if (!strcmp(profile_string(p, p->labels[i].key).ptr, key) &&
		    !strcmp(profile_string(p, p->labels[i].text).ptr, value))
			return true;
	return false;
}

static struct ring_record *lock_add(struct fixture *f, uint32_t what, uint64_t duration_ns,
				    uint64_t mean, uint64_t leaf)
{
	const struct ring_lock lock = {.what = what,
				       .kind = RING_LOCK_WRITE,
				       .lock = ring_frame(1, 0x4040),
				       .creator = ring_frame(1, 0x1200),
				       .duration_ns = duration_ns,
				       .mean = mean};
	struct ring_record *r =
	    ring_writer_add(&f->writer, RING_SAMPLE_LOCK, 7, START + f->after_ns + MS, &lock,
			    sizeof(lock), &leaf, 1);

	if (what == RING_LOCK_WAIT)
		r->flags = RING_HOLDER_SEEN;
	return r;
}

static void waits_add_up_to_what_was_counted(void **state)
{
	struct fixture f;
	int64_t delay = 0, count = 0, blame = 0, unseen = 0;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 50; i++) {
		f.counters.lock_wait_ns += 7000003;
		f.counters.lock_contended += 11;
		if (i % 3 != 2) {
			lock_add(&f, RING_LOCK_BLAME, 2 * MS, MS, 0x3000);
			lock_add(&f, RING_LOCK_WAIT, 2 * MS, MS, 0x2000);
			lock_add(&f, RING_LOCK_WAIT, MS / 10, MS, 0x2100)->flags = 0;
		}
		struct profile *p = emit(&f, i == 49);

		delay += sum_of(p, "delay", 0);
		count += sum_of(p, "contentions", 0);
		blame += sum_of(p, "blame", 0);
		unseen += sum_named(p, "blame", "[holder not seen]");
		/* Never more than was counted. */
		assert_true(delay <= (int64_t)f.counters.lock_wait_ns);
		assert_true(blame <= delay);
		profile_free(p);
	}
	assert_int_equal(delay, f.counters.lock_wait_ns);
	assert_int_equal(count, f.counters.lock_contended);
	assert_int_equal(blame, delay);
	assert_true(unseen > 0 && unseen < blame);
	fixture_release(&f);
}

static void a_sample_weighs_what_it_stands_for(void **state)
{
	struct fixture f;
	/* One of 0.1 ms is taken with the chance 0.0952, one of 5 ms nearly always. */
	double small = 0.1e6 / -expm1(-0.1), large = 5e6 / -expm1(-5);

	(void)state;
	fixture_init(&f, false);
	f.counters.lock_wait_ns = (uint64_t)(small + large + 0.5);
	f.counters.lock_contended = 12;
	lock_add(&f, RING_LOCK_WAIT, MS / 10, MS, 0x2000);
	lock_add(&f, RING_LOCK_WAIT, 5 * MS, MS, 0x2100);
	struct profile *p = emit(&f, false);

	assert_true(fabs((double)sum_of(p, "delay", 0x2000) - small) < 2);
	assert_true(fabs((double)sum_of(p, "delay", 0x2100) - large) < 2);
	assert_int_equal(sum_of(p, "contentions", 0x2000), 11);
	assert_int_equal(sum_of(p, "contentions", 0x2100), 1);
	assert_true(has_label(p, "lock kind", "rwlock, write"));
	profile_free(p);
	fixture_release(&f);
}

static void what_no_sample_carries_stands_at_the_end(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	f.counters.lock_wait_ns = 900;
	f.counters.lock_contended = 3;
	f.counters.exceptions = 5;
	struct profile *p = emit(&f, false);

	assert_int_equal(sum_of(p, "delay", 0), 0);
	profile_free(p);
	p = emit(&f, true);
	assert_int_equal(sum_named(p, "delay", "[not sampled]"), 900);
	assert_int_equal(sum_named(p, "contentions", "[not sampled]"), 3);
	assert_int_equal(sum_named(p, "blame", "[holder not seen]"), 900);
	assert_int_equal(sum_named(p, "exception", "[not sampled]"), 5);
	profile_free(p);
	fixture_release(&f);
}

static void after_the_agent_s_restart_nothing_counts_twice(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, true);
	f.counters.lock_wait_ns = 1000000;
	f.counters.exceptions = 1000;
	struct profile *p = emit(&f, false);

	profile_free(p);
	f.counters.lock_wait_ns += 500;
	f.counters.exceptions += 2;
	p = emit(&f, true);
	assert_int_equal(sum_of(p, "delay", 0), 500);
	assert_int_equal(sum_of(p, "exception", 0), 2);
	profile_free(p);
	fixture_release(&f);
}

static void holds_stand_for_the_others(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	lock_add(&f, RING_LOCK_HOLD, 30000, 100, 0x2000);
	lock_add(&f, RING_LOCK_HOLD, UINT64_MAX, UINT64_MAX, 0x2100); /* a lie is cut */
	struct profile *p = emit(&f, false);

	assert_int_equal(sum_of(p, "hold", 0x2000), 3000000);
	assert_true(sum_of(p, "hold", 0x2100) <= (int64_t)UINT32_MAX * NS_PER_S);
	profile_free(p);
	fixture_release(&f);
}

static void names_are_asked_for_once(void **state)
{
	struct native_question questions[4];
	uint32_t module;
	uint64_t address;
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	lock_add(&f, RING_LOCK_WAIT, MS, MS, 0x2000);
	lock_add(&f, RING_LOCK_HOLD, MS, 100, 0x2000);
	fixture_feed(&f);
	assert_int_equal(native_process_questions(f.process, questions, 4), 1);
	assert_true(native_process_place(f.process, questions[0].lock, &module, &address));
	assert_int_equal(module, 0);
	assert_int_equal(address, 0x4040);
	assert_int_equal(native_process_answer(f.process, &questions[0], "g_pool_lock"), 0);
	assert_int_equal(native_process_questions(f.process, questions, 4), 0);
	struct profile *p = emit(&f, false);

	assert_true(has_label(p, "lock name", "g_pool_lock"));
	profile_free(p);
	/* Without an answer the place itself. */
	fixture_release(&f);
	fixture_init(&f, false);
	lock_add(&f, RING_LOCK_HOLD, MS, 100, 0x2000);
	p = emit(&f, false);
	assert_true(has_label(p, "lock name", "shop+0x4040"));
	profile_free(p);
	fixture_release(&f);
}

static void exception_add(struct fixture *f, const char *type)
{
	const struct ring_exception exception = {100};
	const uint64_t leaf = 0x2000;
	uint64_t room[32] = {0};
	char *text = (char *)room;
	size_t len = sizeof("exception type") + strlen(type) + 1;

	memcpy(text, "exception type", sizeof("exception type"));
	memcpy(text + sizeof("exception type"), type, strlen(type) + 1);

	/* The text follows the frames; written as more of them, and then called what it is. */
	struct {
		struct ring_exception e;
		uint64_t frames[33];
	} payload = {exception, {leaf}};

	memcpy(&payload.frames[1], room, sizeof(room));
	struct ring_record *r =
	    ring_writer_add(&f->writer, RING_SAMPLE_EXCEPTION, 7, START + f->after_ns + MS,
			    &payload, sizeof(payload), NULL, 0);

	r->frames = 1;
	r->text_bytes = (uint16_t)len;
}

static void exceptions_have_their_type_and_their_count(void **state)
{
	struct native_question questions[4];
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	f.counters.exceptions = 180;
	exception_add(&f, "St13runtime_error");
	exception_add(&f, "N4shop5OrderE");
	fixture_feed(&f);
	assert_int_equal(native_process_questions(f.process, questions, 4), 2);
	assert_string_equal(questions[0].type, "St13runtime_error");
	assert_int_equal(native_process_answer(f.process, &questions[0], "std::runtime_error"), 0);
	struct profile *p = emit(&f, false);

	assert_int_equal(sum_of(p, "exception", 0), 180);
	assert_true(has_label(p, "exception type", "std::runtime_error"));
	assert_false(has_label(p, "exception type", "St13runtime_error"));
	assert_true(has_label(p, "exception type", "N4shop5OrderE")); /* not answered */
	profile_free(p);
	fixture_release(&f);
}

/* Samples alone are right on average, and so is what is written of them. */
static void the_account_is_unbiased(void **state)
{
	uint64_t x = 42;
	double often = 0;
	int64_t total = 0;

	(void)state;
	struct native_account a = {0};

	/* Two sites: one has nine of ten waits; each is sampled with the chance 1/4, as 4. */
	for (int i = 0; i < 20000; i++) {
		int n[2] = {0, 0};

		for (int k = 0; k < 10; k++) {
			n[k == 0] += draw_next(&x) >> 62 == 0;
		}
		account_count(&a, (uint64_t)i * 10, (uint64_t)(i + 1) * 10);
		double factor = account_factor(&a, 4.0 * (n[0] + n[1]), (size_t)(n[0] + n[1]));
		int64_t first = account_take(&a, 4 * n[0] * factor);

		often += (double)first;
		total += first + account_take(&a, 4 * n[1] * factor);
	}
	assert_true(total <= 200000 && total >= 199000);
	assert_true(fabs(often / (double)total - 0.9) < 0.007);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(waits_add_up_to_what_was_counted),
	    cmocka_unit_test(a_sample_weighs_what_it_stands_for),
	    cmocka_unit_test(what_no_sample_carries_stands_at_the_end),
	    cmocka_unit_test(after_the_agent_s_restart_nothing_counts_twice),
	    cmocka_unit_test(holds_stand_for_the_others),
	    cmocka_unit_test(names_are_asked_for_once),
	    cmocka_unit_test(exceptions_have_their_type_and_their_count),
	    cmocka_unit_test(the_account_is_unbiased),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
