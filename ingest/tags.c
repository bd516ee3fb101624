/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/tags.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "ingest/hex.h"

static int64_t number(struct str text)
{
	int64_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, text.ptr[i] - '0', &n))
			return 0;
	return n;
}

void ingest_tag_add(struct ingest_tags *tags, struct str key, struct str value)
{
	static const char *const of_an_upload[] = {"snapshot", "format", "upload_id", "retry"};

	if (!key.len)
		return;
	if (str_is(key, "runtime-id") || str_is(key, "runtime_id")) {
		tags->runtime_id = value;
		return;
	}
	if (str_is(key, "profile_seq")) {
		tags->sequence = value;
		return;
	}
	if (str_is(key, "process_id") || str_is(key, "pid") || str_is(key, "process.pid")) {
		tags->pid = number(value);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(of_an_upload); i++)
		if (str_is(key, of_an_upload[i]))
			return;
	if (!value.len)
		return;
	for (size_t i = 0; i < tags->count; i++) {
		if (tags->labels[i].key.len == key.len &&
		    !memcmp(tags->labels[i].key.ptr, key.ptr, key.len)) {
			tags->labels[i].value = value;
			return;
		}
	}
	size_t at = tags->count;

	if (at < INGEST_TAGS_MAX) {
		tags->count++;
	} else {
		tags->dropped++;
		if (!profile_label_stays(key))
			return;
		while (at && profile_label_stays(tags->labels[at - 1].key))
			at--;
		at--;
	}
	tags->labels[at] = (struct ingest_label){key, value};
}

void ingest_tags_add(struct ingest_tags *tags, struct str text)
{
	while (text.len) {
		struct str value = str_trim(str_cut(&text, ',')), key = str_cut(&value, ':');

		/* Without a colon all of it is the key, and a tag without a value is none. */
		ingest_tag_add(tags, key, value);
	}
}

struct str ingest_tag(const struct ingest_tags *tags, const char *key)
{
	for (size_t i = 0; i < tags->count; i++)
		if (str_is(tags->labels[i].key, key))
			return tags->labels[i].value;
	return (struct str){0};
}

/* 32 hex digits, with dashes wherever they like to be. */
static bool uuid_parse(struct str text, uint8_t to[16])
{
	size_t digits = 0;

	for (size_t i = 0; i < text.len; i++) {
		int digit = ingest_hex_digit(text.ptr[i]);

		if (text.ptr[i] == '-')
			continue;
		if (digit < 0 || digits == 32)
			return false;
		to[digits / 2] = (uint8_t)(digits % 2 ? to[digits / 2] | digit : digit << 4);
		digits++;
	}
	return digits == 32;
}

void ingest_tags_instance(const struct ingest_tags *tags, struct profile_builder *out)
{
	struct profile_instance *instance = &profile_builder_profile(out)->instance;
	uint8_t *id = instance->runtime_id;

	profile_builder_labels_were_cut(out, tags->dropped);
	instance->pid = tags->pid;
	if (!tags->runtime_id.len || uuid_parse(tags->runtime_id, id))
		return;
	struct hash128 hash = hash128(tags->runtime_id.ptr, tags->runtime_id.len);

	memcpy(id, &hash, sizeof(instance->runtime_id));
}

int ingest_tags_upload_id(const struct ingest_tags *tags, int64_t from_ns,
			  struct profile_builder *out)
{
	char text[160];
	struct str id = tags->runtime_id, sequence = tags->sequence;

	if (!id.len || !sequence.len || id.len + sequence.len > 128)
		return 0;
	int len = snprintf(text, sizeof(text), "%.*s/%.*s/%" PRId64, (int)id.len, id.ptr,
			   (int)sequence.len, sequence.ptr, from_ns);

	return profile_builder_string(out, (struct str){text, (size_t)len},
				      &profile_builder_profile(out)->upload_id);
}
