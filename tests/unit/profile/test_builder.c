/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "profile/builder.h"

static uint32_t frame_named(struct profile_builder *b, const char *name)
{
	struct profile_frame frame = {0};
	uint32_t id = 0;

	assert_int_equal(
	    profile_builder_string(b, (struct str){name, strlen(name)}, &frame.function), 0);
	assert_int_equal(profile_builder_frame(b, &frame, &id), 0);
	return id;
}

static void equal_stacks_are_one_node(void **state)
{
	struct profile_builder *b = NULL;
	uint32_t first, second, other;

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	uint32_t stack[] = {frame_named(b, "leaf"), frame_named(b, "main")};
	uint32_t sibling[] = {frame_named(b, "twig"), frame_named(b, "main")};

	assert_int_equal(profile_builder_stack(b, stack, 2, &first), 0);
	assert_int_equal(profile_builder_stack(b, stack, 2, &second), 0);
	assert_int_equal(profile_builder_stack(b, sibling, 2, &other), 0);
	assert_int_equal(first, second);
	struct profile *p = profile_builder_finish(b);

	assert_int_equal(p->nodes_count, 4); /* root, main, leaf, twig */
	assert_int_equal(p->nodes[first].parent, p->nodes[other].parent);
	for (size_t i = 1; i < p->nodes_count; i++)
		assert_true(p->nodes[i].parent < i);
	profile_free(p);
}

/* Stacks go on from the one before, and wide nodes from a table: both are what one after the other
 * would be. */
static void stacks_in_any_order_make_one_tree(void **state)
{
	enum { NAMES = 9, STACKS = 2000, DEPTH = 6 };
	struct profile_builder *b[2] = {NULL};
	struct hash128 hashes[STACKS][2];
	size_t nodes[2];

	(void)state;
	for (size_t way = 0; way < 2; way++) {
		const struct profile_counts counts = {NAMES, NAMES, STACKS, 1};
		uint32_t frames[NAMES], node;
		char name[16];

		assert_int_equal(profile_builder_new(NULL, &b[way]), 0);
		if (way)
			assert_int_equal(profile_builder_expect(b[way], &counts), 0);
		for (int i = 0; i < NAMES; i++) {
			(void)snprintf(name, sizeof(name), "f%d", i);
			frames[i] = frame_named(b[way], name);
		}
		for (unsigned n = 0; n < STACKS; n++) {
			unsigned i = way ? STACKS - 1 - n : n, seed = i * 2654435761u;
			uint32_t stack[DEPTH];
			size_t depth = 1 + seed % DEPTH;
			struct hash128 expected = {0};

			for (size_t k = 0; k < depth; k++)
				stack[k] = frames[(seed >> (4 + 4 * k)) % NAMES];
			assert_int_equal(
			    way ? profile_builder_lone_stack(b[way], stack, depth, &node)
				: profile_builder_stack(b[way], stack, depth, &node),
			    0);
			struct profile *p = profile_builder_profile(b[way]);

			hashes[i][way] = p->node_hashes[node];
			for (size_t k = depth; k-- > 0;)
				expected = hash128_chain(
				    expected, profile_frame_identity(p, &p->frames[stack[k]],
								     p->instance.owner));
			assert_true(hash128_equal(expected, p->node_hashes[node]));
			for (size_t k = 0; k < depth; k++, node = p->nodes[node].parent)
				assert_int_equal(p->nodes[node].frame, stack[k]);
			assert_int_equal(node, 0);
		}
		nodes[way] = profile_builder_profile(b[way])->nodes_count;
		profile_builder_free(b[way]);
	}
	assert_int_equal(nodes[0], nodes[1]);
	for (size_t i = 0; i < STACKS; i++)
		assert_true(hash128_equal(hashes[i][0], hashes[i][1]));
}

/* A tree of `names` functions that call each other in every way. */
static struct profile *tree_of(struct profile_builder *b, int names)
{
	const struct profile_label label = {.is_number = true, .number = names};
	uint32_t context, node;
	char name[16];

	for (int i = 0; i < names * names; i++) {
		uint32_t stack[2];

		(void)snprintf(name, sizeof(name), "f%d", i % names);
		stack[0] = frame_named(b, name);
		(void)snprintf(name, sizeof(name), "f%d", i / names);
		stack[1] = frame_named(b, name);
		assert_int_equal(i % 3 == 1 ? profile_builder_lone_stack(b, stack, 2, &node)
				 : i % 3    ? profile_builder_stack(b, stack, 2, &node)
					    : profile_builder_new_stack(b, stack, 2, &node),
				 0);
	}
	assert_int_equal(profile_builder_context(b, &label, 1, &context), 0);
	return profile_builder_take(b);
}

static void what_is_built_next_knows_nothing_of_the_last(void **state)
{
	static const int names[] = {40, 3, 200, 7, 40}; /* 200: more than is kept */
	struct profile_builder *one = NULL;

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &one), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct profile_builder *fresh = NULL;

		if (i)
			assert_int_equal(profile_builder_again(one), 0);
		if (i == 3) { /* and of none that failed */
			struct profile_kind none = {0};
			uint32_t kind;

			assert_int_equal(profile_builder_kind(one, &none, &kind), -E2BIG);
			assert_null(profile_builder_take(one));
			assert_int_equal(profile_builder_again(one), 0);
		}
		assert_int_equal(profile_builder_new(NULL, &fresh), 0);
		struct profile *p = tree_of(one, names[i]), *q = tree_of(fresh, names[i]);

		assert_int_equal(p->strings.count, q->strings.count);
		assert_int_equal(p->frames_count, q->frames_count);
		assert_int_equal(p->contexts_count, q->contexts_count);
		assert_int_equal(p->nodes_count, q->nodes_count);
		assert_memory_equal(p->node_hashes, q->node_hashes,
				    p->nodes_count * sizeof(*p->node_hashes));
		if (i % 2)
			profile_builder_give_back(one, p);
		else
			profile_free(p);
		profile_free(q);
		profile_builder_free(fresh);
	}
	profile_builder_free(one);
}

static uint32_t name_of(struct profile_builder *b, const char *text)
{
	uint32_t string;

	assert_int_equal(profile_builder_name(b, (struct str){text, strlen(text)}, &string), 0);
	return string;
}

/* Names are not looked for, so equal ones have several numbers; what they name is one frame all the
 * same. */
static void named_frames_are_known_by_what_they_say(void **state)
{
	struct profile_builder *b = NULL;
	uint32_t ids[2], other, by_string;

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	struct profile_frame frame = {.line = 7, .start_line = 3};

	for (int i = 0; i < 2; i++) {
		frame.function = name_of(b, "work");
		frame.file = name_of(b, "work.c");
		assert_int_equal(profile_builder_named_frame(b, &frame, &ids[i]), 0);
	}
	assert_int_equal(ids[0], ids[1]);
	for (size_t i = 0; i < 5; i++) { /* each of these is another */
		struct profile_frame changed = frame;

		changed.line += i == 0;
		changed.start_line += i == 1;
		changed.flags |= i == 2 ? PROFILE_FRAME_INLINED : 0;
		changed.function = i == 3 ? name_of(b, "play") : frame.function;
		changed.file = i == 4 ? 0 : frame.file;
		assert_int_equal(profile_builder_named_frame(b, &changed, &other), 0);
		assert_int_equal(other, ids[0] + 1 + i);
	}
	const struct profile *p = profile_builder_profile(b);

	assert_int_equal(profile_builder_string(b, STR("work"), &frame.function), 0);
	assert_int_equal(profile_builder_string(b, STR("work.c"), &frame.file), 0);
	assert_int_equal(profile_builder_frame(b, &frame, &by_string), 0);
	struct hash128 one = profile_frame_identity(p, &p->frames[ids[0]], p->instance.owner);
	struct hash128 same = profile_frame_identity(p, &p->frames[by_string], p->instance.owner);

	assert_true(hash128_equal(one, same));
	assert_int_equal(name_of(b, ""), 0);
	profile_builder_free(b);
}

/* One name a million times is kept a few times only. */
static void names_beyond_what_programs_have_are_looked_for(void **state)
{
	enum { NAMES = 200000 };
	struct profile_builder *b = NULL;

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	for (int i = 0; i < NAMES; i++)
		(void)name_of(b, "again and again");
	assert_in_range(profile_builder_profile(b)->strings.count, 2, NAMES / 2);
	profile_builder_free(b);
}

/* Deep stacks are known as a whole, others by their way down: in both cases the same node. */
static void a_stack_is_found_again_at_any_depth(void **state)
{
	enum { DEPTH = 200 };
	struct profile_builder *b = NULL;
	uint32_t frames[DEPTH], nodes[DEPTH + 1], node;

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	for (uint32_t i = 0; i < DEPTH; i++) {
		struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS, .address = i};

		assert_int_equal(profile_builder_frame(b, &frame, &frames[i]), 0);
	}
	for (size_t round = 0; round < 2; round++)
		for (size_t depth = 0; depth <= DEPTH; depth++) {
			const uint32_t *stack = frames + DEPTH - depth;

			assert_int_equal(profile_builder_lone_stack(b, stack, depth, &node), 0);
			nodes[depth] = round ? nodes[depth] : node;
			assert_int_equal(node, nodes[depth]);
		}
	assert_int_equal(profile_builder_profile(b)->nodes_count, DEPTH + 1);
	profile_builder_free(b);
}

static void identities_hold_between_batches(void **state)
{
	struct hash128 leaf[2], series[2];

	(void)state;
	for (int batch = 0; batch < 2; batch++) {
		struct profile_builder *b = NULL;
		uint32_t node, kind, id;
		struct profile_label labels[2];

		assert_int_equal(profile_builder_new(NULL, &b), 0);
		if (batch)
			(void)frame_named(b, "something else first");
		uint32_t stack[] = {frame_named(b, "leaf"), frame_named(b, "main")};

		assert_int_equal(profile_builder_stack(b, stack, 2, &node), 0);
		assert_int_equal(profile_builder_known_kind(b, PROFILE_KIND_CPU, 10 + batch, &kind),
				 0);
		assert_int_equal(profile_builder_label(b, STR("service"), STR("x"), &labels[batch]),
				 0);
		assert_int_equal(profile_builder_label(b, STR("env"), STR("y"), &labels[!batch]),
				 0);
		assert_int_equal(profile_builder_series(b, kind, labels, 2, &id), 0);
		leaf[batch] = profile_builder_profile(b)->node_hashes[node];
		series[batch] = profile_builder_profile(b)->series[id].identity;
		profile_builder_free(b);
	}
	assert_true(hash128_equal(leaf[0], leaf[1]));
	assert_true(hash128_equal(series[0], series[1]));
}

static bool has_label(const struct profile *p, uint32_t series, const char *key)
{
	return profile_label_find(p, p->series[series].labels, str_of(key)) != NULL;
}

/* Also when it is said twice: the last counts. */
static void a_series_keeps_its_service_whatever_comes_first(void **state)
{
	enum { MANY = 200 };
	static const char *const stay[] = {"service", "version", "env", "host"};
	struct profile_builder *b = NULL;
	struct profile_label labels[MANY + 2 * ARRAY_LEN(stay)];
	size_t count = 0;
	uint32_t kind, series;
	char key[16];

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	for (; count < MANY; count++) {
		(void)snprintf(key, sizeof(key), "label%zu", count);
		assert_int_equal(profile_builder_label(b, str_of(key), STR("x"), &labels[count]),
				 0);
	}
	for (size_t i = 0; i < 2 * ARRAY_LEN(stay); i++)
		assert_int_equal(profile_builder_label(b, str_of(stay[i % ARRAY_LEN(stay)]),
						       i < ARRAY_LEN(stay) ? STR("a") : STR("b"),
						       &labels[count++]),
				 0);
	assert_int_equal(profile_builder_known_kind(b, PROFILE_KIND_CPU, 10, &kind), 0);
	assert_int_equal(profile_builder_series(b, kind, labels, count, &series), 0);
	const size_t most = profile_limits_default.labels_per_series;
	const struct profile *p = profile_builder_profile(b);

	assert_int_equal(profile_builder_cuts(b)->labels_dropped, MANY + ARRAY_LEN(stay) - most);
	assert_int_equal(p->series[series].labels.count, most);
	for (size_t i = 0; i < ARRAY_LEN(stay); i++) {
		const struct profile_label *found =
		    profile_label_find(p, p->series[series].labels, str_of(stay[i]));

		assert_non_null(found);
		assert_string_equal(profile_string(p, found->text).ptr, "b");
	}
	assert_true(has_label(p, series, "label0"));
	assert_false(has_label(p, series, "label199"));
	profile_builder_free(b);
}

static void where_few_labels_may_be_the_service_is_first(void **state)
{
	static const char *const keys[] = {"host", "version", "env", "service"};
	struct profile_limits limits = profile_limits_default;
	struct profile_builder *b = NULL;
	struct profile_label labels[ARRAY_LEN(keys)];
	uint32_t kind, series;

	(void)state;
	limits.labels_per_series = 2;
	assert_int_equal(profile_builder_new(&limits, &b), 0);
	assert_int_equal(profile_builder_known_kind(b, PROFILE_KIND_CPU, 10, &kind), 0);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(profile_builder_label(b, str_of(keys[i]), STR("x"), &labels[i]),
				 0);
	assert_int_equal(profile_builder_series(b, kind, labels, ARRAY_LEN(keys), &series), 0);
	assert_int_equal(profile_builder_cuts(b)->labels_dropped, 2);
	assert_true(has_label(profile_builder_profile(b), series, "service"));
	assert_true(has_label(profile_builder_profile(b), series, "env"));
	profile_builder_free(b);
}

/* An equal key takes its place also where there is no other. */
static void the_last_of_equal_keys_counts_in_a_full_series(void **state)
{
	struct profile_limits limits = profile_limits_default;
	struct profile_builder *b = NULL;
	struct profile_label labels[3];
	uint32_t kind, series;

	(void)state;
	limits.labels_per_series = 2;
	assert_int_equal(profile_builder_new(&limits, &b), 0);
	assert_int_equal(profile_builder_known_kind(b, PROFILE_KIND_CPU, 10, &kind), 0);
	assert_int_equal(profile_builder_label(b, STR("a"), STR("1"), &labels[0]), 0);
	assert_int_equal(profile_builder_label(b, STR("b"), STR("1"), &labels[1]), 0);
	assert_int_equal(profile_builder_label(b, STR("a"), STR("2"), &labels[2]), 0);
	assert_int_equal(profile_builder_series(b, kind, labels, 3, &series), 0);
	const struct profile *p = profile_builder_profile(b);
	const struct profile_label *found =
	    profile_label_find(p, p->series[series].labels, STR("a"));

	assert_int_equal(profile_builder_cuts(b)->labels_dropped, 0);
	assert_string_equal(profile_string(p, found->text).ptr, "2");
	profile_builder_free(b);
}

static void deep_stacks_keep_both_ends(void **state)
{
	enum { DEPTH = 3000 };
	struct profile_builder *b = NULL;
	uint32_t frames[DEPTH], node;

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	for (uint32_t i = 0; i < DEPTH; i++) {
		struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS, .address = i};

		assert_int_equal(profile_builder_frame(b, &frame, &frames[i]), 0);
	}
	assert_int_equal(profile_builder_stack(b, frames, DEPTH, &node), 0);
	assert_int_equal(profile_builder_cuts(b)->stacks_truncated, 1);
	struct profile *p = profile_builder_finish(b);
	size_t depth = 0, marks = 0;
	uint64_t leaf = p->frames[p->nodes[node].frame].address, root = 0;

	for (uint32_t at = node; at; at = p->nodes[at].parent) {
		const struct profile_frame *frame = &p->frames[p->nodes[at].frame];

		depth++;
		root = frame->address;
		marks += !(frame->flags & PROFILE_FRAME_ADDRESS);
	}
	assert_int_equal(depth, PROFILE_STACK_DEPTH_MAX);
	assert_int_equal(marks, 1);
	assert_int_equal(leaf, 0);
	assert_int_equal(root, DEPTH - 1);
	profile_free(p);
}

static void a_depth_below_the_most_is_kept_to(void **state)
{
	enum { DEPTH = 16, DEEPER = 40 };
	int (*const ways[])(struct profile_builder *, const uint32_t *, size_t, uint32_t *) = {
	    profile_builder_stack, profile_builder_new_stack, profile_builder_lone_stack};
	struct profile_limits limits = profile_limits_default;
	uint32_t frames[DEEPER], node;

	(void)state;
	limits.depth = DEPTH;
	for (size_t way = 0; way < ARRAY_LEN(ways); way++) {
		struct profile_builder *b = NULL;

		assert_int_equal(profile_builder_new(&limits, &b), 0);
		for (uint32_t i = 0; i < DEEPER; i++) {
			struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS, .address = i};

			assert_int_equal(profile_builder_frame(b, &frame, &frames[i]), 0);
		}
		assert_int_equal(ways[way](b, frames, DEPTH, &node), 0);
		assert_int_equal(profile_builder_cuts(b)->stacks_truncated, 0);
		assert_int_equal(ways[way](b, frames, DEEPER, &node), 0);
		assert_int_equal(profile_builder_cuts(b)->stacks_truncated, 1);
		const struct profile *p = profile_builder_profile(b);
		size_t depth = 0;

		assert_int_equal(p->nodes[node].frame, frames[0]);
		for (uint32_t at = node; at; at = p->nodes[at].parent, depth++)
			if (!p->nodes[at].parent)
				assert_int_equal(p->nodes[at].frame, frames[DEEPER - 1]);
		assert_int_equal(depth, DEPTH);
		profile_builder_free(b);
	}
}

static int frames_put(struct profile_builder *b, size_t count)
{
	struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS};
	uint32_t id;
	int rc = 0;

	for (; !rc && frame.address < count; frame.address++)
		rc = profile_builder_frame(b, &frame, &id);
	return rc;
}

static int nodes_put(struct profile_builder *b, size_t count,
		     int (*stack)(struct profile_builder *, const uint32_t *, size_t, uint32_t *))
{
	uint32_t frames[16], node;

	for (size_t i = 0; i < ARRAY_LEN(frames); i++)
		frames[i] = frame_named(b, "again");
	return stack(b, frames, count, &node);
}

static int known_nodes_put(struct profile_builder *b, size_t count)
{
	return nodes_put(b, count, profile_builder_stack);
}

static int lone_nodes_put(struct profile_builder *b, size_t count)
{
	return nodes_put(b, count, profile_builder_lone_stack);
}

static int samples_put(struct profile_builder *b, size_t count)
{
	const int64_t values[] = {30, 3};
	struct profile_record record = {.count = 3};
	uint32_t kind;
	int rc = profile_builder_known_kind(b, PROFILE_KIND_CPU, 10, &kind);

	if (!rc)
		rc = profile_builder_series(b, kind, NULL, 0, &record.series);
	for (; !rc && count; count--)
		rc = profile_builder_record(b, &record, values);
	return rc;
}

/* As many of a thing as its limit says go in, and the next names the setting. */
static void limits_are_named(void **state)
{
	static const struct {
		int (*put)(struct profile_builder *b, size_t count);
		const char *words;
	} things[] = {{frames_put, "10 frames (limits.frames)"},
		      {known_nodes_put, "10 stack nodes (limits.stack_nodes)"},
		      {lone_nodes_put, "10 stack nodes (limits.stack_nodes)"},
		      {samples_put, "10 samples (limits.samples)"}};
	struct profile_limits limits = profile_limits_default;

	(void)state;
	limits.frames = limits.nodes = limits.records = 10;
	for (size_t i = 0; i < ARRAY_LEN(things); i++) {
		struct profile_builder *b = NULL;

		assert_int_equal(profile_builder_new(&limits, &b), 0);
		assert_int_equal(things[i].put(b, 10), 0);
		assert_int_equal(profile_builder_again(b), 0);
		assert_int_equal(things[i].put(b, 11), -E2BIG);
		assert_non_null(strstr(profile_builder_error(b), things[i].words));
		assert_null(profile_builder_finish(b));
	}
}

static void text_beyond_its_limit_is_named(void **state)
{
	struct profile_limits limits = profile_limits_default;
	struct profile_builder *b = NULL;
	uint32_t string;

	(void)state;
	limits.string_bytes = 100;
	assert_int_equal(profile_builder_new(&limits, &b), 0);
	assert_int_equal(profile_builder_string(b, STR("short"), &string), 0);
	assert_int_equal(
	    profile_builder_string(b, (struct str){(const char[100]){"x"}, 100}, &string), -E2BIG);
	assert_non_null(
	    strstr(profile_builder_error(b), "100 bytes of text (limits.string_bytes)"));
	profile_builder_free(b);
}

static void types_have_aliases(void **state)
{
	struct profile_type type;
	struct err err;
	char id[PROFILE_TYPE_ID_MAX];

	(void)state;
	assert_int_equal(profile_type_parse(STR("inuse_space"), &type, &err), 0);
	assert_int_equal(profile_type_format(&type, id), 0);
	assert_string_equal(id, "memory:inuse_space:bytes:space:bytes");
	assert_int_equal(profile_type_parse((struct str){id, strlen(id)}, &type, &err), 0);
	assert_string_equal(profile_type_alias(&type), "inuse_space");
	assert_true(profile_type_is_gauge(type.type));
	assert_int_equal(profile_type_parse(STR("a:b:c"), &type, &err), -EINVAL);
	assert_int_equal(profile_type_parse(STR("a:b:c:d:e:f"), &type, &err), -EINVAL);
}

/* Whatever a client calls a type, its id can be asked for. */
static void every_type_can_be_asked_for(void **state)
{
	char longer[200], first[PROFILE_TYPE_ID_MAX] = "", id[PROFILE_TYPE_ID_MAX];
	struct profile_builder *b = NULL;
	struct profile_kind kind = {.columns_count = 1};
	struct profile_type type, parsed;
	uint32_t number;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	for (char last = 'a'; last <= 'b'; last++) {
		longer[sizeof(longer) - 1] = last;
		assert_int_equal(
		    profile_builder_string(b, (struct str){longer, sizeof(longer)}, &kind.name), 0);
		assert_int_equal(
		    profile_builder_string(b, STR("sched:sched_switch"), &kind.columns[0].type), 0);
		kind.columns[0].unit = kind.period_type = kind.period_unit = kind.name;
		assert_int_equal(profile_builder_kind(b, &kind, &number), 0);
		struct profile *p = profile_builder_profile(b);

		profile_column_type(p, &p->kinds[number], 0, &type);
		assert_true(str_is(type.type, "sched_sched_switch"));
		assert_int_equal(type.name.len, PROFILE_TYPE_PART_MAX);
		assert_int_equal(profile_type_format(&type, id), 0);
		assert_int_equal(profile_type_parse((struct str){id, strlen(id)}, &parsed, NULL),
				 0);
		assert_int_equal(parsed.name.len, type.name.len);
		assert_memory_equal(parsed.name.ptr, type.name.ptr, type.name.len);
		assert_string_not_equal(id, first);
		memcpy(first, id, sizeof(id));
	}
	profile_free(profile_builder_finish(b));
}

static void records_keep_their_values(void **state)
{
	struct profile_builder *b = NULL;
	uint32_t kind, series, context;
	struct profile_label label;
	const int64_t values[] = {30, 3};

	(void)state;
	assert_int_equal(profile_builder_new(NULL, &b), 0);
	assert_int_equal(profile_builder_known_kind(b, PROFILE_KIND_CPU, 10, &kind), 0);
	assert_int_equal(profile_builder_label(b, STR("thread name"), STR("worker"), &label), 0);
	assert_int_equal(profile_builder_series(b, kind, NULL, 0, &series), 0);
	assert_int_equal(profile_builder_context(b, &label, 1, &context), 0);
	struct profile_record record = {.series = series, .context = context, .count = 3};

	assert_int_equal(profile_builder_record(b, &record, values), 0);
	struct profile *p = profile_builder_finish(b);
	const struct profile_label *found =
	    profile_label_find(p, p->contexts[p->records[0].context], STR("thread name"));

	assert_non_null(found);
	assert_string_equal(profile_string(p, found->text).ptr, "worker");
	assert_int_equal(p->values[p->records[0].values_at + 1], 3);
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_stacks_are_one_node),
	    cmocka_unit_test(stacks_in_any_order_make_one_tree),
	    cmocka_unit_test(what_is_built_next_knows_nothing_of_the_last),
	    cmocka_unit_test(named_frames_are_known_by_what_they_say),
	    cmocka_unit_test(names_beyond_what_programs_have_are_looked_for),
	    cmocka_unit_test(a_stack_is_found_again_at_any_depth),
	    cmocka_unit_test(identities_hold_between_batches),
	    cmocka_unit_test(a_series_keeps_its_service_whatever_comes_first),
	    cmocka_unit_test(where_few_labels_may_be_the_service_is_first),
	    cmocka_unit_test(the_last_of_equal_keys_counts_in_a_full_series),
	    cmocka_unit_test(deep_stacks_keep_both_ends),
	    cmocka_unit_test(a_depth_below_the_most_is_kept_to),
	    cmocka_unit_test(limits_are_named),
	    cmocka_unit_test(text_beyond_its_limit_is_named),
	    cmocka_unit_test(types_have_aliases),
	    cmocka_unit_test(every_type_can_be_asked_for),
	    cmocka_unit_test(records_keep_their_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
