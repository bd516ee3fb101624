/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/profiles.h"

#include "tests/cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define LABELS_MAX 16

static struct str text_of(const char *s)
{
	return (struct str){s, strlen(s)};
}

void instance_id(unsigned instance, uint8_t to[16])
{
	memset(to, 0, 16);
	memcpy(to, &instance, sizeof(instance));
	if (instance)
		to[15] = 0xee;
}

void maker_init(struct maker *m, uint32_t owner, unsigned instance)
{
	memset(m, 0, sizeof(*m));
	assert_int_equal(profile_builder_new(NULL, &m->builder), 0);
	struct profile *p = maker_profile(m);

	p->instance.owner = owner;
	p->instance.pid = instance;
	instance_id(instance, p->instance.runtime_id);
	maker_span(m, T0, T0, T0);
}

struct profile *maker_profile(struct maker *m)
{
	return profile_builder_profile(m->builder);
}

static uint32_t string_of(struct maker *m, struct str text)
{
	uint32_t id;

	assert_int_equal(profile_builder_string(m->builder, text, &id), 0);
	return id;
}

/* "a=b,c=#5" into labels; a number is written with '#'. */
static size_t labels_parse(struct maker *m, const char *text, struct profile_label *labels)
{
	size_t count = 0;

	while (*text) {
		size_t len = strcspn(text, ","), key = strcspn(text, "=");
		struct profile_label *label = &labels[count++];

		assert_true(count <= LABELS_MAX && key < len);
		memset(label, 0, sizeof(*label));
		label->key = string_of(m, (struct str){text, key});
		label->is_number = text[key + 1] == '#';
		if (label->is_number)
			label->number = strtoll(text + key + 2, NULL, 10);
		else
			label->text = string_of(m, (struct str){text + key + 1, len - key - 1});
		text += len + (text[len] == ',');
	}
	return count;
}

static void series_set(struct maker *m, uint32_t kind, const char *labels)
{
	struct profile_label run[LABELS_MAX];
	size_t count = labels_parse(m, labels, run);

	assert_int_equal(profile_builder_series(m->builder, kind, run, count, &m->series), 0);
	m->columns = maker_profile(m)->kinds[kind].columns_count;
}

void maker_series(struct maker *m, enum profile_kind_id id, const char *labels)
{
	uint32_t kind;

	assert_int_equal(profile_builder_known_kind(m->builder, id, 10000000, &kind), 0);
	series_set(m, kind, labels);
}

/* The text up to one of `ends`; moves behind it. */
static struct str part(const char **at, const char *ends)
{
	struct str s = {*at, strcspn(*at, ends)};

	*at += s.len;
	if (**at && **at != '!')
		++*at;
	return s;
}

void maker_series_of(struct maker *m, const char *spec, const char *labels)
{
	struct profile_kind kind = {.period = 1};
	uint32_t id;

	kind.name = string_of(m, part(&spec, ":"));
	kind.period_type = string_of(m, part(&spec, ":"));
	kind.period_unit = string_of(m, part(&spec, ":"));
	for (; *spec; kind.columns_count++) {
		kind.columns[kind.columns_count].type = string_of(m, part(&spec, "/"));
		kind.columns[kind.columns_count].unit = string_of(m, part(&spec, "!,"));
		kind.columns[kind.columns_count].gauge = *spec == '!';
		if (*spec == '!')
			spec += 1 + (spec[1] == ',');
	}
	assert_int_equal(profile_builder_kind(m->builder, &kind, &id), 0);
	series_set(m, id, labels);
}

void maker_context(struct maker *m, const char *labels)
{
	struct profile_label run[LABELS_MAX];
	size_t count = labels_parse(m, labels, run);

	assert_int_equal(profile_builder_context(m->builder, run, count, &m->context), 0);
}

static uint32_t frame_of(struct maker *m, struct str name)
{
	struct profile_frame frame = {0};
	uint32_t id;

	if (name.len > 2 && !memcmp(name.ptr, "0x", 2)) {
		struct profile_module module = {.build_id_len = 20};
		const char *at = memchr(name.ptr, '@', name.len);

		frame.flags = PROFILE_FRAME_ADDRESS;
		frame.address = strtoull(name.ptr, NULL, 16);
		if (at) {
			struct str path = {at + 1, (size_t)(name.ptr + name.len - at - 1)};
			struct hash128 h = hash128(path.ptr, path.len);

			memcpy(module.build_id, &h, sizeof(h));
			module.path = string_of(m, path);
			assert_int_equal(profile_builder_module(m->builder, &module, &frame.module),
					 0);
		}
	} else {
		frame.function = string_of(m, name);
	}
	assert_int_equal(profile_builder_frame(m->builder, &frame, &id), 0);
	return id;
}

static uint32_t stack_of(struct maker *m, const char *stack)
{
	uint32_t frames[PROFILE_STACK_DEPTH_MAX], leaf_first[PROFILE_STACK_DEPTH_MAX], node;
	size_t count = 0;

	while (*stack) {
		size_t len = strcspn(stack, ";");

		assert_true(count < PROFILE_STACK_DEPTH_MAX);
		frames[count++] = frame_of(m, (struct str){stack, len});
		stack += len + (stack[len] == ';');
	}
	for (size_t i = 0; i < count; i++)
		leaf_first[i] = frames[count - 1 - i];
	assert_int_equal(profile_builder_stack(m->builder, leaf_first, count, &node), 0);
	return node;
}

void maker_values(struct maker *m, const char *stack, int64_t time_ns, uint32_t count,
		  const int64_t *values)
{
	struct profile_record record = {.series = m->series,
					.node = stack_of(m, stack),
					.context = m->context,
					.count = count,
					.time_ns = time_ns};

	assert_int_equal(profile_builder_record(m->builder, &record, values), 0);
}

void maker_record(struct maker *m, const char *stack, int64_t time_ns, uint32_t count, ...)
{
	int64_t values[PROFILE_COLUMNS_MAX];
	va_list args;

	va_start(args, count);
	for (size_t i = 0; i < m->columns; i++)
		values[i] = va_arg(args, int);
	va_end(args);
	maker_values(m, stack, time_ns, count, values);
}

void maker_loss(struct maker *m, const char *reason, uint64_t count, int64_t time_ns)
{
	assert_int_equal(
	    profile_builder_loss(m->builder, m->series, text_of(reason), count, time_ns), 0);
}

void maker_cursor(struct maker *m, uint32_t ring, uint64_t position)
{
	struct profile_cursor cursor = {.ring = ring, .position = position};

	memcpy(cursor.runtime_id, maker_profile(m)->instance.runtime_id, 16);
	assert_int_equal(profile_builder_cursor(m->builder, &cursor), 0);
}

void maker_upload(struct maker *m, const char *id)
{
	maker_profile(m)->upload_id = string_of(m, text_of(id));
}

void maker_span(struct maker *m, int64_t from_ns, int64_t until_ns, int64_t arrived_ns)
{
	struct profile *p = maker_profile(m);

	p->from_ns = from_ns;
	p->until_ns = until_ns;
	p->arrived_ns = arrived_ns;
}

void maker_ended(struct maker *m)
{
	maker_profile(m)->instance.ended = true;
}

struct profile *maker_finish(struct maker *m)
{
	struct profile *p = profile_builder_finish(m->builder);

	assert_non_null(p);
	return p;
}

struct hash128 series_id(uint32_t owner, enum profile_kind_id kind, const char *labels)
{
	struct maker m;

	maker_init(&m, owner, 1);
	maker_series(&m, kind, labels);
	struct profile *p = maker_finish(&m);
	struct hash128 identity = p->series[0].identity;

	profile_free(p);
	return identity;
}

/* ---- answers ---- */

void answer_add(struct answer *a, const char *text, int64_t sum, uint64_t count)
{
	assert_int_equal(array_grow(&a->lines, sizeof(*a->lines), &a->capacity, a->count + 1), 0);
	a->lines[a->count++] = (struct answer_line){strdup(text), {0, 0}, sum, count};
}

static int line_compare(const void *a, const void *b)
{
	return strcmp(((const struct answer_line *)a)->text, ((const struct answer_line *)b)->text);
}

void answer_sort(struct answer *a)
{
	size_t kept = 0;

	if (a->count)
		qsort(a->lines, a->count, sizeof(*a->lines), line_compare);
	for (size_t i = 0; i < a->count; i++) {
		struct answer_line *last = kept ? &a->lines[kept - 1] : NULL;

		if (!last || strcmp(last->text, a->lines[i].text)) {
			a->lines[kept++] = a->lines[i];
			continue;
		}
		/* The same stack in two files has one identity, or they could not be merged. */
		assert_true(hash128_equal(last->hash, a->lines[i].hash));
		last->sum += a->lines[i].sum;
		last->count += a->lines[i].count;
		free(a->lines[i].text);
	}
	a->count = kept;
}

void answer_release(struct answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->lines[i].text);
	free(a->lines);
	memset(a, 0, sizeof(*a));
}

const char *answer_differs(struct answer *a, struct answer *b)
{
	static char what[512];

	answer_sort(a);
	answer_sort(b);
	for (size_t i = 0; i < MAX(a->count, b->count); i++) {
		struct answer_line none = {"(nothing)", {0, 0}, 0, 0};
		struct answer_line *x = i < a->count ? &a->lines[i] : &none;
		struct answer_line *y = i < b->count ? &b->lines[i] : &none;

		if (!strcmp(x->text, y->text) && x->sum == y->sum && x->count == y->count)
			continue;
		(void)snprintf(what, sizeof(what),
			       "line %zu: %.120s %" PRId64 "/%" PRIu64 " and %.120s %" PRId64
			       "/%" PRIu64,
			       i, x->text, x->sum, x->count, y->text, y->sum, y->count);
		return what;
	}
	return NULL;
}

char *answer_text(struct answer *a)
{
	struct buf out;

	answer_sort(a);
	buf_init(&out, BUF_UNLIMITED);
	for (size_t i = 0; i < a->count; i++)
		(void)buf_printf(&out, "%s %" PRId64 "/%" PRIu64 "\n", a->lines[i].text,
				 a->lines[i].sum, a->lines[i].count);
	assert_non_null(buf_cstr(&out));
	return out.data;
}

char *segment_stack(const struct storage_segment *s, uint32_t node)
{
	uint32_t path[PROFILE_STACK_DEPTH_MAX];
	size_t depth = 0;
	struct buf out;

	buf_init(&out, BUF_UNLIMITED);
	for (; node; node = storage_parent(s, node)) {
		assert_true(depth < PROFILE_STACK_DEPTH_MAX);
		assert_true(node < s->nodes_count && storage_parent(s, node) < node);
		path[depth++] = node;
	}
	while (depth--) {
		uint32_t number = storage_frame(s, path[depth]);

		assert_true(number && number < s->frames_count);
		const struct profile_frame *f = &s->frames[number];

		assert_true(f->function < s->strings_count && f->module < s->modules_count);
		struct str name = s->strings[f->function];

		if (f->flags & PROFILE_FRAME_ADDRESS) {
			struct str path_name = s->strings[s->modules[f->module].path];

			(void)buf_printf(&out, "0x%" PRIx64 "@%.*s", f->address, (int)path_name.len,
					 path_name.ptr);
		} else {
			(void)buf_printf(&out, "%.*s", (int)name.len, name.ptr);
		}
		if (depth)
			(void)buf_add_byte(&out, ';');
	}
	assert_non_null(buf_cstr(&out));
	return out.data;
}

int answer_segment(void *arg, const struct storage_segment *s)
{
	const struct hash128 *hashes = storage_node_hashes(s);
	struct answer *a = arg;

	assert_non_null(hashes);
	assert_true(hash128_is_zero(hashes[0]));
	for (size_t i = 0; i < s->leaves_count; i++) {
		char *stack CLEANUP(cleanup_free) = segment_stack(s, s->leaves[i]);

		assert_true(!i || s->leaves[i - 1] < s->leaves[i]);
		assert_true(s->counts[i] > 0);
		answer_add(a, stack, s->sums[i], s->counts[i]);
		a->lines[a->count - 1].hash = hashes[s->leaves[i]];
	}
	return 0;
}

void text_fill(char *text, size_t from, size_t until)
{
	static unsigned random = 1;

	for (; from < until; from++) {
		random = random * 1103515245 + 12345;
		text[from] = "abcdefghijklmnop"[random >> 20 & 15];
	}
	text[until] = '\0';
}
