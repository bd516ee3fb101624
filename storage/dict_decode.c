/* SPDX-License-Identifier: Apache-2.0 */
/* A segment is added to a dictionary: everything is checked, for a file may be damaged where no checksum looks. */
#include <errno.h>
#include <string.h>

#include "base/pages.h"
#include "base/varint.h"
#include "storage/dict_segment.h"

struct in {
	const uint8_t *p, *end;
	struct dict *d;
	int failed; /* 0, -EBADMSG or -ENOMEM; sticky */
};

static uint64_t get(struct in *in)
{
	uint64_t value = 0;

	if (!in->failed) {
		in->p = varint_get(in->p, in->end, &value);
		if (!in->p)
			in->failed = -EBADMSG;
	}
	return in->failed ? 0 : value;
}

/* A number below `limit`. */
static uint32_t get_below(struct in *in, size_t limit)
{
	uint64_t value = get(in);

	if (!in->failed && value >= limit)
		in->failed = -EBADMSG;
	return in->failed ? 0 : (uint32_t)value;
}

static uint32_t get_string(struct in *in)
{
	return get_below(in, in->d->strings.count);
}

static const void *get_bytes(struct in *in, size_t len)
{
	const void *p = in->p;

	if (!in->failed && len > (size_t)(in->end - in->p))
		in->failed = -EBADMSG;
	if (in->failed)
		return NULL;
	in->p += len;
	return p;
}

static void get_into(struct in *in, void *to, size_t len)
{
	const void *from = get_bytes(in, len);

	if (from && len)
		memcpy(to, from, len);
}

/* How many entries follow; each takes at least a byte. */
static size_t get_count(struct in *in)
{
	return get_below(in, (size_t)(in->end - in->p) + 1);
}

static void done(struct in *in, int rc)
{
	if (!in->failed && rc)
		in->failed = rc;
}

static void get_strings(struct in *in)
{
	for (size_t n = get_count(in); !in->failed && n > 0; n--) {
		size_t before = in->d->strings.count, len = (size_t)get(in);
		const char *text = get_bytes(in, len);
		uint32_t id;

		if (!text)
			return;
		done(in, dict_add_string(in->d, (struct str){text, len}, &id));
		/* A text that was there would shift every number behind it. */
		if (!in->failed && id != before)
			in->failed = -EBADMSG;
	}
}

static void get_modules(struct in *in)
{
	for (size_t n = get_count(in); !in->failed && n > 0; n--) {
		struct profile_module m = {0};

		m.build_id_len = (uint8_t)get_below(in, PROFILE_BUILD_ID_MAX + 1);
		get_into(in, m.build_id, m.build_id_len);
		m.is_hash = get_below(in, 2);
		m.path = get_string(in);
		if (!in->failed)
			done(in, dict_add_module(in->d, &m));
	}
}

static void get_frames(struct in *in)
{
	for (size_t n = get_count(in); !in->failed && n > 0; n--) {
		struct profile_frame f = {0};

		f.flags = get_below(in, UINT32_MAX);
		f.module = get_below(in, in->d->t.modules_count);
		f.address = get(in);
		f.function = get_string(in);
		f.file = get_string(in);
		f.line = get_below(in, (size_t)UINT32_MAX + 1);
		f.start_line = get_below(in, (size_t)UINT32_MAX + 1);
		if (!in->failed)
			done(in, dict_add_frame(in->d, &f));
	}
}

/* Identities of the frames so far: of what every file of this owner has, without a process. */
static int identify_frames(struct dict *d)
{
	struct profile tables = {.strings = d->strings,
				 .modules = d->t.modules,
				 .modules_count = d->t.modules_count};
	int rc = array_grow(&d->frame_ids, sizeof(*d->frame_ids), &d->frame_ids_capacity,
			    d->t.frames_count);

	for (; !rc && d->frame_ids_count < d->t.frames_count; d->frame_ids_count++)
		d->frame_ids[d->frame_ids_count] = profile_frame_identity(
		    &tables, &d->t.frames[d->frame_ids_count], d->owner);
	return rc;
}

static struct hash128 expected_hash(const struct dict *d, struct profile_node node)
{
	return hash128_chain(d->t.node_hashes[node.parent], d->frame_ids[node.frame]);
}

static int told_add(struct dict *d, size_t node, struct hash128 hash)
{
	int rc = array_grow(&d->told, sizeof(*d->told), &d->told_capacity, d->told_count + 1);

	if (!rc)
		d->told[d->told_count++] = (struct dict_told){(uint32_t)node, hash};
	return rc;
}

const struct hash128 *dict_hashes(struct dict *d)
{
	size_t at = 0;

	if (!d->lazy)
		return d->t.node_hashes;
	if (identify_frames(d) || array_grow(&d->t.node_hashes, sizeof(*d->t.node_hashes),
					     &d->hashes_capacity, d->t.nodes_count))
		return NULL;
	d->hashes_count = MAX(d->hashes_count, (size_t)1); /* the root's is there, and zero */
	while (at < d->told_count && d->told[at].node < d->hashes_count)
		at++;
	for (; d->hashes_count < d->t.nodes_count; d->hashes_count++) {
		bool is_told = at < d->told_count && d->told[at].node == d->hashes_count;

		d->t.node_hashes[d->hashes_count] =
		    is_told ? d->told[at++].hash
			    : expected_hash(d, d->t.nodes[d->hashes_count]);
	}
	return d->t.node_hashes;
}

/*
 * Nodes are read into the table itself, behind its end, and count when all of them are right.  They are most of what
 * a cold question reads: parents are mostly the node before, frames below 128 or in two bytes.
 */

/* Add the nodes up to `end`, whose hashes follow. */
static int nodes_accept(struct dict *d, size_t end)
{
	int rc = 0;

	if (d->lazy)
		d->t.nodes_count = end;
	while (!rc && d->t.nodes_count < end) {
		struct profile_node node = d->t.nodes[d->t.nodes_count];

		rc = dict_add_node(d, node, expected_hash(d, node));
	}
	return rc;
}

/* One whose hash is told. */
static int node_accept(struct dict *d, struct hash128 hash)
{
	struct profile_node node = d->t.nodes[d->t.nodes_count];
	int rc = d->lazy ? told_add(d, d->t.nodes_count, hash) : 0;

	d->odd |= !dict_has_process(&d->t.frames[node.frame]);
	return rc ? rc : dict_add_node(d, node, hash);
}

/* The hashes that do not follow; those of their children follow from them. */
static void get_hashes(struct in *in, size_t count)
{
	size_t end = in->d->t.nodes_count + count, strange = get_below(in, count + 1);
	size_t at = in->d->t.nodes_count;

	for (size_t i = 0; !in->failed && i < strange; i++) {
		size_t step = get_below(in, end - at);
		struct hash128 hash = {0, 0};

		at += step;
		get_into(in, &hash, sizeof(hash));
		if (i && !step)
			done(in, -EBADMSG);
		if (!in->failed)
			done(in, nodes_accept(in->d, at));
		if (!in->failed)
			done(in, node_accept(in->d, hash));
	}
	if (!in->failed)
		done(in, nodes_accept(in->d, end));
}

static void get_parents(struct in *in, struct profile_node *nodes, size_t count, size_t first)
{
	static const uint8_t chain[8] = {2, 2, 2, 2, 2, 2, 2, 2};
	const uint8_t *p = in->p;
	int64_t parent = 0;
	uint64_t delta;

	for (size_t i = 0; i < count; i++) {
		/* Eight times the node before. */
		while (count - i >= sizeof(chain) && (size_t)(in->end - p) >= sizeof(chain) &&
		       !memcmp(p, chain, sizeof(chain)) && (uint64_t)parent + 1 < first + i) {
			for (size_t k = 0; k < sizeof(chain); k++)
				nodes[i + k].parent = (uint32_t)(parent + 1 + (int64_t)k);
			parent += sizeof(chain);
			p += sizeof(chain);
			i += sizeof(chain);
		}
		if (i == count)
			break;
		p = varint_get_small(p, in->end, &delta);
		if (!p || __builtin_add_overflow(parent, zigzag_get(delta), &parent) || parent < 0 ||
		    (uint64_t)parent >= first + i) {
			done(in, -EBADMSG);
			return;
		}
		nodes[i].parent = (uint32_t)parent;
	}
	in->p = p;
}

static void get_node_frames(struct in *in, struct profile_node *nodes, size_t count, bool deltas)
{
	const uint8_t *p = in->p;
	int64_t frame = 0;
	uint64_t value;

	for (size_t i = 0; i < count; i++) {
		p = varint_get_small(p, in->end, &value);
		if (!p || __builtin_add_overflow(deltas ? frame : 0,
						 deltas ? zigzag_get(value) : (int64_t)value, &frame) ||
		    frame < 0 || (uint64_t)frame >= in->d->t.frames_count) {
			done(in, -EBADMSG);
			return;
		}
		nodes[i].frame = (uint32_t)frame;
	}
	in->p = p;
}

/* Varints of which the first bytes stand before all others. */
struct apart {
	const uint8_t *first, *other;
};

static struct apart get_apart(struct in *in, size_t count)
{
	const uint8_t *first = get_bytes(in, count);

	return (struct apart){first, in->p};
}

static inline uint32_t apart_next(struct in *in, struct apart *a, size_t limit)
{
	uint8_t byte = *a->first++;
	uint64_t value = byte & 0x7f;

	for (unsigned shift = 7; byte & 0x80; shift += 7) {
		if (a->other == in->end || shift > 28) {
			done(in, -EBADMSG);
			return 0;
		}
		byte = *a->other++;
		value |= (uint64_t)(byte & 0x7f) << shift;
	}
	if (value >= limit)
		done(in, -EBADMSG);
	return (uint32_t)value;
}

/* Most are below 2^14: as long as there is a second byte to read they need no other look at the
 * end. */
static void get_frames_apart(struct in *in, struct profile_node *nodes, size_t count)
{
	struct apart frames = get_apart(in, count);
	size_t limit = in->d->t.frames_count, i = 0;

	while (!in->failed && i < count) {
		const uint8_t *first = frames.first, *other = frames.other;

		for (; i < count && other < in->end; i++, first++) {
			uint32_t more = *first >> 7, frame = *first & 0x7f;

			if (more & (*other >> 7))
				break;
			frame |= (more ? (uint32_t)*other : 0) << 7;
			if (frame >= limit)
				break;
			nodes[i].frame = frame;
			other += more;
		}
		frames = (struct apart){first, other};
		if (i < count)
			nodes[i++].frame = apart_next(in, &frames, limit);
	}
	if (!in->failed)
		in->p = frames.other;
}

/* The first node of each chain has no parent yet. */
static size_t get_chain_lengths(struct in *in, struct profile_node *nodes, size_t count)
{
	size_t first = in->d->t.nodes_count, chains = get_below(in, count + 1), at = 0;

	for (size_t n = 0; !in->failed && n < chains; n++) {
		size_t end = at + get_below(in, count - at + 1);

		if (end == at)
			done(in, -EBADMSG);
		for (size_t i = at; i < end; i++)
			nodes[i].parent = i == at ? INDEX_NONE : (uint32_t)(first + i - 1);
		at = end;
	}
	if (at != count)
		done(in, -EBADMSG);
	return chains;
}

static void get_chains(struct in *in, struct profile_node *nodes, size_t count)
{
	size_t first = in->d->t.nodes_count, chains = get_chain_lengths(in, nodes, count);
	struct apart parents = get_apart(in, chains);

	for (size_t i = 0; !in->failed && i < count; i++)
		if (nodes[i].parent == INDEX_NONE)
			nodes[i].parent = apart_next(in, &parents, first + i);
	if (!in->failed)
		in->p = parents.other;
}

static void get_frame_numbers(struct in *in, struct profile_node *nodes, size_t count)
{
	uint32_t as = get_below(in, FRAMES_APART + 1);

	if (!in->failed && as == FRAMES_APART)
		get_frames_apart(in, nodes, count);
	else if (!in->failed)
		get_node_frames(in, nodes, count, as == FRAMES_DELTAS);
}

/* Segments behind the first bring more. */
static int nodes_reserve(struct dict *d, size_t count)
{
	return d->lazy ? pages_grow(&d->t.nodes, sizeof(*d->t.nodes), &d->capacity.nodes, count, count * 3)
		       : array_grow(&d->t.nodes, sizeof(*d->t.nodes), &d->capacity.nodes, count);
}

static void get_nodes(struct in *in, bool apart)
{
	struct dict *d = in->d;
	size_t count = get_count(in), first = d->t.nodes_count;

	if (!in->failed)
		done(in, nodes_reserve(d, first + count));
	if (!in->failed && !d->lazy)
		done(in, identify_frames(d));
	if (!in->failed && apart) {
		get_chains(in, d->t.nodes + first, count);
		get_frames_apart(in, d->t.nodes + first, count);
	} else if (!in->failed) {
		get_parents(in, d->t.nodes + first, count, first);
		get_frame_numbers(in, d->t.nodes + first, count);
	}
	if (!in->failed)
		get_hashes(in, count);
}

/* The labels are the caller's to free; NULL after a failure. */
static struct profile_label *get_labels(struct in *in, uint32_t *ret_count)
{
	size_t count = get_count(in);
	struct profile_label *labels = calloc(count + 1, sizeof(*labels));

	if (!labels)
		done(in, -ENOMEM);
	for (size_t i = 0; !in->failed && i < count; i++) {
		labels[i].key = get_string(in);
		labels[i].text = get_string(in);
		labels[i].unit = get_string(in);
		labels[i].is_number = get_below(in, 2);
		if (labels[i].is_number)
			labels[i].number = zigzag_get(get(in));
	}
	*ret_count = (uint32_t)count;
	return labels;
}

static void get_contexts(struct in *in)
{
	for (size_t n = get_count(in); !in->failed && n > 0; n--) {
		uint32_t count;
		struct profile_label *labels CLEANUP(cleanup_free) = get_labels(in, &count);

		if (!in->failed)
			done(in, dict_add_context(in->d, labels, count));
	}
}

static void get_series(struct in *in)
{
	for (size_t n = get_count(in); !in->failed && n > 0; n--) {
		struct dict_series s = {0};

		get_into(in, &s.identity, sizeof(s.identity));
		s.part = get_below(in, (size_t)in->d->parts_count + 2);
		s.owner = get_below(in, (size_t)UINT32_MAX + 1);
		s.name = get_string(in);
		s.period_type = get_string(in);
		s.period_unit = get_string(in);
		s.period = zigzag_get(get(in));
		s.columns_count = get_below(in, PROFILE_COLUMNS_MAX + 1);
		for (uint32_t c = 0; c < s.columns_count; c++) {
			s.columns[c].type = get_string(in);
			s.columns[c].unit = get_string(in);
			s.columns[c].gauge = get_below(in, 2);
		}
		struct profile_label *labels CLEANUP(cleanup_free) =
		    get_labels(in, &s.labels.count);

		if (!s.part)
			done(in, -EBADMSG);
		if (!in->failed)
			done(in, dict_add_series(in->d, &s, labels));
	}
}

static void get_instances(struct in *in)
{
	for (size_t n = get_count(in); !in->failed && n > 0; n--) {
		struct profile_instance i = {0};

		get_into(in, i.runtime_id, sizeof(i.runtime_id));
		i.pid = zigzag_get(get(in));
		i.start_ns = zigzag_get(get(in));
		i.owner = get_below(in, (size_t)UINT32_MAX + 1);
		i.container = get_string(in);
		i.executable = get_string(in);
		if (!in->failed)
			done(in, dict_add_instance(in->d, &i));
	}
}

static bool begins_apart(struct in *in)
{
	uint64_t value;
	const uint8_t *behind = varint_get(in->p, in->end, &value);

	if (!behind || value != NODES_APART)
		return false;
	in->p = behind;
	return true;
}

int dict_decode(struct dict *d, struct str segment)
{
	struct in in = {(const uint8_t *)segment.ptr, (const uint8_t *)segment.ptr + segment.len, d,
			0};
	bool apart = begins_apart(&in);

	get_strings(&in);
	get_modules(&in);
	get_frames(&in);
	if (!apart)
		get_nodes(&in, false);
	get_contexts(&in);
	get_series(&in);
	get_instances(&in);
	if (apart)
		get_nodes(&in, true);
	if (!in.failed && in.p != in.end)
		in.failed = -EBADMSG;
	d->written = dict_counts_of(d);
	return in.failed;
}
