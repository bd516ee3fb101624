/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/dict_segment.h"
#include "storage/dict_tables.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define TEXT_MAX ((size_t)2 << 30)

#define GROW(d, table, extra)                                                                      \
	array_grow(&(d)->t.table, sizeof(*(d)->t.table), &(d)->capacity.table,                     \
		   (d)->t.table##_count + (extra))

int dict_init(struct dict *d, bool indexed)
{
	static atomic_uint_fast64_t ids;

	memset(d, 0, sizeof(*d));
	d->id = atomic_fetch_add(&ids, 1) + 1;
	d->indexed = indexed;
	hash_secret(d->secret);
	int rc = intern_init(&d->strings, TEXT_MAX);

	if (rc || chains_reserve(&d->t.chains, 1, 0) || GROW(d, modules, 1) || GROW(d, frames, 1) ||
	    GROW(d, contexts, 1) || GROW(d, instances, 1)) {
		dict_release(d);
		return -ENOMEM;
	}
	memset(&d->t.modules[0], 0, sizeof(d->t.modules[0]));
	memset(&d->t.frames[0], 0, sizeof(d->t.frames[0]));
	memset(&d->t.contexts[0], 0, sizeof(d->t.contexts[0]));
	memset(&d->t.instances[0], 0, sizeof(d->t.instances[0]));
	d->t.modules_count = d->t.frames_count = d->t.nodes_count = 1;
	d->t.contexts_count = d->t.instances_count = 1;
	d->t.strings = d->strings.strings;
	d->t.strings_count = d->strings.count;
	dict_unwrite(d);
	return 0;
}

void dict_release(struct dict *d)
{
	intern_release(&d->strings);
	free(d->t.modules);
	free(d->t.frames);
	free(d->hashes);
	free(d->t.labels);
	free(d->t.contexts);
	free(d->t.series);
	free(d->t.instances);
	index_release(&d->modules);
	index_release(&d->frames);
	index_release(&d->stacks);
	slots_release(&d->children);
	index_release(&d->contexts);
	index_release(&d->series);
	index_release(&d->instances);
	index_release(&d->parts);
	free(d->t.frame_identities);
	free(d->t.told);
	chains_release(&d->t.chains);
	memset(d, 0, sizeof(*d));
}

uint32_t dict_find_series(const struct dict *d, struct hash128 identity)
{
	return index_find(&d->series, identity);
}

/* ---- adding things in the dictionary's own numbers; used by imports and by dict_decode ---- */

static int strings_moved(struct dict *d, int rc)
{
	d->t.strings = d->strings.strings;
	d->t.strings_count = d->strings.count;
	return rc;
}

int dict_add_string(struct dict *d, struct str text, uint32_t *ret_id)
{
	return strings_moved(d, intern_put(&d->strings, text.ptr, text.len, ret_id));
}

int dict_add_string_tagged(struct dict *d, uint32_t tag, struct str text, uint32_t *ret_id)
{
	return strings_moved(d, intern_put_tagged(&d->strings, tag, text, ret_id));
}

struct hash128 dict_module_key(const struct profile_module *m)
{
	return hash128(m, sizeof(*m));
}

int dict_add_module(struct dict *d, const struct profile_module *module)
{
	struct profile_module m;

	memset(&m, 0, sizeof(m)); /* the padding is part of the key */
	memcpy(m.build_id, module->build_id, sizeof(m.build_id));
	m.build_id_len = module->build_id_len;
	m.is_hash = module->is_hash;
	m.path = module->path;
	int rc = GROW(d, modules, 1);

	if (!rc && d->indexed)
		rc = index_put(&d->modules, dict_module_key(&m), (uint32_t)d->t.modules_count);
	if (!rc)
		d->t.modules[d->t.modules_count++] = m;
	return rc;
}

struct hash128 dict_frame_key(const struct profile_frame *frame)
{
	return hash128(frame, sizeof(*frame));
}

int dict_add_frame(struct dict *d, const struct profile_frame *frame)
{
	return dict_add_frame_keyed(d, frame,
				    d->indexed ? dict_frame_key(frame) : (struct hash128){0}, NULL);
}

static int add_identity(struct dict *d, struct hash128 identity)
{
	int rc = array_grow(&d->t.frame_identities, sizeof(identity), &d->identities_capacity,
			    d->t.identities_count + 1);

	if (!rc)
		d->t.frame_identities[d->t.identities_count++] = identity;
	return rc;
}

int dict_identify(struct dict *d)
{
	struct profile tables = {
	    .strings = d->strings, .modules = d->t.modules, .modules_count = d->t.modules_count};
	int rc = 0;

	while (!rc && d->t.identities_count < d->t.frames_count)
		rc = add_identity(d, profile_frame_identity(
					 &tables, &d->t.frames[d->t.identities_count], d->owner));
	return rc;
}

int dict_add_frame_keyed(struct dict *d, const struct profile_frame *frame, struct hash128 key,
			 const struct hash128 *identity)
{
	int rc = GROW(d, frames, 1);

	if (!rc && identity && d->t.identities_count == d->t.frames_count)
		rc = add_identity(d, *identity);
	if (!rc && d->indexed)
		rc = index_add(&d->frames, key, (uint32_t)d->t.frames_count);
	if (!rc)
		d->t.frames[d->t.frames_count++] = *frame;
	return rc;
}

const struct hash128 *dict_told_hash(const struct dict_tables *t, uint32_t node)
{
	size_t low = 0, high = t->told_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->told[middle].node < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->told_count && t->told[low].node == node ? &t->told[low].hash : NULL;
}

static bool is_child(const struct dict *d, uint32_t node, uint32_t parent, struct hash128 identity)
{
	uint32_t frame = chains_key(&d->t.chains, node);

	if (chains_parent(&d->t.chains, node) != parent ||
	    !hash128_equal(d->t.frame_identities[frame], identity))
		return false;
	bool may_be_told = d->t.told_count && (d->odd || dict_has_process(&d->t.frames[frame]));

	return !may_be_told || !dict_told_hash(&d->t, node);
}

static uint32_t child_tag(const struct dict *d, uint32_t parent, struct hash128 identity)
{
	return slots_mix(identity.lo ^ parent * UINT64_C(0x9E3779B97F4A7C15), identity.hi,
			 d->secret);
}

/*
 * How a node is found under its parent.  Stacks are deep and mostly go on in one way, and the nodes
 * of one that was new stand one behind the other: the child is the next number, where a place in a
 * hash table would be cold memory for each frame.  What branches off is in the table.
 */
uint32_t dict_find_child(const struct dict *d, uint32_t parent, struct hash128 identity)
{
	size_t next = (size_t)parent + 1;

	if (next < d->t.nodes_count && is_child(d, (uint32_t)next, parent, identity))
		return (uint32_t)next;
	uint32_t tag = child_tag(d, parent, identity), number;
	size_t at = slots_first(&d->children, tag);

	while ((number = slots_next(&d->children, tag, &at)) != SLOTS_NONE)
		if (is_child(d, number, parent, identity))
			return number;
	return INDEX_NONE;
}

int dict_reserve_nodes(struct dict *d, size_t more)
{
	return chains_reserve(&d->t.chains, d->t.nodes_count + more, (uint32_t)d->t.frames_count);
}

static int add_told(struct dict *d, struct profile_node node, struct hash128 hash)
{
	uint32_t number = (uint32_t)d->t.nodes_count;
	int rc = array_grow(&d->t.told, sizeof(*d->t.told), &d->told_capacity, d->t.told_count + 1);

	if (!rc && d->indexed)
		rc = index_put(&d->stacks, hash, number);
	if (!rc)
		d->t.told[d->t.told_count++] = (struct dict_told){number, hash};
	d->odd |= !dict_has_process(&d->t.frames[node.frame]);
	return rc;
}

static int place_node(struct dict *d, struct profile_node node)
{
	uint32_t number = (uint32_t)d->t.nodes_count;
	int rc = d->t.identities_count > node.frame ? 0 : dict_identify(d);

	if (rc || node.parent + 1 == number)
		return rc;
	return slots_add(&d->children, child_tag(d, node.parent, d->t.frame_identities[node.frame]),
			 number);
}

int dict_accept_node(struct dict *d, const struct hash128 *told)
{
	struct profile_node node = dict_node(&d->t, (uint32_t)d->t.nodes_count);
	int rc = 0;

	if (told)
		rc = add_told(d, node, *told);
	else if (d->indexed)
		rc = place_node(d, node);
	if (!rc)
		d->t.nodes_count++;
	return rc;
}

int dict_add_node(struct dict *d, struct profile_node node, const struct hash128 *told)
{
	int rc = chains_add(&d->t.chains, node.parent, node.frame);

	return rc ? rc : dict_accept_node(d, told);
}

static int add_labels(struct dict *d, const struct profile_label *labels, size_t count,
		      struct profile_labels *ret_run)
{
	int rc = GROW(d, labels, count);

	if (rc)
		return rc;
	*ret_run = (struct profile_labels){(uint32_t)d->t.labels_count, (uint32_t)count};
	if (count)
		memcpy(d->t.labels + d->t.labels_count, labels, count * sizeof(*labels));
	d->t.labels_count += count;
	return 0;
}

int dict_add_context(struct dict *d, const struct profile_label *labels, size_t count)
{
	int rc = GROW(d, contexts, 1);

	if (!rc && d->indexed)
		rc = index_put(&d->contexts, hash128(labels, count * sizeof(*labels)),
			       (uint32_t)d->t.contexts_count);
	if (!rc)
		rc = add_labels(d, labels, count, &d->t.contexts[d->t.contexts_count]);
	if (!rc)
		d->t.contexts_count++;
	return rc;
}

/* What shares a part: the series of one owner's service. */
struct hash128 dict_part_key(const struct dict *d, uint32_t owner,
			     const struct profile_label *labels, size_t count)
{
	int64_t service_key = intern_find(&d->strings, "service", 7);
	struct str service = STR("");

	for (size_t i = 0; i < count; i++)
		if (labels[i].key && labels[i].key == service_key)
			service = d->t.strings[labels[i].text];
	return hash128_chain((struct hash128){owner, 0x70617274},
			     hash128(service.ptr, service.len));
}

/* Readers look series up as well, so this index is always there. */
int dict_add_series(struct dict *d, const struct dict_series *series,
		    const struct profile_label *labels)
{
	int rc = GROW(d, series, 1);

	if (!rc)
		rc = index_put(&d->series, series->identity, (uint32_t)d->t.series_count);
	if (rc)
		return rc;
	struct dict_series *s = &d->t.series[d->t.series_count];

	*s = *series;
	rc = add_labels(d, labels, series->labels.count, &s->labels);
	if (!rc && d->indexed)
		rc = index_put(&d->parts, dict_part_key(d, s->owner, labels, s->labels.count),
			       s->part);
	if (!rc) {
		d->t.series_count++;
		d->parts_count = MAX(d->parts_count, s->part);
	}
	return rc;
}

struct hash128 dict_instance_key(const struct profile_instance *i)
{
	struct {
		uint8_t runtime_id[16];
		int64_t pid, start_ns;
		uint32_t owner, container, executable, zero;
	} key = {.pid = i->pid,
		 .start_ns = i->start_ns,
		 .owner = i->owner,
		 .container = i->container,
		 .executable = i->executable};

	memcpy(key.runtime_id, i->runtime_id, sizeof(key.runtime_id));
	return hash128(&key, sizeof(key));
}

int dict_add_instance(struct dict *d, const struct profile_instance *instance)
{
	int rc = GROW(d, instances, 1);

	if (!rc && d->indexed)
		rc = index_put(&d->instances, dict_instance_key(instance),
			       (uint32_t)d->t.instances_count);
	if (!rc)
		d->t.instances[d->t.instances_count++] = *instance;
	return rc;
}
