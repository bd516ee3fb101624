/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/span.h"

#include <errno.h>

static int64_t add_clamped(int64_t a, int64_t b)
{
	int64_t sum;

	if (!__builtin_add_overflow(a, b, &sum))
		return sum;
	return b > 0 ? INT64_MAX : INT64_MIN;
}

int64_t ingest_span(const struct ingest_request *request, int64_t time_ns, int64_t duration_ns,
		    struct profile *profile)
{
	int64_t from = request->from_ns, until = request->until_ns;
	int64_t duration = MAX(duration_ns, 0);

	if (!from && !until && time_ns > 0) {
		from = time_ns;
		until = add_clamped(time_ns, duration);
	} else if (!from && !until) {
		from = until = request->now_ns;
	} else if (!from) {
		from = add_clamped(until, -duration);
	} else if (!until) {
		until = add_clamped(from, duration);
	}
	until = MAX(until, from);
	/* Halves first: the sum of two times may not fit. */
	int64_t middle = from / 2 + until / 2 + (from % 2 + until % 2) / 2;
	bool window = request->accept_from_ns || request->accept_until_ns;

	if (window && (middle < request->accept_from_ns || middle > request->accept_until_ns)) {
		from = until = middle = request->now_ns;
		profile->clamped = true;
	}
	/* Several bodies of one request: the profile covers all of them. */
	bool first = !profile->from_ns && !profile->until_ns;

	profile->from_ns = first ? from : MIN(profile->from_ns, from);
	profile->until_ns = MAX(profile->until_ns, until);
	return middle;
}

int ingest_string(struct profile_builder *out, struct str text, uint32_t *ret_string)
{
	return profile_builder_string(out, text.len ? text : STR(""), ret_string);
}

int ingest_series(const struct ingest_request *request, struct profile_builder *out, uint32_t kind,
		  const struct profile_label *extra, uint32_t *ret_series)
{
	struct profile_label *CLEANUP(cleanup_free) labels =
	    malloc((request->labels_count + 1) * sizeof(*labels));
	size_t count = 0;

	if (!labels)
		return -ENOMEM;
	for (; count < request->labels_count; count++) {
		struct profile_label label = {0};
		int rc = ingest_string(out, request->labels[count].key, &label.key);

		if (!rc)
			rc = ingest_string(out, request->labels[count].value, &label.text);
		if (rc)
			return rc;
		labels[count] = label;
	}
	if (extra)
		labels[count++] = *extra;
	return profile_builder_series(out, kind, labels, count, ret_series);
}

int ingest_failed(const struct profile_builder *out, int code, struct err *err)
{
	const char *why = profile_builder_error(out);

	return err_set(err, code, "%s", *why ? why : "out of memory");
}
