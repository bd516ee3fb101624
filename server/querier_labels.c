/* SPDX-License-Identifier: Apache-2.0 */
/* What there is, in Pyroscope's words: types, label names and values, series. Samples are not read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/groups.h"
#include "server/querier.h"

#define TEXT_MAX ((size_t)16 << 20)

/* ---- one column of one series, with the labels that Pyroscope would give it ---- */

struct column {
	const struct storage_series *series;
	const struct storage_column *column;
	struct str type_id;
};

static const char *const private_names[] = {
    "__name__",         "__period_type__", "__period_unit__", "__profile_type__",
    "__service_name__", "__type__",        "__unit__",        "service_name"};

static struct str label_of(const struct storage_series *series, struct str name)
{
	for (size_t i = 0; i < series->labels_count; i++)
		if (series->labels[i].key.len == name.len &&
		    !memcmp(series->labels[i].key.ptr, name.ptr, name.len))
			return series->labels[i].value;
	return STR("");
}

static struct str column_label(void *arg, struct str name)
{
	const struct column *c = arg;

	if (str_is(name, "__name__"))
		return c->series->name;
	if (str_is(name, "__profile_type__"))
		return c->type_id;
	if (str_is(name, "__type__"))
		return c->column->type;
	if (str_is(name, "__unit__"))
		return c->column->unit;
	if (str_is(name, "__period_type__"))
		return c->series->period_type;
	if (str_is(name, "__period_unit__"))
		return c->series->period_unit;
	return label_of(c->series, querier_label(name));
}

/* Names that stand for others, and names of ours that are none of theirs. */
static bool is_shown(const struct querier_call *call, struct str key)
{
	if (str_is(key, "service") || (key.len > 1 && !memcmp(key.ptr, "__", 2)))
		return false;
	for (size_t i = 0; i < key.len && !call->utf8_names; i++) {
		char c = key.ptr[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

		if (!letter && c != '_' && (!i || c < '0' || c > '9'))
			return false;
	}
	return key.len > 0;
}

/* ---- the walk ---- */

typedef int (*column_fn)(void *arg, struct column *column);

struct walk {
	struct selector *selectors[QUERIER_LIST_MAX];
	size_t selectors_count;
	column_fn fn;
	void *arg;
};

static bool wanted(const struct walk *walk, struct column *column)
{
	for (size_t i = 0; i < walk->selectors_count; i++)
		if (selector_matches(walk->selectors[i], column_label, column))
			return true;
	return !walk->selectors_count;
}

static int walk_series(void *arg, const struct storage_series *series)
{
	const struct walk *walk = arg;
	char type_id[PROFILE_TYPE_ID_MAX];
	int rc = 0;

	for (size_t i = 0; !rc && i < series->columns_count; i++) {
		const struct profile_type type = {series->name, series->columns[i].type,
						  series->columns[i].unit, series->period_type,
						  series->period_unit};
		struct column column = {series, &series->columns[i], {type_id, 0}};

		if (profile_type_format(&type, type_id))
			continue;
		column.type_id.len = strlen(type_id);
		if (wanted(walk, &column))
			rc = walk->fn(walk->arg, &column);
	}
	return rc;
}

/* Every column of every series that any of the matchers takes. */
static int walk(const struct querier_call *call, const struct querier_list *matchers, column_fn fn,
		void *arg)
{
	const struct querier_request *request = call->request;
	struct walk w = {.fn = fn, .arg = arg};
	struct query query = {.viewer = call->viewer};
	int rc = querier_range(call, request->start_ms, request->end_ms, &query.range);

	for (size_t i = 0; !rc && i < matchers->count; i++) {
		rc = selector_parse(matchers->items[i], &w.selectors[i], call->err);
		if (!rc)
			w.selectors_count++;
	}
	if (!rc) {
		processes_watch(call->agent->processes, query.range.until_ns);
		rc = readers_borrow(call->agent->readers, &query.reader, call->err);
	}
	if (!rc) {
		rc = query_each_series(&query, walk_series, &w, call->err);
		readers_return(call->agent->readers, query.reader);
	}
	for (size_t i = 0; i < w.selectors_count; i++)
		selector_free(w.selectors[i]);
	return rc;
}

/* ---- sets of texts, sorted ---- */

static int by_text(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int order = memcmp(x->ptr, y->ptr, MIN(x->len, y->len));

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Call `put` for each, in order. */
static int sorted(const struct intern *texts,
		  int (*put)(struct querier_call *call, struct str text), struct querier_call *call)
{
	struct str *CLEANUP(cleanup_free) order = malloc((texts->count + 1) * sizeof(*order));
	int rc = order ? 0 : -ENOMEM;
	size_t count = 0;

	for (uint32_t i = 1; !rc && i < texts->count; i++)
		order[count++] = texts->strings[i];
	if (count)
		qsort(order, count, sizeof(*order), by_text);
	for (size_t i = 0; !rc && i < count; i++)
		rc = put(call, order[i]);
	return rc;
}

static int put_name(struct querier_call *call, struct str text)
{
	proto_put_bytes(call->out, 1, text.ptr, text.len);
	return call->out->failed;
}

struct gather {
	const struct querier_call *call;
	struct intern texts;
};

static int text_add(struct gather *gather, struct str text)
{
	uint32_t id;

	return text.len ? intern_put(&gather->texts, text.ptr, text.len, &id) : 0;
}

static int gathered(struct querier_call *call, column_fn fn,
		    int (*put)(struct querier_call *call, struct str text))
{
	struct gather gather = {.call = call};
	int rc = intern_init(&gather.texts, TEXT_MAX);

	if (!rc)
		rc = walk(call, &call->request->matchers, fn, &gather);
	if (!rc)
		rc = sorted(&gather.texts, put, call);
	intern_release(&gather.texts);
	return rc == -ENOMEM ? err_set(call->err, rc, "out of memory") : rc;
}

/* ---- the methods ---- */

static int type_add(void *arg, struct column *column)
{
	return text_add(arg, column->type_id);
}

static void put_text(struct buf *out, uint32_t number, struct str text)
{
	if (text.len)
		proto_put_bytes(out, number, text.ptr, text.len);
}

static int put_type(struct querier_call *call, struct str id)
{
	struct profile_type type;

	if (profile_type_parse(id, &type, NULL))
		return 0;
	size_t begin = proto_message_begin(call->out, 1);

	put_text(call->out, 1, id);
	put_text(call->out, 2, type.name);
	put_text(call->out, 4, type.type);
	put_text(call->out, 5, type.unit);
	put_text(call->out, 6, type.period_type);
	put_text(call->out, 7, type.period_unit);
	proto_message_end(call->out, begin);
	return call->out->failed;
}

int querier_profile_types(struct querier_call *call)
{
	return gathered(call, type_add, put_type);
}

static int names_add(void *arg, struct column *column)
{
	struct gather *gather = arg;
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(private_names); i++)
		rc = text_add(gather, str_of(private_names[i]));
	for (size_t i = 0; !rc && i < column->series->labels_count; i++)
		if (is_shown(gather->call, column->series->labels[i].key))
			rc = text_add(gather, column->series->labels[i].key);
	return rc;
}

int querier_label_names(struct querier_call *call)
{
	return gathered(call, names_add, put_name);
}

static int value_add(void *arg, struct column *column)
{
	struct gather *gather = arg;

	return text_add(gather, column_label(column, gather->call->request->name));
}

int querier_label_values(struct querier_call *call)
{
	if (!call->request->name.len)
		return err_set(call->err, -EINVAL, "name is the label whose values are wanted");
	return gathered(call, value_add, put_name);
}

static void pair_put(struct buf *out, struct str name, struct str value)
{
	size_t begin = proto_message_begin(out, 1);

	put_text(out, 1, name);
	put_text(out, 2, value);
	proto_message_end(out, begin);
}

/* A Labels message of the wanted labels, or of all; equal ones are one set. */
static int set_add(void *arg, struct column *column)
{
	struct gather *gather = arg;
	const struct querier_list *wanted_names = &gather->call->request->labels;
	const struct storage_series *series = column->series;
	struct buf set;
	int rc;

	buf_init(&set, (size_t)1 << 20);
	for (size_t i = 0; i < wanted_names->count; i++) {
		struct str value = column_label(column, wanted_names->items[i]);

		if (value.len)
			pair_put(&set, wanted_names->items[i], value);
	}
	for (size_t i = 0; !wanted_names->count && i < ARRAY_LEN(private_names); i++) {
		struct str value = column_label(column, str_of(private_names[i]));

		if (value.len)
			pair_put(&set, str_of(private_names[i]), value);
	}
	for (size_t i = 0; !wanted_names->count && i < series->labels_count; i++)
		if (is_shown(gather->call, series->labels[i].key))
			pair_put(&set, series->labels[i].key, series->labels[i].value);
	rc = set.failed ? set.failed : text_add(gather, (struct str){set.data, set.len});
	buf_release(&set);
	return rc;
}

static int put_set(struct querier_call *call, struct str set)
{
	proto_put_bytes(call->out, 2, set.ptr, set.len);
	return call->out->failed;
}

int querier_series(struct querier_call *call)
{
	return gathered(call, set_add, put_set);
}

struct span {
	int64_t first_ns, last_ns;
	uint64_t series;
};

static int span_add(void *arg, struct column *column)
{
	struct span *span = arg;

	span->first_ns = MIN(span->first_ns, column->series->first_ns);
	span->last_ns = MAX(span->last_ns, column->series->last_ns);
	span->series++;
	return 0;
}

int querier_profile_stats(struct querier_call *call)
{
	struct span span = {INT64_MAX, INT64_MIN, 0};
	int rc = walk(call, &call->request->matchers, span_add, &span);

	if (rc || !span.series)
		return rc;
	proto_put_varint(call->out, 1, 1);
	proto_put_varint(call->out, 2, (uint64_t)(span.first_ns / 1000000));
	proto_put_varint(call->out, 3, (uint64_t)(span.last_ns / 1000000));
	return call->out->failed;
}

/* How much a question would read: we only know how many series it takes. */
int querier_analyze(struct querier_call *call)
{
	struct str query = call->request->query;
	const char *brace = query.len ? memchr(query.ptr, '{', query.len) : NULL;
	struct querier_list matchers = {.count = brace ? 1 : 0};
	struct span span = {INT64_MAX, INT64_MIN, 0};

	if (brace)
		matchers.items[0] = (struct str){brace, query.len - (size_t)(brace - query.ptr)};
	int rc = walk(call, &matchers, span_add, &span);

	if (rc)
		return rc;
	size_t begin = proto_message_begin(call->out, 1);

	put_text(call->out, 1, STR("hearthd"));
	proto_put_varint(call->out, 2, 1);
	proto_put_nonzero(call->out, 4, span.series);
	proto_message_end(call->out, begin);
	begin = proto_message_begin(call->out, 2);
	proto_put_nonzero(call->out, 3, span.series);
	proto_message_end(call->out, begin);
	return call->out->failed;
}
