/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/builder_private.h"

const struct profile_limits profile_limits_default = PROFILE_LIMITS_DEFAULT;

#define KEYS_BYTES_MAX ((size_t)512 << 20)

int builder_fail(struct profile_builder *b, int code, const char *what, size_t limit)
{
	b->failed = code;
	if (code == -E2BIG)
		return err_set(&b->err, code, "profile: more than %zu %s", limit, what);
	return err_set(&b->err, code, "profile: out of memory");
}

/* The tables that are the builder's own, empty. */
static int own_begin(struct profile_builder *b)
{
	struct intern *const keys[] = {&b->modules, &b->kinds, &b->series, &b->contexts};
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(keys); i++)
		rc = keys[i]->capacity ? intern_clear(keys[i])
				       : intern_init(keys[i], KEYS_BYTES_MAX);
	if (!rc)
		rc = array_grow(&b->links, sizeof(*b->links), &b->own.links, 1);
	if (rc)
		return rc;
	b->lately_shift = 0;
	b->nodes_expected = 0;
	b->links[0] = (struct link){0};
	return 0;
}

/* Empty, in its memory. */
static int profile_clear(struct profile *p)
{
	*p = (struct profile){.strings = p->strings,
			      .modules = p->modules,
			      .frames = p->frames,
			      .frame_identities = p->frame_identities,
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
	if (!rc)
		rc = array_grow(&b->p->frame_identities, sizeof(*b->p->frame_identities),
				&b->capacity.frame_identities, 1);
	if (rc)
		return rc;
	b->p->modules[b->p->modules_count++] = (struct profile_module){0};
	b->p->node_hashes[0] = (struct hash128){0};
	b->p->nodes[b->p->nodes_count++] = (struct profile_node){0};
	b->p->contexts[b->p->contexts_count++] = (struct profile_labels){0};
	b->p->frame_identities[0] = (struct hash128){0};
	b->p->frames[b->p->frames_count++] = (struct profile_frame){0};
	return 0;
}

int profile_builder_new(const struct profile_limits *limits, struct profile_builder **ret_builder)
{
	struct profile_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->limits = limits ? *limits : profile_limits_default;
	b->limits.depth = MIN(b->limits.depth, (size_t)PROFILE_STACK_DEPTH_MAX);
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
	return MAX(b->own.links, MAX(b->own.text_identities, b->stacks.slots.capacity)) >
		   KEEP_ENTRIES ||
	       MAX(b->frames.capacity, b->nodes.capacity) > KEEP_ENTRIES;
}

static bool profile_is_large(const struct profile_builder *b)
{
	const struct profile *p = b->p;

	return b->capacity.frames * sizeof(*p->frames) +
		   b->capacity.frame_identities * sizeof(*p->frame_identities) +
		   b->capacity.nodes * sizeof(*p->nodes) +
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
	b->err = (struct err){0};
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
		rc = array_grow(&b->p->frame_identities, sizeof(*b->p->frame_identities),
				&b->capacity.frame_identities, b->p->frames_count + frames);
	size_t nodes =
	    counts->nodes ? MIN(counts->nodes, (size_t)EXPECTED_MAX) : NODES_OF_FRAME * frames;

	if (!rc)
		rc = builder_nodes_reserve(b, nodes);
	b->nodes_expected = nodes;
	if (!rc)
		rc = GROW(b, records, records);
	if (!rc)
		rc = GROW(b, values, values);
	return rc ? builder_fail(b, rc, "", 0) : 0;
}

int profile_builder_record(struct profile_builder *b, const struct profile_record *record,
			   const int64_t *values)
{
	struct profile *p = b->p;
	size_t columns = p->kinds[p->series[record->series].kind].columns_count;

	if (p->records_count >= b->limits.records)
		return builder_fail(b, -E2BIG, "samples (limits.samples)", b->limits.records);
	int rc = GROW(b, records, 1);

	if (!rc)
		rc = GROW(b, values, columns);
	if (rc)
		return builder_fail(b, rc, "records", b->limits.records);
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
		return builder_fail(b, rc, "cursors", b->p->cursors_count);
	b->p->cursors[b->p->cursors_count++] = *cursor;
	return 0;
}

int profile_builder_loss(struct profile_builder *b, uint32_t series, struct str reason,
			 uint64_t count, int64_t time_ns)
{
	struct profile_loss loss = {.series = series, .count = count, .time_ns = time_ns};
	int rc = profile_builder_string(b, reason, &loss.reason);

	if (rc)
		return rc;
	rc = GROW(b, losses, 1);
	if (rc)
		return builder_fail(b, rc, "losses", b->p->losses_count);
	b->p->losses[b->p->losses_count++] = loss;
	return 0;
}
