/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/filter.h - pprof's filters, as `go tool pprof` means them.
 *
 *	focus      keep samples with a frame that matches        ignore   drop them
 *	hide       take frames that match out of their stacks    show     take the others out
 *	show_from  drop what stands above the first match, and samples without one
 *	tagfocus   keep samples whose labels match               tagignore drop them
 *
 * A frame matches by its function, its file or the path of its library; a pattern is searched, not
 * anchored.  A sample that is left without frames is dropped.  What an address without a name is
 * shown as stands for its function.
 *
 * A tag filter is [KEY=]VALUE.  VALUE is a range of numbers (32kb, :64kb, 4mb:, 12kb:64mb, units as
 * pprof knows them) or patterns with commas between.  With a KEY one pattern has to match its
 * value, without one each pattern has to match some "key:value".  Labels of the series count as
 * those of the sample, and win over them.
 *
 * Patterns are PCRE2's under match limits; one that reaches them matches nothing.  A compiled
 * filter is read-only: any thread.
 */
#ifndef QUERY_FILTER_H
#define QUERY_FILTER_H

#include "base/err.h"

#define QUERY_PATTERN_MAX 1024 /* bytes */
#define QUERY_TAG_PATTERNS_MAX 16

struct query_filter;

/* NULL or "": none. */
struct query_filter_text {
	const char *focus, *ignore, *hide, *show, *show_from, *tagfocus, *tagignore;
};

/* *ret_filter is NULL when the text asks for nothing. Returns 0, -EINVAL naming the place, -E2BIG
 * or -ENOMEM. */
MUST_CHECK int query_filter_new(const struct query_filter_text *text,
				struct query_filter **ret_filter, struct err *err);
void query_filter_free(struct query_filter *filter);

#endif
