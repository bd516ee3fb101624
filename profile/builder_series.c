/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds, labels, series and contexts. */
#include "profile/builder_private.h"

#include <inttypes.h>
#include <stdio.h>

/* What a type id can hold: no colon, and no more than a part's bytes.  A longer one ends in its
 * hash. */
static int type_part(struct profile_builder *b, uint32_t *part)
{
	struct str text = profile_string(b->p, *part);
	char fits[PROFILE_TYPE_PART_MAX + 1];
	const size_t kept = PROFILE_TYPE_PART_MAX - 9;

	if (text.len <= PROFILE_TYPE_PART_MAX && !memchr(text.ptr, ':', text.len))
		return 0;
	size_t len = text.len <= PROFILE_TYPE_PART_MAX ? text.len : kept;

	memcpy(fits, text.ptr, len);
	if (len < text.len)
		len += (size_t)snprintf(fits + len, sizeof(fits) - len, "~%08" PRIx32,
					(uint32_t)hash128(text.ptr, text.len).lo);
	for (char *colon; (colon = memchr(fits, ':', len)) != NULL;)
		*colon = '_';
	return profile_builder_string(b, (struct str){fits, len}, part);
}

static int type_parts(struct profile_builder *b, struct profile_kind *kind)
{
	int rc = type_part(b, &kind->name);

	if (!rc)
		rc = type_part(b, &kind->period_type);
	if (!rc)
		rc = type_part(b, &kind->period_unit);
	for (size_t i = 0; !rc && i < kind->columns_count; i++) {
		rc = type_part(b, &kind->columns[i].type);
		if (!rc)
			rc = type_part(b, &kind->columns[i].unit);
	}
	return rc;
}

int profile_builder_kind(struct profile_builder *b, const struct profile_kind *kind,
			 uint32_t *ret_kind)
{
	struct profile_kind key;
	uint32_t id;

	if (!kind->columns_count || kind->columns_count > PROFILE_COLUMNS_MAX)
		return builder_fail(b, -E2BIG, "value columns of a kind", PROFILE_COLUMNS_MAX);
	memset(&key, 0, sizeof(key));
	key.name = kind->name;
	key.period_type = kind->period_type;
	key.period_unit = kind->period_unit;
	key.period = kind->period;
	key.columns_count = kind->columns_count;
	for (size_t i = 0; i < kind->columns_count; i++) {
		key.columns[i].type = kind->columns[i].type;
		key.columns[i].unit = kind->columns[i].unit;
		key.columns[i].gauge = kind->columns[i].gauge;
	}
	int rc = type_parts(b, &key);

	if (rc)
		return rc;
	rc = intern_put(&b->kinds, (const char *)&key, sizeof(key), &id);
	if (!rc && id > b->p->kinds_count)
		rc = GROW(b, kinds, 1);
	if (rc)
		return builder_fail(b, rc, "kinds", b->p->kinds_count);
	if (id > b->p->kinds_count)
		b->p->kinds[b->p->kinds_count++] = key;
	*ret_kind = id - 1;
	return 0;
}

int profile_builder_known_kind(struct profile_builder *b, enum profile_kind_id id, int64_t period,
			       uint32_t *ret_kind)
{
	const struct profile_known_kind *known = profile_known_kind(id);
	struct profile_kind kind = {.period = period,
				    .columns_count = (uint32_t)known->columns_count};
	struct {
		const char *text;
		uint32_t *to;
	} names[3 + 2 * PROFILE_COLUMNS_MAX] = {{known->name, &kind.name},
						{known->period_type, &kind.period_type},
						{known->period_unit, &kind.period_unit}};
	size_t count = 3;

	for (size_t i = 0; i < known->columns_count; i++) {
		kind.columns[i].gauge = known->columns[i].gauge;
		names[count].text = known->columns[i].type;
		names[count++].to = &kind.columns[i].type;
		names[count].text = known->columns[i].unit;
		names[count++].to = &kind.columns[i].unit;
	}
	for (size_t i = 0; i < count; i++) {
		struct str text = {names[i].text, strlen(names[i].text)};
		int rc = profile_builder_string(b, text, names[i].to);

		if (rc)
			return rc;
	}
	return profile_builder_kind(b, &kind, ret_kind);
}

static int labels_add(struct profile_builder *b, const struct profile_label *labels, size_t count,
		      struct profile_labels *ret_run)
{
	int rc = GROW(b, labels, count);

	if (rc)
		return builder_fail(b, rc, "labels", b->p->labels_count);
	*ret_run = (struct profile_labels){(uint32_t)b->p->labels_count, (uint32_t)count};
	if (count)
		memcpy(b->p->labels + b->p->labels_count, labels, count * sizeof(*labels));
	b->p->labels_count += count;
	return 0;
}

/* A label with its padding zeroed and its unused half empty: fit to be a key. */
static struct profile_label label_key(const struct profile_label *label)
{
	struct profile_label key;

	memset(&key, 0, sizeof(key));
	key.key = label->key;
	key.is_number = label->is_number;
	if (label->is_number) {
		key.number = label->number;
		key.unit = label->unit;
	} else {
		key.text = label->text;
	}
	return key;
}

static int compare_strings(const struct profile *p, uint32_t a, uint32_t b)
{
	struct str x = profile_string(p, a), y = profile_string(p, b);
	int order = memcmp(x.ptr, y.ptr, MIN(x.len, y.len));

	return order ? order : (x.len > y.len) - (x.len < y.len);
}

struct label_run {
	struct profile_label *labels; /* sorted by the key's text */
	size_t count, most;
};

/* An equal key is replaced.  False: there is no room. */
static bool label_insert(const struct profile *p, struct label_run *run, struct profile_label label)
{
	size_t at = run->count;

	while (at && compare_strings(p, run->labels[at - 1].key, label.key) > 0)
		at--;
	if (at && run->labels[at - 1].key == label.key) {
		run->labels[at - 1] = label;
		return true;
	}
	if (run->count == run->most)
		return false;
	memmove(run->labels + at + 1, run->labels + at, (run->count++ - at) * sizeof(label));
	run->labels[at] = label;
	return true;
}

static struct hash128 series_identity(const struct profile *p, const struct profile_kind *kind,
				      const struct profile_label *labels, size_t count)
{
	struct hash128 h = {p->instance.owner, 0x68656172};
	const uint32_t parts[] = {kind->name, kind->period_type, kind->period_unit};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct str s = profile_string(p, parts[i]);

		h = hash128_chain(h, hash128(s.ptr, s.len));
	}
	for (size_t i = 0; i < kind->columns_count; i++) {
		struct str type = profile_string(p, kind->columns[i].type);
		struct str unit = profile_string(p, kind->columns[i].unit);

		h = hash128_chain(h, hash128(type.ptr, type.len));
		h = hash128_chain(h, hash128(unit.ptr, unit.len));
	}
	for (size_t i = 0; i < count; i++) {
		struct str key = profile_string(p, labels[i].key);
		struct str value = profile_string(p, labels[i].text);

		h = hash128_chain(h, hash128(key.ptr, key.len));
		h = hash128_chain(h, hash128(value.ptr, value.len));
	}
	return h;
}

/* As many as may be, those that stay before others; what does not fit is counted. */
static size_t series_labels(struct profile_builder *b, const struct profile_label *labels,
			    size_t count, struct profile_label to[PROFILE_LABELS_MAX])
{
	struct label_run run = {to, 0,
				MIN(b->limits.labels_per_series, (size_t)PROFILE_LABELS_MAX)};
	const char *const *stays = profile_labels_that_stay;

	for (; count > run.most && *stays; stays++)
		for (size_t i = 0; i < count; i++)
			if (str_is(profile_string(b->p, labels[i].key), *stays))
				(void)label_insert(b->p, &run, label_key(&labels[i]));
	for (size_t i = 0; i < count; i++)
		b->cuts.labels_dropped += !label_insert(b->p, &run, label_key(&labels[i]));
	return run.count;
}

int profile_builder_series(struct profile_builder *b, uint32_t kind,
			   const struct profile_label *labels, size_t count, uint32_t *ret_series)
{
	struct {
		uint32_t kind, count;
		struct profile_label labels[PROFILE_LABELS_MAX];
	} key;
	uint32_t id;

	memset(&key, 0, sizeof(key));
	size_t kept = series_labels(b, labels, count, key.labels);

	key.kind = kind;
	key.count = (uint32_t)kept;
	size_t key_bytes = (size_t)((char *)&key.labels[kept] - (char *)&key);
	int rc = intern_put(&b->series, (const char *)&key, key_bytes, &id);

	if (rc)
		return builder_fail(b, rc, "series", b->p->series_count);
	*ret_series = id - 1;
	if (id <= b->p->series_count)
		return 0;
	struct profile_series series = {.kind = kind};

	rc = labels_add(b, key.labels, kept, &series.labels);
	if (rc)
		return rc;
	rc = GROW(b, series, 1);
	if (rc)
		return builder_fail(b, rc, "series", b->p->series_count);
	series.identity = series_identity(b->p, &b->p->kinds[kind], key.labels, kept);
	b->p->series[b->p->series_count++] = series;
	return 0;
}

int profile_builder_context(struct profile_builder *b, const struct profile_label *labels,
			    size_t count, uint32_t *ret_context)
{
	struct profile_label key[PROFILE_LABELS_MAX];
	size_t kept = MIN(count, MIN(b->limits.labels_per_context, (size_t)PROFILE_LABELS_MAX));

	b->cuts.labels_dropped += count - kept;
	for (size_t i = 0; i < kept; i++)
		key[i] = label_key(&labels[i]);
	int rc = intern_put(&b->contexts, (const char *)key, kept * sizeof(*key), ret_context);

	if (rc)
		return builder_fail(b, rc, "contexts", b->p->contexts_count);
	if (*ret_context < b->p->contexts_count)
		return 0;
	struct profile_labels run;

	rc = labels_add(b, key, kept, &run);
	if (rc)
		return rc;
	rc = GROW(b, contexts, 1);
	if (rc)
		return builder_fail(b, rc, "contexts", b->p->contexts_count);
	b->p->contexts[b->p->contexts_count++] = run;
	return 0;
}

void profile_builder_labels_were_cut(struct profile_builder *b, size_t count)
{
	b->cuts.labels_dropped += count;
}

int profile_builder_label(struct profile_builder *b, struct str key, struct str value,
			  struct profile_label *ret_label)
{
	struct profile_label label = {0};
	int rc = profile_builder_string(b, key, &label.key);

	if (!rc)
		rc = profile_builder_string(b, value, &label.text);
	if (!rc)
		*ret_label = label;
	return rc;
}
