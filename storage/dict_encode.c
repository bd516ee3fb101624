/* SPDX-License-Identifier: Apache-2.0 */
/* What a dictionary has new becomes a segment: dict_segment.h. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/varint.h"
#include "storage/codec.h"
#include "storage/dict_segment.h"

static void put(struct buf *to, uint64_t value)
{
	(void)buf_add_varint(to, value);
}

static void put_label(struct buf *to, const struct profile_label *label)
{
	put(to, label->key);
	put(to, label->text);
	put(to, label->unit);
	put(to, label->is_number);
	if (label->is_number)
		put(to, zigzag_put(label->number));
}

static void put_labels(struct buf *to, const struct dict *d, struct profile_labels run)
{
	put(to, run.count);
	for (uint32_t i = 0; i < run.count; i++)
		put_label(to, &d->t.labels[run.at + i]);
}

static void put_strings(struct buf *to, const struct dict *d, const struct dict_counts *end)
{
	put(to, end->strings - d->written.strings);
	for (size_t i = d->written.strings; i < end->strings; i++) {
		put(to, d->strings.strings[i].len);
		(void)buf_add(to, d->strings.strings[i].ptr, d->strings.strings[i].len);
	}
}

static void put_modules(struct buf *to, const struct dict *d, const struct dict_counts *end)
{
	put(to, end->modules - d->written.modules);
	for (size_t i = d->written.modules; i < end->modules; i++) {
		const struct profile_module *m = &d->t.modules[i];

		put(to, m->build_id_len);
		(void)buf_add(to, m->build_id, m->build_id_len);
		put(to, m->is_hash);
		put(to, m->path);
	}
}

static void put_frames(struct buf *to, const struct dict *d, const struct dict_counts *end)
{
	put(to, end->frames - d->written.frames);
	for (size_t i = d->written.frames; i < end->frames; i++) {
		const struct profile_frame *f = &d->t.frames[i];

		put(to, f->flags);
		put(to, f->module);
		put(to, f->address);
		put(to, f->function);
		put(to, f->file);
		put(to, f->line);
		put(to, f->start_line);
	}
}

/* A node's hash follows from its parent's and its frame, and only what does not is written: code of
 * a process, which has its runtime id in its identity. */
static void put_told(struct buf *to, const struct dict *d, size_t first, size_t nodes)
{
	size_t at = 0, last = first, end;

	while (at < d->t.told_count && d->t.told[at].node < first)
		at++;
	for (end = at; end < d->t.told_count && d->t.told[end].node < nodes;)
		end++;
	put(to, end - at);
	for (; at < end; at++) {
		put(to, d->t.told[at].node - last);
		(void)buf_add(to, &d->t.told[at].hash, sizeof(d->t.told[at].hash));
		last = d->t.told[at].node;
	}
}

#define APART_MIN 1024 /* nodes; of fewer, zstd makes no more of it */

/* Frames that are met in order are short as deltas; those that come again and again, as they
 * are. */
static void put_node_frames(struct buf *to, const struct dict *d, size_t first, size_t end)
{
	struct buf deltas CLEANUP(buf_release), plain CLEANUP(buf_release);
	int64_t before = 0;

	buf_init(&deltas, BUF_UNLIMITED);
	buf_init(&plain, BUF_UNLIMITED);
	for (size_t i = first; i < end; i++) {
		uint32_t frame = chains_key(&d->t.chains, (uint32_t)i);

		put(&deltas, zigzag_put((int64_t)frame - before));
		put(&plain, frame);
		before = frame;
	}
	bool as_deltas = deltas.len <= plain.len;
	const struct buf *shorter = as_deltas ? &deltas : &plain;

	put(to, as_deltas ? FRAMES_DELTAS : FRAMES_PLAIN);
	(void)buf_add(to, shorter->data, shorter->len);
	if (deltas.failed || plain.failed)
		to->failed = -ENOMEM;
}

static void put_nodes(struct buf *to, const struct dict *d, const struct dict_counts *end)
{
	size_t first = d->written.nodes;
	int64_t before = 0;

	put(to, end->nodes - first);
	for (size_t i = first; i < end->nodes; i++) {
		int64_t parent = chains_parent(&d->t.chains, (uint32_t)i);

		put(to, zigzag_put(parent - before));
		before = parent;
	}
	put_node_frames(to, d, first, end->nodes);
	put_told(to, d, first, end->nodes);
}

static void end_piece(const struct buf *to, struct dict_pieces *pieces)
{
	pieces->ends[pieces->count++] = to->len;
}

/* First the first bytes of all varints, then the others: each kind is worth its own statistics. */
static void put_apart(struct buf *to, const struct buf *varints, struct dict_pieces *pieces)
{
	codec_put_plane(to, varints->data, varints->len, true);
	end_piece(to, pieces);
	codec_put_plane(to, varints->data, varints->len, false);
	end_piece(to, pieces);
	if (varints->failed)
		to->failed = -ENOMEM;
}

/* Stacks come as chains, of which each node is the child of the one before: how long each is, and
 * what its first node hangs on. */
static void put_chains(struct buf *to, const struct dict *d, size_t first,
		       struct dict_pieces *pieces)
{
	struct buf lengths CLEANUP(buf_release), parents CLEANUP(buf_release);
	size_t chains = 0;

	buf_init(&lengths, BUF_UNLIMITED);
	buf_init(&parents, BUF_UNLIMITED);
	for (size_t i = first, begin = first; i < d->t.nodes_count; begin = i) {
		put(&parents, chains_parent(&d->t.chains, (uint32_t)i));
		for (i++; i < d->t.nodes_count && !chains_is_head(&d->t.chains, (uint32_t)i);)
			i++;
		put(&lengths, i - begin);
		chains++;
	}
	put(to, chains);
	end_piece(to, pieces);
	if (lengths.failed || buf_add(to, lengths.data, lengths.len))
		to->failed = -ENOMEM;
	end_piece(to, pieces);
	put_apart(to, &parents, pieces);
}

static void put_nodes_apart(struct buf *to, const struct dict *d, struct dict_pieces *pieces)
{
	struct buf frames CLEANUP(buf_release);
	size_t first = d->written.nodes;

	buf_init(&frames, BUF_UNLIMITED);
	put(to, d->t.nodes_count - first);
	put_chains(to, d, first, pieces);
	for (size_t i = first; i < d->t.nodes_count; i++)
		put(&frames, chains_key(&d->t.chains, (uint32_t)i));
	put_apart(to, &frames, pieces);
	put_told(to, d, first, d->t.nodes_count);
	end_piece(to, pieces);
}

static void put_series(struct buf *to, const struct dict *d, const struct dict_counts *end)
{
	put(to, end->series - d->written.series);
	for (size_t i = d->written.series; i < end->series; i++) {
		const struct dict_series *s = &d->t.series[i];

		(void)buf_add(to, &s->identity, sizeof(s->identity));
		put(to, s->part);
		put(to, s->owner);
		put(to, s->name);
		put(to, s->period_type);
		put(to, s->period_unit);
		put(to, zigzag_put(s->period));
		put(to, s->columns_count);
		for (uint32_t c = 0; c < s->columns_count; c++) {
			put(to, s->columns[c].type);
			put(to, s->columns[c].unit);
			put(to, s->columns[c].gauge);
		}
		put_labels(to, d, s->labels);
	}
}

static void put_instances(struct buf *to, const struct dict *d, const struct dict_counts *end)
{
	put(to, end->instances - d->written.instances);
	for (size_t i = d->written.instances; i < end->instances; i++) {
		const struct profile_instance *p = &d->t.instances[i];

		(void)buf_add(to, p->runtime_id, sizeof(p->runtime_id));
		put(to, zigzag_put(p->pid));
		put(to, zigzag_put(p->start_ns));
		put(to, p->owner);
		put(to, p->container);
		put(to, p->executable);
	}
}

bool dict_is_dirty(const struct dict *d)
{
	struct dict_counts now = dict_counts_of(d);

	return memcmp(&now, &d->written, sizeof(now)) != 0;
}

size_t dict_text_bytes(const struct dict_tables *t)
{
	size_t bytes = 0;

	for (size_t i = 0; i < t->strings_count; i++)
		bytes += t->strings[i].len;
	return bytes;
}

void dict_unwrite(struct dict *d)
{
	d->written = (struct dict_counts){1, 1, 1, 1, 0, 1, 0, 1};
}

/* Up to where the next segment goes: to the end, or texts alone, as many as it may have. */
static struct dict_counts segment_end(const struct dict *d)
{
	struct dict_counts all = dict_counts_of(d), texts = d->written;
	size_t bytes = 0;

	for (; texts.strings < all.strings; texts.strings++) {
		size_t len = d->strings.strings[texts.strings].len;

		if (bytes && len > DICT_SEGMENT_TEXT - MIN(bytes, DICT_SEGMENT_TEXT))
			return texts;
		bytes += len;
	}
	return all;
}

int dict_encode(struct dict *d, struct buf *to, struct dict_pieces *ret_pieces)
{
	struct dict_counts end = segment_end(d);
	bool apart = end.nodes - d->written.nodes >= APART_MIN;

	ret_pieces->count = 0;
	if (apart)
		put(to, NODES_APART);
	put_strings(to, d, &end);
	put_modules(to, d, &end);
	if (apart)
		end_piece(to, ret_pieces);
	put_frames(to, d, &end);
	if (!apart)
		put_nodes(to, d, &end);
	put(to, end.contexts - d->written.contexts);
	for (size_t i = d->written.contexts; i < end.contexts; i++)
		put_labels(to, d, d->t.contexts[i]);
	put_series(to, d, &end);
	put_instances(to, d, &end);
	if (apart)
		put_nodes_apart(to, d, ret_pieces);
	else
		end_piece(to, ret_pieces);
	if (to->failed)
		return -ENOMEM;
	d->written = end;
	return 0;
}
