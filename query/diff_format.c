/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a diff's formats. */
#include "query/diff.h"

#define DIFF(name) extern const struct query_diff_format diff_##name;
#include "query/diffs.def"
#undef DIFF

static const struct query_diff_format *const formats[] = {
#define DIFF(name) &diff_##name,
#include "query/diffs.def"
#undef DIFF
};

const struct query_diff_format *query_diff_format_at(size_t i)
{
	return i < ARRAY_LEN(formats) ? formats[i] : NULL;
}

const struct query_diff_format *query_diff_format_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (str_is(name, formats[i]->name))
			return formats[i];
	return NULL;
}
