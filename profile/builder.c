/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/builder.h"

#include <errno.h>

#include "base/index.h"

/*
 * For tables of a few entries one interner serves: a thing's bytes are its key, and the number that
 * it gets is the thing's place.  Number 0 is the empty key, which is the table's "none" where it has
 * one (modules, contexts) and is skipped where it has not (kinds, series).  Frames and nodes are
 * thousands and are found in their tables themselves; stacks by a hash that is long enough to be
 * what it stands for.
 */
struct profile_builder {
	struct profile *p;
	struct profile_limits limits;
	struct profile_cuts cuts;
	struct err err;
	int failed;
	struct intern modules, kinds, series, contexts;
	struct slots frames, nodes; /* nodes: those that have no link */
	struct link {
		uint32_t child, sibling; /* the newest few children of a node; 0: no more */
		uint32_t frame;		 /* its own, as in the table of nodes: one place to look */
	} * links;
	/* Nodes by their path, as long as no other takes the place.  What is there may be of a
	 * profile before. */
	uint32_t *lately;
	unsigned lately_shift; /* 64 - log2 of its places in use; 0: none yet */
	size_t nodes_expected;
	struct index stacks; /* to their nodes */
	uint64_t secret[2];
	struct hash128 *frame_identities;
	struct hash128 *text_identities; /* of strings; zero: not asked for yet */
	size_t texts_end;                /* behind the last that is not zero */
	uint32_t *scratch; /* PROFILE_STACK_DEPTH_MAX frames of a stack that was cut */
	uint32_t *path;    /* nodes of the last stack of stack_go_on, the root's child first */
	size_t depth;      /* of it */
	struct {
		size_t frame_identities, text_identities, lately, links;
	} own;
	struct {
		size_t modules, frames, nodes, node_hashes, kinds, labels, series, contexts,
		    records, values, cursors, losses;
	} capacity; /* of the profile's tables */
};

const struct profile_limits profile_limits_default = {
	.string_bytes = (size_t)64 << 20,
	.string_max = 4096,
	.frames = 1 << 20,
	.nodes = 1 << 22,
	.records = 1 << 21,
	.labels_per_context = 64,
	.labels_per_series = 32,
};

#define NAMES_MAX ((size_t)1 << 16)
#define LATELY_BITS_MIN 11 /* of the places of nodes that were met lately */
#define LATELY_BITS_MAX 16
#define KEYS_BYTES_MAX ((size_t)512 << 20)

static int fail(struct profile_builder *b, int code, const char *what, size_t limit)
{
	b->failed = code;
	if (code == -E2BIG)
		return err_set(&b->err, code, "profile: more than %zu %s", limit, what);
	return err_set(&b->err, code, "profile: out of memory");
}

#define GROW(b, table, extra)                                                                      \
	array_grow(&(b)->p->table, sizeof(*(b)->p->table), &(b)->capacity.table,                   \
		   (b)->p->table##_count + (extra))

/* Places for so many nodes: more than there are, or one is found in the place of another too often.
 */
static int lately_begin(struct profile_builder *b, size_t nodes)
{
	size_t before = b->own.lately;
	unsigned bits = LATELY_BITS_MIN;

	while (bits < LATELY_BITS_MAX && (size_t)1 << bits < 8 * nodes)
		bits++;
	int rc = array_grow(&b->lately, sizeof(*b->lately), &b->own.lately, (size_t)1 << bits);

	if (rc)
		return rc;
	if (b->own.lately > before)
		memset(b->lately + before, 0, (b->own.lately - before) * sizeof(*b->lately));
	b->lately_shift = 64 - bits;
	return 0;
}

/* The tables that are the builder's own, empty. */
static int own_begin(struct profile_builder *b)
{
	struct intern *const keys[] = { &b->modules, &b->kinds, &b->series, &b->contexts };
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(keys); i++)
		rc = keys[i]->capacity ? intern_clear(keys[i])
				       : intern_init(keys[i], KEYS_BYTES_MAX);
	if (!rc)
		rc = array_grow(&b->links, sizeof(*b->links), &b->own.links, 1);
	if (!rc)
		rc = array_grow(&b->frame_identities, sizeof(*b->frame_identities),
				&b->own.frame_identities, 1);
	if (rc)
		return rc;
	b->lately_shift = 0;
	b->nodes_expected = 0;
	b->links[0] = (struct link){ 0 };
	b->frame_identities[0] = (struct hash128){ 0 };
	return 0;
}

/* Empty, in its memory. */
static int profile_clear(struct profile *p)
{
	*p = (struct profile){.strings = p->strings,
			      .modules = p->modules,
			      .frames = p->frames,
			      .nodes = p->nodes,
			      .node_hashes = p->node_hashes,
			      .kinds = p->kinds,
			      .labels = p->labels,
			      .series = p->series,
			      .contexts = p->contexts,
			      .records = p->records,
			      .values = p->values,
			      .cursors = p->cursors,
			      .losses = p->losses};
	return intern_clear(&p->strings);
}

/* What is number 0 in each table of the profile; frame 0 is "no frame". */
static int profile_begin(struct profile_builder *b)
{
	int rc;

	if (!b->p) {
		memset(&b->capacity, 0, sizeof(b->capacity));
		b->p = calloc(1, sizeof(*b->p));
		rc = b->p ? intern_init(&b->p->strings, b->limits.string_bytes) : -ENOMEM;
	} else {
		rc = profile_clear(b->p);
	}
	if (rc)
		return rc;
	b->p->instance.owner = PROFILE_OWNER_NOBODY;
	rc = GROW(b, modules, 1);
	if (!rc)
		rc = GROW(b, nodes, 1);
	if (!rc)
		rc = array_grow(&b->p->node_hashes, sizeof(*b->p->node_hashes),
				&b->capacity.node_hashes, 1);
	if (!rc)
		rc = GROW(b, contexts, 1);
	if (!rc)
		rc = GROW(b, frames, 1);
	if (rc)
		return rc;
	b->p->modules[b->p->modules_count++] = (struct profile_module){ 0 };
	b->p->node_hashes[0] = (struct hash128){ 0 };
	b->p->nodes[b->p->nodes_count++] = (struct profile_node){ 0 };
	b->p->contexts[b->p->contexts_count++] = (struct profile_labels){ 0 };
	b->p->frames[b->p->frames_count++] = (struct profile_frame){ 0 };
	return 0;
}

int profile_builder_new(const struct profile_limits *limits, struct profile_builder **ret_builder)
{
	struct profile_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->limits = limits ? *limits : profile_limits_default;
	hash_secret(b->secret);
	b->scratch = malloc(PROFILE_STACK_DEPTH_MAX * sizeof(*b->scratch));
	b->path = malloc(PROFILE_STACK_DEPTH_MAX * sizeof(*b->path));
	int rc = b->scratch && b->path ? own_begin(b) : -ENOMEM;

	if (!rc)
		rc = profile_begin(b);
	if (rc) {
		profile_builder_free(b);
		return rc;
	}
	*ret_builder = b;
	return 0;
}

static void keys_release(struct profile_builder *b)
{
	intern_release(&b->modules);
	intern_release(&b->kinds);
	intern_release(&b->series);
	intern_release(&b->contexts);
}

static void own_release(struct profile_builder *b)
{
	slots_release(&b->frames);
	slots_release(&b->nodes);
	index_release(&b->stacks);
	free(TAKE(b->frame_identities));
	free(TAKE(b->text_identities));
	free(TAKE(b->links));
	free(TAKE(b->lately));
	memset(&b->own, 0, sizeof(b->own));
}

void profile_builder_free(struct profile_builder *b)
{
	if (!b)
		return;
	profile_free(b->p);
	keys_release(b);
	own_release(b);
	free(b->scratch);
	free(b->path);
	free(b);
}

#define KEEP_ENTRIES 32768           /* of each table of the builder: 16 bytes at most */
#define KEEP_BYTES ((size_t)2 << 20) /* of a profile that was given back, but for its text */

static bool own_is_large(const struct profile_builder *b)
{
	return MAX(MAX(b->own.links, b->own.frame_identities),
		   MAX(b->own.text_identities, b->stacks.slots.capacity)) > KEEP_ENTRIES ||
	       MAX(b->frames.capacity, b->nodes.capacity) > KEEP_ENTRIES;
}

static bool profile_is_large(const struct profile_builder *b)
{
	const struct profile *p = b->p;

	return b->capacity.frames * sizeof(*p->frames) + b->capacity.nodes * sizeof(*p->nodes) +
		   b->capacity.node_hashes * sizeof(*p->node_hashes) +
		   b->capacity.labels * sizeof(*p->labels) +
		   b->capacity.contexts * sizeof(*p->contexts) +
		   b->capacity.records * sizeof(*p->records) +
		   b->capacity.values * sizeof(*p->values) >
	       KEEP_BYTES;
}

int profile_builder_again(struct profile_builder *b)
{
	if (b->p && profile_is_large(b))
		profile_free(TAKE(b->p));
	if (own_is_large(b))
		own_release(b);
	else if (b->texts_end)
		memset(b->text_identities, 0, b->texts_end * sizeof(*b->text_identities));
	b->texts_end = 0;
	b->failed = 0;
	b->err = (struct err){ 0 };
	b->cuts = (struct profile_cuts){0};
	b->depth = 0;
	slots_clear(&b->frames);
	slots_clear(&b->nodes);
	slots_clear(&b->stacks.slots);
	int rc = own_begin(b);

	return rc ? rc : profile_begin(b);
}

void profile_builder_give_back(struct profile_builder *b, struct profile *profile)
{
	profile_free(b->p);
	b->p = profile;
}

struct profile *profile_builder_take(struct profile_builder *b)
{
	return b->failed ? NULL : TAKE(b->p);
}

struct profile *profile_builder_profile(struct profile_builder *b)
{
	return b->p;
}

const struct profile_cuts *profile_builder_cuts(const struct profile_builder *b)
{
	return &b->cuts;
}

const char *profile_builder_error(const struct profile_builder *b)
{
	return b->err.message;
}

struct profile *profile_builder_finish(struct profile_builder *b)
{
	struct profile *p = profile_builder_take(b);

	profile_builder_free(b);
	return p;
}

#define EXPECTED_MAX 65536 /* of each; what is larger grows by and by */
#define NODES_OF_FRAME 4   /* in trees of real programs */

static int nodes_reserve(struct profile_builder *b, size_t more)
{
	size_t count = b->p->nodes_count + more;
	int rc = GROW(b, nodes, more);

	if (!rc)
		rc = array_grow(&b->p->node_hashes, sizeof(*b->p->node_hashes),
				&b->capacity.node_hashes, count);
	return rc ? rc : array_grow(&b->links, sizeof(*b->links), &b->own.links, count);
}

int profile_builder_expect(struct profile_builder *b, const struct profile_counts *counts)
{
	size_t frames = MIN(counts->frames, (size_t)EXPECTED_MAX);
	size_t records = MIN(counts->records, (size_t)EXPECTED_MAX);
	size_t values = records * MIN(counts->columns, (size_t)PROFILE_COLUMNS_MAX);
	int rc = intern_reserve(&b->p->strings, MIN(counts->strings, (size_t)EXPECTED_MAX));

	if (!rc)
		rc = slots_reserve(&b->frames, frames);
	if (!rc)
		rc = index_reserve(&b->stacks,
				   counts->stacks ? MIN(counts->stacks, records) : records);
	if (!rc)
		rc = GROW(b, frames, frames);
	if (!rc)
		rc = array_grow(&b->frame_identities, sizeof(*b->frame_identities),
				&b->own.frame_identities, b->p->frames_count + frames);
	size_t nodes =
	    counts->nodes ? MIN(counts->nodes, (size_t)EXPECTED_MAX) : NODES_OF_FRAME * frames;

	if (!rc)
		rc = nodes_reserve(b, nodes);
	b->nodes_expected = nodes;
	if (!rc)
		rc = GROW(b, records, records);
	if (!rc)
		rc = GROW(b, values, values);
	return rc ? fail(b, rc, "", 0) : 0;
}

static struct str string_cut(struct profile_builder *b, struct str text)
{
	if (text.len <= b->limits.string_max)
		return text;
	b->cuts.strings_truncated++;
	return (struct str){text.ptr, b->limits.string_max};
}

int profile_builder_string(struct profile_builder *b, struct str text, uint32_t *ret_string)
{
	text = string_cut(b, text);
	int rc = intern_put(&b->p->strings, text.ptr, text.len, ret_string);

	return rc ? fail(b, rc, "bytes of text", b->limits.string_bytes) : 0;
}

int profile_builder_module(struct profile_builder *b, const struct profile_module *module,
			   uint32_t *ret_module)
{
	struct profile_module key;

	memset(&key, 0, sizeof(key)); /* the padding is part of the key */
	memcpy(key.build_id, module->build_id, sizeof(key.build_id));
	key.build_id_len = MIN(module->build_id_len, PROFILE_BUILD_ID_MAX);
	key.is_hash = module->is_hash;
	key.path = module->path;
	int rc = intern_put(&b->modules, (const char *)&key, sizeof(key), ret_module);

	if (rc)
		return fail(b, rc, "modules", b->p->modules_count);
	if (*ret_module < b->p->modules_count)
		return 0;
	rc = GROW(b, modules, 1);
	if (rc)
		return fail(b, rc, "modules", b->p->modules_count);
	b->p->modules[b->p->modules_count++] = key;
	return 0;
}

/* Room for the identities of as many strings as there can be now; what is new is not known. */
static int text_identities_reserve(struct profile_builder *b)
{
	size_t before = b->own.text_identities;
	int rc = array_grow(&b->text_identities, sizeof(*b->text_identities),
			    &b->own.text_identities, b->p->strings.capacity);

	if (!rc && b->own.text_identities > before)
		memset(b->text_identities + before, 0,
		       (b->own.text_identities - before) * sizeof(*b->text_identities));
	return rc;
}

static int text_hash(struct profile_builder *b, uint32_t string, struct hash128 *ret_identity)
{
	if (b->p->strings.capacity > b->own.text_identities && text_identities_reserve(b))
		return -ENOMEM;
	if (string >= b->p->strings.count)
		string = 0;
	struct str s = profile_string(b->p, string);

	*ret_identity = b->text_identities[string] = hash128(s.ptr, s.len);
	b->texts_end = MAX(b->texts_end, (size_t)string + 1);
	return 0;
}

/* Files and modules are the same for many frames, so each is hashed once. */
static inline int text_identity(struct profile_builder *b, uint32_t string,
				struct hash128 *ret_identity)
{
	if (string >= b->texts_end || hash128_is_zero(b->text_identities[string]))
		return text_hash(b, string, ret_identity);
	*ret_identity = b->text_identities[string];
	return 0;
}

/* Of more than any program has, equal ones share a number: they may be one name a million times. */
int profile_builder_name(struct profile_builder *b, struct str text, uint32_t *ret_string)
{
	if (!text.len || b->p->strings.count >= NAMES_MAX)
		return profile_builder_string(b, text, ret_string);
	text = string_cut(b, text);
	int rc = intern_append(&b->p->strings, text, ret_string);

	return rc ? fail(b, rc, "bytes of text", b->limits.string_bytes) : 0;
}

static int frame_identity(struct profile_builder *b, const struct profile_frame *frame,
			  struct hash128 *ret_identity)
{
	struct profile_frame_texts texts = { 0 };
	uint32_t module = frame->module < b->p->modules_count ? frame->module : 0;
	int rc = text_identity(b, b->p->modules[module].path, &texts.module);

	if (!rc && !(frame->flags & PROFILE_FRAME_ADDRESS))
		rc = text_identity(b, frame->function, &texts.function);
	if (!rc && !(frame->flags & PROFILE_FRAME_ADDRESS))
		rc = text_identity(b, frame->file, &texts.file);
	if (!rc)
		*ret_identity = profile_frame_identity_of(b->p, frame, b->p->instance.owner, &texts);
	return rc;
}

/* One that is not there yet, whose identity stands behind those of the others. */
static int frame_add(struct profile_builder *b, const struct profile_frame *frame, uint32_t tag,
		     uint32_t *ret_frame)
{
	int rc = b->p->frames_count < b->limits.frames ? GROW(b, frames, 1) : -E2BIG;

	if (!rc)
		rc = slots_add(&b->frames, tag, (uint32_t)b->p->frames_count);
	if (rc)
		return fail(b, rc, "frames", b->limits.frames);
	*ret_frame = (uint32_t)b->p->frames_count;
	b->p->frames[b->p->frames_count++] = *frame;
	return 0;
}

/* Of a frame that may become the next. */
static int next_identity(struct profile_builder *b, const struct profile_frame *frame)
{
	int rc = array_grow(&b->frame_identities, sizeof(*b->frame_identities),
			    &b->own.frame_identities, b->p->frames_count + 1);

	if (!rc)
		rc = frame_identity(b, frame, &b->frame_identities[b->p->frames_count]);
	return rc ? fail(b, rc, "frames", b->limits.frames) : 0;
}

int profile_builder_frame(struct profile_builder *b, const struct profile_frame *frame,
			  uint32_t *ret_frame)
{
	uint32_t tag = (uint32_t)hash_keyed(frame, sizeof(*frame));
	size_t at = slots_first(&b->frames, tag);

	_Static_assert(sizeof(*frame) == 32, "a frame is its own key: no padding");
	while ((*ret_frame = slots_next(&b->frames, tag, &at)) != SLOTS_NONE)
		if (!memcmp(&b->p->frames[*ret_frame], frame, sizeof(*frame)))
			return 0;
	int rc = next_identity(b, frame);

	return rc ? rc : frame_add(b, frame, tag, ret_frame);
}

/* Whether two frames of one identity are the same in what that does not cover, too. */
static bool frame_rest_equal(const struct profile_frame *a, const struct profile_frame *b)
{
	return a->module == b->module && a->flags == b->flags && a->start_line == b->start_line;
}

int profile_builder_named_frame(struct profile_builder *b, const struct profile_frame *frame,
				uint32_t *ret_frame)
{
	int rc = next_identity(b, frame);

	if (rc)
		return rc;
	struct hash128 identity = b->frame_identities[b->p->frames_count];
	uint64_t rest = (uint64_t)frame->start_line << 32 | frame->module;
	uint32_t tag = slots_mix(identity.lo ^ rest, identity.hi, b->secret);
	size_t at = slots_first(&b->frames, tag);

	while ((*ret_frame = slots_next(&b->frames, tag, &at)) != SLOTS_NONE)
		if (hash128_equal(b->frame_identities[*ret_frame], identity) &&
		    frame_rest_equal(&b->p->frames[*ret_frame], frame))
			return 0;
	return frame_add(b, frame, tag, ret_frame);
}

/* Stacks mostly go on in one way: the child is the next in memory.  What branches widely is in a table. */
#define LINKED_CHILDREN 4

/* *ret_linked: how many children of the parent have a link. */
static uint32_t node_find(const struct profile_builder *b, struct profile_node key,
			  unsigned *ret_linked)
{
	uint32_t child = b->links[key.parent].child, found;

	for (*ret_linked = 0; child; child = b->links[child].sibling, ++*ret_linked)
		if (b->links[child].frame == key.frame)
			return child;
	if (*ret_linked < LINKED_CHILDREN)
		return SLOTS_NONE;
	uint32_t tag = slots_mix(key.parent, key.frame, b->secret);
	size_t at = slots_first(&b->nodes, tag);

	while ((found = slots_next(&b->nodes, tag, &at)) != SLOTS_NONE)
		if (b->p->nodes[found].parent == key.parent &&
		    b->p->nodes[found].frame == key.frame)
			break;
	return found;
}

/* The next node, for which there is room. */
static void node_append(struct profile_builder *b, struct profile_node node)
{
	struct profile *p = b->p;
	size_t n = p->nodes_count++;

	p->nodes[n] = node;
	p->node_hashes[n] =
	    hash128_chain(p->node_hashes[node.parent], b->frame_identities[node.frame]);
	b->links[n] = (struct link){.frame = node.frame};
}

/* A node that is not there, with `linked` siblings that have a link. */
static int node_add(struct profile_builder *b, struct profile_node node, unsigned linked)
{
	uint32_t n = (uint32_t)b->p->nodes_count;

	if (linked == LINKED_CHILDREN) {
		if (slots_add(&b->nodes, slots_mix(node.parent, node.frame, b->secret), n))
			return fail(b, -ENOMEM, "stack nodes", b->limits.nodes);
		node_append(b, node);
		return 0;
	}
	node_append(b, node);
	b->links[n].sibling = b->links[node.parent].child;
	b->links[node.parent].child = n;
	return 0;
}

/* Keep the leaf's half and the root's half of a stack that is too deep. */
static int stack_cut(struct profile_builder *b, const uint32_t **frames, size_t *count)
{
	struct profile_frame mark = { 0 };
	size_t half = PROFILE_STACK_DEPTH_MAX / 2;
	int rc = profile_builder_string(b, STR("[truncated]"), &mark.function);

	if (!rc)
		rc = profile_builder_frame(b, &mark, &b->scratch[half]);
	if (rc)
		return rc;
	size_t roots = PROFILE_STACK_DEPTH_MAX - half - 1;

	memcpy(b->scratch, *frames, half * sizeof(*b->scratch));
	memcpy(b->scratch + half + 1, *frames + *count - roots, roots * sizeof(*b->scratch));
	b->cuts.stacks_truncated++;
	*frames = b->scratch;
	*count = PROFILE_STACK_DEPTH_MAX;
	return 0;
}

void profile_builder_stack_was_cut(struct profile_builder *b)
{
	b->cuts.stacks_truncated++;
}

/* A way down the tree: `count` frames are left, the next is the last of them. */
struct walk {
	const uint32_t *frames;
	size_t count;
	uint64_t path; /* mixed of the frames that were passed */
	uint32_t node;
};

/*
 * Down as far as the nodes were met lately.  Their places come from the frames above them and not
 * from the parents' numbers, so that where to look for the next is known before it is known what is
 * here.
 */
static void walk_lately(const struct profile_builder *b, struct walk *w)
{
	const struct profile_node *nodes = b->p->nodes;
	const size_t nodes_count = b->p->nodes_count;
	const uint64_t secret[2] = {b->secret[0], b->secret[1]};
	const uint32_t *lately = b->lately, *frames = w->frames;
	const unsigned shift = b->lately_shift;
	uint64_t path = w->path;
	uint32_t node = w->node;
	size_t count = w->count;

	for (; count; count--) {
		uint32_t frame = frames[count - 1];
		uint64_t next = slots_mix_long(path, frame, secret);
		uint32_t at = lately[next >> shift];

		if (at >= nodes_count || nodes[at].parent != node || nodes[at].frame != frame)
			break;
		path = next;
		node = at;
	}
	w->count = count;
	w->path = path;
	w->node = node;
}

/* One step: the node, and how many of its siblings have a link. */
static uint32_t walk_find(const struct profile_builder *b, const struct walk *w,
			  unsigned *ret_linked)
{
	return node_find(b, (struct profile_node){w->node, w->frames[w->count - 1]}, ret_linked);
}

static void walk_step(struct profile_builder *b, struct walk *w, uint32_t node)
{
	w->path = slots_mix_long(w->path, w->frames[--w->count], b->secret);
	b->lately[w->path >> b->lately_shift] = w->node = node;
}

/* The rest of the stack is new; there is room. */
static int walk_add(struct profile_builder *b, struct walk *w, unsigned linked)
{
	if (w->count > b->limits.nodes - MIN(b->p->nodes_count, b->limits.nodes))
		return fail(b, -E2BIG, "stack nodes", b->limits.nodes);
	for (; w->count; linked = 0) {
		uint32_t node = (uint32_t)b->p->nodes_count;

		if (node_add(b, (struct profile_node){w->node, w->frames[w->count - 1]}, linked))
			return b->failed;
		walk_step(b, w, node);
	}
	return 0;
}

static int stack_walk(struct profile_builder *b, const uint32_t *frames, size_t count,
		      uint32_t *ret_node)
{
	struct walk w = {.frames = frames, .count = count};
	int rc = nodes_reserve(b, count);

	if (!rc && !b->lately_shift)
		rc = lately_begin(b, b->nodes_expected);
	if (rc)
		return fail(b, rc, "stack nodes", b->limits.nodes);
	for (walk_lately(b, &w); w.count; walk_lately(b, &w)) {
		unsigned linked;
		uint32_t node = walk_find(b, &w, &linked);

		if (node == SLOTS_NONE)
			rc = walk_add(b, &w, linked);
		else
			walk_step(b, &w, node);
		if (rc)
			return rc;
	}
	*ret_node = w.node;
	return 0;
}

/* How much of the last stack that went this way this one shares, from the root on. */
static size_t path_shared(const struct profile_builder *b, const uint32_t *frames, size_t count)
{
	size_t shared = 0, most = MIN(count, b->depth);

	while (shared < most && b->p->nodes[b->path[shared]].frame == frames[count - 1 - shared])
		shared++;
	return shared;
}

/* The same for stacks that mostly go on from the one before. */
static int stack_go_on(struct profile_builder *b, const uint32_t *frames, size_t count,
		       uint32_t *ret_node)
{
	size_t shared = path_shared(b, frames, count);
	struct profile_node key = {.parent = shared ? b->path[shared - 1] : 0};

	if (nodes_reserve(b, count - shared))
		return fail(b, -ENOMEM, "stack nodes", b->limits.nodes);
	for (b->depth = shared; b->depth < count; b->depth++) {
		unsigned linked;

		key.frame = frames[count - 1 - b->depth];
		uint32_t node = node_find(b, key, &linked);
		int rc = 0;

		if (node == SLOTS_NONE) {
			node = (uint32_t)b->p->nodes_count;
			rc = node < b->limits.nodes
				 ? node_add(b, key, linked)
				 : fail(b, -E2BIG, "stack nodes", b->limits.nodes);
		}
		if (rc)
			return rc;
		b->path[b->depth] = key.parent = node;
	}
	*ret_node = key.parent;
	return 0;
}

int profile_builder_new_stack(struct profile_builder *b, const uint32_t *frames, size_t count,
			      uint32_t *ret_node)
{
	int rc = count > PROFILE_STACK_DEPTH_MAX ? stack_cut(b, &frames, &count) : 0;

	return rc ? rc : stack_go_on(b, frames, count, ret_node);
}

/* A stack that was seen costs one hash; only a new one walks the tree. */
int profile_builder_stack(struct profile_builder *b, const uint32_t *frames, size_t count,
			  uint32_t *ret_node)
{
	int rc = count > PROFILE_STACK_DEPTH_MAX ? stack_cut(b, &frames, &count) : 0;

	if (rc)
		return rc;
	struct hash128 key = hash128(frames, count * sizeof(*frames));

	*ret_node = index_find(&b->stacks, key);
	if (*ret_node != INDEX_NONE)
		return 0;
	rc = stack_go_on(b, frames, count, ret_node);
	if (!rc && index_put(&b->stacks, key, *ret_node))
		rc = fail(b, -ENOMEM, "stacks", b->stacks.slots.count);
	return rc;
}

#define DEEP 64 /* frames: many times as long to walk as to hash */

int profile_builder_lone_stack(struct profile_builder *b, const uint32_t *frames, size_t count,
			       uint32_t *ret_node)
{
	return count < DEEP ? stack_walk(b, frames, count, ret_node)
			    : profile_builder_stack(b, frames, count, ret_node);
}

int profile_builder_kind(struct profile_builder *b, const struct profile_kind *kind,
			 uint32_t *ret_kind)
{
	struct profile_kind key;
	uint32_t id;

	if (!kind->columns_count || kind->columns_count > PROFILE_COLUMNS_MAX)
		return fail(b, -E2BIG, "value columns of a kind", PROFILE_COLUMNS_MAX);
	memset(&key, 0, sizeof(key));
	key.name = kind->name;
	key.period_type = kind->period_type;
	key.period_unit = kind->period_unit;
	key.period = kind->period;
	key.columns_count = kind->columns_count;
	for (size_t i = 0; i < kind->columns_count; i++) {
		key.columns[i].type = kind->columns[i].type;
		key.columns[i].unit = kind->columns[i].unit;
		key.columns[i].gauge = kind->columns[i].gauge;
	}
	int rc = intern_put(&b->kinds, (const char *)&key, sizeof(key), &id);

	if (!rc && id > b->p->kinds_count)
		rc = GROW(b, kinds, 1);
	if (rc)
		return fail(b, rc, "kinds", b->p->kinds_count);
	if (id > b->p->kinds_count)
		b->p->kinds[b->p->kinds_count++] = key;
	*ret_kind = id - 1;
	return 0;
}

int profile_builder_known_kind(struct profile_builder *b, enum profile_kind_id id, int64_t period,
			       uint32_t *ret_kind)
{
	const struct profile_known_kind *known = profile_known_kind(id);
	struct profile_kind kind = { .period = period,
				     .columns_count = (uint32_t)known->columns_count };
	struct {
		const char *text;
		uint32_t *to;
	} names[3 + 2 * PROFILE_COLUMNS_MAX] = { { known->name, &kind.name },
						 { known->period_type, &kind.period_type },
						 { known->period_unit, &kind.period_unit } };
	size_t count = 3;

	for (size_t i = 0; i < known->columns_count; i++) {
		kind.columns[i].gauge = known->columns[i].gauge;
		names[count].text = known->columns[i].type;
		names[count++].to = &kind.columns[i].type;
		names[count].text = known->columns[i].unit;
		names[count++].to = &kind.columns[i].unit;
	}
	for (size_t i = 0; i < count; i++) {
		struct str text = { names[i].text, strlen(names[i].text) };
		int rc = profile_builder_string(b, text, names[i].to);

		if (rc)
			return rc;
	}
	return profile_builder_kind(b, &kind, ret_kind);
}

static int labels_add(struct profile_builder *b, const struct profile_label *labels, size_t count,
		      struct profile_labels *ret_run)
{
	int rc = GROW(b, labels, count);

	if (rc)
		return fail(b, rc, "labels", b->p->labels_count);
	*ret_run = (struct profile_labels){ (uint32_t)b->p->labels_count, (uint32_t)count };
	if (count)
		memcpy(b->p->labels + b->p->labels_count, labels, count * sizeof(*labels));
	b->p->labels_count += count;
	return 0;
}

/* A label with its padding zeroed and its unused half empty: fit to be a key. */
static struct profile_label label_key(const struct profile_label *label)
{
	struct profile_label key;

	memset(&key, 0, sizeof(key));
	key.key = label->key;
	key.is_number = label->is_number;
	if (label->is_number) {
		key.number = label->number;
		key.unit = label->unit;
	} else {
		key.text = label->text;
	}
	return key;
}

static int compare_strings(const struct profile *p, uint32_t a, uint32_t b)
{
	struct str x = profile_string(p, a), y = profile_string(p, b);
	int order = memcmp(x.ptr, y.ptr, MIN(x.len, y.len));

	return order ? order : (x.len > y.len) - (x.len < y.len);
}

/* Insert into a run sorted by the key's text; an equal key is replaced. */
static size_t label_insert(const struct profile *p, struct profile_label *run, size_t count,
			   struct profile_label label)
{
	size_t at = count;

	while (at && compare_strings(p, run[at - 1].key, label.key) > 0)
		at--;
	if (at && run[at - 1].key == label.key) {
		run[at - 1] = label;
		return count;
	}
	memmove(run + at + 1, run + at, (count - at) * sizeof(*run));
	run[at] = label;
	return count + 1;
}

static struct hash128 series_identity(const struct profile *p, const struct profile_kind *kind,
				      const struct profile_label *labels, size_t count)
{
	struct hash128 h = { p->instance.owner, 0x68656172 };
	const uint32_t parts[] = { kind->name, kind->period_type, kind->period_unit };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct str s = profile_string(p, parts[i]);

		h = hash128_chain(h, hash128(s.ptr, s.len));
	}
	for (size_t i = 0; i < kind->columns_count; i++) {
		struct str type = profile_string(p, kind->columns[i].type);
		struct str unit = profile_string(p, kind->columns[i].unit);

		h = hash128_chain(h, hash128(type.ptr, type.len));
		h = hash128_chain(h, hash128(unit.ptr, unit.len));
	}
	for (size_t i = 0; i < count; i++) {
		struct str key = profile_string(p, labels[i].key);
		struct str value = profile_string(p, labels[i].text);

		h = hash128_chain(h, hash128(key.ptr, key.len));
		h = hash128_chain(h, hash128(value.ptr, value.len));
	}
	return h;
}

#define LABELS_MAX 128 /* no limit in use is above */

int profile_builder_series(struct profile_builder *b, uint32_t kind,
			   const struct profile_label *labels, size_t count, uint32_t *ret_series)
{
	struct {
		uint32_t kind, count;
		struct profile_label labels[LABELS_MAX];
	} key;
	size_t kept = 0;
	uint32_t id;

	memset(&key, 0, sizeof(key));
	for (size_t i = 0; i < count; i++) {
		if (kept == MIN(b->limits.labels_per_series, (size_t)LABELS_MAX - 1))
			b->cuts.labels_dropped++;
		else
			kept = label_insert(b->p, key.labels, kept, label_key(&labels[i]));
	}
	key.kind = kind;
	key.count = (uint32_t)kept;
	size_t key_bytes = (size_t)((char *)&key.labels[kept] - (char *)&key);
	int rc = intern_put(&b->series, (const char *)&key, key_bytes, &id);

	if (rc)
		return fail(b, rc, "series", b->p->series_count);
	*ret_series = id - 1;
	if (id <= b->p->series_count)
		return 0;
	struct profile_series series = { .kind = kind };

	rc = labels_add(b, key.labels, kept, &series.labels);
	if (rc)
		return rc;
	rc = GROW(b, series, 1);
	if (rc)
		return fail(b, rc, "series", b->p->series_count);
	series.identity = series_identity(b->p, &b->p->kinds[kind], key.labels, kept);
	b->p->series[b->p->series_count++] = series;
	return 0;
}

int profile_builder_context(struct profile_builder *b, const struct profile_label *labels,
			    size_t count, uint32_t *ret_context)
{
	struct profile_label key[LABELS_MAX];
	size_t kept = MIN(count, MIN(b->limits.labels_per_context, (size_t)LABELS_MAX));

	b->cuts.labels_dropped += count - kept;
	for (size_t i = 0; i < kept; i++)
		key[i] = label_key(&labels[i]);
	int rc = intern_put(&b->contexts, (const char *)key, kept * sizeof(*key), ret_context);

	if (rc)
		return fail(b, rc, "contexts", b->p->contexts_count);
	if (*ret_context < b->p->contexts_count)
		return 0;
	struct profile_labels run;

	rc = labels_add(b, key, kept, &run);
	if (rc)
		return rc;
	rc = GROW(b, contexts, 1);
	if (rc)
		return fail(b, rc, "contexts", b->p->contexts_count);
	b->p->contexts[b->p->contexts_count++] = run;
	return 0;
}

int profile_builder_label(struct profile_builder *b, struct str key, struct str value,
			  struct profile_label *ret_label)
{
	struct profile_label label = { 0 };
	int rc = profile_builder_string(b, key, &label.key);

	if (!rc)
		rc = profile_builder_string(b, value, &label.text);
	if (!rc)
		*ret_label = label;
	return rc;
}

int profile_builder_record(struct profile_builder *b, const struct profile_record *record,
			   const int64_t *values)
{
	struct profile *p = b->p;
	size_t columns = p->kinds[p->series[record->series].kind].columns_count;

	if (p->records_count >= b->limits.records)
		return fail(b, -E2BIG, "records", b->limits.records);
	int rc = GROW(b, records, 1);

	if (!rc)
		rc = GROW(b, values, columns);
	if (rc)
		return fail(b, rc, "records", b->limits.records);
	struct profile_record *kept = &p->records[p->records_count++];
	int64_t *to = p->values + p->values_count;

	*kept = *record;
	kept->values_at = p->values_count;
	p->values_count += columns;
	for (size_t i = 0; i < columns; i++) /* two, mostly */
		to[i] = values[i];
	return 0;
}

int profile_builder_cursor(struct profile_builder *b, const struct profile_cursor *cursor)
{
	int rc = GROW(b, cursors, 1);

	if (rc)
		return fail(b, rc, "cursors", b->p->cursors_count);
	b->p->cursors[b->p->cursors_count++] = *cursor;
	return 0;
}

int profile_builder_loss(struct profile_builder *b, uint32_t series, struct str reason,
			 uint64_t count, int64_t time_ns)
{
	struct profile_loss loss = { .series = series, .count = count, .time_ns = time_ns };
	int rc = profile_builder_string(b, reason, &loss.reason);

	if (rc)
		return rc;
	rc = GROW(b, losses, 1);
	if (rc)
		return fail(b, rc, "losses", b->p->losses_count);
	b->p->losses[b->p->losses_count++] = loss;
	return 0;
}
