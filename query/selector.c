/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/selector.h"

#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <string.h>

#define MATCH_STEPS_MAX 100000 /* of the matcher, about a millisecond */

enum op { OP_EQUAL, OP_NOT_EQUAL, OP_MATCH, OP_NOT_MATCH };

struct matcher {
	char *name, *value;
	size_t name_len, value_len;
	enum op op;
	pcre2_code *code;
};

struct selector {
	size_t count;
	struct matcher matchers[SELECTOR_MATCHERS_MAX];
	pcre2_match_context *context;
};

struct scanner {
	const char *start, *at, *end;
	struct err *err;
};

static int wrong(const struct scanner *s, const char *expected)
{
	return err_set(s->err, -EINVAL, "selector: expected %s at character %zu of \"%.*s\"",
		       expected, (size_t)(s->at - s->start) + 1,
		       (int)MIN((size_t)(s->end - s->start), (size_t)120), s->start);
}

static void skip_space(struct scanner *s)
{
	while (s->at < s->end && isspace((unsigned char)*s->at))
		s->at++;
}

static bool take(struct scanner *s, char c)
{
	skip_space(s);
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static char unescaped(char c)
{
	return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

/* A quoted value into malloc'ed text. */
static int quoted(struct scanner *s, char **ret_text, size_t *ret_len)
{
	skip_space(s);
	if (s->at == s->end || (*s->at != '"' && *s->at != '`' && *s->at != '\''))
		return wrong(s, "a quoted value");
	char quote = *s->at++;
	char *CLEANUP(cleanup_free) text = malloc((size_t)(s->end - s->at) + 1);
	size_t len = 0;

	if (!text)
		return -ENOMEM;
	for (; s->at < s->end && *s->at != quote; s->at++) {
		char c = *s->at;

		/* A back slash before anything but a known escape stays: "1\\..*" and "1\..*"
		 * are both written in practice, and both mean the pattern 1\..* */
		if (c == '\\' && quote != '`' && s->at + 1 < s->end && strchr("\\\"'ntr", s->at[1]))
			c = unescaped(*++s->at);
		text[len++] = c;
	}
	if (s->at == s->end)
		return wrong(s, "the closing quote");
	s->at++;
	if (len > SELECTOR_PATTERN_MAX)
		return err_set(s->err, -E2BIG,
			       "selector: a value of %zu bytes is above the limit of %d", len,
			       SELECTOR_PATTERN_MAX);
	text[len] = '\0';
	*ret_len = len;
	*ret_text = TAKE(text);
	return 0;
}

static int label_name(struct scanner *s, char **ret_name, size_t *ret_len)
{
	skip_space(s);
	if (s->at < s->end && (*s->at == '"' || *s->at == '`'))
		return quoted(s, ret_name, ret_len);
	const char *from = s->at;

	while (s->at < s->end && (isalnum((unsigned char)*s->at) || *s->at == '_' || *s->at == '.'))
		s->at++;
	if (s->at == from || isdigit((unsigned char)*from))
		return wrong(s, "a label name");
	*ret_len = (size_t)(s->at - from);
	*ret_name = strndup(from, *ret_len);
	return *ret_name ? 0 : -ENOMEM;
}

static int operator(struct scanner *s, enum op *ret_op)
{
	static const struct {
		const char text[3];
		enum op op;
	} ops[] = {{"=~", OP_MATCH}, {"!~", OP_NOT_MATCH}, {"!=", OP_NOT_EQUAL}, {"=", OP_EQUAL}};

	skip_space(s);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		size_t len = strlen(ops[i].text);

		if ((size_t)(s->end - s->at) < len || memcmp(s->at, ops[i].text, len))
			continue;
		s->at += len;
		*ret_op = ops[i].op;
		return 0;
	}
	return wrong(s, "one of = != =~ !~");
}

static int compile(struct scanner *s, struct matcher *m)
{
	int code = 0;
	PCRE2_SIZE where = 0;
	PCRE2_UCHAR text[120];

	m->code = pcre2_compile((PCRE2_SPTR)m->value, m->value_len,
				PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL |
				    PCRE2_NEVER_BACKSLASH_C,
				&code, &where, NULL);
	if (m->code)
		return 0;
	(void)pcre2_get_error_message(code, text, sizeof(text));
	return err_set(s->err, -EINVAL, "selector: pattern \"%.80s\", character %zu: %s", m->value,
		       (size_t)where + 1, (const char *)text);
}

static int matcher_parse(struct scanner *s, struct matcher *m)
{
	int rc = label_name(s, &m->name, &m->name_len);

	if (!rc)
		rc = operator(s, &m->op);
	if (!rc)
		rc = quoted(s, &m->value, &m->value_len);
	if (!rc && (m->op == OP_MATCH || m->op == OP_NOT_MATCH))
		rc = compile(s, m);
	return rc;
}

static int matchers_parse(struct scanner *s, struct selector *selector)
{
	bool braces = take(s, '{');

	for (;;) {
		skip_space(s);
		if (s->at == s->end || *s->at == '}')
			break;
		if (selector->count == SELECTOR_MATCHERS_MAX)
			return err_set(s->err, -E2BIG, "selector: more than %d matchers",
				       SELECTOR_MATCHERS_MAX);
		int rc = matcher_parse(s, &selector->matchers[selector->count++]);

		if (rc)
			return rc;
		if (!take(s, ','))
			break;
	}
	if (braces && !take(s, '}'))
		return wrong(s, "a comma or }");
	skip_space(s);
	return s->at == s->end ? 0 : wrong(s, "the end");
}

int selector_parse(struct str text, struct selector **ret_selector, struct err *err)
{
	struct selector *selector = calloc(1, sizeof(*selector));
	struct scanner scanner = {text.ptr, text.ptr, text.ptr + text.len, err};
	int rc = -ENOMEM;

	if (selector)
		selector->context = pcre2_match_context_create(NULL);
	if (selector && selector->context) {
		(void)pcre2_set_match_limit(selector->context, MATCH_STEPS_MAX);
		(void)pcre2_set_depth_limit(selector->context, MATCH_STEPS_MAX);
		(void)pcre2_set_heap_limit(selector->context, 4096);
		rc = matchers_parse(&scanner, selector);
	}
	if (rc == -ENOMEM)
		err_set(err, rc, "selector: out of memory");
	if (rc) {
		selector_free(selector);
		return rc;
	}
	*ret_selector = selector;
	return 0;
}

static void matcher_free(struct matcher *m)
{
	free(m->name);
	free(m->value);
	pcre2_code_free(m->code);
}

void selector_free(struct selector *selector)
{
	if (!selector)
		return;
	for (size_t i = 0; i < selector->count; i++)
		matcher_free(&selector->matchers[i]);
	pcre2_match_context_free(selector->context);
	free(selector);
}

/* Reaching a limit is no match: the answer stays bounded, and an exclusion excludes nothing
 * more. */
static bool regex_matches(const struct selector *selector, const struct matcher *m,
			  struct str value)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);

	if (!data)
		return false;
	int rc =
	    pcre2_match(m->code, (PCRE2_SPTR)value.ptr, value.len, 0, 0, data, selector->context);

	pcre2_match_data_free(data);
	return rc >= 0;
}

static bool holds(const struct selector *selector, const struct matcher *m, struct str value)
{
	bool positive = m->op == OP_EQUAL || m->op == OP_MATCH;
	bool found = m->code ? regex_matches(selector, m, value)
			     : value.len == m->value_len && !memcmp(value.ptr, m->value, value.len);

	return found == positive;
}

bool selector_matches(const struct selector *selector, selector_label_fn label, void *arg)
{
	for (size_t i = 0; selector && i < selector->count; i++) {
		const struct matcher *m = &selector->matchers[i];

		if (!holds(selector, m, label(arg, (struct str){m->name, m->name_len})))
			return false;
	}
	return true;
}

static bool is_of(const struct matcher *m, struct str name)
{
	return m->name_len == name.len && !memcmp(m->name, name.ptr, name.len);
}

int selector_rename(struct selector *selector, struct str from, struct str to)
{
	for (size_t i = 0; i < selector->count; i++) {
		struct matcher *m = &selector->matchers[i];

		if (!is_of(m, from))
			continue;
		char *name = strndup(to.ptr, to.len);

		if (!name)
			return -ENOMEM;
		free(m->name);
		m->name = name;
		m->name_len = to.len;
	}
	return 0;
}

bool selector_value(const struct selector *selector, struct str name, struct str *ret_value)
{
	for (size_t i = 0; i < selector->count; i++) {
		const struct matcher *m = &selector->matchers[i];

		if (m->op != OP_EQUAL || !is_of(m, name))
			continue;
		*ret_value = (struct str){m->value, m->value_len};
		return true;
	}
	return false;
}

bool selector_settle(struct selector *selector, selector_known_fn known, void *arg)
{
	size_t kept = 0;
	bool all = true;

	for (size_t i = 0; i < selector->count; i++) {
		struct matcher *m = &selector->matchers[i];
		struct str value;

		if (!known(arg, (struct str){m->name, m->name_len}, &value)) {
			selector->matchers[kept++] = *m;
			continue;
		}
		all = holds(selector, m, value) && all;
		matcher_free(m);
	}
	selector->count = kept;
	return all;
}
