/* SPDX-License-Identifier: Apache-2.0 */
#include "query/context.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/filter.h"

static bool has_record_context(const struct query *query)
{
	const struct query_context *c = query->context;

	return c && (c->thread.len || c->span_ids_count || c->trace_ids_count);
}

bool context_is_asked(const struct query *query)
{
	return has_record_context(query) || query_filter_tagfocus(query->filter) ||
	       query_filter_tagignore(query->filter);
}

/* ---- series ---- */

/* Bits of the series' labels; *ret_final when no label of a record can change what they mean. */
static uint32_t series_bits(const struct query_tags *tags, const struct storage_series *series,
			    bool *ret_final)
{
	uint32_t bits = 0;

	*ret_final = false;
	for (size_t i = 0; i < series->labels_count; i++) {
		const struct storage_label *label = &series->labels[i];

		bits |= query_tags_text(tags, label->key, label->value);
		*ret_final |= query_tags_is_of(tags, label->key);
	}
	/* Labels only ever add bits, and a match needs no bit to be absent. */
	*ret_final |= query_tags_match(tags, bits);
	return bits;
}

void context_of_series(const struct query *query, const struct storage_series *series,
		       struct query_series_verdict *ret_verdict)
{
	const struct query_tags *focus = query_filter_tagfocus(query->filter);
	const struct query_tags *ignore = query_filter_tagignore(query->filter);
	bool focus_final = true, ignore_final = true;

	*ret_verdict = (struct query_series_verdict){.fate = QUERY_ALL_IN};
	if (focus)
		ret_verdict->focus = series_bits(focus, series, &focus_final);
	if (ignore)
		ret_verdict->ignore = series_bits(ignore, series, &ignore_final);
	ret_verdict->ignore_final = ignore_final;
	if ((focus && focus_final && !query_tags_match(focus, ret_verdict->focus)) ||
	    (ignore && query_tags_match(ignore, ret_verdict->ignore)))
		ret_verdict->fate = QUERY_ALL_OUT;
	else if (!focus_final || !ignore_final || has_record_context(query))
		ret_verdict->fate = QUERY_BY_RECORD;
}

int context_split(const struct query_series_set *set, enum query_fate fate,
		  struct query_series_set *ret_set)
{
	struct query_series_set out;
	int rc = query_series_set_alike(set, &out);

	if (rc)
		return rc;
	for (size_t i = 0; i < set->count; i++)
		if (set->verdicts[i].fate == fate)
			query_series_set_take(&out, set, i);
	*ret_set = out;
	return 0;
}

/* ---- records ---- */

/* What the context of records says, before their series is asked. */
struct said {
	bool passes; /* thread, span and trace */
	uint32_t focus, ignore;
};

/* The last snapshot of a gauge by (series, process). */
struct last {
	uint32_t series;
	uint8_t runtime_id[16];
};

#define PIECE 2048 /* records that are kept at a time: they stay in the second cache */

struct context_reader {
	const struct query *query;
	const struct query_series_set *set;
	/* Verdicts by context, + 1, as far as they do not depend on time: of one series, and the
	 * tables of one segment, which the next batch mostly has too. */
	uint8_t *known;
	size_t known_count, known_capacity, known_series;
	uint64_t known_id;
	/* What passes of a piece. */
	uint32_t leaves[PIECE];
	int64_t sums[PIECE];
	uint64_t counts[PIECE];
	struct intern lasts; /* of struct last */
	int64_t *last_ns;    /* by its number */
	size_t last_capacity, last_count;
};

static struct str text_at(const struct storage_records *records, uint32_t id)
{
	return id < records->segment.strings_count ? records->segment.strings[id] : STR("");
}

/* A number of hexadecimal digits, as ids are written; false when it is none. */
static bool hex_number(struct str text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!text.len || text.len > 16)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = (char)tolower((unsigned char)text.ptr[i]);

		if (!isxdigit((unsigned char)c))
			return false;
		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret_value = value;
	return true;
}

static bool span_is_wanted(const struct query_context *context, uint64_t id)
{
	uint64_t wanted;

	for (size_t i = 0; i < context->span_ids_count; i++)
		if (hex_number(context->span_ids[i], &wanted) && wanted == id)
			return true;
	return false;
}

static bool trace_is_wanted(const struct query_context *context, struct str id)
{
	for (size_t i = 0; i < context->trace_ids_count; i++)
		if (context->trace_ids[i].len == id.len &&
		    !strncasecmp(context->trace_ids[i].ptr, id.ptr, id.len))
			return true;
	return false;
}

static bool thread_is_wanted(const struct query_context *context, const struct profile_label *label,
			     struct str key, struct str text)
{
	char number[32];

	if (label->is_number) {
		int n = snprintf(number, sizeof(number), "%lld", (long long)label->number);

		text = (struct str){number, (size_t)n};
	}
	return (str_is(key, "thread name") || str_is(key, "thread id")) &&
	       str_equal(text, context->thread);
}

bool context_label_span(const struct profile_label *label, struct str key, struct str text,
			uint64_t *ret_id)
{
	if (!str_is(key, "span id") && !str_is(key, "span_id") && !str_is(key, "profile_id") &&
	    !str_is(key, "local root span id"))
		return false;
	*ret_id = (uint64_t)label->number;
	return label->is_number || hex_number(text, ret_id);
}

static void context_read(const struct query *query, const struct storage_records *records,
			 uint32_t number, struct said *said)
{
	static const struct query_context any;
	const struct query_context *context = query->context ? query->context : &any;
	const struct query_tags *focus = query_filter_tagfocus(query->filter);
	const struct query_tags *ignore = query_filter_tagignore(query->filter);
	const struct profile_labels run = records->contexts[number];
	bool thread = !context->thread.len, span = !context->span_ids_count;
	bool trace = !context->trace_ids_count;
	uint64_t id;

	*said = (struct said){0};
	for (uint32_t i = run.at; i < run.at + run.count; i++) {
		const struct profile_label *label = &records->labels[i];
		struct str key = text_at(records, label->key), text = text_at(records, label->text);
		struct str unit = text_at(records, label->unit);

		thread = thread || thread_is_wanted(context, label, key, text);
		span = span ||
		       (context_label_span(label, key, text, &id) && span_is_wanted(context, id));
		trace = trace || ((str_is(key, "trace id") || str_is(key, "trace_id")) &&
				  trace_is_wanted(context, text));
		if (focus)
			said->focus |= label->is_number
					   ? query_tags_number(focus, key, label->number, unit)
					   : query_tags_text(focus, key, text);
		if (ignore)
			said->ignore |= label->is_number
					    ? query_tags_number(ignore, key, label->number, unit)
					    : query_tags_text(ignore, key, text);
	}
	said->passes = thread && span && trace;
}

/* The labels of the series win: where one has the filter's key, the records' do not count. */
static bool record_passes(const struct query *query, const struct query_series_verdict *series,
			  const struct said *said)
{
	const struct query_tags *focus = query_filter_tagfocus(query->filter);
	const struct query_tags *ignore = query_filter_tagignore(query->filter);

	return said->passes && (!focus || query_tags_match(focus, series->focus | said->focus)) &&
	       (!ignore || series->ignore_final ||
		!query_tags_match(ignore, series->ignore | said->ignore));
}

static int last_number(struct context_reader *call, const struct storage_records *records,
		       uint32_t series, uint32_t *ret_number)
{
	struct last last = {.series = series};

	memcpy(last.runtime_id, records->runtime_id, sizeof(last.runtime_id));
	int rc = intern_put(&call->lasts, (const char *)&last, sizeof(last), ret_number);

	if (!rc)
		rc = array_grow(&call->last_ns, sizeof(*call->last_ns), &call->last_capacity,
				(size_t)*ret_number + 1);
	for (; !rc && call->last_count <= *ret_number; call->last_count++)
		call->last_ns[call->last_count] = INT64_MIN;
	return rc;
}

static int lasts_find(void *arg, const struct storage_records *records)
{
	struct context_reader *call = arg;
	uint32_t number;

	if (!call->set->verdicts[records->series].gauge)
		return 0;
	int rc = last_number(call, records, (uint32_t)records->series, &number);

	for (size_t i = 0; !rc && i < records->count; i++)
		call->last_ns[number] = MAX(call->last_ns[number], records->times_ns[i]);
	return rc;
}

int context_batch(struct context_reader *reader, const struct storage_records *records)
{
	bool same = records->segment.id && records->segment.id == reader->known_id &&
		    records->series == reader->known_series;
	size_t before = same ? reader->known_count : 0, count = records->contexts_count;
	int rc = array_grow(&reader->known, 1, &reader->known_capacity, count);

	if (rc)
		return rc;
	if (count > before)
		memset(reader->known + before, 0, count - before);
	reader->known_count = MAX(before, count);
	reader->known_series = records->series;
	reader->known_id = records->segment.id;
	return 0;
}

static bool record_is_last(struct context_reader *reader, const struct storage_records *records,
			   size_t i, int *ret_rc)
{
	uint32_t number;

	*ret_rc = last_number(reader, records, (uint32_t)records->series, &number);
	return !*ret_rc && reader->last_ns[number] == records->times_ns[i];
}

static int verdict_find(struct context_reader *reader, const struct storage_records *records,
			uint32_t context)
{
	const struct query_series_verdict *series = &reader->set->verdicts[records->series];
	struct said said;

	if (series->fate == QUERY_ALL_IN)
		return CONTEXT_PASSES;
	if (series->fate == QUERY_ALL_OUT)
		return CONTEXT_REMOVED;
	context_read(reader->query, records, context, &said);
	return record_passes(reader->query, series, &said) ? CONTEXT_PASSES : CONTEXT_REMOVED;
}

int context_record(struct context_reader *reader, const struct storage_records *records, size_t i)
{
	uint8_t *known = &reader->known[records->context[i]];
	int rc;

	/* Gauges are never summed over time: a snapshot that a later one replaced does not
	 * count. */
	if (reader->set->verdicts[records->series].gauge &&
	    !record_is_last(reader, records, i, &rc))
		return rc ? rc : CONTEXT_REPLACED;
	if (!*known)
		*known = (uint8_t)(verdict_find(reader, records, records->context[i]) + 1);
	return *known - 1;
}

bool context_needs_times(const struct query_series_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->verdicts[i].gauge)
			return true;
	return false;
}

int context_reader_new(const struct query *query, const struct query_series_set *set,
		       struct context_reader **ret_reader, struct err *err)
{
	struct context_reader *reader = calloc(1, sizeof(*reader));
	int rc = reader ? intern_init(&reader->lasts, (size_t)64 << 20) : -ENOMEM;

	if (!rc) {
		reader->query = query;
		reader->set = set;
	}
	if (!rc && context_needs_times(set)) {
		struct storage_scan scan = query_scan(query, set);

		rc = storage_records(query->reader, &scan, lasts_find, reader, err);
	}
	if (rc) {
		context_reader_free(reader);
		return rc;
	}
	*ret_reader = reader;
	return 0;
}

void context_reader_free(struct context_reader *reader)
{
	if (!reader)
		return;
	intern_release(&reader->lasts);
	free(reader->last_ns);
	free(reader->known);
	free(reader);
}

/* ---- how far back they go ---- */

struct reach {
	int64_t records_ns, sums_ns; /* the oldest of L0, and of the levels above */
};

static int reach_part(void *arg, const struct storage_part *part)
{
	struct reach *reach = arg;

	if (part->level < 0 || !part->first_ns)
		return 0;
	if (part->level)
		reach->sums_ns = MIN(reach->sums_ns, part->first_ns);
	else
		reach->records_ns = MIN(reach->records_ns, part->first_ns);
	return 0;
}

int context_reach(const struct query *query, struct query_facts *facts, struct err *err)
{
	struct reach reach = {query->range.until_ns, query->range.until_ns};
	int rc = storage_parts(query->reader, reach_part, &reach, err);

	if (rc == -EOPNOTSUPP)
		return 0; /* a store without files has only records */
	/* A window stands for records up to its width later. */
	if (!rc && query->range.from_ns < reach.records_ns &&
	    reach.sums_ns < reach.records_ns - STORAGE_L2_WINDOW_NS)
		facts->records_from_ns = reach.records_ns;
	return rc;
}

/* ---- records as a segment ---- */

struct scan_call {
	struct context_reader *reader;
	struct query_facts *facts;
	storage_segment_fn fn;
	void *arg;
};

/* Keep those that pass; nobody has to sum them by stack before they are added up by name. */
static int piece_keep(struct scan_call *call, const struct storage_records *records, size_t from,
		      size_t until, size_t *ret_count)
{
	struct context_reader *reader = call->reader;
	bool gauge = reader->set->verdicts[records->series].gauge;
	const uint8_t *known = reader->known;
	const uint64_t *counts = records->counts;
	const int64_t *values = records->values;
	struct query_facts removed = {0};
	size_t count = 0;

	for (size_t i = from; i < until; i++) {
		int verdict = known[records->context[i]] - 1;

		if (verdict < 0 || gauge)
			verdict = context_record(reader, records, i);
		if (verdict < 0)
			return verdict;
		bool goes = verdict == CONTEXT_REMOVED;

		/* All are written and few stay: no branch to guess wrong. */
		reader->leaves[count] = records->nodes[i];
		reader->sums[count] = values[i];
		reader->counts[count] = counts[i];
		count += verdict == CONTEXT_PASSES;
		removed.removed_value = sum_add(removed.removed_value, goes ? values[i] : 0);
		removed.removed_samples += goes ? counts[i] : 0;
	}
	call->facts->removed_value = sum_add(call->facts->removed_value, removed.removed_value);
	call->facts->removed_samples += removed.removed_samples;
	*ret_count = count;
	return 0;
}

static int records_add(void *arg, const struct storage_records *records)
{
	struct scan_call *call = arg;
	struct storage_segment segment = records->segment;
	int rc = context_batch(call->reader, records);

	segment.leaves = call->reader->leaves;
	segment.sums = call->reader->sums;
	segment.counts = call->reader->counts;
	for (size_t at = 0; !rc && at < records->count; at += PIECE) {
		rc = piece_keep(call, records, at, MIN(at + PIECE, records->count),
				&segment.leaves_count);
		if (!rc && segment.leaves_count)
			rc = call->fn(call->arg, &segment);
	}
	return rc;
}

int context_scan(const struct query *query, const struct query_series_set *set,
		 struct query_facts *facts, storage_segment_fn fn, void *arg, struct err *err)
{
	struct scan_call call = {.facts = facts, .fn = fn, .arg = arg};
	struct storage_scan scan = query_scan(query, set);
	int rc = context_reader_new(query, set, &call.reader, err);

	scan.timeless = !context_needs_times(set);
	if (!rc)
		rc = context_reach(query, facts, err);
	if (!rc)
		rc = storage_records(query->reader, &scan, records_add, &call, err);
	context_reader_free(call.reader);
	return rc;
}
