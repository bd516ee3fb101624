/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/context.h"
#include "query/merge.h"
#include "query/reshape.h"

/* The names of one frame of a segment: a run in `keys`, outermost function first. */
struct frame_keys {
	uint32_t at, count; /* count 0: not named yet; a frame always has at least one key */
};

struct segment_call {
	const struct query *query;
	struct query_tree *tree;
	const struct storage_segment *segment;
	bool folds; /* by file or library */
	struct frame_keys *frames;
	uint32_t *keys; /* numbers in the tree */
	size_t keys_count, keys_capacity;
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
		*key = (struct query_key){ .function = key->file ? key->file : key->library,
					   .file = key->file };
		break;
	case QUERY_BY_LIBRARY:
		*key = (struct query_key){ .function = key->library, .library = key->library };
		break;
	}
	return key->function ? 0 : query_tree_key_string(tree, "[unknown]", &key->function);
}

/* Keep what else a library or an address is called, for filters. */
static int alias_add(struct segment_call *call, uint32_t string, struct str text)
{
	uint32_t pair[2] = { string, 0 }, ignored;

	if (!call->query->filter || !string)
		return 0;
	int rc = intern_put(&call->tree->strings, text.ptr, text.len, &pair[1]);

	if (!rc && !call->tree->alias_index.count)
		rc = intern_init(&call->tree->alias_index, (size_t)64 << 20);
	return rc ? rc :
		    intern_put(&call->tree->alias_index, (const char *)pair, sizeof(pair), &ignored);
}

static int key_push(struct segment_call *call, struct query_key key)
{
	int rc = query_key_reduce(call->tree, reshape_merge_granularity(call->query), &key);

	uint32_t number = 0;

	if (!rc)
		rc = query_tree_key(call->tree, &key, &number);
	if (!rc)
		rc = array_grow(&call->keys, sizeof(*call->keys), &call->keys_capacity,
				call->keys_count + 1);
	if (!rc)
		call->keys[call->keys_count++] = number;
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
	const struct profile_module *module = frame->module < call->segment->modules_count ?
						      &call->segment->modules[frame->module] :
						      &unknown;
	struct query_name found[QUERY_INLINES_MAX];
	size_t count = 0;
	int rc = 0;

	if (names && module->build_id_len)
		count = names->find(names->arg, module, call->segment->owner, frame->address,
				    frame->flags & PROFILE_FRAME_FILE_OFFSET, found);
	if (!count || call->query->granularity == QUERY_BY_ADDRESS) {
		struct query_key key = { .library = library };

		rc = address_name(call, frame->address, module, &key.function);
		for (size_t i = 0; !rc && i < count; i++) {
			rc = alias_add(call, key.function, str_of(found[i].function));
			if (!rc)
				rc = alias_add(call, key.function, str_of(found[i].file));
		}
		return rc ? rc : key_push(call, key);
	}
	for (size_t i = count; !rc && i-- > 0;) { /* the outermost goes first */
		struct query_key key = { .library = library,
					 .line = key_line(call->query, found[i].line,
							  found[i].start_line),
					 .start_line = key_start(call->query, found[i].start_line) };

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
	struct query_key key = { .library = library,
				 .line = key_line(call->query, frame->line, frame->start_line),
				 .start_line = key_start(call->query, frame->start_line) };
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
	struct str path = { "", 0 };
	uint32_t library = 0;
	size_t at = call->keys_count;

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
		rc = frame->flags & PROFILE_FRAME_ADDRESS ? address_keys(call, frame, library) :
							    named_key(call, frame, library);
	call->frames[number] = (struct frame_keys){ (uint32_t)at, (uint32_t)(call->keys_count - at) };
	return rc;
}

/* Hang one node of the segment under what its parent became. */
static int node_map(struct segment_call *call, const struct profile_node *node, uint32_t parent,
		    uint32_t *ret_node)
{
	uint32_t at = parent;
	int rc = 0;

	if (node->frame >= call->segment->frames_count)
		return -EIO;
	if (!call->frames[node->frame].count)
		rc = frame_name(call, node->frame);
	struct frame_keys run = call->frames[node->frame];

	for (uint32_t i = 0; !rc && i < run.count; i++) {
		uint32_t key = call->keys[run.at + i];

		/* One file or library calling itself is one node, not a tower. */
		if (call->folds && at && call->tree->nodes[at].key == key)
			continue;
		rc = query_tree_child_of(call->tree, at, key, &at);
	}
	*ret_node = at;
	return rc;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The leaves and what is above them, once each, parents first. */
static int touched_find(const struct storage_segment *segment, const uint32_t *leaves, size_t count,
			uint32_t **ret_list, size_t *ret_count)
{
	bool *CLEANUP(cleanup_free) seen = calloc(segment->nodes_count + 1, sizeof(*seen));
	uint32_t *CLEANUP(cleanup_free) list = NULL;
	size_t touched = 0, capacity = 0;
	int rc = seen ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < count; i++) {
		for (uint32_t node = leaves[i]; !rc && node && !seen[node];
		     node = segment->nodes[node].parent) {
			seen[node] = true;
			rc = array_grow(&list, sizeof(*list), &capacity, touched + 1);
			if (!rc)
				list[touched++] = node;
		}
	}
	if (rc)
		return rc;
	/* A part of a file, an edge of the range or a step of a timeline, touches few of its nodes. */
	if (touched < segment->nodes_count / 16) {
		if (touched)
			qsort(list, touched, sizeof(*list), by_number);
	} else {
		touched = 0;
		for (uint32_t i = 1; i < segment->nodes_count; i++)
			if (seen[i])
				list[touched++] = i;
	}
	*ret_list = TAKE(list);
	*ret_count = touched;
	return 0;
}

/* Hang the leaves, and what is above them, into the tree: map[node] is where. */
static int segment_map(struct segment_call *call, const uint32_t *leaves, size_t count, uint32_t *map)
{
	const struct storage_segment *segment = call->segment;
	uint32_t *CLEANUP(cleanup_free) list = NULL;
	size_t touched = 0;
	int rc = touched_find(segment, leaves, count, &list, &touched);

	call->folds = reshape_merge_granularity(call->query) >= QUERY_BY_FILE;
	for (size_t i = 0; !rc && i < touched; i++) {
		const struct profile_node *node = &segment->nodes[list[i]];

		rc = node_map(call, node, map[node->parent], &map[list[i]]);
	}
	return rc;
}

static int segment_merge(struct segment_call *call)
{
	const struct storage_segment *segment = call->segment;
	uint32_t *CLEANUP(cleanup_free) map = calloc(segment->nodes_count + 1, sizeof(*map));

	call->frames = calloc(segment->frames_count + 1, sizeof(*call->frames));
	if (!map || !call->frames)
		return -ENOMEM;
	int rc = segment_map(call, segment->leaves, segment->leaves_count, map);

	for (size_t i = 0; !rc && i < segment->leaves_count; i++) {
		struct query_tree_node *node = &call->tree->nodes[map[segment->leaves[i]]];

		node->self = sum_add(node->self, segment->sums[i]);
		node->samples += segment->counts[i];
		call->tree->facts.samples += segment->counts[i];
	}
	return rc;
}

static int segment_add(void *arg, const struct storage_segment *segment)
{
	const struct segment_call *from = arg;
	struct segment_call call = { .query = from->query, .tree = from->tree, .segment = segment };
	int rc = segment_merge(&call);

	free(call.frames);
	free(call.keys);
	return rc;
}

int query_map_records(const struct query *query, const struct storage_records *records,
		      struct query_tree *tree, uint32_t **ret_map)
{
	const struct storage_segment *segment = &records->segment;
	struct segment_call call = { .query = query, .tree = tree, .segment = segment };
	uint32_t *CLEANUP(cleanup_free) map = calloc(segment->nodes_count + 1, sizeof(*map));

	call.frames = calloc(segment->frames_count + 1, sizeof(*call.frames));
	int rc = map && call.frames ? 0 : -ENOMEM;

	if (!rc)
		rc = segment_map(&call, records->nodes, records->count, map);
	free(call.frames);
	free(call.keys);
	if (!rc)
		*ret_map = TAKE(map);
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
	struct query_series_set part CLEANUP(query_series_set_release) = { 0 };
	int rc = context_split(set, fate, &part);

	if (rc || !part.count)
		return rc;
	struct storage_scan scan = query_scan(query, &part);

	switch (fate) {
	case QUERY_ALL_IN:
		return storage_scan(query->reader, &scan, segment_add, call, err);
	case QUERY_ALL_OUT:
		return storage_timeline(query->reader, &scan, scan.until_ns - scan.from_ns,
					total_is_removed, &call->tree->facts, err);
	case QUERY_BY_RECORD:
		break;
	}
	return context_scan(query, &part, &call->tree->facts, segment_add, call, err);
}

int query_merge_set(const struct query *query, const struct query_series_set *set,
		    struct query_tree *tree, struct err *err)
{
	static const enum query_fate fates[] = { QUERY_ALL_IN, QUERY_ALL_OUT, QUERY_BY_RECORD };
	struct segment_call call = { .query = query, .tree = tree };
	struct storage_scan scan = query_scan(query, set);
	bool by_labels = context_is_asked(query);
	int rc = by_labels ? 0 : storage_scan(query->reader, &scan, segment_add, &call, err);

	tree->facts.filtered |= by_labels;
	for (size_t i = 0; !rc && by_labels && i < ARRAY_LEN(fates); i++)
		rc = fate_merge(&call, set, fates[i], err);
	if (rc == -ETIME) {
		tree->facts.partial = true;
		return 0;
	}
	return rc;
}

int query_failed(int rc, struct err *err)
{
	if (rc == -ENOMEM)
		return err_set(err, rc, "query: out of memory");
	if (rc == -E2BIG)
		return err_set(err, rc,
			       "query: the answer has more than the limit of %zu nodes or 256 MiB of names; narrow the range, the selector or the filters",
			       QUERY_TREE_NODES_MAX);
	return rc;
}

int query_merge_raw(const struct query *query, struct query_tree *tree, struct err *err)
{
	struct query_selection selection;
	int rc = query_select(query, STR(""), &selection, err);

	if (rc)
		return rc;
	query_type_text(query, tree->type_id, tree->unit);
	tree->range = query->range;
	for (size_t i = 0; !rc && i < ARRAY_LEN(selection.sets); i++)
		if (selection.sets[i].count)
			rc = query_merge_set(query, &selection.sets[i], tree, err);
	if (!rc)
		rc = query_add_losses(query, &selection, &tree->facts, err);
	if (!rc && !selection.series_count)
		rc = err_set(err, -ENOENT, "no series of %s matches in this range", tree->type_id);
	query_selection_release(&selection);
	return query_failed(rc, err);
}

int query_merge(const struct query *query, struct query_tree *tree, struct err *err)
{
	int rc = query_merge_raw(query, tree, err);

	if (!rc && reshape_is_needed(query))
		rc = reshape_tree(query, tree, NULL, NULL);
	if (!rc)
		query_tree_sum(tree);
	return query_failed(rc, err);
}
