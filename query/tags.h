/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/tags.h - tagfocus and tagignore: a filter of labels, as pprof reads it.  Private to query/.
 *
 * A label sets bits, one for each pattern (one for a range); the bits of all labels of a sample
 * together decide.  So what the labels of a series say is known before its records are read.
 */
#ifndef QUERY_TAGS_H
#define QUERY_TAGS_H

#include <stdbool.h>

#include "base/err.h"

struct query_tags;

MUST_CHECK int query_tags_new(struct str text, const char *what, struct query_tags **ret_tags,
			      struct err *err);
void query_tags_free(struct query_tags *tags);

/* Bits of a label with a text, or with a number. */
uint32_t query_tags_text(const struct query_tags *tags, struct str key, struct str value);
uint32_t query_tags_number(const struct query_tags *tags, struct str key, int64_t value,
			   struct str unit);
/* The filter is of this key alone, and of texts: no other label changes what it says. */
bool query_tags_is_of(const struct query_tags *tags, struct str key);
bool query_tags_match(const struct query_tags *tags, uint32_t bits);

#endif
