/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "base/varint.h"
#include "storage/codec.h"
#include "storage/dict.h"
#include "tests/support/profiles.h"

static struct profile *sample(int variant)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	if (variant)
		maker_series(&m, PROFILE_KIND_WALL, "service=other");
	maker_series(&m, PROFILE_KIND_CPU, "service=a,env=prod");
	maker_context(&m, "thread=x,span=#-9");
	maker_record(&m, "main;a;0x10@app;b", T0, 1, 1, 1);
	maker_record(&m, variant ? "main;a;c" : "main;d", T0, 1, 1, 1);
	return maker_finish(&m);
}

static struct dict_tables tables_of(const struct profile *p)
{
	return (struct dict_tables){.strings = p->strings.strings,
				    .strings_count = p->strings.count,
				    .modules = p->modules,
				    .modules_count = p->modules_count,
				    .frames = p->frames,
				    .frame_identities = p->frame_identities,
				    .identities_count = p->frame_identities ? p->frames_count : 0,
				    .frames_count = p->frames_count,
				    .nodes = p->nodes,
				    .node_hashes = p->node_hashes,
				    .nodes_count = p->nodes_count,
				    .labels = p->labels,
				    .labels_count = p->labels_count,
				    .contexts = p->contexts,
				    .contexts_count = p->contexts_count};
}

static void import_all(struct dict *d, const struct profile *p, uint32_t *ret_leaf)
{
	struct dict_tables from = tables_of(p);
	struct dict_import im;
	uint32_t id;

	assert_int_equal(dict_import_init(&im, d, &from), 0);
	for (size_t i = 0; i < p->records_count; i++)
		assert_int_equal(dict_import_node(&im, p->records[i].node, &id), 0);
	assert_int_equal(dict_import_node(&im, p->records[0].node, ret_leaf), 0);
	assert_int_equal(dict_import_context(&im, p->records[0].context, &id), 0);
	assert_int_equal(dict_import_instance(&im, &p->instance, &id), 0);
	dict_import_release(&im);
}

static void equal_things_get_one_number(void **state)
{
	struct profile *a = sample(0), *b = sample(1);
	struct dict d;
	uint32_t first, second;

	(void)state;
	assert_int_equal(dict_init(&d, true), 0);
	import_all(&d, a, &first);
	size_t nodes = d.t.nodes_count, contexts = d.t.contexts_count;

	import_all(&d, b, &second);
	assert_int_equal(first, second);
	assert_int_equal(d.t.nodes_count, nodes + 1); /* only main;a;c is new */
	assert_int_equal(d.t.contexts_count, contexts);
	assert_int_equal(d.t.instances_count, 2);
	for (uint32_t i = 1; i < d.t.nodes_count; i++)
		assert_true(dict_node(&d.t, i).parent < i);
	dict_release(&d);
	profile_free(a);
	profile_free(b);
}

/* Frames are looked up in groups: a stack of several groups, with frames that come again within one
 * and across. */
static void long_stacks_name_each_frame_once(void **state)
{
	enum { DEPTH = 300, NAMES = 90 };
	struct maker m;
	struct buf stack CLEANUP(buf_release);
	struct dict d;
	uint32_t first, again;

	(void)state;
	buf_init(&stack, BUF_UNLIMITED);
	for (int i = 0; i < DEPTH; i++)
		(void)buf_printf(&stack, "%sname_%d", i ? ";" : "", i % 3 ? i % NAMES : i % 5);
	(void)buf_add_byte(&stack, '\0');
	maker_init(&m, 1000, 1);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, stack.data, T0, 1, 1, 1);
	struct profile *p = maker_finish(&m);

	assert_int_equal(dict_init(&d, true), 0);
	import_all(&d, p, &first);
	assert_int_equal(d.t.frames_count, p->frames_count);
	assert_int_equal(d.t.nodes_count, DEPTH + 1);
	for (uint32_t node = p->records[0].node, to = first; node; node = p->nodes[node].parent) {
		struct str a = d.t.strings[d.t.frames[dict_node(&d.t, to).frame].function];

		assert_string_equal(
		    a.ptr, profile_string(p, p->frames[p->nodes[node].frame].function).ptr);
		to = dict_node(&d.t, to).parent;
	}
	size_t strings = d.t.strings_count;

	import_all(&d, p, &again);
	assert_int_equal(first, again);
	assert_int_equal(d.t.strings_count, strings);
	assert_int_equal(d.t.nodes_count, DEPTH + 1);
	dict_release(&d);
	profile_free(p);
}

static void expect_hashes(struct dict *a, struct dict *b)
{
	const struct hash128 *ours = dict_hashes(a), *theirs = dict_hashes(b);

	assert_non_null(ours);
	assert_non_null(theirs);
	assert_memory_equal(ours, theirs, b->t.nodes_count * sizeof(*ours));
}

static void expect_nodes(struct dict *read, struct dict *want)
{
	assert_int_equal(read->t.nodes_count, want->t.nodes_count);
	for (uint32_t i = 0; i < want->t.nodes_count; i++) {
		assert_int_equal(dict_node(&read->t, i).parent, dict_node(&want->t, i).parent);
		assert_int_equal(dict_node(&read->t, i).frame, dict_node(&want->t, i).frame);
	}
	expect_hashes(read, want);
}

static struct profile *of_process(unsigned instance)
{
	struct maker m;

	maker_init(&m, 1000, instance);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, "main;0x10;leaf", T0, 1, 1, 1);
	maker_record(&m, "main;0x10;0x20", T0, 1, 1, 1);
	return maker_finish(&m);
}

static void same_number_again(struct dict *d, const struct profile *p, uint32_t number)
{
	size_t nodes = d->t.nodes_count;
	uint32_t again;

	import_all(d, p, &again);
	assert_int_equal(again, number);
	assert_int_equal(d->t.nodes_count, nodes);
}

/* Code without a file is another's in another process: its address is the same, and so is its
 * frame.  So it is in what another dictionary takes over, and in one that was read again. */
static void code_of_a_process_is_its_own(void **state)
{
	struct profile *p[] = {of_process(1), of_process(2), of_process(0)};
	struct dict d, other, read;
	struct buf segment CLEANUP(buf_release);
	struct dict_pieces pieces;
	struct dict_import im;
	uint32_t leaves[3], leaf;

	(void)state;
	buf_init(&segment, BUF_UNLIMITED);
	assert_int_equal(dict_init(&d, true), 0);
	assert_int_equal(dict_init(&other, true), 0);
	assert_int_equal(dict_init(&read, true), 0);
	d.owner = other.owner = read.owner = 1000;
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		import_all(&d, p[i], &leaves[i]);
	assert_int_equal(d.t.frames_count, 1 + 4);
	assert_int_equal(d.t.nodes_count, 1 + 1 + 3 * 3);
	assert_int_equal(dict_import_init(&im, &other, &d.t), 0);
	for (uint32_t i = 1; i < d.t.nodes_count; i++)
		assert_int_equal(dict_import_node(&im, i, &leaf), 0);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		const struct hash128 *want = &p[i]->node_hashes[p[i]->records[0].node];

		assert_true(hash128_equal(dict_hashes(&d)[leaves[i]], *want));
		same_number_again(&d, p[i], leaves[i]);
		assert_int_equal(dict_import_node(&im, leaves[i], &leaf), 0);
		assert_true(hash128_equal(dict_hashes(&other)[leaf], *want));
		same_number_again(&other, p[i], leaf);
	}
	dict_import_release(&im);
	assert_int_equal(dict_encode(&d, &segment, &pieces), 0);
	assert_int_equal(dict_decode(&read, (struct str){segment.data, segment.len}), 0);
	expect_hashes(&read, &d);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		same_number_again(&read, p[i], leaves[i]);
		profile_free(p[i]);
	}
	dict_release(&d);
	dict_release(&other);
	dict_release(&read);
}

/* Segments written one after the other give a reader the same tables. */
static void segments_rebuild_the_dictionary(void **state)
{
	struct dict d, read;

	(void)state;
	assert_int_equal(dict_init(&d, true), 0);
	assert_int_equal(dict_init(&read, false), 0);
	for (int variant = 0; variant < 2; variant++) {
		struct profile *p = sample(variant);
		struct buf segment CLEANUP(buf_release);
		struct dict_pieces pieces;
		uint32_t leaf;

		buf_init(&segment, BUF_UNLIMITED);
		import_all(&d, p, &leaf);
		assert_true(dict_is_dirty(&d));
		assert_int_equal(dict_encode(&d, &segment, &pieces), 0);
		assert_false(dict_is_dirty(&d));
		assert_int_equal(dict_decode(&read, (struct str){segment.data, segment.len}), 0);
		profile_free(p);
	}
	expect_nodes(&read, &d);
	assert_memory_equal(read.t.frames, d.t.frames, d.t.frames_count * sizeof(*d.t.frames));
	assert_memory_equal(read.t.modules, d.t.modules, d.t.modules_count * sizeof(*d.t.modules));
	assert_memory_equal(read.t.labels, d.t.labels, d.t.labels_count * sizeof(*d.t.labels));
	assert_int_equal(read.t.strings_count, d.t.strings_count);
	for (size_t i = 0; i < d.t.strings_count; i++)
		assert_string_equal(read.t.strings[i].ptr, d.t.strings[i].ptr);
	dict_release(&d);
	dict_release(&read);
}

/* Long enough that its nodes stand apart, as chains that hang on one another. */
static void make_long(struct dict *d)
{
	uint32_t random = 1;

	assert_int_equal(dict_init(d, true), 0);
	for (uint32_t i = 1; i <= 500; i++)
		assert_int_equal(dict_add_frame(d, &(struct profile_frame){.line = i}), 0);
	for (uint32_t i = 1; i <= 1500; i++) {
		random = random * 1664525 + 1013904223;
		struct profile_node node = {.parent = i % 300 ? i - 1 : i / 2,
					    .frame = 1 + (random >> 16) % 500};

		assert_int_equal(dict_add_node(d, node, NULL), 0);
	}
}

/* A segment alone has the same nodes, for a reader and for a writer. */
static void expect_segment(struct str segment, struct dict *want, bool indexed)
{
	struct dict read;

	assert_int_equal(dict_init(&read, indexed), 0);
	assert_int_equal(dict_decode(&read, segment), 0);
	expect_nodes(&read, want);
	dict_release(&read);
}

static void a_long_segment_rebuilds_its_nodes(void **state)
{
	struct buf segment CLEANUP(buf_release);
	struct dict_pieces pieces;
	struct dict d, read;

	(void)state;
	buf_init(&segment, BUF_UNLIMITED);
	make_long(&d);
	assert_int_equal(dict_encode(&d, &segment, &pieces), 0);
	assert_true(pieces.count > 1 && pieces.ends[pieces.count - 1] == segment.len);
	expect_segment((struct str){segment.data, segment.len}, &d, false);
	expect_segment((struct str){segment.data, segment.len}, &d, true);
	for (size_t at = 0; at < segment.len; at += at % 5 + 1) {
		char was = segment.data[at];

		segment.data[at] = (char)(was ^ 0x80); /* a varint goes on, or does not */
		assert_int_equal(dict_init(&read, false), 0);
		int rc = dict_decode(&read, (struct str){segment.data, segment.len});

		assert_true(rc == 0 || rc == -EBADMSG);
		for (uint32_t i = 1; i < read.t.nodes_count; i++)
			assert_true(dict_node(&read.t, i).parent < i &&
				    dict_node(&read.t, i).frame < read.t.frames_count);
		dict_release(&read);
		assert_int_equal(dict_init(&read, false), 0);
		assert_int_equal(dict_decode(&read, (struct str){segment.data, at}), -EBADMSG);
		dict_release(&read);
		segment.data[at] = was;
	}
	dict_release(&d);
}

/* A long segment as releases up to L0's schema 3 wrote it: in one piece, and of the nodes' frames
 * first the first bytes of their varints. */
static void a_long_segment_of_a_former_release_is_read(void **state)
{
	struct buf old CLEANUP(buf_release), frames CLEANUP(buf_release);
	struct dict d;
	int64_t before = 0;

	(void)state;
	buf_init(&old, BUF_UNLIMITED);
	buf_init(&frames, BUF_UNLIMITED);
	make_long(&d);
	const uint64_t head[] = {0, 0, d.t.frames_count - 1}; /* strings, modules */

	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		assert_int_equal(buf_add_varint(&old, head[i]), 0);
	for (size_t i = 1; i < d.t.frames_count; i++) {
		assert_int_equal(buf_add(&old, "\0\0\0\0\0", 5), 0);
		assert_int_equal(buf_add_varint(&old, d.t.frames[i].line), 0);
		assert_int_equal(buf_add_varint(&old, 0), 0);
	}
	assert_int_equal(buf_add_varint(&old, d.t.nodes_count - 1), 0);
	for (uint32_t i = 1; i < d.t.nodes_count; i++) {
		assert_int_equal(
		    buf_add_varint(&old, zigzag_put(dict_node(&d.t, i).parent - before)), 0);
		assert_int_equal(buf_add_varint(&frames, dict_node(&d.t, i).frame), 0);
		before = dict_node(&d.t, i).parent;
	}
	assert_int_equal(buf_add_varint(&old, 2), 0);
	codec_put_plane(&old, frames.data, frames.len, true);
	codec_put_plane(&old, frames.data, frames.len, false);
	/* strange, contexts, series, instances */
	assert_int_equal(buf_add(&old, "\0\0\0\0", 4), 0);
	expect_segment((struct str){old.data, old.len}, &d, false);
	dict_release(&d);
}

/* An import that is kept goes on where its tables have grown and moved. */
static void an_import_follows_tables_that_grow(void **state)
{
	struct dict from, to;
	struct dict_import im;
	uint32_t first, again, last;

	(void)state;
	make_long(&from);
	assert_int_equal(dict_init(&to, true), 0);
	assert_int_equal(dict_import_init(&im, &to, &from.t), 0);
	assert_int_equal(dict_import_node(&im, 700, &first), 0);
	assert_int_equal(to.t.nodes_count, 253);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(
		    dict_add_node(&from, (struct profile_node){1500, 1}, &(struct hash128){i, 7}),
		    0);
	assert_int_equal(dict_import_follow(&im, &from.t), 0);
	assert_int_equal(dict_import_node(&im, 700, &again), 0);
	assert_int_equal(first, again);
	assert_int_equal(dict_import_node(&im, 6500, &last), 0);
	assert_int_equal(to.t.nodes_count, 305);
	assert_true(hash128_equal(dict_hashes(&to)[last], (struct hash128){4999, 7}));
	dict_import_release(&im);
	/* Another dictionary in the same place is another. */
	uint64_t id = to.id;

	dict_release(&to);
	assert_int_equal(dict_init(&to, true), 0);
	assert_true(to.id != id && to.id != from.id);
	dict_release(&to);
	dict_release(&from);
}

#define TREE_FRAMES 12

static uint32_t drawn(uint64_t *state, size_t below)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((*state >> 33) % below);
}

/* Chains that branch off anywhere, of few frames; one node in thirty is told. */
static void grow_tree(struct dict *d, uint64_t *state, size_t nodes)
{
	uint32_t id;

	for (uint32_t i = 1; d->t.frames_count <= TREE_FRAMES; i++) {
		char name[2] = {(char)('a' + i), 0};

		assert_int_equal(dict_add_string(d, (struct str){name, 1}, &id), 0);
		assert_int_equal(dict_add_frame(d, &(struct profile_frame){.function = id}), 0);
	}
	while (nodes--) {
		struct hash128 told = {d->id, d->t.nodes_count};
		struct profile_node node = {(uint32_t)d->t.nodes_count - 1,
					    1 + drawn(state, TREE_FRAMES)};

		if (!drawn(state, 6))
			node.parent = drawn(state, d->t.nodes_count);
		assert_int_equal(dict_add_node(d, node, drawn(state, 30) ? NULL : &told), 0);
	}
}

static int compare_hashes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash128));
}

/* Whatever was asked for before, and whatever is there: the same stack, once, and the same number
 * for it again. */
static void import_some(struct dict_import *im, struct dict *from, uint64_t *state)
{
	for (uint32_t i = 0, number, again; i < 40; i++) {
		uint32_t node = drawn(state, from->t.nodes_count);

		assert_int_equal(dict_import_node(im, node, &number), 0);
		assert_int_equal(dict_import_node(im, node, &again), 0);
		assert_int_equal(number, again);
		assert_true(hash128_equal(dict_hashes(im->to)[number], dict_hashes(from)[node]));
	}
}

static void stacks_of_a_dictionary_come_over_in_any_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct dict from[2], to;
		struct dict_import im[2];
		uint64_t random = seed;

		assert_int_equal(dict_init(&to, true), 0);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(dict_init(&from[i], true), 0);
			grow_tree(&from[i], &random, 100);
			assert_int_equal(dict_import_init(&im[i], &to, &from[i].t), 0);
		}
		for (int turn = 0; turn < 6; turn++) {
			struct dict *d = &from[turn % 2];

			grow_tree(d, &random, drawn(&random, 40));
			assert_int_equal(dict_import_follow(&im[turn % 2], &d->t), 0);
			import_some(&im[turn % 2], d, &random);
		}
		struct hash128 *hashes = calloc(to.t.nodes_count, sizeof(*hashes));

		assert_non_null(hashes);
		memcpy(hashes, dict_hashes(&to), to.t.nodes_count * sizeof(*hashes));
		qsort(hashes, to.t.nodes_count, sizeof(*hashes), compare_hashes);
		for (size_t i = 1; i < to.t.nodes_count; i++)
			assert_false(hash128_equal(hashes[i - 1], hashes[i]));
		free(hashes);
		for (int i = 0; i < 2; i++) {
			dict_import_release(&im[i]);
			dict_release(&from[i]);
		}
		dict_release(&to);
	}
}

static void a_damaged_segment_is_refused(void **state)
{
	struct profile *p = sample(0);
	struct buf segment CLEANUP(buf_release);
	struct dict_pieces pieces;
	struct dict d;
	uint32_t leaf;
	size_t refused = 0;

	(void)state;
	buf_init(&segment, BUF_UNLIMITED);
	assert_int_equal(dict_init(&d, true), 0);
	import_all(&d, p, &leaf);
	assert_int_equal(dict_encode(&d, &segment, &pieces), 0);
	dict_release(&d);
	for (size_t at = 0; at < segment.len; at++) {
		for (int bit = 0; bit < 8; bit++) {
			segment.data[at] = (char)(segment.data[at] ^ (1 << bit));
			assert_int_equal(dict_init(&d, false), 0);
			int rc = dict_decode(&d, (struct str){segment.data, segment.len});

			assert_true(rc == 0 || rc == -EBADMSG);
			refused += rc != 0;
			for (uint32_t i = 1; i < d.t.nodes_count; i++)
				assert_true(dict_node(&d.t, i).parent < i &&
					    dict_node(&d.t, i).frame < d.t.frames_count);
			dict_release(&d);
			segment.data[at] = (char)(segment.data[at] ^ (1 << bit));
		}
		assert_int_equal(dict_init(&d, false), 0);
		assert_int_equal(dict_decode(&d, (struct str){segment.data, at}), -EBADMSG);
		dict_release(&d);
	}
	assert_true(refused > 100);
	profile_free(p);
}

/* A segment is unpacked as a whole. */
static void much_text_is_several_segments(void **state)
{
	size_t len = DICT_SEGMENT_TEXT / 3 * 2, segments = 0;
	char *text CLEANUP(cleanup_free) = malloc(len);
	struct dict d, read;
	uint32_t ids[3], leaf;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	assert_int_equal(dict_init(&d, true), 0);
	assert_int_equal(dict_init(&read, false), 0);
	for (int i = 0; i < 3; i++) {
		struct profile *p = sample(i & 1);

		text[0] = (char)('a' + i);
		assert_int_equal(dict_add_string(&d, (struct str){text, len}, &ids[i]), 0);
		import_all(&d, p, &leaf);
		profile_free(p);
	}
	for (; dict_is_dirty(&d); segments++) {
		struct buf segment CLEANUP(buf_release);
		struct dict_pieces pieces;

		buf_init(&segment, DICT_SEGMENT_TEXT + 4096);
		assert_int_equal(dict_encode(&d, &segment, &pieces), 0);
		assert_int_equal(
		    dict_decode(&read, (struct str){(const char *)segment.data, segment.len}), 0);
	}
	assert_int_equal(segments, 3);
	assert_int_equal(read.t.nodes_count, d.t.nodes_count);
	assert_int_equal(read.t.strings_count, d.t.strings_count);
	assert_int_equal(read.t.contexts_count, d.t.contexts_count);
	for (int i = 0; i < 3; i++)
		assert_true(read.t.strings[ids[i]].len == len &&
			    read.t.strings[ids[i]].ptr[0] == 'a' + i);
	assert_memory_equal(dict_hashes(&read), dict_hashes(&d),
			    d.t.nodes_count * sizeof(struct hash128));
	dict_release(&read);
	dict_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_things_get_one_number),
	    cmocka_unit_test(long_stacks_name_each_frame_once),
	    cmocka_unit_test(code_of_a_process_is_its_own),
	    cmocka_unit_test(segments_rebuild_the_dictionary),
	    cmocka_unit_test(a_damaged_segment_is_refused),
	    cmocka_unit_test(a_long_segment_rebuilds_its_nodes),
	    cmocka_unit_test(a_long_segment_of_a_former_release_is_read),
	    cmocka_unit_test(much_text_is_several_segments),
	    cmocka_unit_test(an_import_follows_tables_that_grow),
	    cmocka_unit_test(stacks_of_a_dictionary_come_over_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
