/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/selector.h - label selectors as PromQL writes them:
 * {service="a",env!="b",version=~"1\\..*"}.
 *
 * Values stand in double quotes with \\ \" \n \t escapes, or in back quotes without any.  A name is
 * [A-Za-z_][A-Za-z0-9_.]* or quoted.  Regular expressions are PCRE2's, anchored at both ends, and
 * run under match limits, so that a pattern cannot take the agent's time.  Any thread; a selector
 * is read-only after parsing.
 */
#ifndef QUERY_SELECTOR_H
#define QUERY_SELECTOR_H

#include <stdbool.h>

#include "base/err.h"

#define SELECTOR_MATCHERS_MAX 32
#define SELECTOR_PATTERN_MAX 1024 /* bytes of one value */

struct selector;

/* Parse `text` ("" and "{}" select everything). Returns 0, -EINVAL with the place, -E2BIG or
 * -ENOMEM. */
MUST_CHECK int selector_parse(struct str text, struct selector **ret_selector, struct err *err);
void selector_free(struct selector *selector);

/* The value of a label by name; an absent label is "". */
typedef struct str (*selector_label_fn)(void *arg, struct str name);

bool selector_matches(const struct selector *selector, selector_label_fn label, void *arg);

/* ---- before it is used: for languages in which labels have other names ---- */

/* Matchers of `from` are of `to` from now on. Returns 0 or -ENOMEM. */
MUST_CHECK int selector_rename(struct selector *selector, struct str from, struct str to);

/* The value that a label of this name must equal; false when no matcher says so. Borrowed. */
bool selector_value(const struct selector *selector, struct str name, struct str *ret_value);

/*
 * Take out the matchers of names for which `known` gives a value (true); a value stands in
 * *ret_value.  Returns whether all of them held: with false, nothing can match.
 */
typedef bool (*selector_known_fn)(void *arg, struct str name, struct str *ret_value);
bool selector_settle(struct selector *selector, selector_known_fn known, void *arg);

#endif
