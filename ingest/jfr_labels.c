/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "ingest/jfr.h"
#include "wire/protobuf.h"

/*
 * What Pyroscope's Java agent sends beside a recording:
 *
 *	LabelsSnapshot  1 map<int64, Context> contexts    2 map<int64, string> strings
 *	Context         1 map<int64, int64> labels        numbers of strings
 *
 * A map's entry is a message of key (1) and value (2).
 */

struct entry {
	int64_t key, number;
	struct proto_reader bytes;
};

/* Returns 0 or -EINVAL. */
static int entry_read(struct proto_reader reader, struct entry *e)
{
	struct proto_field f;
	int rc;

	*e = (struct entry){0};
	while ((rc = proto_next(&reader, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_VARINT)
			e->key = (int64_t)f.value;
		else if (f.number == 2 && f.type == PROTO_VARINT)
			e->number = (int64_t)f.value;
		else if (f.number == 2 && f.type == PROTO_BYTES)
			e->bytes = f.bytes;
	}
	return rc;
}

static int context_read(struct jfr_labels *labels, const struct entry *context)
{
	struct proto_reader reader = context->bytes;
	struct proto_field f;
	struct entry e;
	int rc;

	while ((rc = proto_next(&reader, &f)) == 1) {
		if (f.number != 1 || f.type != PROTO_BYTES)
			continue;
		rc = entry_read(f.bytes, &e);
		if (!rc)
			rc = array_grow(&labels->pairs, sizeof(*labels->pairs), &labels->pairs_room,
					labels->pairs_count + 1);
		if (rc)
			return rc;
		labels->pairs[labels->pairs_count++] =
		    (struct jfr_label_pair){context->key, e.key, e.number};
	}
	return rc;
}

static int string_add(struct jfr_labels *labels, const struct entry *e)
{
	int rc = array_grow(&labels->strings, sizeof(*labels->strings), &labels->strings_room,
			    labels->strings_count + 1);

	if (rc)
		return rc;
	labels->strings[labels->strings_count++] =
	    (struct jfr_label_text){e->key, {(const char *)e->bytes.at, proto_left(&e->bytes)}};
	return 0;
}

static int text_order(const void *a, const void *b)
{
	const struct jfr_label_text *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int pair_order(const void *a, const void *b)
{
	const struct jfr_label_pair *x = a, *y = b;

	return x->context < y->context ? -1 : x->context > y->context;
}

int jfr_labels_read(struct str snapshot, struct jfr_labels *ret_labels, struct err *err)
{
	struct proto_reader reader =
	    proto_reader_of(snapshot.len ? snapshot.ptr : "", snapshot.len);
	struct proto_field f;
	struct entry e;
	int rc;

	while ((rc = proto_next(&reader, &f)) == 1) {
		if (f.type != PROTO_BYTES || (f.number != 1 && f.number != 2))
			continue;
		rc = entry_read(f.bytes, &e);
		if (!rc)
			rc = f.number == 1 ? context_read(ret_labels, &e)
					   : string_add(ret_labels, &e);
		if (rc)
			break;
	}
	if (rc)
		return err_set(err, rc, "jfr: labels: %s",
			       rc == -ENOMEM ? "out of memory" : "malformed");
	if (ret_labels->strings_count)
		qsort(ret_labels->strings, ret_labels->strings_count, sizeof(*ret_labels->strings),
		      text_order);
	if (ret_labels->pairs_count)
		qsort(ret_labels->pairs, ret_labels->pairs_count, sizeof(*ret_labels->pairs),
		      pair_order);
	return 0;
}

void jfr_labels_release(struct jfr_labels *labels)
{
	free(labels->strings);
	free(labels->pairs);
	*labels = (struct jfr_labels){0};
}

/* The first pair of a context, or of what comes behind it. */
static size_t first_pair(const struct jfr_labels *labels, int64_t context, bool behind)
{
	size_t low = 0, high = labels->pairs_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int64_t at = labels->pairs[middle].context;

		if (at < context || (behind && at == context))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct jfr_label_pair *jfr_labels_of(const struct jfr_labels *labels, int64_t context,
					   size_t *ret_count)
{
	size_t begin = first_pair(labels, context, false);

	*ret_count = first_pair(labels, context, true) - begin;
	return *ret_count ? labels->pairs + begin : NULL;
}

struct str jfr_label_string(const struct jfr_labels *labels, int64_t id)
{
	const struct jfr_label_text key = {.id = id};
	const struct jfr_label_text *found =
	    labels->strings_count
		? bsearch(&key, labels->strings, labels->strings_count, sizeof(key), text_order)
		: NULL;

	return found && found->text.len ? found->text : STR("");
}
