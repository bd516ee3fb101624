/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/store_model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/varint.h"

static uint64_t bits(struct model_service *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random * UINT64_C(0x2545F4914F6CDD1D);
}

static uint32_t below(struct model_service *m, uint32_t limit)
{
	return (uint32_t)((bits(m) >> 32) * limit >> 32);
}

/* Vose: a draw is one random number and one comparison. */
static void alias_make(struct model_service *m)
{
	static uint32_t small[MODEL_STACKS], large[MODEL_STACKS];
	size_t smalls = 0, larges = 0;
	double sum = 0;

	for (size_t i = 0; i < m->stacks; i++)
		sum += m->probability[i];
	for (size_t i = 0; i < m->stacks; i++) {
		m->probability[i] /= sum;
		m->cut[i] = m->probability[i] * m->stacks;
		m->alias[i] = (uint32_t)i;
		if (m->cut[i] < 1)
			small[smalls++] = (uint32_t)i;
		else
			large[larges++] = (uint32_t)i;
	}
	while (smalls && larges) {
		uint32_t s = small[--smalls], l = large[larges - 1];

		m->alias[s] = l;
		m->cut[l] -= 1 - m->cut[s];
		if (m->cut[l] < 1) {
			larges--;
			small[smalls++] = l;
		}
	}
}

uint32_t model_draw(struct model_service *m)
{
	uint64_t b = bits(m);
	uint32_t i = (uint32_t)((b >> 32) * m->stacks >> 32);

	return (double)(uint32_t)b / 4294967296.0 < m->cut[i] ? i : m->alias[i];
}

static int stacks_make(struct model_service *m, unsigned number)
{
	static uint32_t frames[MODEL_FUNCTIONS], path[MODEL_STACKS][MODEL_DEPTH];
	int rc = 0;

	for (uint32_t i = 0; !rc && i < MODEL_FUNCTIONS; i++) {
		struct profile_frame frame = {.line = 10 + i % 900};
		char name[96], file[96];
		int n = snprintf(name, sizeof(name), "shop%u::module_%u::Worker::handle_request_%u",
				 number, i / 40, i);
		int f =
		    snprintf(file, sizeof(file), "src/shop%u/module_%u/worker.cc", number, i / 40);

		rc = profile_builder_string(m->builder, (struct str){name, (size_t)n},
					    &frame.function);
		if (!rc)
			rc = profile_builder_string(m->builder, (struct str){file, (size_t)f},
						    &frame.file);
		if (!rc)
			rc = profile_builder_frame(m->builder, &frame, &frames[i]);
	}
	for (uint32_t i = 0; !rc && i < MODEL_STACKS; i++) {
		uint32_t shared = i ? below(m, 26) : 0, like = i ? below(m, i) : 0;

		/* Leaf first: the root's end is what stacks share. */
		for (uint32_t d = 0; d < MODEL_DEPTH; d++)
			path[i][d] = MODEL_DEPTH - 1 - d < shared
					 ? path[like][d]
					 : frames[below(m, MODEL_FUNCTIONS)];
		m->probability[i] = pow((double)(i + 1), -1.5);
		rc = profile_builder_stack(m->builder, path[i], MODEL_DEPTH, &m->leaves[i]);
	}
	m->stacks = MODEL_STACKS;
	m->depth = MODEL_DEPTH;
	return rc;
}

static int label(struct model_service *m, const char *key, const char *text,
		 struct profile_label *ret)
{
	memset(ret, 0, sizeof(*ret));
	int rc = profile_builder_string(m->builder, (struct str){key, strlen(key)}, &ret->key);

	return rc ? rc
		  : profile_builder_string(m->builder, (struct str){text, strlen(text)},
					   &ret->text);
}

int model_service_begin(struct model_service *m, unsigned number)
{
	struct profile_label l;
	uint32_t kind, series;
	char text[32];

	memset(m, 0, sizeof(*m));
	m->random = (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
	struct profile_limits limits = profile_limits_default;

	limits.nodes = MODEL_STACKS * MODEL_DEPTH;
	int rc = profile_builder_new(&limits, &m->builder);

	if (rc)
		return rc;
	m->all = profile_builder_profile(m->builder);
	m->all->instance.owner = 1000;
	m->all->instance.pid = (int64_t)number + 100;
	memset(m->all->instance.runtime_id, (int)number + 1, 16);
	(void)snprintf(text, sizeof(text), "shop%u", number);
	rc = label(m, "service", text, &l);
	if (!rc)
		rc = profile_builder_known_kind(m->builder, PROFILE_KIND_CPU, 10000000, &kind);
	if (!rc)
		rc = profile_builder_series(m->builder, kind, &l, 1, &series);
	for (unsigned i = 0; !rc && i < MODEL_THREADS; i++) {
		(void)snprintf(text, sizeof(text), "worker-%u", i);
		rc = label(m, "thread", text, &l);
		if (!rc)
			rc = profile_builder_context(m->builder, &l, 1, &m->contexts[i]);
	}
	return rc;
}

int model_service_ready(struct model_service *m)
{
	m->series = m->all->series[0].identity;
	alias_make(m);
	m->numbers = calloc(m->all->nodes_count, sizeof(*m->numbers));
	m->seen = calloc(m->all->nodes_count, sizeof(*m->seen));
	return m->numbers && m->seen ? 0 : -ENOMEM;
}

int model_service_init(struct model_service *m, unsigned number)
{
	int rc = model_service_begin(m, number);

	if (!rc)
		rc = stacks_make(m, number);
	return rc ? rc : model_service_ready(m);
}

void model_service_release(struct model_service *m)
{
	free(m->numbers);
	free(m->seen);
	free(m->batch.nodes);
	free(m->batch.node_hashes);
	free(m->batch.records);
	free(m->batch.values);
	profile_builder_free(m->builder);
}

/* The batch holds only the nodes that it uses, as one from a ring does. */
static uint32_t node_of(struct model_service *m, uint32_t leaf)
{
	uint32_t path[PROFILE_STACK_DEPTH_MAX + 1], depth = 0, at = leaf;
	struct profile *b = &m->batch;

	for (; at && m->seen[at] != m->generation; at = m->all->nodes[at].parent)
		path[depth++] = at;
	while (depth--) {
		uint32_t from = path[depth];
		struct profile_node node = m->all->nodes[from];

		node.parent = node.parent ? m->numbers[node.parent] : 0;
		m->seen[from] = m->generation;
		m->numbers[from] = (uint32_t)b->nodes_count;
		b->node_hashes[b->nodes_count] = m->all->node_hashes[from];
		b->nodes[b->nodes_count++] = node;
	}
	return leaf ? m->numbers[leaf] : 0;
}

static int batch_room(struct model_service *m, size_t count)
{
	struct profile *b = &m->batch, old = *b;
	size_t nodes = MIN(count * m->depth + 1, m->all->nodes_count);

	free(old.nodes);
	free(old.node_hashes);
	free(old.records);
	free(old.values);
	*b = *m->all; /* tables are shared; what differs follows */
	b->nodes = malloc(nodes * sizeof(*b->nodes));
	b->node_hashes = malloc(nodes * sizeof(*b->node_hashes));
	b->records = malloc((count + 1) * sizeof(*b->records));
	b->values = malloc((2 * count + 1) * sizeof(*b->values));
	if (!b->nodes || !b->node_hashes || !b->records || !b->values)
		return -ENOMEM;
	b->nodes[0] = m->all->nodes[0];
	b->node_hashes[0] = m->all->node_hashes[0];
	b->nodes_count = 1;
	b->records_count = b->values_count = 0;
	m->generation++;
	return 0;
}

static int compare_times(const void *x, const void *y)
{
	const struct profile_record *a = x, *b = y;

	return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
}

const struct profile *model_batch(struct model_service *m, size_t count, int64_t from_ns,
				  int64_t width_ns, uint32_t *drawn)
{
	struct profile *b = &m->batch;

	if (batch_room(m, count))
		return NULL;
	b->from_ns = from_ns;
	b->until_ns = b->arrived_ns = from_ns + width_ns - 1;
	for (size_t i = 0; i < count; i++) {
		uint32_t stack = model_draw(m);
		/* Records are in whole microseconds, as the agent writes them. */
		int64_t at = from_ns + below(m, (uint32_t)(width_ns / 1000)) * INT64_C(1000);

		if (drawn)
			drawn[i] = stack;
		b->records[i] =
		    (struct profile_record){.node = node_of(m, m->leaves[stack]),
					    .context = m->contexts[below(m, MODEL_THREADS)],
					    .count = 1,
					    .values_at = (uint32_t)(2 * i),
					    .time_ns = at};
		b->values[2 * i] = 10000000;
		b->values[2 * i + 1] = 1;
	}
	b->records_count = count;
	b->values_count = 2 * count;
	qsort(b->records, count, sizeof(*b->records), compare_times);
	return b;
}

/* ---- the stream ---- */

static int compare_numbers(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

int model_stream_window(struct model_stream *s, const uint32_t *drawn, size_t count)
{
	uint32_t *numbers = malloc((count + 1) * sizeof(*numbers)), last = 0;

	if (s->capacity < MAX(s->deltas_len, s->counts_len) + count * VARINT_MAX) {
		s->capacity = (s->capacity + count * VARINT_MAX) * 2;
		s->deltas = realloc(s->deltas, s->capacity);
		s->counts = realloc(s->counts, s->capacity);
	}
	if (!numbers || !s->deltas || !s->counts)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!s->numbers[drawn[i]])
			s->numbers[drawn[i]] = ++s->stacks;
		numbers[i] = s->numbers[drawn[i]];
	}
	qsort(numbers, count, sizeof(*numbers), compare_numbers);
	for (size_t i = 0, run; i < count; i += run) {
		for (run = 1; i + run < count && numbers[i + run] == numbers[i]; run++)
			;
		s->deltas_len += varint_put(s->deltas + s->deltas_len, numbers[i] - last);
		s->counts_len += varint_put(s->counts + s->counts_len, run);
		last = numbers[i];
		s->pairs++;
	}
	free(numbers);
	return 0;
}

/* Of symbols, each a varint. */
static double entropy_of(const uint8_t *at, size_t len)
{
	static uint64_t counts[1 << 16];
	const uint8_t *end = at + len;
	uint64_t total = 0;
	double sum = 0;

	memset(counts, 0, sizeof(counts));
	while (at && at < end) {
		uint64_t value = 0;

		at = varint_get(at, end, &value);
		counts[MIN(value, 65535)]++;
		total++;
	}
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (counts[i])
			sum -= (double)counts[i] * log2((double)counts[i] / (double)total);
	return sum / 8;
}

double model_stream_entropy(const struct model_stream *s)
{
	return entropy_of(s->deltas, s->deltas_len) + entropy_of(s->counts, s->counts_len);
}

double model_record_entropy(const struct model_service *m, unsigned count, int64_t width_ns)
{
	double bits = log2((double)(width_ns / 1000)) - lgamma(count + 1.0) / log(2) / count +
		      log2(MODEL_THREADS);

	for (size_t i = 0; i < m->stacks; i++)
		if (m->probability[i] > 0)
			bits -= m->probability[i] * log2(m->probability[i]);
	return bits / 8;
}

static double zstd19(const uint8_t *bytes, size_t len)
{
	size_t bound = ZSTD_compressBound(len);
	void *to = malloc(bound);
	size_t n = ZSTD_compress(to, bound, bytes, len, 19);

	free(to);
	return (double)n;
}

double model_stream_zstd19(const struct model_stream *s)
{
	return zstd19(s->deltas, s->deltas_len) + zstd19(s->counts, s->counts_len);
}

void model_stream_release(struct model_stream *s)
{
	free(s->deltas);
	free(s->counts);
}

/* Of a Poisson variable, in bits. */
static double poisson_entropy(double mean)
{
	double p = exp(-mean), sum = 0, left = 1;

	if (mean > 200)
		return 0.5 * log2(2 * M_PI * M_E * mean);
	for (unsigned k = 0; k < 2000 && left > 1e-12; k++) {
		if (p > 0)
			sum -= p * log2(p);
		left -= p;
		p *= mean / (k + 1);
	}
	return sum;
}

double model_bound(const struct model_service *m, double count)
{
	double sum = 0;

	for (size_t i = 0; i < m->stacks; i++)
		sum += poisson_entropy(m->probability[i] * count);
	return sum / 8;
}

double model_dictionary_entropy(const struct model_service *m, const struct model_stream *s)
{
	size_t nodes = m->all->nodes_count, parents_len = 0, frames_len = 0, count = 0, text = 0;
	uint8_t *parents = malloc(nodes * VARINT_MAX), *frames = malloc(nodes * VARINT_MAX);
	uint32_t *number = calloc(nodes, sizeof(*number));
	uint32_t *order = calloc(s->stacks + 1, sizeof(*order)), last = 0;
	uint8_t *used = calloc(m->all->strings.count, 1);
	size_t room = 1;

	for (size_t i = 0; i < m->all->strings.count; i++)
		room += m->all->strings.strings[i].len;
	char *names = malloc(room);

	for (uint32_t i = 0; i < m->stacks; i++)
		if (s->numbers[i])
			order[s->numbers[i] - 1] = i;
	for (uint32_t i = 0; i < s->stacks; i++) {
		uint32_t path[PROFILE_STACK_DEPTH_MAX + 1], depth = 0, at = m->leaves[order[i]];

		for (; at && !number[at]; at = m->all->nodes[at].parent)
			path[depth++] = at;
		while (depth--) {
			struct profile_node n = m->all->nodes[path[depth]];
			const struct profile_frame *f = &m->all->frames[n.frame];
			uint32_t strings[] = {f->function, f->file};
			uint32_t parent = n.parent ? number[n.parent] : 0;

			number[path[depth]] = (uint32_t)++count;
			parents_len +=
			    varint_put(parents + parents_len, zigzag_put((int64_t)parent - last));
			last = parent;
			frames_len += varint_put(frames + frames_len, n.frame);
			for (size_t k = 0; k < 2; k++) {
				struct str t = m->all->strings.strings[strings[k]];

				if (!used[strings[k]]) {
					memcpy(names + text, t.ptr, t.len);
					text += t.len;
				}
				used[strings[k]] = 1;
			}
		}
	}
	/* Of names order 0 says little: what zstd -19 makes of them. */
	double sum = entropy_of(parents, parents_len) + entropy_of(frames, frames_len) +
		     zstd19((const uint8_t *)names, text);

	free(parents);
	free(frames);
	free(number);
	free(order);
	free(used);
	free(names);
	return sum;
}
