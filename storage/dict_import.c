/* SPDX-License-Identifier: Apache-2.0 */
/* What other tables have becomes a dictionary's: dict.h. */
#include <errno.h>
#include <string.h>

#include "storage/dict_segment.h"
#include "storage/dict_tables.h"

/* Room for `count` numbers; what is new is not met. */
static int widen(uint32_t **map, size_t *capacity, size_t *valid, size_t count)
{
	int rc = array_grow(map, sizeof(**map), capacity, count);

	if (!rc && count > *valid) {
		memset(*map + *valid, 0xff, (count - *valid) * sizeof(**map));
		*valid = count;
	}
	return rc;
}

#define WIDEN(im, map, count) widen(&(im)->map, &(im)->capacity.map, &(im)->valid.map, count)

int dict_import_follow(struct dict_import *im, const struct dict_tables *from)
{
	im->from = *from;
	if (WIDEN(im, strings, from->strings_count + 1))
		return -ENOMEM;
	if (im->names_only)
		return 0;
	if (WIDEN(im, modules, from->modules_count + 1) ||
	    WIDEN(im, frames, from->frames_count + 1) ||
	    WIDEN(im, contexts, from->contexts_count + 1))
		return -ENOMEM;
	return from->nodes ? WIDEN(im, nodes, from->nodes_count + 1) : 0;
}

static int mark(struct dict_marks *m, uint32_t id)
{
	int rc = array_grow(&m->ids, sizeof(*m->ids), &m->capacity, m->count + 1);

	if (!rc)
		m->ids[m->count++] = id;
	return rc;
}

static void unset(struct dict_marks *m, uint32_t *map)
{
	for (size_t i = 0; i < m->count; i++)
		map[m->ids[i]] = INDEX_NONE;
	m->count = 0;
}

int dict_import_again(struct dict_import *im, struct dict *to, const struct dict_tables *from,
		      bool names_only)
{
	im->to = to;
	im->names_only = names_only;
	im->lately = NULL;
	unset(&im->strings_set, im->strings);
	unset(&im->frames_set, im->frames);
	im->valid.modules = im->valid.nodes = im->valid.contexts = 0;
	slots_clear(&im->met);
	if (dict_import_follow(im, from))
		return -ENOMEM;
	im->strings[0] = 0;
	if (!names_only)
		im->modules[0] = im->frames[0] = im->contexts[0] = 0;
	if (!names_only && from->nodes)
		im->nodes[0] = 0;
	return 0;
}

int dict_import_init(struct dict_import *im, struct dict *to, const struct dict_tables *from)
{
	memset(im, 0, sizeof(*im));
	int rc = dict_import_again(im, to, from, false);

	if (rc)
		dict_import_release(im);
	return rc;
}

void dict_import_release(struct dict_import *im)
{
	free(im->strings);
	free(im->modules);
	free(im->frames);
	free(im->nodes);
	free(im->contexts);
	free(im->strings_set.ids);
	free(im->frames_set.ids);
	free(im->path);
	slots_release(&im->met);
	memset(im, 0, sizeof(*im));
}

int dict_import_string(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	if (id >= im->from.strings_count)
		id = 0;
	if (im->strings[id] == INDEX_NONE) {
		int rc = mark(&im->strings_set, id);

		if (!rc)
			rc = dict_add_string(im->to, im->from.strings[id], &im->strings[id]);
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
		uint32_t found = index_find(&im->to->modules, dict_module_key(&m));

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

/* ---- what was asked for lately ---- */

static inline bool lately_is(const struct dict_import *im, const struct dict_lately *l,
			     struct hash128 hash)
{
	return l->dict == im->to->id && hash128_equal(l->hash, hash);
}

/* An identity does not tell where the function begins, of which a frame says so as well. */
static inline struct hash128 frame_key(const struct dict_import *im, uint32_t id)
{
	struct hash128 key = im->from.frame_identities[id];

	key.lo += im->from.frames[id].start_line * UINT64_C(0x9E3779B97F4A7C15);
	return key;
}

static inline struct dict_lately *frame_lately(const struct dict_import *im, struct hash128 key)
{
	return &im->lately[DICT_LATELY + (key.lo ^ im->to->id) % DICT_LATELY];
}

/* Of a frame, as a dictionary has it, without a process; NULL: its texts have to be read. */
static inline const struct hash128 *identity_at_hand(const struct dict_import *im, uint32_t id)
{
	return id < im->from.identities_count && !dict_has_process(&im->from.frames[id])
		   ? &im->from.frame_identities[id]
		   : NULL;
}

/* ---- frames: of a path at once, because the tables are large and cold ---- */

#define TOGETHER 64

/* In the dictionary's numbers. */
static int translate_frame(struct dict_import *im, uint32_t id, struct profile_frame *ret_frame)
{
	struct profile_frame f = im->from.frames[id];
	int rc = import_module(im, f.module, &f.module);

	if (!rc)
		rc = dict_import_string(im, f.function, &f.function);
	if (!rc)
		rc = dict_import_string(im, f.file, &f.file);
	*ret_frame = f;
	return rc;
}

static int import_frame(struct dict_import *im, uint32_t id, const struct profile_frame *frame,
			struct hash128 key)
{
	const struct hash128 *identity = identity_at_hand(im, id);
	uint32_t found = index_find(&im->to->frames, key);
	int rc = mark(&im->frames_set, id);

	if (!rc && found == INDEX_NONE) {
		found = (uint32_t)im->to->t.frames_count;
		rc = dict_add_frame_keyed(im->to, frame, key, identity);
	}
	if (!rc)
		im->frames[id] = found;
	return rc;
}

/* The strings of some frames. The tags are worked out first, so that many lines of the table come
 * at once. */
static int import_strings(struct dict_import *im, const uint32_t *frames, size_t count)
{
	const struct intern *strings = &im->to->strings;
	uint32_t ids[2 * TOGETHER], tags[2 * TOGETHER];
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < count; i++) {
		const struct profile_frame *f = &im->from.frames[frames[i]];
		const uint32_t texts[] = {f->function, f->file};

		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			if (texts[k] < im->from.strings_count &&
			    im->strings[texts[k]] == INDEX_NONE)
				ids[n++] = texts[k];
	}
	for (size_t i = 0; i < n; i++)
		tags[i] = intern_tag(strings, im->from.strings[ids[i]]);
	for (size_t i = 0; i < n; i++)
		intern_prefetch(strings, tags[i]);
	for (size_t i = 0; !rc && i < n; i++) {
		if (im->strings[ids[i]] != INDEX_NONE)
			continue;
		rc = mark(&im->strings_set, ids[i]);
		if (!rc)
			rc = dict_add_string_tagged(im->to, tags[i], im->from.strings[ids[i]],
						    &im->strings[ids[i]]);
	}
	return rc;
}

/* By their texts. */
static int read_frames(struct dict_import *im, const uint32_t *ids, size_t count)
{
	const struct index *frames = &im->to->frames;
	struct profile_frame translated[TOGETHER];
	struct hash128 keys[TOGETHER];
	int rc = import_strings(im, ids, count);

	for (size_t i = 0; !rc && i < count; i++) {
		rc = translate_frame(im, ids[i], &translated[i]);
		keys[i] = dict_frame_key(&translated[i]);
		index_prefetch(frames, keys[i]);
	}
	for (size_t i = 0; !rc && i < count; i++)
		index_prefetch_key(frames, keys[i]);
	for (size_t i = 0; !rc && i < count; i++)
		if (im->frames[ids[i]] == INDEX_NONE)
			rc = import_frame(im, ids[i], &translated[i], keys[i]);
	return rc;
}

/* By their identities, as far as these are known, and the others by their texts. */
static int import_frames(struct dict_import *im, const uint32_t *ids, size_t count)
{
	bool known = im->lately && im->from.frame_identities;
	uint32_t others[TOGETHER];
	size_t n = 0;
	int rc = 0;

	if (!known)
		return read_frames(im, ids, count);
	for (size_t i = 0; !rc && i < count; i++) {
		struct hash128 key = frame_key(im, ids[i]);
		const struct dict_lately *l = frame_lately(im, key);

		if (!lately_is(im, l, key)) {
			others[n++] = ids[i];
			continue;
		}
		rc = mark(&im->frames_set, ids[i]);
		if (!rc)
			im->frames[ids[i]] = l->number;
	}
	if (!rc && n)
		rc = read_frames(im, others, n);
	for (size_t i = 0; !rc && i < n; i++) {
		struct hash128 key = frame_key(im, others[i]);

		*frame_lately(im, key) =
		    (struct dict_lately){im->to->id, key, im->frames[others[i]]};
	}
	return rc;
}

static inline uint32_t frame_of(const struct dict_tables *from, uint32_t node)
{
	return from->nodes ? from->nodes[node].frame : chains_key(&from->chains, node);
}

/* The frames of im->path, up to `depth`. */
static int import_path_frames(struct dict_import *im, size_t depth)
{
	uint32_t ids[TOGETHER];
	size_t count = 0;
	int rc = 0;

	while (!rc && depth--) {
		uint32_t frame = frame_of(&im->from, im->path[depth]);

		if (im->frames[frame] == INDEX_NONE)
			ids[count++] = frame;
		if (count == TOGETHER || (!depth && count)) {
			rc = import_frames(im, ids, count);
			count = 0;
		}
	}
	return rc;
}

/* The identity of a frame.  Where it is not at hand, the frame becomes the dictionary's. */
static int frame_identity(struct dict_import *im, uint32_t id, struct hash128 *ret_identity)
{
	const struct hash128 *at_hand = identity_at_hand(im, id);
	int rc = 0;

	if (at_hand) {
		*ret_identity = *at_hand;
		return 0;
	}
	if (im->frames[id] == INDEX_NONE)
		rc = import_frames(im, &id, 1);
	if (!rc)
		rc = dict_identify(im->to);
	if (!rc)
		*ret_identity = im->to->t.frame_identities[im->frames[id]];
	return rc;
}

static int told_or_not(struct dict_import *im, uint32_t at, uint32_t frame,
		       const struct hash128 **ret_told)
{
	const struct dict_tables *from = &im->from;
	struct hash128 identity;

	if (!from->node_hashes) {
		*ret_told = dict_told_hash(from, at);
		return 0;
	}
	struct hash128 parents = from->node_hashes[from->nodes[at].parent];
	int rc = frame_identity(im, frame, &identity);

	if (!rc && !hash128_equal(from->node_hashes[at], hash128_chain(parents, identity)))
		*ret_told = &from->node_hashes[at];
	return rc;
}

/* The hash of a node, where it does not follow from its parent's and its frame; NULL. */
static inline int told_hash(struct dict_import *im, uint32_t at, uint32_t frame,
			    const struct hash128 **ret_told)
{
	const struct dict_tables *from = &im->from;
	bool may_be =
	    from->node_hashes ? dict_has_process(&from->frames[frame]) : from->told_count != 0;

	*ret_told = NULL;
	return may_be ? told_or_not(im, at, frame, ret_told) : 0;
}

static bool is_lately(const struct dict_import *im, uint32_t id, uint32_t *ret_number)
{
	if (!im->lately || !im->from.node_hashes)
		return false;
	struct hash128 hash = im->from.node_hashes[id];
	const struct dict_lately *l = dict_import_lately(im, hash);

	if (!lately_is(im, l, hash))
		return false;
	*ret_number = l->number;
	return true;
}

static void note_lately(const struct dict_import *im, uint32_t id, uint32_t number)
{
	if (!im->lately || !im->from.node_hashes)
		return;
	struct dict_lately *l = dict_import_lately(im, im->from.node_hashes[id]);

	*l = (struct dict_lately){im->to->id, im->from.node_hashes[id], number};
}

/* ---- the way from a node up to one that has a number, and down again ---- */

static int path_add(struct dict_import *im, size_t *depth, uint32_t node)
{
	int rc = array_grow(&im->path, sizeof(*im->path), &im->path_capacity, *depth + 1);

	if (!rc)
		im->path[(*depth)++] = node;
	return rc;
}

/* A batch's nodes: all that were met are known. */
static int path_of_batch(struct dict_import *im, uint32_t id, size_t *ret_depth,
			 uint32_t *ret_number)
{
	int rc = 0;

	while (!rc && (*ret_number = im->nodes[id]) == INDEX_NONE &&
	       !is_lately(im, id, ret_number)) {
		rc = path_add(im, ret_depth, id);
		id = im->from.nodes[id].parent;
	}
	if (!rc)
		im->nodes[id] = *ret_number;
	return rc;
}

/* A dictionary's: what was met is looked for where chains begin. */
static int path_of_chains(struct dict_import *im, uint32_t id, size_t *ret_depth,
			  uint32_t *ret_number)
{
	const struct chains *chains = &im->from.chains;
	int rc = 0;

	while (!rc && (*ret_number = dict_import_met(im, id)) == INDEX_NONE) {
		uint32_t begin = chains_begin(chains, id);

		for (uint32_t at = id; !rc && at && at >= begin; at--)
			rc = path_add(im, ret_depth, at);
		id = chains_parent(chains, begin);
	}
	return rc;
}

/* The node of im->path has this number. */
static inline int note_met(struct dict_import *im, size_t place, uint32_t number)
{
	uint32_t at = im->path[place];

	if (im->from.nodes) {
		im->nodes[at] = number;
		return 0;
	}
	if (place && im->path[place - 1] == at + 1)
		return 0; /* nothing hangs on it but what goes on */
	/* It may be known, as a stack that was asked for within its chain. */
	return dict_import_met(im, at) != INDEX_NONE
		   ? 0
		   : slots_add(&im->met, dict_import_tag(at), number);
}

/* Add the first `depth` nodes of im->path, whose frames are mapped, under `parent`: each is the
 * only child of the one before. */
static int import_children(struct dict_import *im, size_t depth, uint32_t parent)
{
	const struct dict_tables *from = &im->from;
	struct dict *to = im->to;
	int rc = depth >= INDEX_NONE - to->t.nodes_count ? -E2BIG : dict_reserve_nodes(to, depth);

	for (size_t left = depth; !rc && left--;) {
		uint32_t at = im->path[left], number = (uint32_t)to->t.nodes_count;
		uint32_t frame = frame_of(from, at);
		struct profile_node node = {parent, im->frames[frame]};
		const struct hash128 *told;

		rc = told_hash(im, at, frame, &told);
		if (!rc && (left + 1 == depth || told))
			rc = dict_add_node(to, node, told);
		else if (!rc)
			dict_add_only_child(to, node.frame);
		if (!rc)
			rc = note_met(im, left, number);
		parent = number;
	}
	return rc;
}

/* The dictionary's number of a node whose parent has one, or INDEX_NONE. */
static int find_node(struct dict_import *im, uint32_t at, uint32_t parent, uint32_t *ret_number)
{
	uint32_t frame = frame_of(&im->from, at);
	const struct hash128 *told;
	struct hash128 identity;
	int rc = told_hash(im, at, frame, &told);

	if (!rc && !told)
		rc = frame_identity(im, frame, &identity);
	if (!rc)
		*ret_number = told ? index_find(&im->to->stacks, *told)
				   : dict_find_child(im->to, parent, identity);
	return rc;
}

/* Down from what has a number, along what is there, and then on with what is new. */
static int import_path(struct dict_import *im, size_t depth, uint32_t parent)
{
	int rc = im->to->t.identities_count < im->to->t.frames_count ? dict_identify(im->to) : 0;

	while (!rc && depth) {
		uint32_t at = im->path[depth - 1], number;

		rc = find_node(im, at, parent, &number);
		if (rc || number == INDEX_NONE)
			break;
		rc = note_met(im, --depth, number);
		note_lately(im, at, number);
		parent = number;
	}
	if (!rc)
		rc = import_path_frames(im, depth);
	return rc ? rc : import_children(im, depth, parent);
}

/* Of a batch whole stacks are asked for again and again; what comes from another dictionary has a
 * number since it came the first time. */
static int find_or_add(struct dict_import *im, uint32_t id, uint32_t *ret_number)
{
	const struct hash128 *hashes = im->from.node_hashes;
	size_t depth = 0;
	int rc;

	*ret_number = hashes ? index_find(&im->to->stacks, hashes[id]) : INDEX_NONE;
	if (*ret_number != INDEX_NONE) {
		im->nodes[id] = *ret_number;
		return 0;
	}
	rc = im->from.nodes ? path_of_batch(im, id, &depth, ret_number)
			    : path_of_chains(im, id, &depth, ret_number);
	if (!rc)
		rc = import_path(im, depth, *ret_number);
	if (rc)
		return rc;
	*ret_number = im->from.nodes ? im->nodes[id] : dict_import_met(im, id);
	return hashes ? index_put(&im->to->stacks, hashes[id], *ret_number) : 0;
}

int dict_import_new_node(struct dict_import *im, uint32_t id, uint32_t *ret_id)
{
	bool lately = is_lately(im, id, ret_id);
	int rc = lately ? 0 : find_or_add(im, id, ret_id);

	if (lately)
		im->nodes[id] = *ret_id;
	else if (!rc)
		note_lately(im, id, *ret_id);
	return rc;
}

int dict_import_child(struct dict_import *im, uint32_t parent, struct str function,
		      uint32_t *ret_id)
{
	struct dict *to = im->to;
	struct profile_frame frame;

	memset(&frame, 0, sizeof(frame));
	int rc = dict_add_string(to, function, &frame.function);

	if (rc)
		return rc;
	uint32_t number = index_find(&to->frames, dict_frame_key(&frame));

	if (number == INDEX_NONE) {
		number = (uint32_t)to->t.frames_count;
		rc = dict_add_frame(to, &frame);
	}
	if (!rc)
		rc = dict_identify(to);
	if (rc)
		return rc;
	*ret_id = dict_find_child(to, parent, to->t.frame_identities[number]);
	if (*ret_id != INDEX_NONE)
		return 0;
	*ret_id = (uint32_t)to->t.nodes_count;
	return dict_add_node(to, (struct profile_node){parent, number}, NULL);
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
	uint32_t found = index_find(&to->parts, dict_part_key(to, owner, labels, count));

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
	*ret_id = index_find(&im->to->instances, dict_instance_key(&i));
	if (*ret_id != INDEX_NONE)
		return 0;
	*ret_id = (uint32_t)im->to->t.instances_count;
	return dict_add_instance(im->to, &i);
}
