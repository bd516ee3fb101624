/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/pprof_write.h"

#include <errno.h>

#include "base/intern.h"
#include "wire/protobuf.h"

/*
 * Fields of a protobuf message may come in any order, so everything goes into one buffer as it is
 * first seen; only the string table waits for the end.
 */
struct pprof_writer {
	struct intern strings, mappings, functions, locations; /* number 0 of each is "none" */
	struct buf out, key;
	size_t types_count, max;
	int failed;
};

int pprof_writer_new(size_t max_bytes, struct pprof_writer **ret_writer)
{
	struct pprof_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	buf_init(&w->out, max_bytes);
	buf_init(&w->key, max_bytes);
	w->max = max_bytes;
	/* Keys take 16 bytes more than their text. */
	size_t room = max_bytes > SIZE_MAX / 4 ? SIZE_MAX : max_bytes * 4 + 4096;

	if (intern_init(&w->strings, room) || intern_init(&w->mappings, room) ||
	    intern_init(&w->functions, room) || intern_init(&w->locations, room)) {
		pprof_writer_free(w);
		return -ENOMEM;
	}
	*ret_writer = w;
	return 0;
}

void pprof_writer_free(struct pprof_writer *w)
{
	if (!w)
		return;
	intern_release(&w->strings);
	intern_release(&w->mappings);
	intern_release(&w->functions);
	intern_release(&w->locations);
	buf_release(&w->out);
	buf_release(&w->key);
	free(w);
}

/* The number of these bytes in a table; *ret_new says whether they came just now. */
static uint32_t number_of(struct pprof_writer *w, struct intern *table, const void *bytes,
			  size_t len, bool *ret_new)
{
	size_t known = table->count;
	uint32_t number = 0;

	if (!w->failed)
		w->failed = intern_put(table, bytes, len, &number);
	*ret_new = !w->failed && table->count > known;
	return number;
}

static uint32_t string_of(struct pprof_writer *w, struct str text)
{
	bool is_new;

	return text.len ? number_of(w, &w->strings, text.ptr, text.len, &is_new) : 0;
}

static void put_type(struct pprof_writer *w, uint32_t field, struct str type, struct str unit)
{
	size_t at = proto_message_begin(&w->out, field);

	proto_put_nonzero(&w->out, 1, string_of(w, type));
	proto_put_nonzero(&w->out, 2, string_of(w, unit));
	proto_message_end(&w->out, at);
}

void pprof_write_type(struct pprof_writer *w, struct str type, struct str unit)
{
	w->types_count++;
	put_type(w, 1, type, unit);
}

void pprof_write_period(struct pprof_writer *w, struct str type, struct str unit, int64_t period)
{
	put_type(w, 11, type, unit);
	proto_put_nonzero(&w->out, 12, (uint64_t)period);
}

void pprof_write_time(struct pprof_writer *w, int64_t time_ns, int64_t duration_ns)
{
	proto_put_nonzero(&w->out, 9, (uint64_t)time_ns);
	proto_put_nonzero(&w->out, 10, (uint64_t)duration_ns);
}

void pprof_write_comment(struct pprof_writer *w, struct str text)
{
	proto_put_varint(&w->out, 13, string_of(w, text));
}

uint64_t pprof_write_mapping(struct pprof_writer *w, const struct pprof_write_mapping *mapping)
{
	const uint64_t key[] = {mapping->start,
				mapping->limit,
				mapping->file_offset,
				string_of(w, mapping->filename),
				string_of(w, mapping->build_id),
				mapping->has_names};
	bool is_new;
	uint32_t id = number_of(w, &w->mappings, key, sizeof(key), &is_new);

	if (!is_new)
		return id;
	size_t at = proto_message_begin(&w->out, 3);

	proto_put_varint(&w->out, 1, id);
	for (uint32_t i = 0; i < 5; i++)
		proto_put_nonzero(&w->out, i + 2, key[i]);
	for (uint32_t field = 7; mapping->has_names && field <= 10; field++)
		proto_put_varint(&w->out, field, 1);
	proto_message_end(&w->out, at);
	return id;
}

static uint32_t function_of(struct pprof_writer *w, const struct pprof_write_line *line)
{
	const uint64_t key[] = {string_of(w, line->function), string_of(w, line->system_name),
				string_of(w, line->file), (uint64_t)line->start_line};
	bool is_new;
	uint32_t id = number_of(w, &w->functions, key, sizeof(key), &is_new);

	if (!is_new)
		return id;
	size_t at = proto_message_begin(&w->out, 5);

	proto_put_varint(&w->out, 1, id);
	for (uint32_t i = 0; i < 4; i++)
		proto_put_nonzero(&w->out, i + 2, key[i]);
	proto_message_end(&w->out, at);
	return id;
}

/* The location's own fields, without its id, are its key. */
uint64_t pprof_write_location(struct pprof_writer *w, uint64_t mapping, uint64_t address,
			      const struct pprof_write_line *lines, size_t count)
{
	bool is_new;

	buf_clear(&w->key);
	proto_put_nonzero(&w->key, 2, mapping);
	proto_put_nonzero(&w->key, 3, address);
	for (size_t i = 0; i < count; i++) {
		uint32_t function = function_of(w, &lines[i]);
		size_t at = proto_message_begin(&w->key, 4);

		proto_put_nonzero(&w->key, 1, function);
		proto_put_nonzero(&w->key, 2, (uint64_t)lines[i].line);
		proto_message_end(&w->key, at);
	}
	/* One byte that no field begins with: a location of nothing is not number 0 either. */
	(void)buf_add_byte(&w->key, 0);
	if (!w->failed)
		w->failed = w->key.failed;
	if (w->failed)
		return 0;
	uint32_t id = number_of(w, &w->locations, w->key.data, w->key.len, &is_new);

	if (!is_new)
		return id;
	size_t at = proto_message_begin(&w->out, 4);

	proto_put_varint(&w->out, 1, id);
	(void)buf_add(&w->out, w->key.data, w->key.len - 1);
	proto_message_end(&w->out, at);
	return id;
}

static void put_label(struct pprof_writer *w, const struct pprof_write_label *label)
{
	size_t at = proto_message_begin(&w->out, 3);

	proto_put_nonzero(&w->out, 1, string_of(w, label->key));
	if (label->text.len) {
		proto_put_nonzero(&w->out, 2, string_of(w, label->text));
	} else {
		proto_put_nonzero(&w->out, 3, (uint64_t)label->number);
		proto_put_nonzero(&w->out, 4, string_of(w, label->unit));
	}
	proto_message_end(&w->out, at);
}

void pprof_write_sample(struct pprof_writer *w, const uint64_t *stack, size_t stack_count,
			const int64_t *values, const struct pprof_write_label *labels,
			size_t labels_count)
{
	size_t sample = proto_message_begin(&w->out, 2);
	size_t at = proto_message_begin(&w->out, 1);

	for (size_t i = 0; i < stack_count; i++)
		(void)buf_add_varint(&w->out, stack[i]);
	proto_message_end(&w->out, at);
	at = proto_message_begin(&w->out, 2);
	for (size_t i = 0; i < w->types_count; i++)
		(void)buf_add_varint(&w->out, (uint64_t)values[i]);
	proto_message_end(&w->out, at);
	for (size_t i = 0; i < labels_count; i++)
		put_label(w, &labels[i]);
	proto_message_end(&w->out, sample);
}

int pprof_writer_finish(struct pprof_writer *w, struct buf *to, struct err *err)
{
	for (uint32_t i = 0; i < w->strings.count; i++) {
		struct str text = intern_get(&w->strings, i);

		proto_put_bytes(&w->out, 6, text.ptr, text.len);
	}
	if (!w->failed)
		w->failed = w->out.failed;
	if (!w->failed)
		w->failed = buf_add(to, w->out.data, w->out.len);
	if (w->failed == -E2BIG)
		return err_set(err, -E2BIG, "pprof: profile of more than %zu bytes", w->max);
	return w->failed ? err_set(err, w->failed, "pprof: out of memory") : 0;
}
