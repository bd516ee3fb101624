/* SPDX-License-Identifier: Apache-2.0 */
#include "query/skeleton.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"

#define UNUSED_QUESTIONS 16
#define DEPTH_SHIFT 22 /* depths up to 1,023 are told apart */

int skeleton_reserve(struct skeleton *s, size_t nodes, uint32_t key)
{
	size_t old = s->forks_capacity;

	if (nodes > QUERY_TREE_NODES_MAX)
		return -E2BIG;
	if (chains_reserve(&s->tree, nodes, key) ||
	    array_grow(&s->forks, sizeof(*s->forks), &s->forks_capacity, s->tree.capacity / 64 + 1))
		return -ENOMEM;
	memset(s->forks + old, 0, (s->forks_capacity - old) * sizeof(*s->forks));
	s->tree.capacity = MIN(s->tree.capacity, QUERY_TREE_NODES_MAX);
	return 0;
}

int skeleton_append(struct skeleton *s, uint32_t parent, uint32_t key)
{
	bool is_behind = parent + 1 == s->tree.nodes_count;
	int rc =
	    chains_has_room(&s->tree, key) ? 0 : skeleton_reserve(s, s->tree.nodes_count + 1, key);

	if (!rc)
		rc = chains_add(&s->tree, parent, key);
	if (!rc && !is_behind)
		s->forks[parent / 64] |= UINT64_C(1) << parent % 64;
	return rc;
}

int skeleton_init(struct skeleton *s, bool by_line)
{
	*s = (struct skeleton){.by_line = by_line};
	int rc = query_tree_init(&s->names);

	if (!rc)
		rc = skeleton_reserve(s, 1, 0);
	if (rc)
		skeleton_release(s);
	return rc;
}

static void source_release(struct skeleton_source *source)
{
	free(source->map.known);
	free(source->map.blocks);
	free(source->map.nodes);
	free(source->frames);
	free(source->keys);
}

void skeleton_release(struct skeleton *s)
{
	query_tree_release(&s->names);
	chains_release(&s->tree);
	free(s->forks);
	slots_release(&s->branches);
	free(s->key_hashes);
	free(s->again);
	free(s->joined);
	free(s->class_of);
	slots_release(&s->join_slots);
	intern_release(&s->classes);
	for (size_t i = 0; i < s->sources_count; i++)
		source_release(&s->sources[i]);
	free(s->sources);
	if (s->spare)
		skeleton_sums_release(s->spare);
	free(s->spare);
	*s = (struct skeleton){0};
}

static size_t intern_bytes(const struct intern *intern)
{
	return intern->arena.used + intern->capacity * sizeof(*intern->strings) +
	       intern->slots.capacity * sizeof(*intern->slots.table);
}

size_t skeleton_bytes(const struct skeleton *s)
{
	/* What was touched of it: room that is not used yet is no memory yet. */
	size_t bytes =
	    s->tree.nodes_count * (s->tree.keys ? sizeof(*s->tree.keys) : sizeof(*s->tree.wide)) +
	    (s->tree.heads_capacity + s->forks_capacity) * sizeof(*s->forks) +
	    (s->tree.before_capacity + s->tree.parents_capacity) * sizeof(*s->tree.before) +
	    s->branches.capacity * sizeof(*s->branches.table) +
	    s->key_hashes_count * sizeof(*s->key_hashes) + s->again_count +
	    s->joined_count * sizeof(*s->joined) +
	    s->join_slots.capacity * sizeof(*s->join_slots.table) + intern_bytes(&s->classes) +
	    s->class_count * sizeof(*s->class_of) + intern_bytes(&s->names.strings) +
	    intern_bytes(&s->names.key_index) + intern_bytes(&s->names.alias_index) +
	    s->names.keys_count * sizeof(*s->names.keys);

	if (s->spare)
		bytes += s->spare->runs_capacity * sizeof(*s->spare->totals) +
			 s->spare->leaves_capacity * sizeof(*s->spare->leaves) +
			 s->spare->places.capacity * sizeof(*s->spare->places.table) +
			 s->spare->words_capacity * sizeof(*s->spare->starts) +
			 s->spare->before_capacity * sizeof(*s->spare->before);
	for (size_t i = 0; i < s->sources_count; i++)
		bytes += s->sources[i].map.used * 64 * sizeof(*s->sources[i].map.nodes) +
			 s->sources[i].map.count * (sizeof(uint64_t) + sizeof(uint32_t)) +
			 s->sources[i].frames_count * sizeof(*s->sources[i].frames) +
			 s->sources[i].keys_capacity * sizeof(*s->sources[i].keys);
	return bytes;
}

/* ---- nodes ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	static const uint64_t fixed[2] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f};
	unsigned __int128 product = (unsigned __int128)(a ^ fixed[0]) * (b ^ fixed[1]);

	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Depth, then a hash of the names on the path. */
static uint32_t rank_below(uint32_t parent, uint64_t name_hash)
{
	const uint32_t deepest = UINT32_MAX >> DEPTH_SHIFT;
	uint32_t depth = parent >> DEPTH_SHIFT;

	return MIN(depth + 1, deepest) << DEPTH_SHIFT |
	       (uint32_t)(mix(parent, name_hash) >> (64 - DEPTH_SHIFT));
}

/* Of what joins by names, and so the same for all that are joined. */
static int key_hashes_extend(struct skeleton *s)
{
	int rc = array_grow(&s->key_hashes, sizeof(*s->key_hashes), &s->key_hashes_capacity,
			    s->names.keys_count);

	for (; !rc && s->key_hashes_count < s->names.keys_count; s->key_hashes_count++) {
		const struct query_key *key = &s->names.keys[s->key_hashes_count];
		struct str name = intern_get(&s->names.strings, key->function);

		s->key_hashes[s->key_hashes_count] =
		    mix(s->by_line ? key->line : 0, hash128(name.ptr, name.len).lo);
	}
	return rc;
}

int skeleton_rank(struct skeleton *s, struct skeleton_ranking *r, uint32_t node, uint32_t *ret_rank)
{
	uint32_t above = node, rank = 0;
	size_t depth = 0;
	int rc = key_hashes_extend(s);

	for (; !rc && above && above != r->node; above = skeleton_parent(s, above)) {
		rc = array_grow(&r->path, sizeof(*r->path), &r->path_capacity, depth + 1);
		if (!rc)
			r->path[depth++] = above;
	}
	if (rc)
		return rc;
	rank = above ? r->rank : 0;
	while (depth)
		rank = rank_below(rank, s->key_hashes[skeleton_key(s, r->path[--depth])]);
	r->node = node;
	*ret_rank = r->rank = rank;
	return 0;
}

static int node_add(struct skeleton *s, uint32_t parent, uint32_t key, uint32_t *ret_node)
{
	uint32_t node = (uint32_t)s->tree.nodes_count;
	int rc = skeleton_append(s, parent, key);

	if (!rc && parent + 1 != node)
		rc = slots_add(&s->branches,
			       slots_mix((uint64_t)parent << 32 | key, 0, s->names.secret), node);
	*ret_node = node;
	return rc;
}

/* That is not the node behind its parent, or is new where there is no room. */
int skeleton_child_far(struct skeleton *s, uint32_t parent, uint32_t key, uint32_t *ret_node)
{
	uint32_t node;

	if (parent + 1 == s->tree.nodes_count)
		return node_add(s, parent, key, ret_node);
	uint32_t tag = slots_mix((uint64_t)parent << 32 | key, 0, s->names.secret);
	size_t at = slots_first(&s->branches, tag);

	while ((node = slots_next(&s->branches, tag, &at)) != SLOTS_NONE) {
		if (skeleton_parent(s, node) == parent && skeleton_key(s, node) == key) {
			*ret_node = node;
			return 0;
		}
	}
	return node_add(s, parent, key, ret_node);
}

/* ---- tables of the store ---- */

void skeleton_begin(struct skeleton *s)
{
	s->used++;
	for (size_t i = 0; i < s->sources_count;) {
		if (s->sources[i].used + UNUSED_QUESTIONS >= s->used) {
			i++;
			continue;
		}
		source_release(&s->sources[i]);
		s->sources[i] = s->sources[--s->sources_count];
	}
}

static void source_drop(struct skeleton *s, uint64_t id)
{
	for (size_t i = 0; i < s->sources_count; i++) {
		if (s->sources[i].id != id)
			continue;
		source_release(&s->sources[i]);
		s->sources[i] = s->sources[--s->sources_count];
		return;
	}
}

/* Zeroes for what was not there before. */
static int widen(void *array, size_t item_bytes, size_t *count, size_t want)
{
	void *old, *new;

	if (want <= *count)
		return 0;
	memcpy(&old, array, sizeof(old));
	new = realloc(old, want * item_bytes);
	if (!new)
		return -ENOMEM;
	memset((char *)new + *count *item_bytes, 0, (want - *count) * item_bytes);
	memcpy(array, &new, sizeof(new));
	*count = want;
	return 0;
}

static int map_widen(struct skeleton_map *map, size_t nodes)
{
	size_t blocks = (nodes - 1) / 64 + 1, count[2] = {map->count, map->count};

	if (blocks <= map->count)
		return 0;
	/* No memory before it is used. */
	uint32_t *places = realloc(map->nodes, (blocks + 1) * 64 * sizeof(*places));

	if (!places)
		return -ENOMEM;
	map->nodes = places;
	if (widen(&map->known, sizeof(*map->known), &count[0], blocks) ||
	    widen(&map->blocks, sizeof(*map->blocks), &count[1], blocks))
		return -ENOMEM;
	map->known[0] |= 1;
	map->count = blocks;
	return 0;
}

uint32_t *skeleton_map_block(struct skeleton_map *map, size_t block)
{
	if (!map->blocks[block])
		map->blocks[block] = (uint32_t)++map->used;
	return map->nodes + (size_t)map->blocks[block] * 64;
}

int skeleton_source(struct skeleton *s, const struct storage_segment *segment,
		    struct skeleton_source **ret_source)
{
	struct skeleton_source *source = NULL;

	if (!segment->id)
		source_drop(s, 0);
	for (size_t i = 0; !source && i < s->sources_count; i++)
		if (s->sources[i].id == segment->id)
			source = &s->sources[i];
	if (!source) {
		int rc = array_grow(&s->sources, sizeof(*s->sources), &s->sources_capacity,
				    s->sources_count + 1);

		if (rc)
			return rc;
		source = &s->sources[s->sources_count++];
		*source = (struct skeleton_source){.id = segment->id};
	}
	source->used = s->used;
	int rc = s->tree.nodes_count == 1
		     ? skeleton_reserve(s, MIN(segment->nodes_count, QUERY_TREE_NODES_MAX), 0)
		     : 0;

	if (!rc)
		rc = map_widen(&source->map, segment->nodes_count);

	if (!rc)
		rc = widen(&source->frames, sizeof(*source->frames), &source->frames_count,
			   segment->frames_count);
	*ret_source = source;
	return rc;
}

/* ---- what follows from structure alone ---- */

/* Nodes that stand one below the other are one path, on which each key has the number of the
 * first. */
int skeleton_find_again(struct skeleton *s)
{
	uint32_t *CLEANUP(cleanup_free) stamps = calloc(s->names.keys_count + 1, sizeof(*stamps));
	int rc = stamps ? array_grow(&s->again, sizeof(*s->again), &s->again_capacity,
				     s->tree.nodes_count)
			: -ENOMEM;
	uint32_t stamp = 0;

	if (rc)
		return rc;
	if (!s->again_count)
		s->again[s->again_count++] = false;
	for (uint32_t node = (uint32_t)s->again_count; node < s->tree.nodes_count; node++) {
		if (!stamp || skeleton_parent(s, node) + 1 != node) {
			stamp = node;
			for (uint32_t at = skeleton_parent(s, node); at;
			     at = skeleton_parent(s, at))
				stamps[skeleton_key(s, at)] = stamp;
		}
		s->again[node] = stamps[skeleton_key(s, node)] == stamp;
		stamps[skeleton_key(s, node)] = stamp;
	}
	s->again_count = s->tree.nodes_count;
	return 0;
}

/* A number for each name, by key. */
static int classes_extend(struct skeleton *s)
{
	int rc = s->classes.slots.capacity ? 0 : intern_init(&s->classes, (size_t)1 << 30);

	if (!rc)
		rc = array_grow(&s->class_of, sizeof(*s->class_of), &s->class_capacity,
				s->names.keys_count);
	for (; !rc && s->class_count < s->names.keys_count; s->class_count++) {
		const struct query_key *key = &s->names.keys[s->class_count];
		const uint32_t name[2] = {key->function, s->by_line ? key->line : 0};

		rc = intern_put(&s->classes, (const char *)name, sizeof(name),
				&s->class_of[s->class_count]);
		if (rc)
			break;
	}
	return rc;
}

static int joined_add(struct skeleton *s, uint32_t node)
{
	uint32_t parent = s->joined[skeleton_parent(s, node)],
		 class = s->class_of[skeleton_key(s, node)], other;
	uint32_t tag = slots_mix((uint64_t)parent << 32 | class, 0, s->names.secret);
	size_t at = slots_first(&s->join_slots, tag);

	while ((other = slots_next(&s->join_slots, tag, &at)) != SLOTS_NONE) {
		if (s->joined[skeleton_parent(s, other)] == parent &&
		    s->class_of[skeleton_key(s, other)] == class) {
			s->joined[node] = other;
			return 0;
		}
	}
	s->joined[node] = node;
	return slots_add(&s->join_slots, tag, node);
}

int skeleton_join(struct skeleton *s)
{
	int rc = classes_extend(s);

	/* Number 0 is nobody's. */
	s->is_joined = !rc && s->classes.count <= s->names.keys_count;
	if (rc || !s->is_joined)
		return rc;
	rc = array_grow(&s->joined, sizeof(*s->joined), &s->joined_capacity, s->tree.nodes_count);
	if (!rc && !s->joined_count)
		s->joined[s->joined_count++] = 0;
	for (; !rc && s->joined_count < s->tree.nodes_count; s->joined_count += !rc)
		rc = joined_add(s, (uint32_t)s->joined_count);
	return rc;
}
