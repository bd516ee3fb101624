/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters, shapes, contexts, timelines and diffs against a slow reference: lists of stacks that are
 * changed one by one, as each operation is defined, on many random profiles with fixed seeds.
 */
#include "tests/cmocka.h"

#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "query/diff.h"
#include "query/filter.h"
#include "query/format.h"
#include "tests/support/profiles.h"

#define SEEDS 400
#define SAMPLES_MAX 40
#define DEPTH_MAX 8
#define FRAMES_MAX (2 * DEPTH_MAX)
#define LIBRARIES 3
#define STEPS 6

/* ---- what is random, and how it comes out of a seed ---- */

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % below;
}

/* ---- the reference's world ---- */

struct frame {
	char function[16], file[16], path[32];
};

struct sample {
	struct frame frames[FRAMES_MAX]; /* root first */
	size_t depth;
	int64_t value;
	uint32_t count, step, thread, bytes;
	bool is_new; /* of service b */
};

struct world {
	struct sample samples[SAMPLES_MAX];
	size_t count;
};

/* An address k of library n: ok calls ik, which was inlined. */
static void frame_add(struct sample *s, char *stack)
{
	struct frame *f = &s->frames[s->depth];
	uint32_t k = draw(6);

	if (*stack)
		strcat(stack, ";");
	if (draw(3)) {
		(void)snprintf(f->function, sizeof(f->function), "f%u", k);
		strcat(stack, f->function);
		s->depth++;
		return;
	}
	for (int inner = 0; inner < 2; inner++) {
		(void)snprintf(f[inner].function, sizeof(f->function), "%c%u", "oi"[inner], k);
		(void)snprintf(f[inner].file, sizeof(f->file), "d%u/%c.c", k % 2, "oi"[inner]);
		(void)snprintf(f[inner].path, sizeof(f->path), "/opt/%u/lib%u.so", k % LIBRARIES,
			       k % LIBRARIES);
	}
	(void)sprintf(stack + strlen(stack), "0x%x@%s", 0x100 + k, f->path);
	s->depth += 2;
}

static size_t names_find(void *arg, const struct profile_module *module, uint32_t owner,
			 uint64_t address, bool is_file_offset,
			 struct query_name names[QUERY_INLINES_MAX])
{
	static const char *const functions[2][6] = {{"i0", "i1", "i2", "i3", "i4", "i5"},
						    {"o0", "o1", "o2", "o3", "o4", "o5"}};
	static const char *const files[2][2] = {{"d0/i.c", "d1/i.c"}, {"d0/o.c", "d1/o.c"}};
	size_t k = (size_t)(address - 0x100);

	(void)arg;
	(void)module;
	(void)owner;
	(void)is_file_offset;
	if (k >= 6)
		return 0;
	for (size_t outer = 0; outer < 2; outer++)
		names[outer] = (struct query_name){functions[outer][k], files[outer][k % 2], 0, 0};
	return 2;
}

static void sample_make(struct sample *s, struct maker *m)
{
	char stack[512] = "", context[64];

	*s = (struct sample){.value = 1 + draw(100),
			     .count = 1 + draw(5),
			     .step = draw(STEPS),
			     .thread = draw(3),
			     .bytes = draw(4)};
	for (uint32_t depth = 1 + draw(DEPTH_MAX); depth--;)
		frame_add(s, stack);
	(void)snprintf(context, sizeof(context), "thread name=t%u,bytes=#%u,span id=#%u", s->thread,
		       s->bytes << 10, s->bytes + 1);
	maker_context(m, context);
	maker_record(m, stack, T0 + SECONDS(10) * s->step + draw(9999), s->count, (int)s->value,
		     (int)s->value);
}

static struct storage *store;
static struct storage_reader *reader;

static void world_make(struct world *w, uint64_t seed)
{
	struct err err;

	state = seed;
	w->count = 0;
	assert_int_equal(storage_open("memory:", NULL, &store, &err), 0);
	for (int side = 0; side < 2; side++) {
		struct maker m;

		maker_init(&m, 1000, 1 + (unsigned)side);
		maker_series(&m, PROFILE_KIND_CPU,
			     side ? "service=b,env=prod" : "service=a,env=dev");
		for (uint32_t n = 1 + draw(SAMPLES_MAX / 2); n--;) {
			sample_make(&w->samples[w->count], &m);
			w->samples[w->count++].is_new = side;
		}
		struct profile *p = maker_finish(&m);
		const struct profile *profiles[] = {p};

		assert_int_equal(storage_put(store, profiles, 1, NULL, &err), 0);
		profile_free(p);
	}
	assert_int_equal(storage_reader_open(store, &reader, &err), 0);
}

static void world_end(void)
{
	storage_reader_close(reader);
	storage_close(store);
}

/* ---- a question, drawn ---- */

struct asked {
	const char *focus, *ignore, *hide, *show, *show_from, *tagfocus, *tagignore;
	uint32_t thread, span; /* 1 above; 0: any */
	bool collapse, invert;
	char sandwich[16];
	enum query_side side;
	char path[3][16];
	size_t path_count;
};

static const char *pattern_maybe(uint32_t one_in)
{
	static const char *const patterns[] = {"f1",   "f[2-4]", "^o",    "i0$",     "d1/",
					       "lib1", "/opt/2", "f0|f5", "^f[^0]$", "o|i"};

	return draw(one_in) ? NULL : patterns[draw(ARRAY_LEN(patterns))];
}

static const char *tag_maybe(void)
{
	static const char *const tags[] = {"t1",           "thread name=t[02]", "bytes=1kb:2kb",
					   "1024b:",       "env=prod",          "service:b",
					   "name:t1,prod", "env=dev,t"};

	return draw(6) ? NULL : tags[draw(ARRAY_LEN(tags))];
}

static void question_draw(struct asked *q)
{
	*q = (struct asked){.focus = pattern_maybe(3),
			    .ignore = pattern_maybe(4),
			    .hide = pattern_maybe(4),
			    .show = pattern_maybe(5),
			    .show_from = pattern_maybe(5),
			    .tagfocus = tag_maybe(),
			    .tagignore = tag_maybe(),
			    .thread = draw(6) ? 0 : 1 + draw(3),
			    .span = draw(6) ? 0 : 1 + draw(4),
			    .collapse = !draw(3),
			    .invert = !draw(3),
			    .side = draw(2) ? QUERY_CALLEES : QUERY_CALLERS};
	if (!draw(4))
		(void)snprintf(q->sandwich, sizeof(q->sandwich), "%c%u", "foi"[draw(3)], draw(6));
	if (!draw(4))
		for (uint32_t n = 1 + draw(2); n--; q->path_count++)
			(void)snprintf(q->path[q->path_count], 16, "f%u", draw(6));
}

/* ---- the reference: one sample at a time ---- */

static bool finds(const char *pattern, const char *text)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	bool found = regexec(&regex, text, 0, NULL, 0) == 0;

	regfree(&regex);
	return found;
}

static bool frame_matches(const char *pattern, const struct frame *f)
{
	return finds(pattern, f->function) || finds(pattern, f->file) || finds(pattern, f->path);
}

static bool any_matches(const char *pattern, const struct sample *s)
{
	for (size_t i = 0; i < s->depth; i++)
		if (frame_matches(pattern, &s->frames[i]))
			return true;
	return false;
}

static void frames_keep(struct sample *s, const char *pattern, bool matching)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->depth; i++)
		if (frame_matches(pattern, &s->frames[i]) == matching)
			s->frames[kept++] = s->frames[i];
	s->depth = kept;
}

static void frames_from(struct sample *s, size_t first)
{
	memmove(s->frames, s->frames + first, (s->depth - first) * sizeof(s->frames[0]));
	s->depth -= first;
}

/* The tags of tag_maybe, each as pprof's manual means it. */
static bool tag_holds(const char *tag, const struct sample *s)
{
	bool is_prod = s->is_new;

	if (!strcmp(tag, "t1"))
		return s->thread == 1; /* "thread name:t1" */
	if (!strcmp(tag, "thread name=t[02]"))
		return s->thread != 1;
	if (!strcmp(tag, "bytes=1kb:2kb"))
		return s->bytes == 1 || s->bytes == 2;
	if (!strcmp(tag, "1024b:"))
		return s->bytes >= 1;
	if (!strcmp(tag, "env=prod") || !strcmp(tag, "service:b"))
		return is_prod;
	if (!strcmp(tag, "name:t1,prod"))
		return s->thread == 1 && is_prod;
	assert_string_equal(tag, "env=dev,t"); /* either of them */
	return !is_prod;
}

static bool filter_one(const struct asked *q, struct sample *s)
{
	if ((q->ignore && any_matches(q->ignore, s)) || (q->focus && !any_matches(q->focus, s)))
		return false;
	if (q->hide)
		frames_keep(s, q->hide, false);
	if (q->show)
		frames_keep(s, q->show, true);
	if (!s->depth)
		return false;
	if (q->show_from) {
		size_t first = 0;

		while (first < s->depth && !frame_matches(q->show_from, &s->frames[first]))
			first++;
		if (first == s->depth)
			return false;
		frames_from(s, first);
	}
	return true;
}

static void collapse_one(struct sample *s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s->depth; i++) {
		size_t at = 0;

		while (at < depth && strcmp(s->frames[at].function, s->frames[i].function))
			at++;
		if (at == depth)
			s->frames[at] = s->frames[i];
		depth = at + 1;
	}
	s->depth = depth;
}

static void reverse_one(struct sample *s)
{
	for (size_t i = 0; i < s->depth / 2; i++) {
		struct frame f = s->frames[i];

		s->frames[i] = s->frames[s->depth - 1 - i];
		s->frames[s->depth - 1 - i] = f;
	}
}

static bool sandwich_one(const struct asked *q, struct sample *s)
{
	size_t at = 0;

	while (at < s->depth && strcmp(s->frames[at].function, q->sandwich))
		at++;
	if (at == s->depth)
		return false;
	if (q->side == QUERY_CALLEES) {
		frames_from(s, at);
	} else {
		s->depth = at + 1;
		reverse_one(s);
	}
	return true;
}

static bool reshape_one(const struct asked *q, struct sample *s)
{
	if ((q->tagfocus && !tag_holds(q->tagfocus, s)) ||
	    (q->tagignore && tag_holds(q->tagignore, s)) ||
	    (q->thread && s->thread != q->thread - 1) || (q->span && s->bytes != q->span - 1))
		return false;
	if (!filter_one(q, s))
		return false;
	if (q->collapse)
		collapse_one(s);
	if (*q->sandwich && !sandwich_one(q, s))
		return false;
	if (q->invert)
		reverse_one(s);
	for (size_t i = 0; i < q->path_count; i++)
		if (i >= s->depth || strcmp(s->frames[i].function, q->path[i]))
			return false;
	return true;
}

static void sample_text(const struct sample *s, char *text)
{
	*text = '\0';
	for (size_t i = 0; i < s->depth; i++)
		(void)sprintf(text + strlen(text), "%s%s", i ? ";" : "", s->frames[i].function);
}

/* ---- both, side by side ---- */

struct hands {
	struct query_filter *filter;
	struct query_context context;
	struct selector *selector;
	struct str span, path[3];
	char span_text[17];
};

static struct query query_of(const struct asked *q, struct hands *h, const char *service)
{
	static const struct query_names names = {.find = names_find};
	const struct query_filter_text text = {q->focus,     q->ignore,   q->hide,     q->show,
					       q->show_from, q->tagfocus, q->tagignore};
	static const char *const threads[] = {"", "t0", "t1", "t2"};
	char selector[32];
	struct query query = {.reader = reader,
			      .names = &names,
			      .viewer = {.all = true},
			      .range = {T0, T0 + SECONDS(10) * STEPS}};
	struct err err;

	*h = (struct hands){.context = {.thread = str_of(threads[q->thread])}};
	assert_int_equal(profile_type_parse(STR("cpu"), &query.type, &err), 0);
	assert_int_equal(query_filter_new(&text, &h->filter, &err), 0);
	(void)snprintf(selector, sizeof(selector), "{service=~\"%s\"}", service);
	assert_int_equal(selector_parse(str_of(selector), &h->selector, &err), 0);
	(void)snprintf(h->span_text, sizeof(h->span_text), "%016x", q->span);
	h->span = str_of(h->span_text);
	h->context.span_ids = &h->span;
	h->context.span_ids_count = q->span ? 1 : 0;
	for (size_t i = 0; i < q->path_count; i++)
		h->path[i] = str_of(q->path[i]);
	query.selector = h->selector;
	query.filter = h->filter;
	query.context = &h->context;
	query.shape = (struct query_shape){.collapse = q->collapse,
					   .sandwich = str_of(q->sandwich),
					   .side = q->side,
					   .invert = q->invert,
					   .path = h->path,
					   .path_count = q->path_count};
	return query;
}

static void hands_release(struct hands *h)
{
	query_filter_free(h->filter);
	selector_free(h->selector);
}

static void tree_answer(const struct query_tree *tree, struct answer *a)
{
	struct query_view view;
	char path[FRAMES_MAX + 1][512] = {""};

	assert_int_equal(query_view_init(&view, tree, 0), 0);
	for (size_t i = 1; i < view.count; i++) {
		uint32_t depth = view.depth[i];
		const struct query_tree_node *node = view_node(&view, i);

		memcpy(path[depth], path[depth - 1], sizeof(path[0]));
		strcat(path[depth], depth > 1 ? ";" : "");
		strcat(path[depth], view_name(&view, i).ptr);
		/* Nothing is kept that leads to no sample. */
		assert_true(node->total > 0);
		if (node->self || node->samples)
			answer_add(a, path[depth], node->self, node->samples);
	}
	query_view_release(&view);
	answer_sort(a);
}

static void fail_with(uint64_t seed, const struct asked *q, const char *differs, struct answer *is,
		      struct answer *wanted)
{
	char *a = answer_text(is), *b = answer_text(wanted);

	fail_msg("seed %llu: %s\nfocus %s ignore %s hide %s show %s show_from %s tagfocus %s "
		 "tagignore %s "
		 "thread %u span %u collapse %d invert %d sandwich %s %d path %zu "
		 "%s\nis\n%s\nwanted\n%s",
		 (unsigned long long)seed, differs, q->focus, q->ignore, q->hide, q->show,
		 q->show_from, q->tagfocus, q->tagignore, q->thread, q->span, q->collapse,
		 q->invert, q->sandwich, q->side, q->path_count, q->path[0], a, b);
}

static void trees_agree_with_lists_of_stacks(void **unused)
{
	size_t shown = 0;

	(void)unused;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w;
		struct asked q;
		struct hands h;
		struct answer is = {0}, wanted = {0};
		struct query_tree tree;
		struct err err;
		int64_t removed = 0;
		uint64_t samples = 0;

		world_make(&w, seed);
		question_draw(&q);
		struct query query = query_of(&q, &h, "a|b");

		assert_int_equal(query_tree_init(&tree), 0);
		assert_int_equal(query_merge(&query, &tree, &err), 0);
		tree_answer(&tree, &is);
		for (size_t i = 0; i < w.count; i++) {
			struct sample s = w.samples[i];
			char text[512];

			if (!reshape_one(&q, &s)) {
				removed += s.value;
				continue;
			}
			sample_text(&s, text);
			answer_add(&wanted, text, s.value, s.count);
			samples += s.count;
		}
		answer_sort(&wanted);
		shown += wanted.count;
		const char *differs = answer_differs(&is, &wanted);

		if (differs)
			fail_with(seed, &q, differs, &is, &wanted);
		assert_int_equal(tree.facts.removed_value, removed);
		assert_int_equal(tree.facts.samples, samples);
		answer_release(&is);
		answer_release(&wanted);
		query_tree_release(&tree);
		hands_release(&h);
		world_end();
	}
	assert_true(shown > SEEDS); /* the questions are not all empty */
}

static void timelines_and_labels_agree(void **unused)
{
	(void)unused;
	for (uint64_t seed = 1000; seed < 1000 + SEEDS / 2; seed++) {
		struct world w;
		struct asked q;
		struct hands h;
		struct query_timeline line;
		struct query_table table;
		struct err err;
		int64_t wanted[2][STEPS] = {{0}}, threads[3] = {0}, total = 0;

		world_make(&w, seed);
		question_draw(&q);
		struct query query = query_of(&q, &h, "a|b");

		for (size_t i = 0; i < w.count; i++) {
			struct sample s = w.samples[i];

			if (!reshape_one(&q, &s))
				continue;
			wanted[s.is_new][s.step] += s.value;
			threads[s.thread] += s.value;
			total += s.value;
		}
		assert_int_equal(query_timeline(&query, SECONDS(10), STR("service"), &line, &err),
				 0);
		assert_int_equal(line.steps, STEPS);
		for (size_t i = 0; i < line.lines_count; i++)
			for (size_t k = 0; k < STEPS; k++)
				assert_int_equal(line.lines[i].sums[k],
						 wanted[line.lines[i].group[0] == 'b'][k]);
		query_timeline_release(&line);
		assert_int_equal(query_top(&query, STR("thread"), &table, &err), 0);
		assert_int_equal(table.total, total);
		for (size_t i = 0; i < table.count; i++)
			assert_int_equal(table.rows[i].self, threads[table.rows[i].name[1] - '0']);
		query_table_release(&table);
		assert_int_equal(query_top(&query, STR("env"), &table, &err), 0);
		assert_int_equal(table.total, total);
		query_table_release(&table);
		hands_release(&h);
		world_end();
	}
}

/* ---- diffs ---- */

struct pair {
	char text[512];
	int64_t now, base;
	uint64_t now_samples, base_samples;
};

static struct pair *pair_find(struct pair *pairs, size_t *count, const char *text)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp(pairs[i].text, text))
			return &pairs[i];
	pairs[*count] = (struct pair){.now = 0};
	(void)snprintf(pairs[*count].text, sizeof(pairs->text), "%s", text);
	return &pairs[(*count)++];
}

static void pair_add(struct pair *pair, const struct sample *s)
{
	pair->now += s->is_new ? s->value : 0;
	pair->now_samples += s->is_new ? s->count : 0;
	pair->base += s->is_new ? 0 : s->value;
	pair->base_samples += s->is_new ? 0 : s->count;
}

static void stacks_compare(const struct query_diff *diff, const struct pair *pairs, size_t count)
{
	struct query_diff_view view;
	struct buf out;

	buf_init(&out, BUF_UNLIMITED);
	assert_int_equal(query_diff_view_init(&view, diff, 0), 0);
	assert_int_equal(query_diff_format_find(STR("folded"))->write(&view, &out), 0);
	query_diff_view_release(&view);
	size_t lines = 0;

	for (char *line = out.len ? (char *)(uintptr_t)buf_cstr(&out) : NULL; line && *line;
	     lines++) {
		char *end = strchr(line, '\n'), text[512];
		long long base, now;

		*end = '\0';
		assert_int_equal(sscanf(line, "%511s %lld %lld", text, &base, &now), 3);
		size_t i = 0;

		while (i < count && strcmp(pairs[i].text, text) != 0)
			i++;
		assert_true(i < count);
		assert_int_equal(pairs[i].now, now);
		assert_int_equal(pairs[i].base, base);
		line = end + 1;
	}
	assert_int_equal(lines, count);
	buf_release(&out);
}

static double share(int64_t value, int64_t total)
{
	return total ? (double)value / (double)total : 0;
}

static double variance(double p, uint64_t samples)
{
	return samples ? p * (1 - p) / (double)samples : 0;
}

/* Rows' totals and their errors, by the formula of query/diff.h written down again. */
static void rows_compare(const struct query_diff *diff, const struct pair *rows, size_t count,
			 const struct pair *all)
{
	struct query_diff_table table;

	assert_int_equal(query_diff_rows(diff, &table), 0);
	assert_int_equal(table.count, count);
	for (size_t i = 0; i < table.count; i++) {
		const struct query_diff_row *row = &table.rows[i];
		size_t k = 0;

		while (k < count && strcmp(rows[k].text, row->name) != 0)
			k++;
		assert_true(k < count);
		assert_int_equal(row->now.total, rows[k].now);
		assert_int_equal(row->base.total, rows[k].base);
		assert_int_equal(row->now.samples_total, rows[k].now_samples);
		double now = share(rows[k].now, all->now), base = share(rows[k].base, all->base);

		assert_true(fabs(row->total.value - 100 * (now - base)) < 1e-9);
		assert_true(fabs(row->total.se - 100 * sqrt(variance(now, all->now_samples) +
							    variance(base, all->base_samples))) <
			    1e-9);
		assert_true(!i || fabs(table.rows[i - 1].self.value) >= fabs(row->self.value));
	}
	query_diff_table_release(&table);
}

static void diffs_agree_with_two_lists(void **unused)
{
	static struct pair stacks[SAMPLES_MAX], rows[64];

	(void)unused;
	for (uint64_t seed = 5000; seed < 5000 + SEEDS; seed++) {
		size_t stacks_count = 0, rows_count = 0;
		struct pair all = {.now = 0};
		struct world w;
		struct asked q;
		struct hands h, h_base;
		struct query_diff diff;
		struct err err;

		world_make(&w, seed);
		question_draw(&q);
		struct query now = query_of(&q, &h, "b"), base = query_of(&q, &h_base, "a");

		for (size_t i = 0; i < w.count; i++) {
			struct sample s = w.samples[i];
			char text[512];

			if (!reshape_one(&q, &s))
				continue;
			sample_text(&s, text);
			pair_add(pair_find(stacks, &stacks_count, text), &s);
			pair_add(&all, &s);
			for (size_t k = 0; k < s.depth; k++) {
				size_t above = 0;

				while (strcmp(s.frames[above].function, s.frames[k].function) != 0)
					above++;
				if (above == k)
					pair_add(pair_find(rows, &rows_count, s.frames[k].function),
						 &s);
			}
		}
		assert_int_equal(query_diff(&base, &now, QUERY_NORMAL_SHARE, &diff, &err), 0);
		assert_int_equal(diff.tree.total, all.now);
		assert_int_equal(diff.base_total, all.base);
		stacks_compare(&diff, stacks, stacks_count);
		rows_compare(&diff, rows, rows_count, &all);
		query_diff_release(&diff);
		hands_release(&h);
		hands_release(&h_base);
		world_end();
	}
}

/* Whatever is hidden, both sides of every format still add up. */
static void pruned_diffs_add_up(void **unused)
{
	(void)unused;
	for (uint64_t seed = 9000; seed < 9000 + SEEDS / 4; seed++) {
		const struct asked q = {0};
		struct world w;
		struct hands h, h_base;
		struct query_diff diff;
		struct query_diff_view view;
		struct err err;
		int64_t now_sum = 0, base_sum = 0;

		world_make(&w, seed);
		struct query now = query_of(&q, &h, "b"), base = query_of(&q, &h_base, "a");

		assert_int_equal(query_diff(&base, &now, QUERY_NORMAL_TIME, &diff, &err), 0);
		assert_int_equal(query_diff_view_init(&view, &diff, 1 + draw(20)), 0);
		for (size_t i = 0; i < view.view.count; i++) {
			uint32_t node = view.view.order[i];

			assert_true(view.hidden_now[i] >= 0 && view.hidden_base[i] >= 0);
			now_sum += diff.now[node].self + view.hidden_now[i];
			base_sum += diff.base[node].self + view.hidden_base[i];
		}
		assert_int_equal(now_sum, diff.tree.total);
		assert_int_equal(base_sum, diff.base_total);
		query_diff_view_release(&view);
		query_diff_release(&diff);
		hands_release(&h);
		hands_release(&h_base);
		world_end();
	}
}

/* The largest are shown, as many as were asked for (the root beside them), and what is not is
 * counted. */
static void pruned_trees_keep_the_largest(void **unused)
{
	(void)unused;
	for (uint64_t seed = 20000; seed < 20000 + SEEDS; seed++) {
		const struct asked q = {0};
		struct world w;
		struct hands h;
		struct query_tree tree;
		struct query_view view;
		struct err err;
		size_t wanted = 1 + draw(60);
		int64_t smallest = INT64_MAX, shown = 0;

		world_make(&w, seed);
		struct query query = query_of(&q, &h, "a|b");

		assert_int_equal(query_tree_init(&tree), 0);
		assert_int_equal(query_merge(&query, &tree, &err), 0);
		assert_int_equal(query_view_init(&view, &tree, wanted), 0);
		assert_int_equal(view.count, MIN(wanted, tree.nodes_count));
		bool *is_shown = calloc(tree.nodes_count, sizeof(*is_shown));

		for (size_t i = 0; i < view.count; i++) {
			is_shown[view.order[i]] = true;
			smallest = MIN(smallest, tree.nodes[view.order[i]].total);
			shown += tree.nodes[view.order[i]].self + query_view_hidden(&view, i);
		}
		for (size_t i = 0; i < tree.nodes_count; i++)
			assert_true(is_shown[i] || tree.nodes[i].total <= smallest);
		assert_int_equal(shown, tree.total);
		free(is_shown);
		query_view_release(&view);
		query_tree_release(&tree);
		hands_release(&h);
		world_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(trees_agree_with_lists_of_stacks),
	    cmocka_unit_test(timelines_and_labels_agree),
	    cmocka_unit_test(diffs_agree_with_two_lists),
	    cmocka_unit_test(pruned_diffs_add_up),
	    cmocka_unit_test(pruned_trees_keep_the_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
