/* SPDX-License-Identifier: Apache-2.0 */
/* scan and timeline: what a walk visits, summed by stack or by step. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "storage/sqlite_read.h"

/* ---- totals ---- */

/* Which stacks of a dictionary count. */
struct passing {
	const struct dict *stacks;
	bool *passes; /* by node */
};

struct totalling {
	struct plan *p;
	struct totals *totals;
	struct passing *passing;
	size_t passing_count, passing_capacity;
};

static void totalling_release(struct totalling *t)
{
	for (size_t i = 0; i < t->passing_count; i++)
		free(t->passing[i].passes);
	free(t->passing);
}

/* NULL: all count. */
static int find_passing(struct totalling *t, const struct visit *v, const bool **ret_passes)
{
	const struct storage_scan *scan = t->p->scan;

	*ret_passes = NULL;
	if (!scan->passes)
		return 0;
	for (size_t i = 0; i < t->passing_count; i++) {
		*ret_passes = t->passing[i].passes;
		if (t->passing[i].stacks == v->stacks)
			return 0;
	}
	if (array_grow(&t->passing, sizeof(*t->passing), &t->passing_capacity,
		       t->passing_count + 1))
		return -ENOMEM;
	struct passing *passing = &t->passing[t->passing_count];
	const struct storage_segment tables = segment_of_dict(v->stacks, v->owner);

	*passing = (struct passing){v->stacks, calloc(tables.nodes_count, sizeof(bool))};
	if (!passing->passes)
		return -ENOMEM;
	t->passing_count++;
	*ret_passes = passing->passes;
	return scan->passes(scan->passes_arg, &tables, passing->passes);
}

/* A gauge's snapshot replaces those before it also when nothing of it counts. */
static int visit_totals(void *arg, const struct visit *v)
{
	struct totalling *t = arg;
	const struct codec_columns *c = v->columns;
	const int64_t *values = c->values[t->p->scan->column];
	const bool *passes;
	int rc = find_passing(t, v, &passes);

	for (size_t i = 0; !rc && i < c->count; i++) {
		bool counts = !passes || passes[c->nodes[i]];

		if (v->gauge)
			rc = totals_add_gauge(t->totals, v->series, v->runtime_id, c->times[i],
					      counts ? values[i] : 0, counts ? c->counts[i] : 0);
		else if (counts)
			totals_add(t->totals, v->series, c->times[i], values[i], c->counts[i]);
	}
	return rc;
}

/* Gather the totals of gauges, and of sums when they are wanted. */
static int collect(struct plan *p, bool sums, struct totals *totals, struct err *err)
{
	struct totalling t CLEANUP(totalling_release) = {.p = p, .totals = totals};
	struct walk walk = {.with_blocks = p->scan->passes != NULL,
			    .gauges = true,
			    .sums = sums,
			    .fn = visit_totals,
			    .arg = &t};
	int rc = 0;

	for (size_t i = 0; !rc && i < p->files_count; i++) {
		struct open_file *file = plan_file(p, i);

		rc = plan_begin(p, file, err);
		if (!rc)
			rc = plan_walk(p, file, &walk, err);
		if (!rc)
			rc = plan_ends(p, file, totals, err);
		rc = plan_end(p, file, rc, err);
	}
	return rc;
}

int sqlite_timeline(struct storage_reader *reader, const struct storage_scan *scan, int64_t step_ns,
		    storage_total_fn fn, void *arg, struct err *err)
{
	struct plan plan CLEANUP(plan_release) = {0};
	struct totals totals CLEANUP(totals_release) = {0};
	int rc = totals_init(&totals, scan, step_ns, err);

	if (!rc)
		rc = plan_init(&plan, reader_of(reader), scan, step_ns, err);
	if (!rc)
		rc = collect(&plan, true, &totals, err);
	return rc ? rc : totals_emit(&totals, fn, arg);
}

/* ---- scan ---- */

/* Sums of one part of the file's dictionary by its node; a segment names one owner. */
struct sink {
	struct dict *stacks;
	uint32_t owner;
	struct node_sums by_node;
	bool folded;
};

struct summing {
	struct plan *p;
	struct totals *gauges; /* which snapshots count */
	struct sink *sinks;    /* of the file that is read */
	size_t sinks_count, sinks_capacity;
	atomic_bool stop; /* the caller has enough */
};

void node_sums_release(struct node_sums *sums)
{
	free(sums->places);
	free(sums->wide);
	free(sums->marks);
	free(sums->sums);
	free(sums->counts);
	*sums = (struct node_sums){0};
}

/* Room for that many nodes, none with a place; the reader's, if it has it. */
static int node_sums_take(struct sqlite_reader *r, size_t nodes, struct node_sums *ret)
{
	if (nodes <= r->spare.nodes) {
		*ret = r->spare;
		r->spare = (struct node_sums){0};
		return 0;
	}
	nodes += nodes / 8; /* files of a day differ by a little */
	*ret = (struct node_sums){.places = malloc(nodes * sizeof(*ret->places)),
				  .marks = calloc(nodes / 64 + 1, sizeof(*ret->marks)),
				  .nodes = nodes};
	if (!ret->places || !ret->marks)
		return -ENOMEM;
	/* Of calloc each page would come twice: to be read, and to be written. */
	memset(ret->places, 0, nodes * sizeof(*ret->places));
	return 0;
}

static inline uint32_t place_of(const struct node_sums *sums, size_t node)
{
	return sums->places ? sums->places[node] : sums->wide[node];
}

static void place_set(struct node_sums *sums, size_t node, uint32_t place)
{
	if (sums->places)
		sums->places[node] = (uint16_t)place;
	else
		sums->wide[node] = place;
}

static int places_widen(struct node_sums *sums)
{
	uint32_t *wide = malloc(sums->nodes * sizeof(*wide));

	if (!wide)
		return -ENOMEM;
	for (size_t i = 0; i < sums->nodes; i++)
		wide[i] = sums->places[i];
	free(sums->places);
	sums->places = NULL;
	sums->wide = wide;
	return 0;
}

/* Take all places away, and keep it for the next file: fresh memory costs more than the sums. */
static void node_sums_return(struct sqlite_reader *r, struct node_sums *sums)
{
	bool is_whole = sums->marks && (sums->places || sums->wide);

	for (size_t word = 0; is_whole && word <= sums->nodes / 64; word++) {
		for (uint64_t bits = sums->marks[word]; bits; bits &= bits - 1)
			place_set(sums, word * 64 + (size_t)__builtin_ctzll(bits), 0);
		sums->marks[word] = 0;
	}
	sums->count = 0;
	if (is_whole && sums->nodes > r->spare.nodes && sums->nodes <= READER_SPARE_NODES) {
		node_sums_release(&r->spare);
		r->spare = *sums;
		return;
	}
	node_sums_release(sums);
}

static int place_add(struct node_sums *to, uint32_t node)
{
	size_t capacity = to->capacity;
	int rc = array_grow(&to->counts, sizeof(*to->counts), &capacity, to->count + 1);

	if (!rc)
		rc = array_grow(&to->sums, sizeof(*to->sums), &to->capacity, to->count + 1);
	if (!rc && to->places && to->count == UINT16_MAX)
		rc = places_widen(to);
	if (rc)
		return rc;
	to->sums[to->count] = 0;
	to->counts[to->count] = 0;
	place_set(to, node, (uint32_t)++to->count);
	to->marks[node / 64] |= UINT64_C(1) << node % 64;
	return 0;
}

static void summing_clear(struct summing *s)
{
	for (size_t i = 0; i < s->sinks_count; i++)
		node_sums_return(s->p->r, &s->sinks[i].by_node);
	free(s->sinks);
	s->sinks = NULL;
	s->sinks_count = s->sinks_capacity = 0;
}

static struct sink *sink_of(struct summing *s, const struct visit *v)
{
	for (size_t i = 0; i < s->sinks_count; i++)
		if (s->sinks[i].stacks == v->stacks)
			return &s->sinks[i];
	if (array_grow(&s->sinks, sizeof(*s->sinks), &s->sinks_capacity, s->sinks_count + 1))
		return NULL;
	struct sink *sink = &s->sinks[s->sinks_count];

	*sink = (struct sink){.stacks = v->stacks, .owner = v->owner};
	s->sinks_count++;
	return node_sums_take(s->p->r, v->stacks->t.nodes_count, &sink->by_node) ? NULL : sink;
}

static int visit_sums(void *arg, const struct visit *v)
{
	struct summing *s = arg;
	const struct codec_columns *c = v->columns;
	const int64_t *values = c->values[s->p->scan->column];
	struct sink *sink = sink_of(s, v);

	if (!sink)
		return -ENOMEM;
	if (s->stop)
		return -ECANCELED;
	struct node_sums *to = &sink->by_node;

	for (size_t i = 0; i < c->count; i++) {
		if (v->gauge && !totals_is_last(s->gauges, v->series, v->runtime_id, c->times[i]))
			continue;
		sink->folded |= c->folded;
		uint32_t node = c->nodes[i];

		if (!place_of(to, node) && place_add(to, node))
			return -ENOMEM;
		size_t place = place_of(to, node) - 1;

		to->sums[place] = storage_add(to->sums[place], values[i]);
		to->counts[place] += c->counts[i];
	}
	return 0;
}

/* What one file gives, a segment for each owner's stacks; the leaves and their sums are its own. */
struct file_sums {
	struct storage_segment *segments;
	size_t count, capacity;
};

static void segment_free(struct storage_segment *segment)
{
	free((void *)(uintptr_t)segment->leaves);
	free((void *)(uintptr_t)segment->sums);
	free((void *)(uintptr_t)segment->counts);
}

static void file_sums_release(struct file_sums *sums)
{
	for (size_t i = 0; i < sums->count; i++)
		segment_free(&sums->segments[i]);
	free(sums->segments);
	*sums = (struct file_sums){0};
}

static int gather(const struct sink *sink, struct file_sums *to)
{
	struct storage_segment segment = segment_of_dict(sink->stacks, sink->owner);
	const struct node_sums *from = &sink->by_node;
	size_t words = segment.nodes_count / 64 + 1, count = 0;
	uint32_t *leaves = malloc((from->count + 1) * sizeof(*leaves));
	int64_t *sums = malloc((from->count + 1) * sizeof(*sums));
	uint64_t *counts = malloc((from->count + 1) * sizeof(*counts));

	segment.folded = sink->folded;
	segment.leaves = leaves;
	segment.sums = sums;
	segment.counts = counts;
	if (!leaves || !sums || !counts ||
	    array_grow(&to->segments, sizeof(*to->segments), &to->capacity, to->count + 1)) {
		segment_free(&segment);
		return -ENOMEM;
	}
	for (size_t word = 0; word < words; word++) {
		for (uint64_t bits = from->marks[word]; bits; bits &= bits - 1) {
			size_t node = word * 64 + (size_t)__builtin_ctzll(bits);
			size_t place = place_of(from, node) - 1;

			if (!from->counts[place])
				continue; /* of nothing: a damaged block's */
			leaves[count] = (uint32_t)node;
			sums[count] = from->sums[place];
			counts[count++] = from->counts[place];
		}
	}
	segment.leaves_count = count;
	to->segments[to->count++] = segment;
	return 0;
}

static int scan_file(struct summing *s, struct open_file *file, struct file_sums *ret_sums,
		     struct err *err)
{
	struct walk walk = {
	    .with_blocks = true, .gauges = true, .sums = true, .fn = visit_sums, .arg = s};
	int rc = plan_begin(s->p, file, err);

	if (!rc)
		rc = plan_walk(s->p, file, &walk, err);
	rc = plan_end(s->p, file, rc, err);
	for (size_t i = 0; !rc && i < s->sinks_count; i++)
		if (s->sinks[i].by_node.count)
			rc = gather(&s->sinks[i], ret_sums);
	summing_clear(s);
	return rc;
}

static int give(const struct file_sums *sums, storage_segment_fn fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < sums->count; i++)
		if (sums->segments[i].leaves_count)
			rc = fn(arg, &sums->segments[i]);
	return rc;
}

/* ---- reading ahead ---- */

/*
 * The caller reads the first file himself, for a thread may take milliseconds to begin, and what is
 * found of it in a processor's cache is his.  The others are read in their order on a thread of
 * their own, while he has as much to do with what one gives.  Until he has read the first, the
 * thread loads stacks that are needed for certain, with the codec of symbols; the reader, its codec
 * and its dictionaries are the thread's after that until it ends, but for the dictionaries of the
 * files that were given, which it does not touch any more, and for symbols.
 */
#define AHEAD_MAX 2 /* files that are read and not taken */

struct ahead {
	struct summing *s;
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	struct file_sums files[AHEAD_MAX]; /* of file i in i % AHEAD_MAX */
	size_t read, taken;                /* files; 0: the caller still reads the first */
	bool ended;
	int rc; /* of the file behind those that were read */
	struct err err;
};

/* The stacks that the range cuts an hour of.  With the reader's lock, for who asks may look a
 * symbol up. */
static void load_some(struct ahead *a)
{
	struct plan *p = a->s->p;

	for (size_t i = 1; i < p->files_count; i++) {
		pthread_mutex_lock(&p->r->symbols_lock);
		struct open_file *file = plan_file(p, i);

		if (file && !a->s->stop && plan_has_cut(p, file))
			plan_load(p, file, p->r->symbols_codec);
		pthread_mutex_unlock(&p->r->symbols_lock);
	}
}

static void *ahead_main(void *arg)
{
	struct ahead *a = arg;
	struct err err = {0};
	int rc = 0;

	load_some(a);
	for (size_t i = 1; !rc && i < a->s->p->files_count; i++) {
		struct file_sums sums = {0};

		pthread_mutex_lock(&a->lock);
		while ((!a->read || a->read - a->taken == AHEAD_MAX) && !a->s->stop)
			pthread_cond_wait(&a->changed, &a->lock);
		pthread_mutex_unlock(&a->lock);
		rc = a->s->stop ? -ECANCELED : scan_file(a->s, plan_file(a->s->p, i), &sums, &err);
		pthread_mutex_lock(&a->lock);
		if (!rc)
			a->files[a->read++ % AHEAD_MAX] = sums;
		pthread_cond_signal(&a->changed);
		pthread_mutex_unlock(&a->lock);
		if (rc)
			file_sums_release(&sums);
	}
	pthread_mutex_lock(&a->lock);
	a->ended = true;
	a->rc = rc;
	a->err = err;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* Returns 1 with the next file's, or 0 when there is no more. */
static int ahead_take(struct ahead *a, struct file_sums *ret_sums)
{
	pthread_mutex_lock(&a->lock);
	while (a->taken == a->read && !a->ended)
		pthread_cond_wait(&a->changed, &a->lock);
	bool is_there = a->taken < a->read;

	if (is_there) {
		*ret_sums = a->files[a->taken % AHEAD_MAX];
		a->files[a->taken++ % AHEAD_MAX] = (struct file_sums){0};
		pthread_cond_signal(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	return is_there;
}

/* The caller's own: read and taken at once. */
static int ahead_first(struct ahead *a, struct file_sums *ret_sums, struct err *err)
{
	int rc = scan_file(a->s, plan_file(a->s->p, 0), ret_sums, err);

	pthread_mutex_lock(&a->lock);
	a->read = a->taken = 1;
	a->s->stop |= rc != 0;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	return rc;
}

static int scan_ahead(struct ahead *a, pthread_t thread, storage_segment_fn fn, void *arg,
		      struct err *err)
{
	struct file_sums sums = {0};
	int rc = ahead_first(a, &sums, err);

	do {
		if (!rc)
			rc = give(&sums, fn, arg);
		file_sums_release(&sums);
	} while (!rc && ahead_take(a, &sums));
	pthread_mutex_lock(&a->lock);
	a->s->stop = true;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	(void)pthread_join(thread, NULL);
	for (size_t i = 0; i < AHEAD_MAX; i++)
		file_sums_release(&a->files[i]);
	if (!rc && a->rc) {
		rc = a->rc;
		if (err)
			*err = a->err;
	}
	return rc;
}

/* Without a thread: one after the other. */
static int scan_here(struct summing *s, storage_segment_fn fn, void *arg, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < s->p->files_count; i++) {
		struct file_sums sums CLEANUP(file_sums_release) = {0};

		rc = scan_file(s, plan_file(s->p, i), &sums, err);
		if (!rc)
			rc = give(&sums, fn, arg);
	}
	return rc;
}

static int scan_all(struct summing *s, storage_segment_fn fn, void *arg, struct err *err)
{
	struct ahead a = {
	    .s = s, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	pthread_t thread;

	if (s->p->files_count < 2 || pthread_create(&thread, NULL, ahead_main, &a))
		return scan_here(s, fn, arg, err);
	return scan_ahead(&a, thread, fn, arg, err);
}

int sqlite_scan(struct storage_reader *reader, const struct storage_scan *scan,
		storage_segment_fn fn, void *arg, struct err *err)
{
	struct plan plan CLEANUP(plan_release) = {0};
	struct totals gauges CLEANUP(totals_release) = {0};
	struct summing summing = {.p = &plan, .gauges = &gauges};
	int64_t width_ns = scan->until_ns - scan->from_ns;
	int rc = totals_init(&gauges, scan, width_ns, err);

	if (!rc)
		rc = plan_init(&plan, reader_of(reader), scan, width_ns, err);
	if (!rc)
		rc = collect(&plan, false, &gauges, err);
	if (!rc)
		rc = scan_all(&summing, fn, arg, err);
	codec_forget(reader_of(reader)->codec);
	codec_forget(reader_of(reader)->symbols_codec);
	return rc;
}
