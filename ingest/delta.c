/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/delta.h"

#include <errno.h>

struct entry {
	struct hash128 key; /* zero: free */
	int64_t value;
};

/* Values by (series, column, stack, labels); with a zero stack, the sum of them. */
struct table {
	struct entry *entries;
	size_t capacity; /* a power of two */
};

struct delta {
	struct table before, now;
	bool has_before, restarted;
};

static void table_release(struct table *table)
{
	free(table->entries);
	*table = (struct table){ 0 };
}

static int table_make(struct table *table, size_t count)
{
	size_t capacity = 64;

	while (capacity < 2 * count)
		capacity *= 2;
	table->entries = calloc(capacity, sizeof(*table->entries));
	table->capacity = table->entries ? capacity : 0;
	return table->entries ? 0 : -ENOMEM;
}

/* The entry with this key or the free one where it belongs. There is always a free one. */
static struct entry *table_find(const struct table *table, struct hash128 key)
{
	size_t mask = table->capacity - 1, at = hash_of_identity(key) & mask;

	while (!hash128_is_zero(table->entries[at].key) && !hash128_equal(table->entries[at].key, key))
		at = (at + 1) & mask;
	return &table->entries[at];
}

static int64_t table_value(const struct table *table, struct hash128 key)
{
	return table->capacity ? table_find(table, key)->value : 0;
}

/* Returns whether it is the first of this key. */
static bool table_add(struct table *table, struct hash128 key, int64_t value)
{
	struct entry *entry = table_find(table, key);
	bool first = hash128_is_zero(entry->key);

	entry->key = key;
	entry->value = sum_add(entry->value, value);
	return first;
}

/* ---- keys ---- */

static struct hash128 text_add(struct hash128 hash, const struct profile *profile, uint32_t string)
{
	struct str text = profile_string(profile, string);

	return hash128_chain(hash, hash128(text.ptr, text.len));
}

/* Numbers of strings are a batch's own; their text is not. */
static struct hash128 context_hash(const struct profile *profile, uint32_t context)
{
	struct profile_labels labels = profile->contexts[context];
	struct hash128 hash = { 0 };

	for (size_t i = 0; i < labels.count; i++) {
		const struct profile_label *label = &profile->labels[labels.at + i];

		hash = text_add(hash, profile, label->key);
		hash = text_add(hash, profile, label->is_number ? label->unit : label->text);
		if (label->is_number)
			hash = hash128_chain(hash, hash128(&label->number, sizeof(label->number)));
	}
	return hash;
}

static struct hash128 column_key(struct hash128 of, size_t column)
{
	return hash128_chain(of, hash128(&column, sizeof(column)));
}

static struct hash128 record_key(const struct profile *profile, const struct profile_record *record)
{
	struct hash128 key = profile->series[record->series].identity;

	key = hash128_chain(key, profile->node_hashes[record->node]);
	return hash128_chain(key, context_hash(profile, record->context));
}

static const struct profile_kind *kind_of(const struct profile *profile,
					  const struct profile_record *record)
{
	return &profile->kinds[profile->series[record->series].kind];
}

/* ---- the two passes ---- */

static void record_sum(struct table *now, const struct profile *profile,
		       const struct profile_record *record, struct hash128 key)
{
	const struct profile_kind *kind = kind_of(profile, record);
	struct hash128 series = profile->series[record->series].identity;
	int64_t *values = profile->values + record->values_at;

	for (size_t i = 0; i < kind->columns_count; i++) {
		if (kind->columns[i].gauge)
			continue;
		(void)table_add(now, column_key(series, i), values[i]);
		/* Of records that mean the same, the first gets the difference of them all. */
		if (!table_add(now, column_key(key, i), values[i]))
			values[i] = INT64_MIN;
	}
}

/* A sum of a series that is smaller, or gone, was counted by another life of the program. */
static bool has_restarted(const struct delta *delta, const struct profile *profile)
{
	for (size_t s = 0; s < profile->series_count; s++) {
		const struct profile_kind *kind = &profile->kinds[profile->series[s].kind];

		for (size_t i = 0; i < kind->columns_count; i++) {
			struct hash128 key = column_key(profile->series[s].identity, i);

			if (!kind->columns[i].gauge &&
			    table_value(&delta->now, key) < table_value(&delta->before, key))
				return true;
		}
	}
	return false;
}

/* Returns whether anything is left. */
static bool record_change(const struct delta *delta, const struct profile *profile,
			  const struct profile_record *record, struct hash128 key)
{
	const struct profile_kind *kind = kind_of(profile, record);
	int64_t *values = profile->values + record->values_at;
	bool left = false;

	for (size_t i = 0; i < kind->columns_count; i++) {
		if (!kind->columns[i].gauge) {
			struct hash128 of = column_key(key, i);
			int64_t before = delta->restarted ? 0 : table_value(&delta->before, of);
			int64_t now = table_value(&delta->now, of);
			bool counts = delta->has_before && values[i] != INT64_MIN && now > before;

			if (!counts || __builtin_sub_overflow(now, before, &values[i]))
				values[i] = counts ? INT64_MAX : 0;
		}
		left |= values[i] != 0;
	}
	return left;
}

static size_t columns_all(const struct profile *profile)
{
	size_t columns = 0;

	for (size_t s = 0; s < profile->series_count; s++)
		columns += profile->kinds[profile->series[s].kind].columns_count;
	return columns;
}

int delta_apply(struct delta *delta, struct profile *profile, struct err *err)
{
	if (profile->values_count > DELTA_VALUES_MAX)
		return err_set(err, -E2BIG, "scrape: %zu values are more than the %d that are compared",
			       profile->values_count, DELTA_VALUES_MAX);
	struct hash128 *keys = malloc((profile->records_count + 1) * sizeof(*keys));
	size_t left = 0;

	table_release(&delta->now);
	if (!keys || table_make(&delta->now, profile->values_count + columns_all(profile))) {
		free(keys);
		return err_set(err, -ENOMEM, "scrape: out of memory");
	}
	for (size_t i = 0; i < profile->records_count; i++) {
		keys[i] = record_key(profile, &profile->records[i]);
		record_sum(&delta->now, profile, &profile->records[i], keys[i]);
	}
	delta->restarted = delta->has_before && has_restarted(delta, profile);
	for (size_t i = 0; i < profile->records_count; i++)
		if (record_change(delta, profile, &profile->records[i], keys[i]))
			profile->records[left++] = profile->records[i];
	profile->records_count = left;
	free(keys);
	return 0;
}

void delta_keep(struct delta *delta)
{
	if (!delta->now.capacity)
		return;
	table_release(&delta->before);
	delta->before = delta->now;
	delta->now = (struct table){ 0 };
	delta->has_before = true;
}

bool delta_restarted(const struct delta *delta)
{
	return delta->restarted;
}

int delta_new(struct delta **ret_delta)
{
	*ret_delta = calloc(1, sizeof(**ret_delta));
	return *ret_delta ? 0 : -ENOMEM;
}

void delta_free(struct delta *delta)
{
	if (!delta)
		return;
	table_release(&delta->before);
	table_release(&delta->now);
	free(delta);
}
