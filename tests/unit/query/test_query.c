/* SPDX-License-Identifier: Apache-2.0 */
/* One small store with known facts, and every question that this room answers. */
#include "tests/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "query/format.h"
#include "wire/decompress.h"
#include "tests/support/profiles.h"

static struct storage *store;
static struct storage_reader *reader;

static void put(struct maker *m)
{
	struct profile *p = maker_finish(m);
	const struct profile *profiles[] = {p};
	struct err err;

	assert_int_equal(storage_put(store, profiles, 1, NULL, &err), 0);
	profile_free(p);
}

/*
 * Service a, owner 1000:  main -> work -> spin 30+30, main -> work -> work -> spin 10 (recursion),
 *                         main -> 0x1234 of libx 5 and 0x1238 of the same function 7
 * Service b, owner 1001:  main -> other 100
 */
static int set_up(void **state)
{
	struct maker m;
	struct err err;

	(void)state;
	assert_int_equal(storage_open("memory:", NULL, &store, &err), 0);
	maker_init(&m, 1000, 1);
	maker_series(&m, PROFILE_KIND_CPU, "service=a,env=prod");
	maker_context(&m, "thread name=worker");
	maker_record(&m, "main;work;spin", T0, 3, 30, 3);
	maker_record(&m, "main;work;spin", T0 + SECONDS(25), 3, 30, 3);
	maker_context(&m, "thread name=helper");
	maker_record(&m, "main;work;work;spin", T0 + SECONDS(1), 1, 10, 1);
	maker_record(&m, "main;0x1234@libx.so", T0 + SECONDS(2), 1, 5, 1);
	maker_record(&m, "main;0x1238@libx.so", T0 + SECONDS(3), 1, 7, 1);
	maker_loss(&m, "cpu.ring_full", 4, T0 + SECONDS(3));
	put(&m);
	maker_init(&m, 1001, 2);
	maker_series(&m, PROFILE_KIND_CPU, "service=b,env=dev");
	maker_record(&m, "main;other", T0, 10, 100, 10);
	put(&m);
	assert_int_equal(storage_reader_open(store, &reader, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	storage_reader_close(reader);
	storage_close(store);
	return 0;
}

/* 0x1234 and 0x1238 lie in inner, inlined into outer. */
static size_t names_find(void *arg, const struct profile_module *module, uint32_t owner,
			 uint64_t address, bool is_file_offset,
			 struct query_name names[QUERY_INLINES_MAX])
{
	(void)arg;
	(void)module;
	(void)is_file_offset;
	if (owner != 1000 || (address != 0x1234 && address != 0x1238))
		return 0;
	names[0] = (struct query_name){"inner", "x.c", address == 0x1234 ? 11 : 12, 10};
	names[1] = (struct query_name){"outer", "x.c", 31, 30};
	return 2;
}

static struct query question(const char *type)
{
	static const struct query_names names = {.find = names_find};
	struct query query = {.reader = reader,
			      .names = &names,
			      .viewer = {.all = true},
			      .range = {T0 - SECONDS(60), T0 + SECONDS(60)}};
	struct err err;

	assert_int_equal(profile_type_parse((struct str){type, strlen(type)}, &query.type, &err),
			 0);
	return query;
}

static void write_format(const struct query *query, const char *format, size_t max_nodes,
			 struct buf *out)
{
	struct query_tree tree;
	struct query_view view;
	struct err err;

	buf_init(out, BUF_UNLIMITED);
	assert_int_equal(query_tree_init(&tree), 0);
	int rc = query_merge(query, &tree, &err);

	assert_true(!rc || rc == -ENOENT);
	assert_int_equal(query_view_init(&view, &tree, max_nodes), 0);
	assert_int_equal(query_format_find((struct str){format, strlen(format)})->write(&view, out),
			 0);
	assert_non_null(buf_cstr(out));
	query_view_release(&view);
	query_tree_release(&tree);
}

static void expect_folded(const struct query *query, size_t max_nodes, const char *expected)
{
	struct buf out;

	write_format(query, "folded", max_nodes, &out);
	assert_string_equal(out.data ? out.data : "", expected);
	buf_release(&out);
}

static struct query of_service(const char *selector, struct selector **ret_selector)
{
	struct query query = question("cpu");
	struct err err;

	assert_int_equal(
	    selector_parse((struct str){selector, strlen(selector)}, ret_selector, &err), 0);
	query.selector = *ret_selector;
	return query;
}

static void stacks_merge_by_name_and_inlines_unfold(void **state)
{
	struct selector *selector;
	struct query query = of_service("{service=\"a\"}", &selector);

	(void)state;
	expect_folded(&query, 0,
		      "main;work;spin 60\nmain;work;work;spin 10\nmain;outer;inner 12\n");
	query.granularity = QUERY_BY_LINE;
	expect_folded(&query, 0,
		      "main;work;spin 60\nmain;work;work;spin 10\nmain;outer;inner 7\n"
		      "main;outer;inner 5\n");
	query.granularity = QUERY_BY_ADDRESS;
	query.names = NULL;
	expect_folded(&query, 0,
		      "main;work;spin 60\nmain;work;work;spin 10\nmain;libx.so+0x1238 7\n"
		      "main;libx.so+0x1234 5\n");
	selector_free(selector);
}

/* Both addresses lie in what begins at 0x1230 and has no symbol. */
static size_t begins_find(void *arg, const struct profile_module *module, uint32_t owner,
			  uint64_t address, bool is_file_offset,
			  struct query_name names[QUERY_INLINES_MAX])
{
	(void)arg;
	(void)module;
	(void)is_file_offset;
	names[0] = (struct query_name){.inside = address - 0x1230};
	return owner == 1000;
}

static void a_function_without_a_name_is_called_by_where_it_begins(void **state)
{
	static const struct query_names names = {.find = begins_find};
	struct selector *selector;
	struct query query = of_service("{service=\"a\"}", &selector);

	(void)state;
	query.names = &names;
	expect_folded(&query, 0,
		      "main;work;spin 60\nmain;work;work;spin 10\nmain;libx.so+0x1230 12\n");
	query.granularity = QUERY_BY_ADDRESS;
	expect_folded(&query, 0,
		      "main;work;spin 60\nmain;work;work;spin 10\nmain;libx.so+0x1238 7\n"
		      "main;libx.so+0x1234 5\n");
	selector_free(selector);
}

static void a_range_is_exact_to_the_record(void **state)
{
	struct selector *selector;
	struct query query = of_service("{service=\"a\"}", &selector);

	(void)state;
	query.range = (struct query_range){T0 + SECONDS(1), T0 + SECONDS(3)};
	expect_folded(&query, 0, "main;work;work;spin 10\nmain;outer;inner 5\n");
	selector_free(selector);
}

static void a_viewer_sees_what_is_theirs(void **state)
{
	struct query query = question("cpu");
	struct buf out;
	struct err err;

	(void)state;
	query.viewer = (struct query_viewer){.owner = 1001};
	expect_folded(&query, 0, "main;other 100\n");
	buf_init(&out, BUF_UNLIMITED);
	assert_int_equal(query_services(&query, &out, &err), 0);
	assert_non_null(buf_cstr(&out));
	assert_non_null(strstr(out.data, "\"b\""));
	assert_null(strstr(out.data, "\"a\""));
	buf_release(&out);
	query.viewer.owner = 4711;
	expect_folded(&query, 0, "");
}

static void what_is_hidden_is_counted(void **state)
{
	struct selector *selector;
	struct query query = of_service("{service=\"a\"}", &selector);
	struct buf out;

	(void)state;
	expect_folded(&query, 4, "main;[hidden] 12\nmain;work;[hidden] 10\nmain;work;spin 60\n");
	write_format(&query, "json", 4, &out);
	assert_non_null(strstr(out.data, "\"hidden\":{\"nodes\":4,\"value\":22}"));
	buf_release(&out);
	selector_free(selector);
}

static const struct query_row *row_named(const struct query_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (!strcmp(table->rows[i].name, name))
			return &table->rows[i];
	fail_msg("no row %s", name);
	return NULL;
}

static void top_counts_recursion_once(void **state)
{
	struct selector *selector;
	struct query query = of_service("{service=\"a\"}", &selector);
	struct query_table table;
	struct err err;

	(void)state;
	assert_int_equal(query_top(&query, STR("function"), &table, &err), 0);
	assert_int_equal(table.total, 82);
	assert_string_equal(table.rows[0].name, "spin");
	assert_int_equal(table.rows[0].self, 70);
	assert_int_equal(row_named(&table, "work")->total, 70);
	assert_int_equal(row_named(&table, "work")->self, 0);
	assert_int_equal(row_named(&table, "work")->samples_total, 7);
	assert_int_equal(row_named(&table, "main")->total, 82);
	assert_string_equal(row_named(&table, "inner")->file, "x.c");
	assert_int_equal(row_named(&table, "inner")->line, 10);
	assert_string_equal(row_named(&table, "inner")->library, "libx.so");
	assert_int_equal(table.facts.samples, 9);
	assert_int_equal(table.facts.losses_count, 1);
	assert_string_equal(table.facts.losses[0].reason, "cpu.ring_full");
	assert_int_equal(table.facts.losses[0].count, 4);
	query_table_release(&table);
	selector_free(selector);
}

static void top_by_labels_of_series_and_of_records(void **state)
{
	struct query query = question("cpu");
	struct query_table table;
	struct err err;

	(void)state;
	assert_int_equal(query_top(&query, STR("env"), &table, &err), 0);
	assert_int_equal(row_named(&table, "prod")->self, 82);
	assert_int_equal(row_named(&table, "dev")->self, 100);
	query_table_release(&table);
	assert_int_equal(query_top(&query, STR("thread"), &table, &err), 0);
	assert_int_equal(row_named(&table, "worker")->self, 60);
	assert_int_equal(row_named(&table, "helper")->self, 22);
	assert_int_equal(row_named(&table, "(none)")->self, 100);
	query_table_release(&table);
	assert_int_equal(query_top(&query, STR("library"), &table, &err), 0);
	assert_int_equal(row_named(&table, "libx.so")->self, 12);
	query_table_release(&table);
}

static void a_timeline_adds_up(void **state)
{
	struct query query = question("cpu");
	struct query_timeline line;
	struct err err;

	(void)state;
	query.range = (struct query_range){T0, T0 + SECONDS(30)};
	assert_int_equal(query_timeline(&query, SECONDS(10), STR("service"), &line, &err), 0);
	assert_int_equal(line.steps, 3);
	assert_int_equal(line.lines_count, 2);
	for (size_t i = 0; i < line.lines_count; i++) {
		bool is_a = !strcmp(line.lines[i].group, "a");

		assert_int_equal(line.lines[i].sums[0], is_a ? 52 : 100);
		assert_int_equal(line.lines[i].sums[1], 0);
		assert_int_equal(line.lines[i].sums[2], is_a ? 30 : 0);
	}
	query_timeline_release(&line);
	assert_int_equal(query_timeline(&query, 1, STR(""), &line, &err), -EINVAL);
	query.range = (struct query_range){T0 + SECONDS(3600), T0 + SECONDS(7200)};
	assert_int_equal(query_timeline(&query, 0, STR(""), &line, &err), -ENOENT);
	query_timeline_release(&line);
}

static void json_columns_agree_with_each_other(void **state)
{
	struct query query = question("cpu");
	struct buf out;

	(void)state;
	write_format(&query, "json", 0, &out);
	json_t *doc = json_loadb(out.data, out.len, 0, NULL);

	assert_non_null(doc);
	json_t *node = json_object_get(doc, "node"), *names = json_object_get(doc, "names");
	size_t count = json_array_size(json_object_get(node, "name"));
	const char *key;
	json_t *column;
	json_int_t sum = 0;

	json_object_foreach(node, key, column) assert_int_equal(json_array_size(column), count);
	for (size_t i = 0; i < count; i++) {
		sum += json_integer_value(json_array_get(json_object_get(node, "self"), i));
		assert_true((size_t)json_integer_value(json_array_get(json_object_get(node, "name"),
								      i)) < json_array_size(names));
	}
	assert_int_equal(sum, 182);
	assert_int_equal(json_integer_value(json_object_get(doc, "total")), 182);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(node, "depth"), 0)), 0);
	json_decref(doc);
	buf_release(&out);
}

/* What was packed counts, not how. */
static void assert_packed_equal(const struct buf *out, const char *golden, size_t golden_len)
{
	static const struct decompress_limits any = {0};
	struct err err = {0};
	struct buf is, was;

	assert_int_equal(wire_decompress(out->data, out->len, &any, &is, &err), 0);
	assert_int_equal(wire_decompress(golden, golden_len, &any, &was, &err), 0);
	assert_int_equal(is.len, was.len);
	assert_memory_equal(is.data, was.data, is.len);
	buf_release(&is);
	buf_release(&was);
}

/* The formats' exact bytes stand in tests/golden/query; HEARTH_UPDATE=1 writes them anew. */
static void formats_are_what_they_were(void **state)
{
	(void)state;
	for (size_t i = 0; query_format_at(i); i++) {
		const struct query_format *format = query_format_at(i);
		struct query query = question("cpu");
		struct err err = {0};
		struct buf out;
		char path[512];
		char *golden = malloc(1 << 20);

		query.granularity = format->granularity;
		write_format(&query, format->name, 0, &out);
		(void)snprintf(path, sizeof(path), HEARTH_SOURCE_DIR "/tests/golden/query/small.%s",
			       format->suffix);
		if (getenv("HEARTH_UPDATE"))
			assert_int_equal(fd_replace_file(path, out.data, out.len, 0644, &err), 0);
		ssize_t n = fd_read_file(AT_FDCWD, path, golden, (1 << 20) - 1);

		if (n < 0)
			fail_msg("%s: %s", path, strerror((int)-n));
		golden[n] = '\0';
		if (format->binary)
			assert_packed_equal(&out, golden, (size_t)n);
		else
			assert_string_equal(out.data, golden);
		free(golden);
		buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stacks_merge_by_name_and_inlines_unfold),
	    cmocka_unit_test(a_function_without_a_name_is_called_by_where_it_begins),
	    cmocka_unit_test(a_range_is_exact_to_the_record),
	    cmocka_unit_test(a_viewer_sees_what_is_theirs),
	    cmocka_unit_test(what_is_hidden_is_counted),
	    cmocka_unit_test(top_counts_recursion_once),
	    cmocka_unit_test(top_by_labels_of_series_and_of_records),
	    cmocka_unit_test(a_timeline_adds_up),
	    cmocka_unit_test(json_columns_agree_with_each_other),
	    cmocka_unit_test(formats_are_what_they_were),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
