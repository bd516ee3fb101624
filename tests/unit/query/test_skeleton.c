/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader that has answered other questions answers as one that has answered none: random
 * questions, interleaved with what arrives, against a fresh reader for each.
 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "query/diff.h"
#include "query/filter.h"
#include "query/format.h"
#include "query/skeleton.h"
#include "tests/support/profiles.h"

#define SEEDS 5
#define ROUNDS 10
#define QUESTIONS 12
#define FUNCTIONS 40 /* several below one node */
#define STEPS 40

static uint64_t state;
/* Within an hour; within a day, where L2 has the hours that are not cut; over days, each with a
 * file of L1. */
static const int64_t steps_ns[] = {SECONDS(10), SECONDS(610), SECONDS(4210)};
static int64_t step_ns = SECONDS(10);

static uint32_t draw(uint32_t below)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % below;
}

static struct storage *store;
static char directory[] = "/tmp/hearth-skeleton.XXXXXX";

/* Functions of one name in several libraries, and two inlined in one address. */
static size_t names_find(void *arg, const struct profile_module *module, uint32_t owner,
			 uint64_t address, bool is_file_offset,
			 struct query_name names[QUERY_INLINES_MAX])
{
	static char functions[FUNCTIONS][16];
	uint64_t k = (address - 0x100) % FUNCTIONS;
	const unsigned *version = arg;

	(void)module;
	(void)owner;
	(void)is_file_offset;
	(void)snprintf(functions[k], sizeof(functions[k]), "g%u%s", (unsigned)k / 2,
		       *version % 2 ? "" : "_old");
	names[0] = (struct query_name){functions[k], k % 3 ? "a.c" : "b.c", (uint32_t)k + 7,
				       (uint32_t)k, 0};
	names[1] = (struct query_name){"outer", "a.c", 3, 1, 0};
	return k % 5 ? 1 : 2;
}

static void put_some(void)
{
	struct maker m;
	struct err err;

	maker_init(&m, 1000, 1 + draw(3));
	maker_series(&m, PROFILE_KIND_CPU, draw(2) ? "service=a" : "service=b");
	maker_context(&m, draw(2) ? "thread name=t1" : "thread name=t2");
	for (uint32_t n = 1 + draw(60); n--;) {
		char stack[512] = "";
		int value = 1 + (int)draw(20);

		for (uint32_t depth = 1 + draw(7); depth--;)
			(void)sprintf(stack + strlen(stack),
				      draw(2) ? "%sf%u" : "%s0x%x@/lib/l%u.so", *stack ? ";" : "",
				      draw(2) ? draw(4) : 0x100 + draw(FUNCTIONS), draw(3));
		maker_record(&m, stack, T0 + step_ns * draw(STEPS) + draw(9999), 1 + draw(3), value,
			     value);
	}
	struct profile *p = maker_finish(&m);
	const struct profile *profiles[] = {p};

	assert_int_equal(storage_put(store, profiles, 1, NULL, &err), 0);
	profile_free(p);
	if (draw(2))
		assert_int_equal(storage_maintain(store, T0 + step_ns * draw(2 * STEPS), &err), 0);
}

struct question {
	struct query query;
	struct query_names names;
	struct query_filter *filter;
	struct query_context context;
	struct selector *selector;
	uint32_t kind, normal;
	bool by_name;
};

static void question_draw(struct question *q, unsigned *version)
{
	static const char *const selectors[] = {"", "{service=\"a\"}", "{service=\"b\"}"};
	static const char *const patterns[] = {"f1", "g[0-9]$", "l2", "b.c"};
	struct query_filter_text text = {0};
	int64_t from = draw(STEPS), until = from + 1 + draw(STEPS);
	struct err err;

	*version += !draw(8);
	*q = (struct question){.kind = draw(4), .normal = draw(2)};
	q->names = (struct query_names){.arg = version, .epoch = *version, .find = names_find};
	q->query =
	    (struct query){.viewer = {.all = true},
			   .names = &q->names,
			   .range = {T0 + step_ns * from + draw(2) * 1234567, T0 + step_ns * until},
			   .granularity = (enum query_granularity)draw(QUERY_BY_LIBRARY + 1),
			   .max_nodes = draw(2) ? 0 : 1 + draw(30),
			   .context = &q->context};
	assert_int_equal(profile_type_parse(STR("cpu"), &q->query.type, &err), 0);
	assert_int_equal(selector_parse(str_of(selectors[draw(3)]), &q->selector, &err), 0);
	q->query.selector = q->selector;
	*(draw(2) ? &text.focus : &text.hide) = draw(3) ? NULL : patterns[draw(4)];
	text.ignore = draw(4) ? NULL : patterns[draw(4)];
	assert_int_equal(query_filter_new(&text, &q->filter, &err), 0);
	q->query.filter = q->filter;
	if (!draw(4))
		q->context.thread = STR("t1");
	q->query.shape.invert = !draw(6);
	/* Of a tree that was shaped, numbers decide among nodes of one size which are shown. */
	if (text.hide || q->query.shape.invert || q->query.granularity >= QUERY_BY_FILE)
		q->query.max_nodes = 0;
}

static void question_release(struct question *q)
{
	query_filter_free(q->filter);
	selector_free(q->selector);
}

static int write_tree(const struct question *q, struct buf *out)
{
	struct query_tree tree;
	struct query_view view;
	struct err err;

	assert_int_equal(query_tree_init(&tree), 0);
	int rc = query_merge(&q->query, &tree, &err);

	assert_int_equal(query_view_init(&view, &tree, q->query.max_nodes), 0);
	assert_int_equal(query_format_find(STR("json"))->write(&view, out), 0);
	query_view_release(&view);
	query_tree_release(&tree);
	return rc;
}

static int write_table(const struct question *q, struct buf *out)
{
	static const char *const by[] = {"function", "line", "address", "file", "library"};
	struct query_table table;
	struct err err;
	int rc = query_top(&q->query, str_of(by[q->query.granularity]), &table, &err);

	assert_int_equal(query_table_json(&table, 0, out), 0);
	query_table_release(&table);
	return rc;
}

static int write_diff(const struct question *q, struct buf *out)
{
	struct query base = q->query, now = q->query;
	struct query_diff_view view;
	struct query_diff diff;
	struct err err;

	base.range.until_ns = now.range.from_ns = (base.range.from_ns + base.range.until_ns) / 2;
	int rc = query_diff(&base, &now, (enum query_normal)q->normal, &diff, &err);

	assert_int_equal(query_diff_view_init(&view, &diff, now.max_nodes), 0);
	assert_int_equal(query_diff_format_find(STR("json"))->write(&view, out), 0);
	query_diff_view_release(&view);
	query_diff_release(&diff);
	return rc;
}

static int write_timeline(const struct question *q, struct buf *out)
{
	struct query_timeline line;
	struct err err;
	int rc = query_timeline(&q->query, 2 * step_ns, STR("service"), &line, &err);

	assert_int_equal(query_timeline_json(&line, out), 0);
	query_timeline_release(&line);
	return rc;
}

static int ask(struct question *q, struct storage_reader *reader, struct buf *out)
{
	int (*const writers[])(const struct question *q, struct buf *out) = {
	    write_tree, write_table, write_diff, write_timeline};

	buf_init(out, BUF_UNLIMITED);
	q->query.reader = reader;
	int rc = writers[q->kind](q, out);

	assert_true(!rc || rc == -ENOENT);
	return rc;
}

static void warm_readers_answer_as_fresh_ones(void **unused)
{
	size_t answers = 0;

	(void)unused;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct storage_reader *warm, *fresh;
		unsigned version = 1;
		char location[64];
		struct err err;

		state = seed;
		step_ns = steps_ns[seed % ARRAY_LEN(steps_ns)];
		(void)snprintf(location, sizeof(location), "sqlite:%s/%llu", directory,
			       (unsigned long long)seed);
		assert_int_equal(storage_open(location, NULL, &store, &err), 0);
		assert_int_equal(storage_reader_open(store, &warm, &err), 0);
		for (int round = 0; round < ROUNDS; round++) {
			put_some();
			for (int i = 0; i < QUESTIONS; i++) {
				struct question q;
				struct buf is, wanted;

				question_draw(&q, &version);
				assert_int_equal(storage_reader_open(store, &fresh, &err), 0);
				int rc = ask(&q, warm, &is);

				assert_int_equal(ask(&q, fresh, &wanted), rc);
				assert_string_equal(buf_cstr(&is), buf_cstr(&wanted));
				answers += !rc;
				buf_release(&is);
				buf_release(&wanted);
				storage_reader_close(fresh);
				question_release(&q);
			}
		}
		storage_reader_close(warm);
		storage_close(store);
	}
	assert_true(answers > SEEDS * ROUNDS * QUESTIONS / 3);
}

/* A tree made of the largest nodes alone holds what a view of the whole tree shows. */
static void parts_of_trees_are_what_views_show(void **unused)
{
	struct storage_reader *reader;
	unsigned version = 1;
	char location[64];
	struct err err;

	(void)unused;
	state = 77;
	step_ns = SECONDS(610);
	(void)snprintf(location, sizeof(location), "sqlite:%s/parts", directory);
	assert_int_equal(storage_open(location, NULL, &store, &err), 0);
	for (int i = 0; i < 8; i++)
		put_some();
	assert_int_equal(storage_reader_open(store, &reader, &err), 0);
	for (int i = 0; i < 100; i++) {
		int64_t totals[2] = {0}, sums[2] = {0};
		struct query_view views[2];
		struct query_tree trees[2];
		struct question q;
		size_t wanted = 1 + draw(80);

		question_draw(&q, &version);
		q.query.reader = reader;
		q.query.shape.invert = false;
		for (int whole = 0; whole < 2; whole++) {
			q.query.max_nodes = whole ? 0 : wanted;
			assert_int_equal(query_tree_init(&trees[whole]), 0);
			int rc = query_merge(&q.query, &trees[whole], &err);

			assert_true(!rc || rc == -ENOENT);
			assert_int_equal(query_view_init(&views[whole], &trees[whole], wanted), 0);
			for (size_t n = 0; n < views[whole].count; n++) {
				const struct query_tree_node *node = view_node(&views[whole], n);

				totals[whole] += node->total;
				sums[whole] += node->self + query_view_hidden(&views[whole], n);
			}
		}
		assert_int_equal(views[0].count, views[1].count);
		assert_int_equal(views[0].hidden_nodes, views[1].hidden_nodes);
		assert_int_equal(totals[0], totals[1]);
		assert_int_equal(sums[0], trees[0].total);
		assert_int_equal(sums[1], trees[1].total);
		assert_int_equal(trees[0].total, trees[1].total);
		for (int whole = 0; whole < 2; whole++) {
			query_view_release(&views[whole]);
			query_tree_release(&trees[whole]);
		}
		question_release(&q);
	}
	storage_reader_close(reader);
	storage_close(store);
}

static int directory_make(void **unused)
{
	(void)unused;
	return mkdtemp(directory) ? 0 : -1;
}

static int directory_remove(void **unused)
{
	char command[96];

	(void)unused;
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

#define NODES 3000

/* What a leaf gives goes to each node above it, one after the other. */
static void expect_totals(const struct skeleton *s, const struct skeleton_sums *sums)
{
	static int64_t totals[NODES + 1];
	static uint64_t samples[NODES + 1];
	struct skeleton_run run = {0};
	size_t seen = 0;

	memset(totals, 0, sizeof(totals));
	memset(samples, 0, sizeof(samples));
	for (size_t i = 0; i < sums->leaves_count; i++) {
		for (uint32_t node = sums->leaves[i].node;; node = skeleton_parent(s, node)) {
			totals[node] += sums->leaves[i].self;
			samples[node] += sums->leaves[i].samples;
			if (!node)
				break;
		}
	}
	for (size_t i = 0; i < s->tree.nodes_count; i++) {
		assert_int_equal(skeleton_total_of(sums, i)->total, totals[i]);
		assert_int_equal(skeleton_total_of(sums, i)->samples, samples[i]);
		assert_int_equal(skeleton_total_of(sums, i)->touched, samples[i] > 0);
	}
	for (; skeleton_next_run(sums, s->tree.nodes_count, &run); seen = run.end) {
		assert_true(run.at == seen && run.end > run.at);
		for (size_t i = run.at; i < run.end; i++)
			assert_ptr_equal(run.total, skeleton_total_of(sums, i));
	}
	assert_int_equal(seen, s->tree.nodes_count);
}

/* Trees that grow between questions, from a root alone, with few leaves and many, some of which are
 * taken away. */
static void runs_have_the_totals_of_their_nodes(void **unused)
{
	static bool passes[NODES + 1];
	struct skeleton_sums sums = {.with_samples = true};
	struct skeleton s;

	(void)unused;
	assert_int_equal(skeleton_init(&s, false), 0);
	for (int round = 0; round < 60; round++) {
		uint32_t leaves = draw(round % 3 ? 200 : 4);

		for (uint32_t i = draw(120);
		     round && i-- > 0 && s.tree.nodes_count <= NODES - 64;) {
			uint32_t node = draw(2) ? (uint32_t)s.tree.nodes_count - 1
						: draw((uint32_t)s.tree.nodes_count);

			for (uint32_t depth = draw(64); depth-- > 0;)
				assert_int_equal(skeleton_child(&s, node, draw(9), &node), 0);
		}
		for (uint32_t i = 0; i < leaves; i++)
			assert_int_equal(skeleton_add(&sums, draw((uint32_t)s.tree.nodes_count),
						      (int64_t)draw(100) - 20, 1 + draw(5)),
					 0);
		for (size_t i = 0; i < s.tree.nodes_count; i++)
			passes[i] = draw(5);
		if (round % 2)
			assert_int_equal(skeleton_keep(&sums, passes), 0);
		for (size_t i = 0; round % 2 && i < sums.leaves_count; i++)
			assert_true(passes[sums.leaves[i].node]);
		assert_int_equal(skeleton_settle(&sums, &s), 0);
		expect_totals(&s, &sums);
		skeleton_clear(&sums);
	}
	skeleton_sums_release(&sums);
	skeleton_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(runs_have_the_totals_of_their_nodes),
	    cmocka_unit_test(warm_readers_answer_as_fresh_ones),
	    cmocka_unit_test(parts_of_trees_are_what_views_show),
	};

	return cmocka_run_group_tests(tests, directory_make, directory_remove);
}
