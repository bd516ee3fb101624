/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is: services, types, label names and values.  Each walks the series of the range and
 * opens no sample block.
 */
#include <errno.h>
#include <string.h>

#include "query/format.h"
#include "query/series.h"

#define TEXT_MAX_BYTES ((size_t)16 << 20)

struct entry {
	int64_t first_ns, last_ns;
	uint64_t series;
	struct intern types; /* of a service */
};

struct catalogue_call {
	const struct query *query;
	struct str name; /* of the label whose values are wanted */
	struct intern texts;
	struct entry *entries; /* by number in texts */
	size_t count, capacity;
	bool with_types;
};

static int entry_touch(struct catalogue_call *call, struct str text,
		       const struct storage_series *series, struct entry **ret_entry)
{
	uint32_t id;
	int rc = intern_put(&call->texts, text.ptr, text.len, &id);

	if (!rc)
		rc = array_grow(&call->entries, sizeof(*call->entries), &call->capacity,
				(size_t)id + 1);
	if (rc)
		return rc;
	for (; call->count <= id; call->count++)
		call->entries[call->count] =
		    (struct entry){.first_ns = INT64_MAX, .last_ns = INT64_MIN};
	struct entry *entry = &call->entries[id];

	entry->series++;
	entry->first_ns = MIN(entry->first_ns, series->first_ns);
	entry->last_ns = MAX(entry->last_ns, series->last_ns);
	if (ret_entry)
		*ret_entry = entry;
	return 0;
}

static int type_text(const struct storage_series *series, size_t column,
		     char type_id[PROFILE_TYPE_ID_MAX])
{
	const struct profile_type type = {series->name, series->columns[column].type,
					  series->columns[column].unit, series->period_type,
					  series->period_unit};

	return profile_type_format(&type, type_id);
}

static int add_service(void *arg, const struct storage_series *series)
{
	struct catalogue_call *call = arg;
	struct str service = STR("");
	struct entry *entry = NULL;
	char type_id[PROFILE_TYPE_ID_MAX];
	uint32_t ignored;

	if (!query_wants(call->query, series))
		return 0;
	for (size_t i = 0; i < series->labels_count; i++)
		if (str_equal(series->labels[i].key, STR("service")))
			service = series->labels[i].value;
	int rc = entry_touch(call, service, series, &entry);

	if (!rc && !entry->types.count)
		rc = intern_init(&entry->types, TEXT_MAX_BYTES);
	for (size_t i = 0; !rc && i < series->columns_count; i++)
		if (type_text(series, i, type_id) == 0)
			rc = intern_put(&entry->types, type_id, strlen(type_id), &ignored);
	return rc;
}

static int add_types(void *arg, const struct storage_series *series)
{
	struct catalogue_call *call = arg;
	char type_id[PROFILE_TYPE_ID_MAX];
	int rc = 0;

	if (!query_wants(call->query, series))
		return 0;
	for (size_t i = 0; !rc && i < series->columns_count; i++)
		if (type_text(series, i, type_id) == 0)
			rc =
			    entry_touch(call, (struct str){type_id, strlen(type_id)}, series, NULL);
	return rc;
}

static int add_label_names(void *arg, const struct storage_series *series)
{
	struct catalogue_call *call = arg;
	int rc = 0;

	if (!query_wants(call->query, series))
		return 0;
	for (size_t i = 0; !rc && i < series->labels_count; i++)
		rc = entry_touch(call, series->labels[i].key, series, NULL);
	return rc;
}

static int add_label_value(void *arg, const struct storage_series *series)
{
	struct catalogue_call *call = arg;

	if (!query_wants(call->query, series))
		return 0;
	for (size_t i = 0; i < series->labels_count; i++)
		if (str_equal(series->labels[i].key, call->name))
			return entry_touch(call, series->labels[i].value, series, NULL);
	return 0;
}

static int by_text(const void *a, const void *b, void *arg)
{
	const struct catalogue_call *call = arg;

	return strcmp(intern_get(&call->texts, *(const uint32_t *)a).ptr,
		      intern_get(&call->texts, *(const uint32_t *)b).ptr);
}

/* Numbers of the entries that exist, sorted by text. */
static uint32_t *sorted(struct catalogue_call *call, size_t *ret_count)
{
	uint32_t *order = malloc((call->count + 1) * sizeof(*order));
	size_t count = 0;

	if (!order)
		return NULL;
	for (size_t i = 0; i < call->count; i++)
		if (call->entries[i].series)
			order[count++] = (uint32_t)i;
	qsort_r(order, count, sizeof(*order), by_text, call);
	*ret_count = count;
	return order;
}

static void write_span(struct json *json, const struct entry *entry)
{
	json_key_uint(json, "series", entry->series);
	json_key_int(json, "first", entry->first_ns);
	json_key_int(json, "last", entry->last_ns);
}

static void write_type_parts(struct json *json, struct str text)
{
	struct profile_type type;

	if (profile_type_parse(text, &type, NULL) < 0)
		return;
	json_key_text(json, "alias", profile_type_alias(&type));
	json_key(json, "type");
	json_text(json, type.type.ptr, type.type.len);
	json_key(json, "unit");
	json_text(json, type.unit.ptr, type.unit.len);
	json_key_text(json, "kind", profile_type_is_gauge(type.type) ? "gauge" : "sum");
}

enum shape { SHAPE_SERVICES, SHAPE_TYPES, SHAPE_NAMES };

static void write_entry(struct json *json, struct catalogue_call *call, uint32_t id,
			enum shape shape)
{
	const struct entry *entry = &call->entries[id];
	struct str text = intern_get(&call->texts, id);

	if (shape == SHAPE_NAMES) {
		json_text(json, text.ptr, text.len);
		return;
	}
	json_open(json, '{');
	json_key(json, shape == SHAPE_TYPES ? "id" : "name");
	json_text(json, text.ptr, text.len);
	if (shape == SHAPE_TYPES)
		write_type_parts(json, text);
	write_span(json, entry);
	if (shape == SHAPE_SERVICES) {
		json_key(json, "types");
		json_open(json, '[');
		for (uint32_t i = 1; i < entry->types.count; i++)
			json_text(json, entry->types.strings[i].ptr, entry->types.strings[i].len);
		json_close(json, ']');
	}
	json_close(json, '}');
}

/* What a list is: its walk, its names, its entries' shape. */
struct list {
	storage_series_fn add;
	const char *schema, *name;
	enum shape shape;
};

static void write_page(struct catalogue_call *call, const struct list *list,
		       const struct query_page *page, const uint32_t *order, size_t count,
		       const struct query_facts *facts, struct buf *out)
{
	size_t first = 0, last;
	struct json json;

	while (page->after.len && first < count &&
	       strcmp(intern_get(&call->texts, order[first]).ptr, page->after.ptr) <= 0)
		first++;
	last = page->limit ? MIN(count, first + page->limit) : count;
	json_init(&json, out);
	json_open(&json, '{');
	json_key_text(&json, "schema", list->schema);
	json_key(&json, list->name);
	json_open(&json, '[');
	for (size_t i = first; i < last; i++)
		write_entry(&json, call, order[i], list->shape);
	json_close(&json, ']');
	if (last < count && last > first) {
		struct str next = intern_get(&call->texts, order[last - 1]);

		json_key(&json, "next");
		json_text(&json, next.ptr, next.len);
	}
	query_facts_json(facts, &json);
	json_close(&json, '}');
}

/* No sample is read for a list: none stands behind it. */
static int catalogue(const struct query *query, const struct list *list,
		     const struct query_page *page, struct buf *out, struct err *err)
{
	static const struct query_facts none;
	struct catalogue_call call = {.query = query, .name = page->name};
	size_t count = 0;
	int rc = intern_init(&call.texts, TEXT_MAX_BYTES);

	if (!rc)
		rc = storage_series(query->reader, query->range.from_ns, query->range.until_ns,
				    list->add, &call, err);
	uint32_t *CLEANUP(cleanup_free) order = rc ? NULL : sorted(&call, &count);

	if (!rc && !order)
		rc = -ENOMEM;
	if (!rc) {
		write_page(&call, list, page, order, count, &none, out);
		rc = out->failed;
	}
	for (size_t i = 0; i < call.count; i++)
		intern_release(&call.entries[i].types);
	free(call.entries);
	intern_release(&call.texts);
	return rc == -ENOMEM ? err_set(err, rc, "query: out of memory") : rc;
}

int query_services_page(const struct query *query, const struct query_page *page, struct buf *out,
			struct err *err)
{
	static const struct list list = {add_service, "hearth.services/1", "services",
					 SHAPE_SERVICES};

	return catalogue(query, &list, page, out, err);
}

int query_types_page(const struct query *query, const struct query_page *page, struct buf *out,
		     struct err *err)
{
	static const struct list list = {add_types, "hearth.types/1", "types", SHAPE_TYPES};

	return catalogue(query, &list, page, out, err);
}

int query_labels_page(const struct query *query, const struct query_page *page, struct buf *out,
		      struct err *err)
{
	static const struct list list = {add_label_names, "hearth.labels/1", "labels", SHAPE_NAMES};

	return catalogue(query, &list, page, out, err);
}

int query_label_values_page(const struct query *query, const struct query_page *page,
			    struct buf *out, struct err *err)
{
	static const struct list list = {add_label_value, "hearth.label_values/1", "values",
					 SHAPE_NAMES};

	return catalogue(query, &list, page, out, err);
}

static const struct query_page whole = {.name = {"", 0}, .after = {"", 0}};

int query_services(const struct query *query, struct buf *out, struct err *err)
{
	return query_services_page(query, &whole, out, err);
}

int query_types(const struct query *query, struct buf *out, struct err *err)
{
	return query_types_page(query, &whole, out, err);
}

int query_labels(const struct query *query, struct buf *out, struct err *err)
{
	return query_labels_page(query, &whole, out, err);
}

int query_label_values(const struct query *query, struct str name, struct buf *out, struct err *err)
{
	const struct query_page page = {.name = name, .after = {"", 0}};

	return query_label_values_page(query, &page, out, err);
}
