/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/diff.h"
#include "query/context.h"
#include "query/passing.h"
#include "query/reshape.h"

static int row_add(struct query_table *table, size_t *capacity, struct query_row row)
{
	int rc = array_grow(&table->rows, sizeof(*table->rows), capacity, table->count + 1);

	if (!rc)
		table->rows[table->count++] = row;
	return rc;
}

static char *table_text(struct query_table *table, struct str text)
{
	return arena_copy(&table->arena, text.ptr, text.len);
}

static int by_self(const void *a, const void *b)
{
	const struct query_row *x = a, *y = b;

	if (x->self != y->self)
		return x->self < y->self ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	int order = strcmp(x->name, y->name);

	if (!order)
		order = strcmp(x->library, y->library);
	if (!order)
		order = strcmp(x->file, y->file);
	return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* ---- rows that are frames: function, file, line, library ---- */

struct key_sum {
	int64_t self, total;
	uint64_t samples, samples_total;
};

/* A key's total grows by a node's total only where the key is not above it already: recursion
 * counts once. */
static void sum_by_key(const struct skeleton *skeleton, const struct skeleton_sums *sums,
		       struct key_sum *by_key)
{
	for (size_t i = 0; i < sums->leaves_count; i++) {
		const struct skeleton_leaf *leaf = &sums->leaves[i];
		struct key_sum *sum = &by_key[skeleton_key(skeleton, leaf->node)];

		sum->self = sum_add(sum->self, leaf->self);
		sum->samples += leaf->samples;
	}
	struct skeleton_run run = {0};

	while (skeleton_next_run(sums, skeleton->tree.nodes_count, &run)) {
		for (size_t i = MAX(run.at, (size_t)1); run.total->touched && i < run.end; i++) {
			struct key_sum *sum = &by_key[skeleton_key(skeleton, i)];

			if (skeleton->again[i])
				continue;
			sum->total = sum_add(sum->total, run.total->total);
			sum->samples_total += run.total->samples;
		}
	}
}

static int rows_from_keys(const struct query_tree *names, const struct key_sum *sums,
			  struct query_table *table)
{
	size_t capacity = 0;
	int rc = 0;

	for (size_t i = 1; !rc && i < names->keys_count; i++) {
		const struct query_key *key = &names->keys[i];

		if (!sums[i].self && !sums[i].total && !sums[i].samples_total)
			continue; /* of another question, or what a filter left nothing of */
		struct query_row row = {
		    .name = table_text(table, intern_get(&names->strings, key->function)),
		    .file = table_text(table, intern_get(&names->strings, key->file)),
		    .library = table_text(table, intern_get(&names->strings, key->library)),
		    .line = key->line,
		    .self = sums[i].self,
		    .total = sums[i].total,
		    .samples = sums[i].samples,
		    .samples_total = sums[i].samples_total,
		};

		rc = row.name && row.file && row.library ? row_add(table, &capacity, row) : -ENOMEM;
	}
	return rc;
}

static int rows_from_skeleton(struct skeleton *skeleton, const struct skeleton_sums *sums,
			      struct query_table *table)
{
	struct key_sum *CLEANUP(cleanup_free) by_key =
	    calloc(skeleton->names.keys_count, sizeof(*by_key));
	int rc = by_key ? skeleton_find_again(skeleton) : -ENOMEM;

	if (rc)
		return rc;
	sum_by_key(skeleton, sums, by_key);
	return rows_from_keys(&skeleton->names, by_key, table);
}

/* Rows of a tree are those of a skeleton with its nodes. */
static int rows_from_tree(struct query_tree *tree, struct query_table *table)
{
	struct skeleton_sums sums CLEANUP(skeleton_sums_release) = {0};
	struct skeleton skeleton;
	int rc = skeleton_of_tree(tree, &skeleton, &sums); /* empties the tree */

	if (rc)
		return rc;
	rc = rows_from_skeleton(&skeleton, &sums, table);
	skeleton_release(&skeleton);
	return rc;
}

static int top_reshaped(const struct query *query, struct query_table *table, struct err *err)
{
	struct query_tree tree CLEANUP(query_tree_release) = {0};
	int rc = query_tree_init(&tree);

	if (!rc)
		rc = query_merge(query, &tree, err);
	table->total = tree.total;
	table->facts = tree.facts;
	return rc ? rc : rows_from_tree(&tree, table);
}

static int top_plain(const struct query *query, struct query_table *table, struct err *err)
{
	struct skeleton_sums sums;
	struct skeleton *skeleton;
	int rc = query_skeleton_borrow(query, &skeleton);

	if (rc)
		return rc;
	skeleton_sums_borrow(&sums, skeleton);
	sums.with_samples = true;
	rc = query_merge_settled(query, skeleton, &sums, &table->facts, err);
	if (!rc) {
		table->total = sums.totals[0].total;
		rc = rows_from_skeleton(skeleton, &sums, table);
	}
	skeleton_sums_return(&sums, skeleton);
	query_skeleton_return(query, skeleton);
	return rc;
}

static int top_frames(const struct query *query, enum query_granularity granularity, bool by_name,
		      struct query_table *table, struct err *err)
{
	struct query by = *query;

	by.granularity = granularity;
	by.shape.by_name |= by_name;
	by.max_nodes = 0;
	return query_is_reshaped(&by) ? top_reshaped(&by, table, err) : top_plain(&by, table, err);
}

/* ---- rows that are labels: of the series where they have it, else of the records ---- */

struct label_call {
	const struct query *query;
	struct query_table *table;
	struct passing *passing;       /* NULL: stacks decide nothing */
	struct context_reader *reader; /* of records */
	const struct query_series_set *set;
	struct str key;
	struct intern values;
	size_t capacity;
};

static int label_row(struct label_call *call, struct str value, struct query_row **ret_row)
{
	char none[] = "";
	uint32_t id;
	int rc = intern_put(&call->values, value.ptr, value.len, &id);

	if (rc)
		return rc;
	while (!rc && call->table->count <= id)
		rc = row_add(call->table, &call->capacity, (struct query_row){0});
	if (rc)
		return rc;
	struct query_row *row = &call->table->rows[id];

	if (!row->name) {
		row->name = table_text(call->table, value.len ? value : STR("(none)"));
		row->file = table_text(call->table, (struct str){none, 0});
		row->library = row->file;
		if (!row->name || !row->file)
			return -ENOMEM;
	}
	*ret_row = row;
	return 0;
}

static int label_add(struct label_call *call, struct str value, int64_t sum, uint64_t count)
{
	struct query_row *row = NULL;
	int rc = label_row(call, value, &row);

	if (rc)
		return rc;
	row->self = sum_add(row->self, sum);
	row->total = sum_add(row->total, sum);
	row->samples += count;
	row->samples_total += count;
	call->table->total = sum_add(call->table->total, sum);
	call->table->facts.samples += count;
	return 0;
}

static int total_add(void *arg, size_t series, int64_t step_start_ns, int64_t sum, uint64_t count)
{
	struct label_call *call = arg;
	const char *group = call->set->groups[series];

	(void)step_start_ns;
	return label_add(call, (struct str){group, strlen(group)}, sum, count);
}

static struct str context_value(const struct storage_records *records, uint32_t context,
				struct str key, char number[32])
{
	const struct profile_labels *run = &records->contexts[context];

	for (uint32_t i = run->at; i < run->at + run->count; i++) {
		const struct profile_label *label = &records->labels[i];

		if (label->key >= records->segment.strings_count ||
		    !str_equal(records->segment.strings[label->key], key))
			continue;
		if (!label->is_number)
			return label->text < records->segment.strings_count
				   ? records->segment.strings[label->text]
				   : STR("");
		int n = snprintf(number, 32, "%lld", (long long)label->number);

		return (struct str){number, (size_t)n};
	}
	return STR("");
}

/* Whether a record counts; what a filter takes away is counted too. */
static int record_counts(struct label_call *call, const struct storage_records *records, size_t i,
			 const struct skeleton_map *map)
{
	int verdict = context_record(call->reader, records, i);

	if (verdict == CONTEXT_PASSES && map &&
	    !passing_node(call->passing, skeleton_mapped(map, records->nodes[i])))
		verdict = CONTEXT_REMOVED;
	if (verdict == CONTEXT_REMOVED) {
		struct query_facts *facts = &call->table->facts;

		facts->removed_value = sum_add(facts->removed_value, records->values[i]);
		facts->removed_samples += records->counts[i];
	}
	return verdict;
}

static int records_add(void *arg, const struct storage_records *records)
{
	struct label_call *call = arg;
	const struct skeleton_map *map = NULL;
	char number[32];
	int rc = context_batch(call->reader, records);

	if (!rc && call->passing)
		rc = query_map_records(call->query, records, call->passing->skeleton, &map);
	for (size_t i = 0; !rc && i < records->count; i++) {
		int verdict = record_counts(call, records, i, map);

		if (verdict < 0)
			return verdict;
		if (verdict == CONTEXT_PASSES)
			rc = label_add(
			    call, context_value(records, records->context[i], call->key, number),
			    records->values[i], records->counts[i]);
	}
	return rc;
}

static bool groups_are_empty(const struct query_selection *selection)
{
	for (size_t i = 0; i < ARRAY_LEN(selection->sets); i++)
		for (size_t k = 0; k < selection->sets[i].count; k++)
			if (selection->sets[i].groups[k][0])
				return false;
	return true;
}

/* Rows of records' labels. */
static int context_rows(const struct query *query, const struct query_series_set *set,
			struct label_call *call, struct err *err)
{
	struct storage_scan scan = query_scan(query, set);
	int rc = context_reader_new(query, set, &call->reader, err);

	scan.timeless = !context_needs_times(set);
	if (!rc)
		rc = context_reach(query, &call->table->facts, err);
	if (!rc)
		rc = storage_records(query->reader, &scan, records_add, call, err);
	context_reader_free(call->reader);
	return rc;
}

/* Rows of the series' labels, of what passes. */
static int passing_rows(const struct query *query, const struct query_series_set *set,
			struct label_call *call, struct err *err)
{
	struct query_facts *facts = &call->table->facts;
	int rc = 0;

	for (size_t i = 0; !rc && i < set->count; i++) {
		struct query_series_set group CLEANUP(query_series_set_release) = {0};
		uint64_t samples = 0, before = facts->samples;
		int64_t sum = 0;

		if (!passing_is_first(set, i))
			continue;
		rc = passing_group(set, set->groups[i], &group);
		if (!rc)
			rc = passing_sum(call->passing, query, &group, facts, &sum, &samples, err);
		facts->samples = before; /* label_add counts them */
		if (!rc && samples)
			rc = label_add(call, str_of(set->groups[i]), sum, samples);
	}
	return rc;
}

static int label_scan(const struct query *query, const struct query_selection *selection,
		      struct label_call *call, struct err *err)
{
	bool from_context = groups_are_empty(selection);
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(selection->sets); i++) {
		struct storage_scan scan = query_scan(query, &selection->sets[i]);

		call->set = &selection->sets[i];
		if (!scan.series_count)
			continue;
		if (from_context)
			rc = context_rows(query, call->set, call, err);
		else if (call->passing)
			rc = passing_rows(query, call->set, call, err);
		else
			rc = storage_timeline(query->reader, &scan, scan.until_ns - scan.from_ns,
					      total_add, call, err);
	}
	if (rc != -ETIME)
		return rc;
	call->table->facts.partial = true;
	return 0;
}

/* Rows never used (the interner's "" when nobody lacks the label) go. */
static void rows_compact(struct query_table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++)
		if (table->rows[i].name)
			table->rows[kept++] = table->rows[i];
	table->count = kept;
}

static int top_labels(const struct query *query, struct str key, struct query_table *table,
		      struct err *err)
{
	struct query_selection selection;
	struct label_call call = {.query = query, .table = table, .key = key};
	struct passing passing CLEANUP(passing_release) = {0};
	int rc = query_select(query, key, &selection, err);

	if (rc)
		return rc;
	rc = intern_init(&call.values, (size_t)64 << 20);
	if (!rc && selection.series_count && passing_is_needed(query)) {
		call.passing = &passing;
		rc = passing_init(&passing, query, &table->facts, err);
		table->facts.losses_count = 0; /* they come below */
	}
	if (!rc)
		rc = label_scan(query, &selection, &call, err);
	if (!rc)
		rc = query_add_losses(query, &selection, &table->facts, err);
	if (!rc && !selection.series_count)
		rc = err_set(err, -ENOENT, "no series of %s matches in this range", table->type_id);
	rows_compact(table);
	intern_release(&call.values);
	query_selection_release(&selection);
	return rc;
}

static void errors_add(struct query_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct query_row *row = &table->rows[i];

		row->self_se = query_value_se(row->self, row->samples);
		row->total_se = query_value_se(row->total, row->samples_total);
	}
}

int query_top(const struct query *query, struct str by, struct query_table *ret_table,
	      struct err *err)
{
	static const struct {
		const char *name;
		enum query_granularity granularity;
	} frames[] = {{"", QUERY_BY_FUNCTION},       {"function", QUERY_BY_FUNCTION},
		      {"name", QUERY_BY_FUNCTION},   {"line", QUERY_BY_LINE},
		      {"address", QUERY_BY_ADDRESS}, {"file", QUERY_BY_FILE},
		      {"library", QUERY_BY_LIBRARY}};
	int rc = -1;

	*ret_table = (struct query_table){.range = query->range};
	arena_init(&ret_table->arena, (size_t)256 << 20);
	query_type_text(query, ret_table->type_id, ret_table->unit);
	for (size_t i = 0; rc == -1 && i < ARRAY_LEN(frames); i++)
		if (str_is(by, frames[i].name))
			rc = top_frames(query, frames[i].granularity, str_is(by, "name"), ret_table,
					err);
	if (rc == -1)
		rc = top_labels(query, str_equal(by, STR("thread")) ? STR("thread name") : by,
				ret_table, err);
	if (rc == -ENOMEM)
		err_set(err, rc, "query: out of memory");
	if (rc && rc != -ENOENT)
		query_table_release(ret_table);
	else
		errors_add(ret_table);
	if ((!rc || rc == -ENOENT) && ret_table->count)
		qsort(ret_table->rows, ret_table->count, sizeof(*ret_table->rows), by_self);
	return rc;
}

void query_table_release(struct query_table *table)
{
	free(table->rows);
	arena_release(&table->arena);
	table->rows = NULL;
	table->count = 0;
}
