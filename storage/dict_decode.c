/* SPDX-License-Identifier: Apache-2.0 */
/* A segment is added to a dictionary: everything is checked, for a file may be damaged where no
 * checksum looks. */
#include <errno.h>
#include <string.h>

#include "base/varint.h"
#include "storage/dict_segment.h"
#include "storage/dict_tables.h"

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

static struct hash128 expected_hash(const struct dict *d, struct profile_node node)
{
	return hash128_chain(d->hashes[node.parent], d->t.frame_identities[node.frame]);
}

const struct hash128 *dict_hashes(struct dict *d)
{
	size_t at = 0;

	if (dict_identify(d) ||
	    array_grow(&d->hashes, sizeof(*d->hashes), &d->hashes_capacity, d->t.nodes_count))
		return NULL;
	d->hashes[0] = (struct hash128){0};
	d->hashes_count = MAX(d->hashes_count, (size_t)1);
	while (at < d->t.told_count && d->t.told[at].node < d->hashes_count)
		at++;
	for (; d->hashes_count < d->t.nodes_count; d->hashes_count++) {
		bool is_told = at < d->t.told_count && d->t.told[at].node == d->hashes_count;

		d->hashes[d->hashes_count] =
		    is_told ? d->t.told[at++].hash
			    : expected_hash(d, dict_node(&d->t, (uint32_t)d->hashes_count));
	}
	return d->hashes;
}

/*
 * Nodes are read into the table itself, behind its end, and count when all of them are right.  They
 * are most of what a cold question reads: parents are mostly the node before, frames below 128 or
 * in two bytes.
 */
struct nodes {
	struct dict *d;
	size_t first, count;
};

static inline void set_frame(const struct nodes *n, size_t i, uint32_t frame)
{
	chains_set_key(&n->d->t.chains, n->first + i, frame);
}

static inline int set_parent(const struct nodes *n, size_t i, uint32_t parent)
{
	return parent == n->first + i - 1 ? 0 : chains_hang(&n->d->t.chains, n->first + i, parent);
}

/* Add the nodes up to `end`, whose hashes follow.  Only those that begin a chain have a place. */
static int nodes_accept(struct dict *d, size_t end)
{
	int rc = 0;

	while (!rc && d->indexed && d->t.nodes_count < end)
		rc = dict_accept_node(d, NULL);
	if (!rc)
		d->t.nodes_count = end;
	return rc;
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
			done(in, dict_accept_node(in->d, &hash));
	}
	if (!in->failed)
		done(in, nodes_accept(in->d, end));
}

static void get_parents(struct in *in, const struct nodes *nodes)
{
	static const uint8_t chain[8] = {2, 2, 2, 2, 2, 2, 2, 2};
	size_t first = nodes->first, count = nodes->count;
	const uint8_t *p = in->p;
	int64_t parent = 0;
	uint64_t delta;

	for (size_t i = 0; i < count; i++) {
		/* Eight times the node before. */
		while (count - i >= sizeof(chain) && (size_t)(in->end - p) >= sizeof(chain) &&
		       !memcmp(p, chain, sizeof(chain)) && (uint64_t)parent + 1 < first + i) {
			for (size_t k = 0; k < sizeof(chain); k++)
				done(in,
				     set_parent(nodes, i + k, (uint32_t)(parent + 1 + (int64_t)k)));
			parent += sizeof(chain);
			p += sizeof(chain);
			i += sizeof(chain);
		}
		if (i == count)
			break;
		p = varint_get_small(p, in->end, &delta);
		if (!p || __builtin_add_overflow(parent, zigzag_get(delta), &parent) ||
		    parent < 0 || (uint64_t)parent >= first + i) {
			done(in, -EBADMSG);
			return;
		}
		done(in, set_parent(nodes, i, (uint32_t)parent));
	}
	in->p = p;
}

static void get_node_frames(struct in *in, const struct nodes *nodes, bool deltas)
{
	const uint8_t *p = in->p;
	int64_t frame = 0;
	uint64_t value;

	for (size_t i = 0; i < nodes->count; i++) {
		p = varint_get_small(p, in->end, &value);
		if (!p ||
		    __builtin_add_overflow(deltas ? frame : 0,
					   deltas ? zigzag_get(value) : (int64_t)value, &frame) ||
		    frame < 0 || (uint64_t)frame >= in->d->t.frames_count) {
			done(in, -EBADMSG);
			return;
		}
		set_frame(nodes, i, (uint32_t)frame);
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
static void get_frames_apart(struct in *in, const struct nodes *nodes)
{
	struct apart frames = get_apart(in, nodes->count);
	size_t limit = in->d->t.frames_count, count = nodes->count, i = 0;

	while (!in->failed && i < count) {
		const uint8_t *first = frames.first, *other = frames.other;

		for (; i < count && other < in->end; i++, first++) {
			uint32_t more = *first >> 7, frame = *first & 0x7f;

			if (more & (*other >> 7))
				break;
			frame |= (more ? (uint32_t)*other : 0) << 7;
			if (frame >= limit)
				break;
			set_frame(nodes, i, frame);
			other += more;
		}
		frames = (struct apart){first, other};
		if (i < count)
			set_frame(nodes, i++, apart_next(in, &frames, limit));
	}
	if (!in->failed)
		in->p = frames.other;
}

/* The next chain ends where? */
static size_t get_chain_end(struct in *in, size_t at, size_t count)
{
	size_t end = at + get_below(in, count - at + 1);

	if (end == at)
		done(in, -EBADMSG);
	return end;
}

/* Lengths of chains, then the parents of their first nodes, beside which the lengths are read
 * again. */
static void get_chains(struct in *in, const struct nodes *nodes)
{
	size_t count = nodes->count, chains = get_below(in, count + 1), at = 0;
	struct in lengths = *in;

	for (size_t n = 0; !in->failed && n < chains; n++)
		at = get_chain_end(in, at, count);
	if (at != count)
		done(in, -EBADMSG);
	struct apart parents = get_apart(in, chains);

	for (size_t i = 0, end; !in->failed && i < count; i = end) {
		end = get_chain_end(&lengths, i, count);
		done(in, set_parent(nodes, i, apart_next(in, &parents, nodes->first + i)));
	}
	if (!in->failed)
		in->p = parents.other;
}

static void get_frame_numbers(struct in *in, const struct nodes *nodes)
{
	uint32_t as = get_below(in, FRAMES_APART + 1);

	if (!in->failed && as == FRAMES_APART)
		get_frames_apart(in, nodes);
	else if (!in->failed)
		get_node_frames(in, nodes, as == FRAMES_DELTAS);
}

static void get_nodes(struct in *in, bool apart)
{
	struct dict *d = in->d;
	struct nodes nodes = {.d = d, .count = get_count(in), .first = d->t.nodes_count};

	if (!in->failed)
		done(in, dict_reserve_nodes(d, nodes.count));
	if (!in->failed && apart) {
		get_chains(in, &nodes);
		get_frames_apart(in, &nodes);
	} else if (!in->failed) {
		get_parents(in, &nodes);
		get_frame_numbers(in, &nodes);
	}
	if (!in->failed)
		chains_accept(&d->t.chains, nodes.first + nodes.count);
	if (!in->failed)
		get_hashes(in, nodes.count);
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
