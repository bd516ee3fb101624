/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/context.h"
#include "query/merge.h"
#include "query/reshape.h"

struct segment_call {
	const struct query *query;
	struct skeleton *skeleton;
	struct query_tree *tree; /* the skeleton's names */
	struct skeleton_source *source;
	const struct storage_segment *segment;
	bool folds; /* by file or library */
	struct skeleton_sums *sums;
	struct query_facts *facts;
};

static struct str segment_string(const struct storage_segment *segment, uint32_t id)
{
	return id < segment->strings_count ? segment->strings[id] : STR("");
}

static const char *base_name(struct str path)
{
	const char *slash = memrchr(path.ptr, '/', path.len);

	return slash && slash + 1 < path.ptr + path.len ? slash + 1 : path.ptr;
}

int query_key_reduce(struct query_tree *tree, enum query_granularity granularity,
		     struct query_key *key)
{
	switch (granularity) {
	case QUERY_BY_FUNCTION:
	case QUERY_BY_LINE:
	case QUERY_BY_ADDRESS:
		break;
	case QUERY_BY_FILE:
		*key = (struct query_key){.function = key->file ? key->file : key->library,
					  .file = key->file};
		break;
	case QUERY_BY_LIBRARY:
		*key = (struct query_key){.function = key->library, .library = key->library};
		break;
	}
	return key->function ? 0 : query_tree_key_string(tree, "[unknown]", &key->function);
}

/* Keep what else a library or an address is called, for filters. */
static int alias_add(struct segment_call *call, uint32_t string, struct str text)
{
	uint32_t pair[2] = {string, 0}, ignored;

	if (!string)
		return 0;
	int rc = intern_put(&call->tree->strings, text.ptr, text.len, &pair[1]);

	if (!rc && !call->tree->alias_index.count)
		rc = intern_init(&call->tree->alias_index, (size_t)64 << 20);
	return rc ? rc
		  : intern_put(&call->tree->alias_index, (const char *)pair, sizeof(pair),
			       &ignored);
}

static int key_push(struct segment_call *call, struct query_key key)
{
	int rc = query_key_reduce(call->tree, reshape_merge_granularity(call->query), &key);

	uint32_t number = 0;

	if (!rc)
		rc = query_tree_key(call->tree, &key, &number);
	if (!rc)
		rc = array_grow(&call->source->keys, sizeof(*call->source->keys),
				&call->source->keys_capacity, call->source->keys_count + 1);
	if (!rc)
		call->source->keys[call->source->keys_count++] = number;
	return rc;
}

static uint32_t key_line(const struct query *query, uint32_t line, uint32_t start_line)
{
	return reshape_merge_granularity(query) == QUERY_BY_FUNCTION ? start_line : line;
}

static uint32_t key_start(const struct query *query, uint32_t start_line)
{
	return query->granularity == QUERY_BY_LINE ? start_line : 0;
}

/* "binary+0x1234": what is always true of an address. */
static int address_name(struct segment_call *call, uint64_t address,
			const struct profile_module *module, uint32_t *ret_string)
{
	char text[512];
	struct str path = segment_string(call->segment, module->path);

	if (path.len)
		(void)snprintf(text, sizeof(text), "%.400s+0x%llx", base_name(path),
			       (unsigned long long)address);
	else
		(void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	return query_tree_key_string(call->tree, text, ret_string);
}

static int address_keys(struct segment_call *call, const struct profile_frame *frame,
			uint32_t library)
{
	static const struct profile_module unknown;
	const struct query_names *names = call->query->names;
	const struct profile_module *module = frame->module < call->segment->modules_count
						  ? &call->segment->modules[frame->module]
						  : &unknown;
	struct query_name found[QUERY_INLINES_MAX];
	size_t count = 0;
	int rc = 0;

	if (names && module->build_id_len)
		count = names->find(names->arg, module, call->segment->owner, frame->address,
				    frame->flags & PROFILE_FRAME_FILE_OFFSET, found);
	if (!count || call->query->granularity == QUERY_BY_ADDRESS) {
		struct query_key key = {.library = library};

		rc = address_name(call, frame->address, module, &key.function);
		for (size_t i = 0; !rc && i < count; i++) {
			rc = alias_add(call, key.function, str_of(found[i].function));
			if (!rc)
				rc = alias_add(call, key.function, str_of(found[i].file));
		}
		return rc ? rc : key_push(call, key);
	}
	for (size_t i = count; !rc && i-- > 0;) { /* the outermost goes first */
		struct query_key key = {
		    .library = library,
		    .line = key_line(call->query, found[i].line, found[i].start_line),
		    .start_line = key_start(call->query, found[i].start_line)};

		if (found[i].function)
			rc = query_tree_key_string(call->tree, found[i].function, &key.function);
		else
			rc = address_name(call, frame->address - found[i].inside, module,
					  &key.function);
		if (!rc)
			rc = query_tree_key_string(call->tree, found[i].file, &key.file);
		if (!rc)
			rc = key_push(call, key);
	}
	return rc;
}

static int named_key(struct segment_call *call, const struct profile_frame *frame, uint32_t library)
{
	struct query_key key = {.library = library,
				.line = key_line(call->query, frame->line, frame->start_line),
				.start_line = key_start(call->query, frame->start_line)};
	struct str function = segment_string(call->segment, frame->function);
	struct str file = segment_string(call->segment, frame->file);
	int rc = intern_put(&call->tree->strings, function.ptr, function.len, &key.function);

	if (!rc)
		rc = intern_put(&call->tree->strings, file.ptr, file.len, &key.file);
	return rc ? rc : key_push(call, key);
}

static int frame_name(struct segment_call *call, uint32_t number)
{
	const struct profile_frame *frame = &call->segment->frames[number];
	struct str path = {"", 0};
	uint32_t library = 0;
	size_t at = call->source->keys_count;

	if (frame->module < call->segment->modules_count)
		path = segment_string(call->segment, call->segment->modules[frame->module].path);
	int rc = 0;

	if (path.len) {
		const char *name = base_name(path);

		rc = intern_put(&call->tree->strings, name, (size_t)(path.ptr + path.len - name),
				&library);
		if (!rc)
			rc = alias_add(call, library, path);
	}
	if (!rc)
		rc = frame->flags & PROFILE_FRAME_ADDRESS ? address_keys(call, frame, library)
							  : named_key(call, frame, library);
	if (rc)
		call->source->keys_count = at;
	else
		call->source->frames[number] = (struct skeleton_frame){
		    (uint32_t)at, (uint32_t)(call->source->keys_count - at)};
	return rc;
}

/* Hang one node of the segment under what its parent became. */
static inline int node_map(struct segment_call *call, uint32_t number, uint32_t *at)
{
	struct skeleton *skeleton = call->skeleton;
	uint32_t frame = storage_frame(call->segment, number);
	int rc = 0;

	if (frame >= call->segment->frames_count)
		return -EIO;
	if (!call->source->frames[frame].count)
		rc = frame_name(call, frame);
	struct skeleton_frame run = call->source->frames[frame];

	for (uint32_t i = 0; !rc && i < run.count; i++) {
		uint32_t key = call->source->keys[run.at + i];

		/* One file or library calling itself is one node, not a tower. */
		if (call->folds && *at && skeleton_key(skeleton, *at) == key)
			continue;
		rc = skeleton_child(skeleton, *at, key, at);
	}
	return rc;
}

/* The nodes of a block that are marked, in the order of their numbers, in which a parent is before
 * its children and stacks stand together. */
static int block_map(struct segment_call *call, size_t block, uint64_t marks)
{
	struct skeleton_map *map = &call->source->map;
	uint32_t *places = skeleton_map_block(map, block), last = UINT32_MAX, at = 0;
	int rc = 0;

	for (uint64_t bits = marks; !rc && bits; bits &= bits - 1) {
		uint32_t node = (uint32_t)(block * 64) + (uint32_t)__builtin_ctzll(bits);
		uint32_t parent = storage_parent(call->segment, node);

		if (parent != last)
			at = skeleton_place(map, parent);
		rc = node_map(call, node, &at);
		places[node % 64] = at;
		last = node;
	}
	if (!rc)
		map->known[block] |= marks;
	return rc;
}

static uint64_t bits_between(size_t word, uint32_t first, uint32_t last)
{
	uint64_t bits = UINT64_MAX;

	if (word == first / 64)
		bits &= UINT64_MAX << first % 64;
	if (word == last / 64)
		bits &= UINT64_MAX >> (63 - last % 64);
	return bits;
}

/* Mark these nodes, which go on one behind the other, up from the last to one that was or need not
 * be. Whether there is none. */
static bool chain_mark(const struct segment_call *call, uint32_t first, uint32_t last,
		       uint64_t *marks)
{
	for (size_t word = last / 64 + 1; word-- > first / 64;) {
		uint64_t here = bits_between(word, first, last);
		uint64_t met = here & (marks[word] | call->source->map.known[word]);

		if (met) {
			unsigned highest = 63 - (unsigned)__builtin_clzll(met);

			marks[word] |= highest < 63 ? here & UINT64_MAX << (highest + 1) : 0;
			return false;
		}
		marks[word] |= here;
	}
	return true;
}

/* Mark a leaf that no question has met yet, and what is above it up to what one has. */
static void leaf_mark(const struct segment_call *call, uint32_t leaf, uint64_t *marks)
{
	uint32_t first = storage_chain(call->segment, leaf), last = leaf;

	while (chain_mark(call, first, last, marks)) { /* the root is known */
		last = storage_parent(call->segment, first);
		first = storage_chain(call->segment, last);
	}
}

static void all_mark(const struct segment_call *call, uint64_t *marks)
{
	uint32_t last = (uint32_t)call->segment->nodes_count - 1;

	for (size_t word = 0; word <= last / 64; word++)
		marks[word] = bits_between(word, 0, last) & ~call->source->map.known[word];
}

/* Find the place of each leaf: source->map says where.  `leaves` NULL: of all nodes. */
static int segment_map(struct segment_call *call, const uint32_t *leaves, size_t count)
{
	uint64_t *CLEANUP(cleanup_free) marks = NULL;
	int rc = skeleton_source(call->skeleton, call->segment, &call->source);
	const struct skeleton_map *map = rc ? NULL : &call->source->map;
	size_t blocks = (call->segment->nodes_count - 1) / 64 + 1, at = 0;

	call->tree = &call->skeleton->names;
	call->folds = reshape_merge_granularity(call->query) >= QUERY_BY_FILE;
	while (!rc && leaves && at < count && map->known[leaves[at] / 64] >> leaves[at] % 64 & 1)
		at++;
	if (rc || (leaves && at == count))
		return rc;
	marks = calloc(blocks, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	if (!leaves)
		all_mark(call, marks);
	for (; leaves && at < count; at++)
		leaf_mark(call, leaves[at], marks);
	for (size_t block = 0; !rc && block < blocks; block++)
		if (marks[block])
			rc = block_map(call, block, marks[block]);
	return rc;
}

static int segment_add(void *arg, const struct storage_segment *segment)
{
	struct segment_call *call = arg;

	call->segment = segment;
	call->facts->folded |= segment->folded;
	int rc = segment_map(call, segment->leaves, segment->leaves_count);
	for (size_t i = 0; !rc && i < segment->leaves_count; i++) {
		rc =
		    skeleton_add(call->sums, skeleton_place(&call->source->map, segment->leaves[i]),
				 segment->sums[i], segment->counts[i]);
		call->facts->samples += segment->counts[i];
	}
	return rc;
}

int query_map_records(const struct query *query, const struct storage_records *records,
		      struct skeleton *skeleton, const struct skeleton_map **ret_map)
{
	struct segment_call call = {
	    .query = query, .skeleton = skeleton, .segment = &records->segment};
	int rc = segment_map(&call, records->nodes, records->count);

	if (!rc)
		*ret_map = &call.source->map;
	return rc;
}

int query_map_tables(const struct query *query, const struct storage_segment *tables,
		     struct skeleton *skeleton, const struct skeleton_map **ret_map)
{
	struct segment_call call = {.query = query, .skeleton = skeleton, .segment = tables};
	/* A merge has met those that it read; steps within an hour are read from the tables of the
	 * level below. */
	int rc = segment_map(&call, NULL, 0);

	if (!rc)
		*ret_map = &call.source->map;
	return rc;
}

static int total_is_removed(void *arg, size_t series, int64_t step_start_ns, int64_t sum,
			    uint64_t count)
{
	struct query_facts *facts = arg;

	(void)series;
	(void)step_start_ns;
	facts->removed_value = sum_add(facts->removed_value, sum);
	facts->removed_samples += count;
	return 0;
}

/* What one fate of a set's series means: read whole, only counted, or read by record. */
static int fate_merge(struct segment_call *call, const struct query_series_set *set,
		      enum query_fate fate, struct err *err)
{
	const struct query *query = call->query;
	struct query_series_set part CLEANUP(query_series_set_release) = {0};
	int rc = context_split(set, fate, &part);

	if (rc || !part.count)
		return rc;
	struct storage_scan scan = query_scan(query, &part);

	switch (fate) {
	case QUERY_ALL_IN:
		return storage_scan(query->reader, &scan, segment_add, call, err);
	case QUERY_ALL_OUT:
		return storage_timeline(query->reader, &scan, scan.until_ns - scan.from_ns,
					total_is_removed, call->facts, err);
	case QUERY_BY_RECORD:
		break;
	}
	return context_scan(query, &part, call->facts, segment_add, call, err);
}

int query_merge_set(const struct query *query, const struct query_series_set *set,
		    struct skeleton *skeleton, struct skeleton_sums *sums,
		    struct query_facts *facts, struct err *err)
{
	static const enum query_fate fates[] = {QUERY_ALL_IN, QUERY_ALL_OUT, QUERY_BY_RECORD};
	struct segment_call call = {
	    .query = query, .skeleton = skeleton, .sums = sums, .facts = facts};
	struct storage_scan scan = query_scan(query, set);
	bool by_labels = context_is_asked(query);
	int rc = by_labels ? 0 : storage_scan(query->reader, &scan, segment_add, &call, err);

	facts->filtered |= by_labels;
	for (size_t i = 0; !rc && by_labels && i < ARRAY_LEN(fates); i++)
		rc = fate_merge(&call, set, fates[i], err);
	if (rc == -ETIME) {
		facts->partial = true;
		return 0;
	}
	return rc;
}

int query_failed(int rc, struct err *err)
{
	if (rc == -ENOMEM)
		return err_set(err, rc, "query: out of memory");
	if (rc == -ETIME && (!err || !err->code))
		return err_set(err, rc,
			       "query: its time was over before the shape was made; narrow the "
			       "range or the filters");
	if (rc == -E2BIG)
		return err_set(err, rc,
			       "query: the answer has more than the limit of %zu nodes or 256 MiB "
			       "of names; narrow the range, the selector or the filters",
			       QUERY_TREE_NODES_MAX);
	return rc;
}

int query_merge_sums(const struct query *query, struct skeleton *skeleton,
		     struct skeleton_sums *sums, struct query_facts *facts, struct err *err)
{
	char type_id[PROFILE_TYPE_ID_MAX], unit[64];
	struct query_selection selection;
	int rc = query_select(query, STR(""), &selection, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < ARRAY_LEN(selection.sets); i++)
		if (selection.sets[i].count)
			rc = query_merge_set(query, &selection.sets[i], skeleton, sums, facts, err);
	if (!rc)
		rc = query_add_losses(query, &selection, facts, err);
	if (!rc && !selection.series_count) {
		query_type_text(query, type_id, unit);
		rc = err_set(err, -ENOENT, "no series of %s matches in this range", type_id);
	}
	query_selection_release(&selection);
	return query_failed(rc, err);
}

/* What a filter that only keeps or drops whole samples leaves. */
static int leaves_filter(const struct query *query, struct skeleton *skeleton,
			 struct skeleton_sums *sums, struct query_facts *facts)
{
	bool *CLEANUP(cleanup_free) passes = NULL;
	int rc = query_filter_nodes(query->filter, skeleton, &passes);

	if (rc)
		return rc;
	for (size_t i = 0; i < sums->leaves_count; i++) {
		const struct skeleton_leaf *leaf = &sums->leaves[i];

		if (passes[leaf->node])
			continue;
		facts->removed_value = sum_add(facts->removed_value, leaf->self);
		facts->removed_samples += leaf->samples;
		facts->samples -= leaf->samples;
	}
	facts->filtered = true;
	return skeleton_keep(sums, passes);
}

int query_merge_leaves(const struct query *query, struct skeleton *skeleton,
		       struct skeleton_sums *sums, struct query_facts *facts, struct err *err)
{
	int rc = query_merge_sums(query, skeleton, sums, facts, err), rc_after = 0;

	if (rc && rc != -ENOENT)
		return rc;
	if (query_filter_keeps_stacks(query->filter) && !query_is_reshaped(query))
		rc_after = leaves_filter(query, skeleton, sums, facts);
	return rc_after ? query_failed(rc_after, err) : rc;
}

int query_merge_settled(const struct query *query, struct skeleton *skeleton,
			struct skeleton_sums *sums, struct query_facts *facts, struct err *err)
{
	int rc = query_merge_leaves(query, skeleton, sums, facts, err);
	int rc_after = rc && rc != -ENOENT ? 0 : skeleton_settle(sums, skeleton);

	return rc_after ? query_failed(rc_after, err) : rc;
}

int query_merge(const struct query *query, struct query_tree *tree, struct err *err)
{
	struct skeleton_sums sums = {0};
	struct skeleton *skeleton = NULL;
	bool reshaped = query_is_reshaped(query);
	int rc = query_skeleton_borrow(query, &skeleton), rc_after;

	query_type_text(query, tree->type_id, tree->unit);
	tree->range = query->range;
	if (!rc) {
		skeleton_sums_borrow(&sums, skeleton);
		rc = query_merge_settled(query, skeleton, &sums, &tree->facts, err);
	}
	rc_after = rc == -ENOENT ? 0 : rc;
	if (!rc_after) {
		const struct skeleton_take take = {.skeleton = skeleton,
						   .sums = &sums,
						   .max_nodes = reshaped ? 0 : query->max_nodes};

		rc_after = skeleton_tree(&take, tree, NULL);
	}
	/* A whole tree and its text are large enough by themselves. */
	if (!query->max_nodes)
		skeleton_sums_release(&sums);
	else if (skeleton)
		skeleton_sums_return(&sums, skeleton);
	query_skeleton_return(query, skeleton);
	if (!rc_after && reshaped) {
		rc_after = reshape_tree(query, tree, NULL, NULL);
		if (!rc_after)
			query_tree_sum(tree);
	}
	return rc_after ? query_failed(rc_after, err) : rc;
}
