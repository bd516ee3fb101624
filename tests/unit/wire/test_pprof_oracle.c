/* SPDX-License-Identifier: Apache-2.0 */
/* What we accept, protobuf-c accepts with the same content: on real profiles and on damaged ones.
 */
#include "tests/cmocka.h"

#include <inttypes.h>

#include "tests/corpus.h"
#include "tests/unit/wire/oracle.h"
#include "wire/pprof_write.h"
#include "wire/protobuf.h"

#define SEED UINT64_C(20261122)
#define MUTATIONS 400 /* of each profile; more with HEARTH_MUTATIONS */

static const struct pprof_limits no_limit;
static uint64_t seed = SEED;
static size_t accepted, tried;

/* Whether there is a group, which protobuf-c refuses, at any level. */
static bool has_group(struct proto_reader bytes)
{
	const uint8_t *at = bytes.at;
	struct proto_field f;

	for (; proto_next(&bytes, &f) == 1; at = bytes.at)
		if ((*at & 7) == 3 || (f.type == PROTO_BYTES && has_group(f.bytes)))
			return true;
	/* One at the end is followed by no field. */
	return bytes.at == bytes.end && at < bytes.end;
}

/* Returns whether we accept. */
static bool compare(const char *name, const void *bytes, size_t len)
{
	struct pprof p;
	struct err err;

	tried++;
	if (pprof_decode(bytes, len, &no_limit, &p, &err) < 0)
		return false;
	Perftools__Profiles__Profile *o = perftools__profiles__profile__unpack(NULL, len, bytes);

	if (!o && has_group(proto_reader_of(bytes, len))) {
		pprof_release(&p);
		return false;
	}
	if (!o)
		fail_msg("%s, seed %" PRIu64 ", case %zu: only we accept it", name, SEED, tried);
	const char *why = oracle_differs(&p, o);

	if (why)
		fail_msg("%s, seed %" PRIu64 ", case %zu: differs in %s", name, SEED, tried, why);
	perftools__profiles__profile__free_unpacked(o, NULL);
	pprof_release(&p);
	accepted++;
	return true;
}

static void mutate_and_compare(const char *name, const struct buf *plain)
{
	size_t room = plain->len + 128;
	const char *wanted = getenv("HEARTH_MUTATIONS");
	size_t count = wanted ? strtoul(wanted, NULL, 10) : MUTATIONS;

	/* Large ones cost time and say no more than small ones. */
	if (plain->len > (size_t)1 << 18)
		count /= 20;
	for (size_t i = 0; i < count; i++) {
		uint8_t *copy = malloc(room);

		memcpy(copy, plain->data, plain->len);
		size_t len = seeded_mutate(&seed, copy, plain->len, room);

		copy = realloc(copy, len ? len : 1);
		(void)compare(name, copy, len);
		free(copy);
	}
}

static void visit(const char *name, const struct buf *plain)
{
	if (!compare(name, plain->data, plain->len))
		fail_msg("%s: refused", name);
	mutate_and_compare(name, plain);
}

static void test_corpus(void **state)
{
	(void)state;
	if (!corpus_each_pprof(visit)) {
		printf("no corpus in %s\n", corpus_folder());
		skip();
	}
	printf("%zu of %zu accepted\n", accepted, tried);
}

/* A small profile of our own, so that the comparison has something where there is no corpus. */
static void test_written(void **state)
{
	(void)state;
	struct pprof_writer *w;
	struct buf bytes;

	assert_int_equal(pprof_writer_new((size_t)1 << 20, &w), 0);
	pprof_write_type(w, STR("samples"), STR("count"));
	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	pprof_write_period(w, STR("cpu"), STR("nanoseconds"), 10000000);
	pprof_write_time(w, 1700000000000000000, 10000000000);
	uint64_t mapping =
	    pprof_write_mapping(w, &(struct pprof_write_mapping){.start = 0x400000,
								 .limit = 0x500000,
								 .filename = STR("/bin/app"),
								 .build_id = STR("00112233"),
								 .has_names = true});

	for (uint64_t i = 0; i < 40; i++) {
		const struct pprof_write_line lines[] = {
		    {.function = STR("inner"), .file = STR("a.h"), .line = (int64_t)i},
		    {.function = STR("outer"), .file = STR("a.c"), .line = -1, .start_line = 3}};
		const uint64_t stack[] = {
		    pprof_write_location(w, mapping, 0x400000 + i, lines, 2),
		    pprof_write_location(w, mapping, 0x400800 + i / 2, NULL, 0)};
		const int64_t values[] = {1, -(int64_t)i};
		const struct pprof_write_label labels[] = {
		    {.key = STR("thread"), .text = STR("main")},
		    {.key = STR("size"), .number = (int64_t)i, .unit = STR("bytes")}};

		pprof_write_sample(w, stack, 2, values, labels, 2);
	}
	buf_init(&bytes, BUF_UNLIMITED);
	assert_int_equal(pprof_writer_finish(w, &bytes, NULL), 0);
	pprof_writer_free(w);
	assert_true(compare("written", bytes.data, bytes.len));
	for (int i = 0; i < 20; i++)
		mutate_and_compare("written", &bytes);
	buf_release(&bytes);
	/* Most damage must be refused, some must not: else the comparison compares nothing. */
	assert_true(accepted > 100 && accepted < tried);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus),
					   cmocka_unit_test(test_written)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
