/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/regex.h"

#include <errno.h>
#include <pcre2.h>

#include "query/filter.h"

#define MATCH_STEPS_MAX 100000 /* of the matcher, about a millisecond */

struct query_regex {
	pcre2_code *code;
	pcre2_match_context *context;
};

static int compile(struct query_regex *regex, struct str pattern, const char *what, struct err *err)
{
	int code = 0;
	PCRE2_SIZE where = 0;
	PCRE2_UCHAR text[120];

	regex->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
				    PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
					PCRE2_NEVER_BACKSLASH_C,
				    &code, &where, NULL);
	if (regex->code)
		return 0;
	(void)pcre2_get_error_message(code, text, sizeof(text));
	return err_set(err, -EINVAL, "%s: pattern \"%.*s\", character %zu: %s", what,
		       (int)MIN(pattern.len, (size_t)80), pattern.ptr, (size_t)where + 1,
		       (const char *)text);
}

int query_regex_new(struct str pattern, const char *what, struct query_regex **ret_regex,
		    struct err *err)
{
	if (pattern.len > QUERY_PATTERN_MAX)
		return err_set(err, -E2BIG, "%s: a pattern of %zu bytes is above the limit of %d",
			       what, pattern.len, QUERY_PATTERN_MAX);
	struct query_regex *regex = calloc(1, sizeof(*regex));

	if (regex)
		regex->context = pcre2_match_context_create(NULL);
	if (!regex || !regex->context) {
		query_regex_free(regex);
		return err_set(err, -ENOMEM, "%s: out of memory", what);
	}
	(void)pcre2_set_match_limit(regex->context, MATCH_STEPS_MAX);
	(void)pcre2_set_depth_limit(regex->context, MATCH_STEPS_MAX);
	(void)pcre2_set_heap_limit(regex->context, 4096);
	int rc = compile(regex, pattern, what, err);

	if (rc) {
		query_regex_free(regex);
		return rc;
	}
	*ret_regex = regex;
	return 0;
}

void query_regex_free(struct query_regex *regex)
{
	if (!regex)
		return;
	pcre2_code_free(regex->code);
	pcre2_match_context_free(regex->context);
	free(regex);
}

bool query_regex_found(const struct query_regex *regex, struct str text)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);

	if (!data)
		return false;
	int rc =
	    pcre2_match(regex->code, (PCRE2_SPTR)text.ptr, text.len, 0, 0, data, regex->context);

	pcre2_match_data_free(data);
	return rc >= 0;
}
