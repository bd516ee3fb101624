/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof with the labels of its samples, as they came in: what the records say (thread, span, an
 * upload's own labels), and what tells the series of the answer apart.  Labels that all its series
 * have are comments.
 *
 * Sums of a series by stack come from the store's scan, which is whole; records, which have
 * contexts, are as old as L0.  So a record's value moves from its stack without labels to its stack
 * with them, and what has no record any more stays where it is: the total is that of every other
 * format.
 */
#include <errno.h>
#include <string.h>

#include "query/context.h"
#include "query/format_pprof.h"
#include "query/groups.h"
#include "query/merge.h"
#include "query/reshape.h"

#define TEXT_MAX ((size_t)64 << 20)
#define SERIES_MAX 1024 /* each is a scan of its own */
#define SETS_MAX                                                                                   \
	((size_t)1 << 18) /* of labels; beyond it samples go without those of their record */

struct label {
	struct str key, text, unit;
	bool is_number;
	int64_t number;
};

struct label_set {
	const struct label *labels;
	size_t count;
};

struct series {
	struct hash128 identity;
	size_t column;
	bool gauge;
	struct label *labels;
	size_t count;
	bool *differs; /* by label: another series has another value, or none */
};

struct job {
	const struct query *query;
	struct query_tree *tree; /* made last */
	struct skeleton *skeleton;
	struct query_facts facts;
	struct arena arena;
	struct series *series;
	size_t series_count, series_capacity;
	struct intern set_index, cell_index; /* of encoded labels; of (set, node of the skeleton) */
	struct label_set *sets;              /* by number in set_index; 0 has none */
	size_t sets_count, sets_capacity;
	int64_t *cells; /* by number in cell_index */
	size_t cells_count, cells_capacity;
	/* the series that is read */
	const struct series *now;
	struct context_reader *reader;
};

static int str_copy(struct job *job, struct str text, struct str *ret_copy)
{
	*ret_copy = (struct str){arena_copy(&job->arena, text.ptr, text.len), text.len};
	return ret_copy->ptr ? 0 : -ENOMEM;
}

/* ---- the series ---- */

static int series_add(void *arg, const struct storage_series *series)
{
	struct job *job = arg;
	int column = query_column_of(&job->query->type, series), rc;

	if (column < 0)
		return 0;
	rc = array_grow(&job->series, sizeof(*job->series), &job->series_capacity,
			job->series_count + 1);
	if (rc)
		return rc;
	struct series *s = &job->series[job->series_count];

	*s = (struct series){
	    .identity = series->identity,
	    .column = (size_t)column,
	    .gauge = series->columns[column].gauge,
	    .labels = arena_zalloc(&job->arena, (series->labels_count + 1) * sizeof(*s->labels)),
	    .differs = arena_zalloc(&job->arena, series->labels_count + 1)};
	if (!s->labels || !s->differs)
		return -ENOMEM;
	for (size_t i = 0; !rc && i < series->labels_count; i++) {
		const struct storage_label *from = &series->labels[i];
		struct label *to = &s->labels[s->count];

		if (from->key.len > 1 && !memcmp(from->key.ptr, "__", 2))
			continue; /* of ours, not of the profile */
		to->unit = STR("");
		rc = str_copy(job, from->key, &to->key);
		if (!rc)
			rc = str_copy(job, from->value, &to->text);
		s->count++;
	}
	job->series_count++;
	return rc;
}

static bool has_label(const struct series *s, const struct label *label)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_equal(s->labels[i].key, label->key))
			return str_equal(s->labels[i].text, label->text);
	return false;
}

static void differences_find(struct job *job)
{
	for (size_t s = 0; s < job->series_count; s++)
		for (size_t l = 0; l < job->series[s].count; l++)
			for (size_t other = 0;
			     other < job->series_count && !job->series[s].differs[l]; other++)
				job->series[s].differs[l] =
				    !has_label(&job->series[other], &job->series[s].labels[l]);
}

/* ---- sets of labels ---- */

static void label_encode(struct buf *to, const struct label *label)
{
	const struct str texts[] = {label->key, label->text, label->unit};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		(void)buf_add_varint(to, texts[i].len);
		(void)buf_add(to, texts[i].ptr, texts[i].len);
	}
	(void)buf_add_byte(to, label->is_number);
	(void)buf_add(to, &label->number, sizeof(label->number));
}

static int set_new(struct job *job, const struct label *labels, size_t count)
{
	struct label *copy = arena_zalloc(&job->arena, (count + 1) * sizeof(*copy));
	int rc = copy ? array_grow(&job->sets, sizeof(*job->sets), &job->sets_capacity,
				   job->sets_count + 1)
		      : -ENOMEM;

	for (size_t i = 0; !rc && i < count; i++) {
		copy[i] = labels[i];
		rc = str_copy(job, labels[i].key, &copy[i].key);
		if (!rc)
			rc = str_copy(job, labels[i].text, &copy[i].text);
		if (!rc)
			rc = str_copy(job, labels[i].unit, &copy[i].unit);
	}
	if (!rc)
		job->sets[job->sets_count++] = (struct label_set){copy, count};
	return rc;
}

static int set_number(struct job *job, const struct label *labels, size_t count, uint32_t *ret_set)
{
	struct buf text;
	int rc;

	buf_init(&text, (size_t)1 << 20);
	for (size_t i = 0; i < count; i++)
		label_encode(&text, &labels[i]);
	rc = text.failed;
	if (!rc)
		rc = intern_put(&job->set_index, text.len ? text.data : "", text.len, ret_set);
	buf_release(&text);
	return rc || *ret_set < job->sets_count ? rc : set_new(job, labels, count);
}

static int cell_add(struct job *job, uint32_t set, uint32_t node, int64_t value)
{
	const uint32_t pair[] = {set, node};
	uint32_t number;
	int rc = intern_put(&job->cell_index, (const char *)pair, sizeof(pair), &number);

	if (!rc)
		rc = array_grow(&job->cells, sizeof(*job->cells), &job->cells_capacity,
				(size_t)number + 1);
	for (; !rc && job->cells_count <= number; job->cells_count++)
		job->cells[job->cells_count] = 0;
	if (!rc)
		job->cells[number] = sum_add(job->cells[number], value);
	return rc;
}

/* ---- reading one series ---- */

#define LABELS_MAX 128 /* of one sample */

/* The labels that tell this series apart, then those of a context. */
static size_t labels_gather(const struct job *job, const struct storage_records *records,
			    uint32_t context, struct label labels[LABELS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < job->now->count && count < LABELS_MAX; i++)
		if (job->now->differs[i])
			labels[count++] = job->now->labels[i];
	const struct profile_labels none = {0}, run = records ? records->contexts[context] : none;

	for (uint32_t i = run.at; i < run.at + run.count && count < LABELS_MAX; i++) {
		const struct profile_label *from = &records->labels[i];
		const struct storage_segment *segment = &records->segment;

		if (from->key >= segment->strings_count || from->text >= segment->strings_count ||
		    from->unit >= segment->strings_count)
			continue;
		labels[count++] =
		    (struct label){.key = segment->strings[from->key],
				   .text = from->is_number ? STR("") : segment->strings[from->text],
				   .unit = segment->strings[from->unit],
				   .is_number = from->is_number,
				   .number = from->number};
	}
	return count;
}

static int record_move(struct job *job, const struct storage_records *records, size_t i,
		       const struct skeleton_map *map, uint32_t base, uint32_t *sets)
{
	struct label labels[LABELS_MAX];
	uint32_t context = records->context[i], node = skeleton_mapped(map, records->nodes[i]);
	int rc = 0;

	if (!context || !records->contexts[context].count)
		return 0;
	if (sets[context] == UINT32_MAX && job->sets_count < SETS_MAX)
		rc = set_number(job, labels, labels_gather(job, records, context, labels),
				&sets[context]);
	if (rc || sets[context] == UINT32_MAX)
		return rc;
	rc = cell_add(job, sets[context], node, records->values[i]);
	return rc ? rc : cell_add(job, base, node, -records->values[i]);
}

static int records_add(void *arg, const struct storage_records *records)
{
	struct job *job = arg;
	struct label labels[LABELS_MAX];
	const struct skeleton_map *map = NULL;
	uint32_t base = 0;
	int rc = context_batch(job->reader, records);
	size_t contexts = records->contexts_count;
	uint32_t *CLEANUP(cleanup_free) sets = malloc((contexts + 1) * sizeof(*sets));

	if (!rc && !sets)
		rc = -ENOMEM;
	if (!rc)
		memset(sets, 0xff, (contexts + 1) * sizeof(*sets));
	if (!rc)
		rc = set_number(job, labels, labels_gather(job, NULL, 0, labels), &base);
	if (!rc)
		rc = query_map_records(job->query, records, job->skeleton, &map);
	for (size_t i = 0; !rc && i < records->count; i++) {
		rc = context_record(job->reader, records, i);
		if (rc == CONTEXT_PASSES)
			rc = record_move(job, records, i, map, base, sets);
		else if (rc > 0)
			rc = 0;
	}
	return rc;
}

/* One to one, so that no two have the same. */
static uint32_t node_tag(uint32_t node)
{
	return node * UINT32_C(0x9E3779B1);
}

static uint32_t cell_node(const struct job *job, uint32_t cell, uint32_t *ret_set)
{
	uint32_t pair[2];

	memcpy(pair, intern_get(&job->cell_index, cell).ptr, sizeof(pair));
	*ret_set = pair[0];
	return pair[1];
}

/* The cells of this set at an [other], by what that hangs on. */
static int others_find(const struct job *job, uint32_t set, struct slots *others)
{
	const struct query_tree *names = &job->skeleton->names;
	int rc = 0;

	for (uint32_t i = 1; !rc && i < job->cells_count; i++) {
		uint32_t of, node = cell_node(job, i, &of);
		uint32_t function = names->keys[skeleton_key(job->skeleton, node)].function;

		if (node && of == set &&
		    str_equal(intern_get(&names->strings, function), STR(STORAGE_OTHER)))
			rc = slots_add(others, node_tag(skeleton_parent(job->skeleton, node)), i);
	}
	return rc;
}

static void others_pay(struct job *job, const struct slots *others, uint32_t cell, uint32_t node)
{
	while (node && job->cells[cell] < 0) {
		node = skeleton_parent(job->skeleton, node);
		uint32_t tag = node_tag(node), other;

		for (size_t at = slots_first(others, tag);
		     (other = slots_next(others, tag, &at)) != SLOTS_NONE;) {
			int64_t part = MIN(-job->cells[cell], MAX(job->cells[other], 0));

			job->cells[cell] += part;
			job->cells[other] -= part;
		}
	}
}

/* Sums of a folded hour have its small stacks at [other], its records have them where they were:
 * what records took of a stack that has nothing was there. */
static int others_settle(struct job *job, uint32_t set)
{
	struct slots others CLEANUP(slots_release) = {0};
	int rc = job->facts.folded ? others_find(job, set, &others) : 0;

	for (uint32_t i = 1; !rc && job->facts.folded && i < job->cells_count; i++) {
		uint32_t of, node = cell_node(job, i, &of);

		if (of == set && job->cells[i] < 0)
			others_pay(job, &others, i, node);
	}
	return rc;
}

static int series_read(struct job *job, struct err *err)
{
	struct query_series_verdict verdict = {.fate = QUERY_ALL_IN, .gauge = job->now->gauge};
	struct hash128 identity = job->now->identity;
	char none[] = "", *group = none;
	const struct query_series_set set = {.identities = &identity,
					     .groups = &group,
					     .verdicts = &verdict,
					     .count = 1,
					     .column = job->now->column};
	struct skeleton_sums sums CLEANUP(skeleton_sums_release) = {0};
	struct storage_scan scan = query_scan(job->query, &set);
	struct label labels[LABELS_MAX];
	uint32_t base = 0;
	int rc;

	rc = query_merge_set(job->query, &set, job->skeleton, &sums, &job->facts, err);
	if (!rc)
		rc = set_number(job, labels, labels_gather(job, NULL, 0, labels), &base);
	for (size_t i = 0; !rc && i < sums.leaves_count; i++)
		if (sums.leaves[i].self)
			rc = cell_add(job, base, sums.leaves[i].node, sums.leaves[i].self);
	if (!rc)
		rc = context_reader_new(job->query, &set, &job->reader, err);
	if (rc)
		return rc == -ETIME ? 0 : rc;
	scan.timeless = !job->now->gauge;
	rc = storage_records(job->query->reader, &scan, records_add, job, err);
	context_reader_free(job->reader);
	if (rc == -ETIME)
		job->facts.partial = true;
	return rc && rc != -ETIME ? rc : others_settle(job, base);
}

/* ---- writing ---- */

static void cell_write(struct query_pprof *pprof, const struct label_set *set, uint32_t node,
		       int64_t value)
{
	struct pprof_write_label labels[LABELS_MAX];

	for (size_t i = 0; i < set->count; i++)
		labels[i] = (struct pprof_write_label){.key = set->labels[i].key,
						       .text = set->labels[i].text,
						       .number = set->labels[i].number,
						       .unit = set->labels[i].unit};
	query_pprof_sample(pprof, node, value, labels, set->count);
}

static void comments_write(const struct job *job, struct query_pprof *pprof)
{
	struct buf text;

	buf_init(&text, (size_t)1 << 20);
	for (size_t i = 0; job->series_count && i < job->series[0].count; i++) {
		const struct label *label = &job->series[0].labels[i];

		if (job->series[0].differs[i])
			continue;
		buf_clear(&text);
		(void)buf_printf(&text, "%.*s=%.*s", (int)label->key.len, label->key.ptr,
				 (int)label->text.len, label->text.ptr);
		if (!text.failed)
			pprof_write_comment(pprof->writer, (struct str){text.data, text.len});
	}
	buf_release(&text);
}

/* The tree of the nodes that cells stand at; a label may have taken all of a stack's value. */
static int tree_make(struct job *job, struct skeleton_numbers *ret_numbers)
{
	struct skeleton_sums sums CLEANUP(skeleton_sums_release) = {0};
	const struct skeleton_take take = {.skeleton = job->skeleton, .sums = &sums};
	int rc = 0;

	for (uint32_t i = 1; !rc && i < job->cells_count; i++) {
		uint32_t set, node = cell_node(job, i, &set);

		rc = skeleton_add(&sums, node, job->cells[i], 1);
	}
	if (!rc)
		rc = skeleton_settle(&sums, job->skeleton);
	if (!rc)
		rc = skeleton_tree(&take, job->tree, ret_numbers);
	job->tree->facts = job->facts;
	return rc;
}

static int cells_write(struct job *job, size_t max_nodes, struct buf *out)
{
	struct skeleton_numbers numbers CLEANUP(skeleton_numbers_release) = {0};
	struct query_view view;
	struct query_pprof pprof;
	int rc = tree_make(job, &numbers);

	if (!rc)
		rc = query_view_init(&view, job->tree, max_nodes);
	if (rc)
		return rc;
	rc = query_pprof_begin(&pprof, &view);
	if (!rc) {
		comments_write(job, &pprof);
		for (uint32_t i = 1; i < job->cells_count; i++) {
			uint32_t set, node = cell_node(job, i, &set);

			if (job->cells[i])
				cell_write(&pprof, &job->sets[set], skeleton_number(&numbers, node),
					   job->cells[i]);
		}
		rc = query_pprof_end(&pprof, out);
	}
	query_view_release(&view);
	return rc;
}

static int job_run(struct job *job, size_t max_nodes, struct buf *out, struct err *err)
{
	int rc = query_each_series(job->query, series_add, job, err);

	if (!rc && job->series_count > SERIES_MAX)
		return -EOPNOTSUPP;
	differences_find(job);
	for (size_t i = 0; !rc && i < job->series_count; i++) {
		job->now = &job->series[i];
		rc = series_read(job, err);
	}
	return rc ? rc : cells_write(job, max_nodes, out);
}

int query_pprof_labelled(const struct query *query, size_t max_nodes, struct buf *out,
			 struct err *err)
{
	struct query_tree tree;
	struct job job = {.query = query, .tree = &tree};
	int rc;

	if (context_is_asked(query) || reshape_is_needed(query))
		return -EOPNOTSUPP;
	rc = query_tree_init(&tree);
	if (rc)
		return rc;
	query_type_text(query, tree.type_id, tree.unit);
	tree.range = query->range;
	arena_init(&job.arena, TEXT_MAX);
	rc = query_skeleton_borrow(query, &job.skeleton);
	if (!rc)
		rc = intern_init(&job.set_index, TEXT_MAX);
	if (!rc)
		rc = intern_init(&job.cell_index, (size_t)256 << 20);
	if (!rc)
		rc = array_grow(&job.sets, sizeof(*job.sets), &job.sets_capacity, 1);
	if (!rc) {
		job.sets[job.sets_count++] = (struct label_set){0};
		rc = job_run(&job, max_nodes, out, err);
	}
	free(job.series);
	free(job.sets);
	free(job.cells);
	intern_release(&job.set_index);
	intern_release(&job.cell_index);
	arena_release(&job.arena);
	query_skeleton_return(query, job.skeleton);
	query_tree_release(&tree);
	return rc;
}
