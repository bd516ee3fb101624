/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, modules, frames, nodes and stacks. */
#include "profile/builder_private.h"

#define NAMES_MAX ((size_t)1 << 16)
#define LATELY_BITS_MIN 11 /* of the places of nodes that were met lately */
#define LATELY_BITS_MAX 16

/* Places for so many nodes: more than there are, or one is found in the place of another too
 * often. */
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

int builder_nodes_reserve(struct profile_builder *b, size_t more)
{
	size_t count = b->p->nodes_count + more;
	int rc = GROW(b, nodes, more);

	if (!rc)
		rc = array_grow(&b->p->node_hashes, sizeof(*b->p->node_hashes),
				&b->capacity.node_hashes, count);
	return rc ? rc : array_grow(&b->links, sizeof(*b->links), &b->own.links, count);
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

	return rc ? builder_fail(b, rc, "bytes of text (limits.string_bytes)",
				 b->limits.string_bytes)
		  : 0;
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
		return builder_fail(b, rc, "modules", b->p->modules_count);
	if (*ret_module < b->p->modules_count)
		return 0;
	rc = GROW(b, modules, 1);
	if (rc)
		return builder_fail(b, rc, "modules", b->p->modules_count);
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

	return rc ? builder_fail(b, rc, "bytes of text (limits.string_bytes)",
				 b->limits.string_bytes)
		  : 0;
}

static int frame_identity(struct profile_builder *b, const struct profile_frame *frame,
			  struct hash128 *ret_identity)
{
	struct profile_frame_texts texts = {0};
	uint32_t module = frame->module < b->p->modules_count ? frame->module : 0;
	int rc = text_identity(b, b->p->modules[module].path, &texts.module);

	if (!rc && !(frame->flags & PROFILE_FRAME_ADDRESS))
		rc = text_identity(b, frame->function, &texts.function);
	if (!rc && !(frame->flags & PROFILE_FRAME_ADDRESS))
		rc = text_identity(b, frame->file, &texts.file);
	if (!rc)
		*ret_identity =
		    profile_frame_identity_of(b->p, frame, b->p->instance.owner, &texts);
	return rc;
}

/* One that is not there yet, whose identity stands behind those of the others. */
static int frame_add(struct profile_builder *b, const struct profile_frame *frame, uint32_t tag,
		     uint32_t *ret_frame)
{
	int rc = b->p->frames_count <= b->limits.frames ? GROW(b, frames, 1) : -E2BIG;

	if (!rc)
		rc = slots_add(&b->frames, tag, (uint32_t)b->p->frames_count);
	if (rc)
		return builder_fail(b, rc, "frames (limits.frames)", b->limits.frames);
	*ret_frame = (uint32_t)b->p->frames_count;
	b->p->frames[b->p->frames_count++] = *frame;
	return 0;
}

/* Of a frame that may become the next. */
static int next_identity(struct profile_builder *b, const struct profile_frame *frame)
{
	int rc = array_grow(&b->p->frame_identities, sizeof(*b->p->frame_identities),
			    &b->capacity.frame_identities, b->p->frames_count + 1);

	if (!rc)
		rc = frame_identity(b, frame, &b->p->frame_identities[b->p->frames_count]);
	return rc ? builder_fail(b, rc, "frames (limits.frames)", b->limits.frames) : 0;
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
	struct hash128 identity = b->p->frame_identities[b->p->frames_count];
	uint64_t rest = (uint64_t)frame->start_line << 32 | frame->module;
	uint32_t tag = slots_mix(identity.lo ^ rest, identity.hi, b->secret);
	size_t at = slots_first(&b->frames, tag);

	while ((*ret_frame = slots_next(&b->frames, tag, &at)) != SLOTS_NONE)
		if (hash128_equal(b->p->frame_identities[*ret_frame], identity) &&
		    frame_rest_equal(&b->p->frames[*ret_frame], frame))
			return 0;
	return frame_add(b, frame, tag, ret_frame);
}

/* Stacks mostly go on in one way: the child is the next in memory.  What branches widely is in a
 * table. */
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
	    hash128_chain(p->node_hashes[node.parent], p->frame_identities[node.frame]);
	b->links[n] = (struct link){.frame = node.frame};
}

/* A node that is not there, with `linked` siblings that have a link. */
static int node_add(struct profile_builder *b, struct profile_node node, unsigned linked)
{
	uint32_t n = (uint32_t)b->p->nodes_count;

	if (linked == LINKED_CHILDREN) {
		if (slots_add(&b->nodes, slots_mix(node.parent, node.frame, b->secret), n))
			return builder_fail(b, -ENOMEM, "stack nodes", b->limits.nodes);
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
	struct profile_frame mark = {0};
	size_t half = b->limits.depth / 2;
	int rc = profile_builder_string(b, STR("[truncated]"), &mark.function);

	if (!rc)
		rc = profile_builder_frame(b, &mark, &b->scratch[half]);
	if (rc)
		return rc;
	size_t roots = b->limits.depth - half - 1;

	memcpy(b->scratch, *frames, half * sizeof(*b->scratch));
	memcpy(b->scratch + half + 1, *frames + *count - roots, roots * sizeof(*b->scratch));
	b->cuts.stacks_truncated++;
	*frames = b->scratch;
	*count = b->limits.depth;
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
	if (b->p->nodes_count - 1 + w->count > b->limits.nodes)
		return builder_fail(b, -E2BIG, "stack nodes (limits.stack_nodes)", b->limits.nodes);
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
	int rc = builder_nodes_reserve(b, count);

	if (!rc && !b->lately_shift)
		rc = lately_begin(b, b->nodes_expected);
	if (rc)
		return builder_fail(b, rc, "stack nodes", b->limits.nodes);
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

	if (builder_nodes_reserve(b, count - shared))
		return builder_fail(b, -ENOMEM, "stack nodes", b->limits.nodes);
	for (b->depth = shared; b->depth < count; b->depth++) {
		unsigned linked;

		key.frame = frames[count - 1 - b->depth];
		uint32_t node = node_find(b, key, &linked);
		int rc = 0;

		if (node == SLOTS_NONE) {
			node = (uint32_t)b->p->nodes_count;
			rc = node <= b->limits.nodes
				 ? node_add(b, key, linked)
				 : builder_fail(b, -E2BIG, "stack nodes (limits.stack_nodes)",
						b->limits.nodes);
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
	int rc = count > b->limits.depth ? stack_cut(b, &frames, &count) : 0;

	return rc ? rc : stack_go_on(b, frames, count, ret_node);
}

/* A stack that was seen costs one hash; only a new one walks the tree. */
int profile_builder_stack(struct profile_builder *b, const uint32_t *frames, size_t count,
			  uint32_t *ret_node)
{
	int rc = count > b->limits.depth ? stack_cut(b, &frames, &count) : 0;

	if (rc)
		return rc;
	struct hash128 key = hash128(frames, count * sizeof(*frames));

	*ret_node = index_find(&b->stacks, key);
	if (*ret_node != INDEX_NONE)
		return 0;
	rc = stack_go_on(b, frames, count, ret_node);
	if (!rc && index_put(&b->stacks, key, *ret_node))
		rc = builder_fail(b, -ENOMEM, "stacks", b->stacks.slots.count);
	return rc;
}

#define DEEP 64 /* frames: many times as long to walk as to hash */

int profile_builder_lone_stack(struct profile_builder *b, const uint32_t *frames, size_t count,
			       uint32_t *ret_node)
{
	return count < DEEP && count <= b->limits.depth
		   ? stack_walk(b, frames, count, ret_node)
		   : profile_builder_stack(b, frames, count, ret_node);
}
