/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/chains.h"

static void varint_round_trip(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, INT64_MAX, UINT64_MAX};
	uint8_t bytes[VARINT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		size_t n = varint_put(bytes, values[i]);
		uint64_t back = 0;

		assert_ptr_equal(varint_get(bytes, bytes + n, &back), bytes + n);
		assert_true(back == values[i]);
		for (size_t cut = 0; cut < n; cut++)
			assert_null(varint_get(bytes, bytes + cut, &back));
	}
}

static void varint_refuses_what_does_not_fit(void **state)
{
	static const uint8_t eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					 0x80, 0x80, 0x80, 0x80, 0x01};
	static const uint8_t high[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	uint64_t value;

	(void)state;
	assert_null(varint_get(eleven, eleven + sizeof(eleven), &value));
	assert_null(varint_get(high, high + sizeof(high), &value));
}

static void buf_keeps_its_maximum(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 8);
	assert_int_equal(buf_add(&buf, "12345678", 8), 0);
	assert_int_equal(buf_add(&buf, "9", 1), -E2BIG);
	assert_int_equal(buf_add(&buf, "", 0), -E2BIG);
	assert_int_equal(buf.len, 8);
	buf_clear(&buf);
	assert_int_equal(buf_printf(&buf, "%d", 42), 0);
	assert_memory_equal(buf.data, "42", 2);
	buf_release(&buf);
}

static void arena_keeps_its_maximum(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	assert_non_null(arena_alloc(&arena, 1 << 19));
	assert_non_null(arena_alloc(&arena, 100));
	assert_null(arena_alloc(&arena, 1 << 19));
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_string_equal(arena_copy(&arena, "abcdef", 3), "abc");
	arena_release(&arena);
}

static void intern_numbers_in_order(void **state)
{
	struct intern intern;
	uint32_t id;
	char text[16];

	(void)state;
	assert_int_equal(intern_init(&intern, 1 << 20), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 1000; i++) {
			int n = snprintf(text, sizeof(text), "s%u", i);

			assert_int_equal(intern_put(&intern, text, (size_t)n, &id), 0);
			assert_int_equal(id, i + 1);
		}
	}
	assert_int_equal(intern_put(&intern, "", 0, &id), 0);
	assert_int_equal(id, 0);
	assert_string_equal(intern_get(&intern, 7).ptr, "s6");
	assert_int_equal(intern_find(&intern, "s999", 4), 1000);
	assert_int_equal(intern_find(&intern, "none", 4), -1);
	assert_int_equal(intern_get(&intern, 5000).len, 0);
	intern_release(&intern);
}

/* Room made before, and texts put in steps, change no number. */
static void intern_in_steps_is_the_same(void **state)
{
	struct intern intern;
	uint32_t tags[64], id;
	char text[64][8];

	(void)state;
	assert_int_equal(intern_init(&intern, 1 << 20), 0);
	assert_int_equal(intern_put(&intern, "t5", 2, &id), 0);
	assert_int_equal(intern_reserve(&intern, 1000), 0);
	for (int i = 0; i < 64; i++) {
		int n = snprintf(text[i], sizeof(text[i]), "t%d", i % 40);

		tags[i] = intern_tag(&intern, (struct str){text[i], (size_t)n});
		intern_prefetch(&intern, tags[i]);
	}
	for (uint32_t i = 0; i < 64; i++) {
		struct str s = str_of(text[i]);

		assert_int_equal(intern_put_tagged(&intern, tags[i], s, &id), 0);
		assert_int_equal(id, i % 40 == 5 ? 1 : i % 40 < 5 ? i % 40 + 2 : i % 40 + 1);
	}
	assert_int_equal(intern.count, 41);
	assert_int_equal(intern_find(&intern, "t39", 3), 40);
	intern_release(&intern);
}

/* Many or few, large or small: afterwards it is as new, within the same maximum. */
static void intern_is_as_new_when_cleared(void **state)
{
	static const unsigned counts[] = {10, 40000, 3, 2000, 0, 5};
	struct intern intern;
	char text[200];
	uint32_t id;

	(void)state;
	assert_int_equal(intern_init(&intern, 16 << 20), 0);
	for (size_t round = 0; round < ARRAY_LEN(counts); round++) {
		for (unsigned i = 0; i < counts[round]; i++) {
			int n =
			    snprintf(text, sizeof(text), "%zu-%0*u", round, (int)(1 + i % 150), i);

			assert_int_equal(intern_put(&intern, text, (size_t)n, &id), 0);
			assert_int_equal(id, i + 1);
		}
		assert_int_equal(intern_clear(&intern), 0);
		assert_int_equal(intern.count, 1);
		assert_int_equal(intern_find(&intern, text, strlen(text)), -1);
		assert_int_equal(intern.arena.max, 16 << 20);
	}
	intern_release(&intern);
}

static void what_is_appended_is_never_found(void **state)
{
	struct intern intern;
	uint32_t id;

	(void)state;
	assert_int_equal(intern_init(&intern, 4096), 0);
	assert_int_equal(intern_append(&intern, STR("name"), &id), 0);
	assert_int_equal(intern_append(&intern, STR("name"), &id), 0);
	assert_int_equal(id, 2);
	assert_int_equal(intern_find(&intern, "name", 4), -1);
	assert_int_equal(intern_put(&intern, "name", 4, &id), 0);
	assert_int_equal(id, 3);
	assert_string_equal(intern_get(&intern, 1).ptr, "name");
	while (intern_append(&intern, STR("name"), &id) == 0)
		;
	assert_in_range(intern.count, 100, 4096 / 5);
	intern_release(&intern);
}

static void intern_keeps_its_maximum(void **state)
{
	struct intern intern;
	char text[512] = {0};
	uint32_t id;
	int rc = 0;

	(void)state;
	assert_int_equal(intern_init(&intern, 4096), 0);
	for (unsigned i = 0; !rc && i < 100; i++) {
		text[0] = (char)i;
		rc = intern_put(&intern, text, sizeof(text), &id);
	}
	assert_int_equal(rc, -E2BIG);
	intern_release(&intern);
}

static void json_escapes(void **state)
{
	struct buf buf;
	struct json json;

	(void)state;
	buf_init(&buf, BUF_UNLIMITED);
	json_init(&json, &buf);
	json_open(&json, '{');
	json_key(&json, "a\"b");
	json_text(&json, "x\n\x01\xff\xc3\xa9</script>", 15);
	json_key(&json, "list");
	json_open(&json, '[');
	json_int(&json, -1);
	json_uint(&json, UINT64_MAX);
	json_bool(&json, true);
	json_cstring(&json, NULL);
	json_close(&json, ']');
	json_close(&json, '}');
	assert_string_equal(buf_cstr(&buf),
			    "{\"a\\\"b\":\"x\\n\\u0001\xef\xbf\xbd\xc3\xa9</script>\","
			    "\"list\":[-1,18446744073709551615,true,null]}");
	buf_release(&buf);
}

static void clock_windows_below_zero(void **state)
{
	(void)state;
	assert_int_equal(clock_window_ns(25, 10), 20);
	assert_int_equal(clock_window_ns(20, 10), 20);
	assert_int_equal(clock_window_ns(-1, 10), -10);
	assert_int_equal(clock_window_ns(-10, 10), -10);
}

static void err_prefix_goes_in_front(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_set(&err, -EINVAL, "value %d", 7), -EINVAL);
	assert_int_equal(err_prefix(&err, -EINVAL, "file %s", "x"), -EINVAL);
	assert_string_equal(err.message, "file x: value 7");
	assert_int_equal(err_set(NULL, -EIO, "nobody reads this"), -EIO);
}

#define TREE_NODES 20000

static void expect_tree(const struct chains *c, const uint32_t *parents, const uint32_t *keys,
			size_t nodes)
{
	assert_int_equal(c->nodes_count, nodes);
	for (uint32_t i = 0, begin = 0; i < nodes; i++) {
		begin = i && parents[i] + 1 == i ? begin : i;
		assert_int_equal(chains_parent(c, i), parents[i]);
		assert_int_equal(chains_key(c, i), keys[i]);
		assert_int_equal(chains_begin(c, i), begin);
	}
}

/* Nodes added one by one and all at once, where keys are few, and where one of the last does not
 * fit two bytes. */
static void chains_are_the_trees_that_went_in(void **state)
{
	static uint32_t parents[TREE_NODES], keys[TREE_NODES];
	uint32_t random = 7;

	(void)state;
	for (uint32_t wide = 0; wide < 2; wide++) {
		struct chains one = {0}, all = {0};

		assert_int_equal(chains_reserve(&one, 1, 0), 0);
		for (uint32_t i = 1; i < TREE_NODES; i++) {
			random = random * 1664525 + 1013904223;
			parents[i] = random >> 28 ? i - 1 : (random >> 8) % i;
			keys[i] = wide && i > TREE_NODES / 2 ? random >> 4 : random >> 20;
			assert_int_equal(chains_add(&one, parents[i], keys[i]), 0);
		}
		expect_tree(&one, parents, keys, TREE_NODES);
		assert_int_equal(wide, one.wide != NULL);
		for (uint32_t i = 1, end; i < TREE_NODES; i = end) {
			end = MIN(i + 777, (uint32_t)TREE_NODES);
			assert_int_equal(
			    chains_reserve(&all, end,
					   wide && end > TREE_NODES / 2 ? UINT32_MAX : 4095),
			    0);
			for (uint32_t k = i; k < end; k++) {
				chains_set_key(&all, k, keys[k]);
				if (parents[k] + 1 != k)
					assert_int_equal(chains_hang(&all, k, parents[k]), 0);
			}
			chains_accept(&all, end);
		}
		expect_tree(&all, parents, keys, TREE_NODES);
		chains_release(&one);
		chains_release(&all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(varint_round_trip),
	    cmocka_unit_test(varint_refuses_what_does_not_fit),
	    cmocka_unit_test(buf_keeps_its_maximum),
	    cmocka_unit_test(arena_keeps_its_maximum),
	    cmocka_unit_test(intern_numbers_in_order),
	    cmocka_unit_test(intern_in_steps_is_the_same),
	    cmocka_unit_test(intern_is_as_new_when_cleared),
	    cmocka_unit_test(what_is_appended_is_never_found),
	    cmocka_unit_test(intern_keeps_its_maximum),
	    cmocka_unit_test(json_escapes),
	    cmocka_unit_test(clock_windows_below_zero),
	    cmocka_unit_test(err_prefix_goes_in_front),
	    cmocka_unit_test(chains_are_the_trees_that_went_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
