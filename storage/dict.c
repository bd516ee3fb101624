/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/dict.h"

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
	int rc = intern_init(&d->strings, TEXT_MAX);

	if (rc || GROW(d, modules, 1) || GROW(d, frames, 1) || GROW(d, nodes, 1) ||
	    GROW(d, contexts, 1) || GROW(d, instances, 1) ||
	    array_grow(&d->t.node_hashes, sizeof(*d->t.node_hashes), &d->hashes_capacity, 1) ||
	    array_grow(&d->links, sizeof(*d->links), &d->links_capacity, 1)) {
		dict_release(d);
		return -ENOMEM;
	}
	memset(&d->t.modules[0], 0, sizeof(d->t.modules[0]));
	memset(&d->t.frames[0], 0, sizeof(d->t.frames[0]));
	memset(&d->t.nodes[0], 0, sizeof(d->t.nodes[0]));
	memset(&d->t.node_hashes[0], 0, sizeof(d->t.node_hashes[0]));
	memset(&d->links[0], 0, sizeof(d->links[0]));
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
	free(d->t.nodes);
	free(d->t.node_hashes);
	free(d->links);
	free(d->t.labels);
	free(d->t.contexts);
	free(d->t.series);
	free(d->t.instances);
	index_release(&d->modules);
	index_release(&d->frames);
	index_release(&d->nodes);
	index_release(&d->contexts);
	index_release(&d->series);
	index_release(&d->instances);
	index_release(&d->parts);
	free(d->frame_ids);
	free(d->told);
	memset(d, 0, sizeof(*d));
}

uint32_t dict_find_series(const struct dict *d, struct hash128 identity)
{
	return index_find(&d->series, identity);
}

/* ---- adding things in the dictionary's own numbers; used by imports and by dict_decode ---- */

int dict_add_string(struct dict *d, struct str text, uint32_t *ret_id)
{
	int rc = intern_put(&d->strings, text.ptr, text.len, ret_id);

	d->t.strings = d->strings.strings;
	d->t.strings_count = d->strings.count;
	return rc;
}

static struct hash128 module_key(const struct profile_module *m)
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
		rc = index_put(&d->modules, module_key(&m), (uint32_t)d->t.modules_count);
	if (!rc)
		d->t.modules[d->t.modules_count++] = m;
	return rc;
}

int dict_add_frame(struct dict *d, const struct profile_frame *frame)
{
	int rc = GROW(d, frames, 1);

	if (!rc && d->indexed)
		rc = index_put(&d->frames, hash128(frame, sizeof(*frame)),
			       (uint32_t)d->t.frames_count);
	if (!rc)
		d->t.frames[d->t.frames_count++] = *frame;
	return rc;
}

/*
 * How a node is found under its parent.  Stacks are deep and mostly go on in one way, and nodes of one
 * stack stand side by side, so a link to the child is next to what was read before, where a place in a
 * hash table would be cold memory for each frame.  What branches widely is in the table.
 */
#define LINKED_CHILDREN 4

static uint32_t find_child(const struct dict *d, uint32_t parent, struct hash128 hash)
{
	uint32_t child = d->links[parent].child;
	int n = 0;

	for (; child && n < LINKED_CHILDREN; child = d->links[child].sibling, n++)
		if (hash128_equal(d->t.node_hashes[child], hash))
			return child;
	return n < LINKED_CHILDREN ? INDEX_NONE
				   : index_find_among(&d->nodes, d->t.node_hashes, hash);
}

static int link_node(struct dict *d, uint32_t parent, uint32_t node, struct hash128 hash)
{
	int rc = array_grow(&d->links, sizeof(*d->links), &d->links_capacity, (size_t)node + 1);
	int n = 0;

	if (rc)
		return rc;
	for (uint32_t child = d->links[parent].child; child; child = d->links[child].sibling)
		n++;
	if (n == LINKED_CHILDREN)
		rc = index_add_among(&d->nodes, hash, node);
	d->links[node] = (struct dict_links){0, n < LINKED_CHILDREN ? d->links[parent].child : 0};
	if (n < LINKED_CHILDREN)
		d->links[parent].child = node;
	return rc;
}

int dict_add_node(struct dict *d, struct profile_node node, struct hash128 hash)
{
	int rc = GROW(d, nodes, 1);

	if (!rc && !d->lazy)
		rc = array_grow(&d->t.node_hashes, sizeof(hash), &d->hashes_capacity,
				d->t.nodes_count + 1);
	if (!rc && d->indexed)
		rc = link_node(d, node.parent, (uint32_t)d->t.nodes_count, hash);
	if (rc)
		return rc;
	if (!d->lazy)
		d->t.node_hashes[d->t.nodes_count] = hash;
	d->t.nodes[d->t.nodes_count++] = node;
	return 0;
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
static struct hash128 part_key(const struct dict *d, uint32_t owner,
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
		rc = index_put(&d->parts, part_key(d, s->owner, labels, s->labels.count), s->part);
	if (!rc) {
		d->t.series_count++;
		d->parts_count = MAX(d->parts_count, s->part);
	}
	return rc;
}

static struct hash128 instance_key(const struct profile_instance *i)
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
		rc = index_put(&d->instances, instance_key(instance),
			       (uint32_t)d->t.instances_count);
	if (!rc)
		d->t.instances[d->t.instances_count++] = *instance;
	return rc;
}

/* ---- importing ---- */

/* Room for `count` numbers; what is new is not met. */
static int widen(uint32_t **map, size_t *capacity, size_t count)
{
	size_t before = *capacity;
	int rc = array_grow(map, sizeof(**map), capacity, count);

	if (!rc && *capacity > before)
		memset(*map + before, 0xff, (*capacity - before) * sizeof(**map));
	return rc;
}

int dict_import_follow(struct dict_import *im, const struct dict_tables *from)
{
	im->from = *from;
	if (widen(&im->strings, &im->capacity.strings, from->strings_count + 1) ||
	    widen(&im->modules, &im->capacity.modules, from->modules_count + 1) ||
	    widen(&im->frames, &im->capacity.frames, from->frames_count + 1) ||
	    widen(&im->nodes, &im->capacity.nodes, from->nodes_count + 1) ||
	    widen(&im->contexts, &im->capacity.contexts, from->contexts_count + 1))
		return -ENOMEM;
	return 0;
}

int dict_import_init(struct dict_import *im, struct dict *to, const struct dict_tables *from)
{
	memset(im, 0, sizeof(*im));
	im->to = to;
	if (dict_import_follow(im, from)) {
		dict_import_release(im);
		return -ENOMEM;
	}
	im->strings[0] = im->modules[0] = im->frames[0] = im->nodes[0] = im->contexts[0] = 0;
	return 0;
}

void dict_import_release(struct dict_import *im)
{
	free(im->strings);
	free(im->modules);
	free(im->frames);
	free(im->nodes);
	free(im->contexts);
	free(im->path);
	memset(im, 0, sizeof(*im));
}

int dict_import_string(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	if (id >= im->from.strings_count)
		id = 0;
	if (im->strings[id] == INDEX_NONE) {
		int rc = dict_add_string(im->to, im->from.strings[id], &im->strings[id]);

		if (rc) {
			im->strings[id] = INDEX_NONE;
			return rc;
		}
	}
	*ret_id = im->strings[id];
	return 0;
}

static int import_module(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	if (im->modules[id] == INDEX_NONE) {
		struct profile_module m;

		memset(&m, 0, sizeof(m));
		memcpy(m.build_id, im->from.modules[id].build_id, sizeof(m.build_id));
		m.build_id_len = im->from.modules[id].build_id_len;
		m.is_hash = im->from.modules[id].is_hash;
		int rc = dict_import_string(im, im->from.modules[id].path, &m.path);

		if (rc)
			return rc;
		uint32_t found = index_find(&im->to->modules, module_key(&m));

		if (found == INDEX_NONE) {
			found = (uint32_t)im->to->t.modules_count;
			rc = dict_add_module(im->to, &m);
		}
		if (rc)
			return rc;
		im->modules[id] = found;
	}
	*ret_id = im->modules[id];
	return 0;
}

static int import_frame(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	if (im->frames[id] == INDEX_NONE) {
		struct profile_frame f = im->from.frames[id];
		int rc = import_module(im, f.module, &f.module);

		if (!rc)
			rc = dict_import_string(im, f.function, &f.function);
		if (!rc)
			rc = dict_import_string(im, f.file, &f.file);
		if (rc)
			return rc;
		uint32_t found = index_find(&im->to->frames, hash128(&f, sizeof(f)));

		if (found == INDEX_NONE) {
			found = (uint32_t)im->to->t.frames_count;
			rc = dict_add_frame(im->to, &f);
		}
		if (rc)
			return rc;
		im->frames[id] = found;
	}
	*ret_id = im->frames[id];
	return 0;
}

/* Add a node whose parent is mapped. */
static int import_child(struct dict_import *im, uint32_t id)
{
	struct profile_node node = {.parent = im->nodes[im->from.nodes[id].parent]};
	int rc = import_frame(im, im->from.nodes[id].frame, &node.frame);

	if (rc)
		return rc;
	if (im->to->t.nodes_count >= INDEX_NONE)
		return -E2BIG;
	im->nodes[id] = (uint32_t)im->to->t.nodes_count;
	return dict_add_node(im->to, node, im->from.node_hashes[id]);
}

/* The node and its parents as far as none has a number yet. */
static int unmet_path(struct dict_import *im, uint32_t id, size_t *ret_depth)
{
	for (uint32_t at = id; im->nodes[at] == INDEX_NONE; at = im->from.nodes[at].parent) {
		int rc = array_grow(&im->path, sizeof(*im->path), &im->path_capacity,
				    *ret_depth + 1);

		if (rc)
			return rc;
		im->path[(*ret_depth)++] = at;
	}
	return 0;
}

/* Down from what has a number, along what is there, and then on with what is new. */
static int import_path(struct dict_import *im, size_t depth)
{
	bool is_there = true;
	int rc = 0;

	while (!rc && depth--) {
		uint32_t at = im->path[depth], parent = im->nodes[im->from.nodes[at].parent];

		if (is_there)
			im->nodes[at] = find_child(im->to, parent, im->from.node_hashes[at]);
		is_there = im->nodes[at] != INDEX_NONE;
		if (!is_there)
			rc = import_child(im, at);
	}
	return rc;
}

int dict_import_new_node(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	const struct dict *to = im->to;
	struct hash128 hash = im->from.node_hashes[id];
	size_t depth = 0;
	int rc = 0;

	im->nodes[id] = index_find_among(&to->nodes, to->t.node_hashes, hash);
	if (im->nodes[id] == INDEX_NONE) {
		rc = unmet_path(im, id, &depth);
		if (!rc)
			rc = import_path(im, depth);
		/* A stack that was asked for will be again. */
		if (!rc && index_find_among(&to->nodes, to->t.node_hashes, hash) == INDEX_NONE)
			rc = index_add_among(&im->to->nodes, hash, im->nodes[id]);
	}
	if (!rc)
		*ret_id = im->nodes[id];
	return rc;
}

/* Copy labels into our numbers, with zeroed padding, so that equal ones are equal bytes. */
static int import_labels(struct dict_import *im, struct profile_labels run,
			 struct profile_label **ret_labels)
{
	struct profile_label *labels = calloc(run.count + 1, sizeof(*labels));
	int rc = labels ? 0 : -ENOMEM;

	for (uint32_t i = 0; !rc && i < run.count; i++) {
		const struct profile_label *from = &im->from.labels[run.at + i];

		labels[i].is_number = from->is_number;
		labels[i].number = from->is_number ? from->number : 0;
		rc = dict_import_string(im, from->key, &labels[i].key);
		if (!rc)
			rc = dict_import_string(im, from->text, &labels[i].text);
		if (!rc)
			rc = dict_import_string(im, from->unit, &labels[i].unit);
	}
	if (rc) {
		free(labels);
		return rc;
	}
	*ret_labels = labels;
	return 0;
}

/* One label that says so stands for every context beyond the limit. */
static int overflow_context(struct dict_import *im, uint32_t *ret_id)
{
	struct profile_label label;

	memset(&label, 0, sizeof(label));
	int rc = dict_add_string(im->to, STR("hearth.overflow"), &label.key);

	if (!rc)
		rc = dict_add_string(im->to, STR("context"), &label.text);
	if (rc)
		return rc;
	*ret_id = index_find(&im->to->contexts, hash128(&label, sizeof(label)));
	if (*ret_id != INDEX_NONE)
		return 0;
	*ret_id = (uint32_t)im->to->t.contexts_count;
	return dict_add_context(im->to, &label, 1);
}

int dict_import_new_context(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	struct profile_label *labels CLEANUP(cleanup_free) = NULL;
	struct profile_labels run = im->from.contexts[id];
	int rc = import_labels(im, run, &labels);

	if (rc)
		return rc;
	uint32_t found =
	    index_find(&im->to->contexts, hash128(labels, run.count * sizeof(*labels)));

	if (found == INDEX_NONE && im->to->t.contexts_count >= DICT_CONTEXTS_MAX) {
		rc = overflow_context(im, &found);
	} else if (found == INDEX_NONE) {
		found = (uint32_t)im->to->t.contexts_count;
		rc = dict_add_context(im->to, labels, run.count);
	}
	if (rc)
		return rc;
	*ret_id = im->contexts[id] = found;
	return 0;
}

/* The part of the series' (owner, service), or the next number. */
static uint32_t part_of(const struct dict *to, uint32_t owner, const struct profile_label *labels,
			size_t count)
{
	uint32_t found = index_find(&to->parts, part_key(to, owner, labels, count));

	return found != INDEX_NONE ? found : to->parts_count + 1;
}

int dict_import_series(struct dict_import *im, const struct dict_series *series, uint32_t *ret_id)
{
	struct profile_label *labels CLEANUP(cleanup_free) = NULL;
	struct dict_series s = *series;
	uint32_t found = index_find(&im->to->series, series->identity);
	int rc;

	if (found != INDEX_NONE) {
		*ret_id = found;
		return 0;
	}
	rc = import_labels(im, series->labels, &labels);
	if (!rc)
		rc = dict_import_string(im, s.name, &s.name);
	if (!rc)
		rc = dict_import_string(im, s.period_type, &s.period_type);
	if (!rc)
		rc = dict_import_string(im, s.period_unit, &s.period_unit);
	for (uint32_t i = 0; !rc && i < s.columns_count; i++) {
		rc = dict_import_string(im, s.columns[i].type, &s.columns[i].type);
		if (!rc)
			rc = dict_import_string(im, s.columns[i].unit, &s.columns[i].unit);
	}
	if (rc)
		return rc;
	*ret_id = (uint32_t)im->to->t.series_count;
	s.part = part_of(im->to, s.owner, labels, s.labels.count);
	return dict_add_series(im->to, &s, labels);
}

int dict_import_instance(struct dict_import *im, const struct profile_instance *instance,
			 uint32_t *ret_id)
{
	struct profile_instance i = *instance;
	int rc = dict_import_string(im, i.container, &i.container);

	i.ended = false;
	if (!rc)
		rc = dict_import_string(im, i.executable, &i.executable);
	if (rc)
		return rc;
	*ret_id = index_find(&im->to->instances, instance_key(&i));
	if (*ret_id != INDEX_NONE)
		return 0;
	*ret_id = (uint32_t)im->to->t.instances_count;
	return dict_add_instance(im->to, &i);
}
