/* SPDX-License-Identifier: Apache-2.0 */
/* What filters are made of: tag filters as pprof reads them, patterns under limits, names cut
 * short. */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/filter.h"
#include "query/folded.h"
#include "query/regex.h"
#include "query/reshape.h"
#include "query/tags.h"

static struct query_tags *tags_of(const char *text)
{
	struct query_tags *tags = NULL;
	struct err err = {0};

	if (query_tags_new(str_of(text), "tagfocus", &tags, &err))
		fail_msg("%s: %s", text, err.message);
	return tags;
}

static bool number_matches(const char *filter, const char *key, int64_t value, const char *unit)
{
	struct query_tags *tags = tags_of(filter);
	bool matches =
	    query_tags_match(tags, query_tags_number(tags, str_of(key), value, str_of(unit)));

	query_tags_free(tags);
	return matches;
}

static bool texts_match(const char *filter, const char *const *pairs)
{
	struct query_tags *tags = tags_of(filter);
	uint32_t bits = 0;

	for (; *pairs; pairs += 2)
		bits |= query_tags_text(tags, str_of(pairs[0]), str_of(pairs[1]));
	bool matches = query_tags_match(tags, bits);

	query_tags_free(tags);
	return matches;
}

/* As pprof's own tests of tag filters have them (internal/driver, TestTagFilter), and the cases
 * between. */
static void ranges_of_numbers(void **state)
{
	(void)state;
	assert_true(number_matches("test=32kb", "test", 32768, "bytes"));
	assert_true(number_matches("32kb", "test", 32768, "bytes"));
	assert_false(number_matches("other=32kb", "test", 32768, "bytes"));
	assert_false(number_matches("32kb", "test", 32767, "bytes"));
	assert_true(number_matches(":64kb", "test", 65536, "bytes"));
	assert_false(number_matches(":64kb", "test", 65537, "bytes"));
	assert_true(number_matches("4mb:", "test", 4 << 20, "bytes"));
	assert_false(number_matches("4mb:", "test", (4 << 20) - 1, "bytes"));
	assert_true(number_matches("12kb:64mb", "test", 1 << 20, "bytes"));
	assert_false(number_matches("12kb:64mb", "test", 100, "bytes"));
	assert_true(number_matches("1s:2s", "test", 1500, "milliseconds"));
	assert_false(number_matches("1s:2s", "test", 1500, "bytes"));
	assert_true(number_matches("-5:5", "n", -3, "n"));
	/* Without a unit a number counts in its own name, which is a unit for these. */
	assert_true(number_matches("1kb", "bytes", 1024, ""));
	assert_true(number_matches("1kb", "request", 1024, ""));
	assert_false(number_matches("1024", "bytes", 1024, ""));
	assert_true(number_matches("17", "thread id", 17, ""));
}

static void patterns_of_texts(void **state)
{
	static const char *const labels[] = {"k1", "v1", "k2", "v2", "k1", "v3", NULL};

	(void)state;
	assert_true(texts_match("k1=v1", labels));
	assert_true(texts_match("k1=v3", labels));
	assert_false(texts_match("k2=v1", labels));
	assert_true(texts_match("k1=x,v3", labels)); /* one of them, with a key */
	assert_false(texts_match("v1,x", labels));   /* all of them, without */
	assert_true(texts_match("v1,k2", labels));
	assert_true(texts_match("k2:v", labels));
	assert_true(texts_match("=v1", labels)); /* an empty key is none */
	assert_false(texts_match("k9=.*", labels));
	assert_true(texts_match("k1=^v1$", labels));
	assert_false(texts_match("12", labels)); /* a number: no pattern */
	assert_true(texts_match("v1|12", labels));
}

static void what_is_no_pattern_is_refused(void **state)
{
	struct query_filter *filter = NULL;
	char longest[QUERY_PATTERN_MAX + 2], many[64] = "";
	struct err err;

	(void)state;
	assert_int_equal(query_filter_new(&(struct query_filter_text){.hide = "a("}, &filter, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "hide"));
	assert_int_equal(
	    query_filter_new(&(struct query_filter_text){.tagignore = "k=["}, &filter, &err),
	    -EINVAL);
	assert_non_null(strstr(err.message, "tagignore"));
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(
	    query_filter_new(&(struct query_filter_text){.focus = longest}, &filter, &err), -E2BIG);
	for (int i = 0; i <= QUERY_TAG_PATTERNS_MAX; i++)
		strcat(many, "a,");
	assert_int_equal(
	    query_filter_new(&(struct query_filter_text){.tagfocus = many}, &filter, &err), -E2BIG);
	assert_int_equal(query_filter_new(&(struct query_filter_text){.focus = ""}, &filter, &err),
			 0);
	assert_null(filter);
}

static void a_costly_pattern_ends(void **state)
{
	struct query_regex *regex = NULL;
	char text[64];
	struct err err;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(query_regex_new(STR("(a+)+(a+)+(a+)+$b"), "focus", &regex, &err), 0);
	assert_false(query_regex_found(regex, (struct str){text, sizeof(text)}));
	query_regex_free(regex);
	assert_int_equal(query_regex_new(STR("^.\xff?b$"), "focus", &regex, &err), -EINVAL);
	assert_int_equal(query_regex_new(STR("^a.b$"), "focus", &regex, &err), 0);
	assert_true(query_regex_found(regex, STR("a\xc3\xa4"
						 "b"))); /* one character */
	assert_false(query_regex_found(regex, STR("a\nb")));
	assert_false(query_regex_found(regex, STR("axb\n")));
	/* no character: no match, no harm */
	assert_false(query_regex_found(regex, STR("a\xff"
						  "b")));
	query_regex_free(regex);
}

static void names_are_cut_where_they_can_be(void **state)
{
	static const struct {
		const char *full, *plain, *folded;
	} names[] = {
	    {"main", "main", "main"},
	    {"ns::f(int, char)", "ns::f", "ns::f"},
	    {"ns::f<int>(int) const", "ns::f<int>", "ns::f<...>"},
	    {"f(void (*)(int))", "f", "f"},
	    {"f(int) [clone .isra.0]", "f", "f"},
	    {"f() &&", "f", "f"},
	    {"(anonymous namespace)::f(int)", "(anonymous namespace)::f",
	     "(anonymous namespace)::f"},
	    {"a::(anonymous namespace)", "a::(anonymous namespace)", "a::(anonymous namespace)"},
	    {"S::operator()(int) const", "S::operator()", "S::operator()"},
	    {"S::operator()", "S::operator()", "S::operator()"},
	    {"operator<<(O&, std::pair<int, int>)", "operator<<", "operator<<"},
	    {"bool operator< <int>(V<int> const&)", "bool operator< <int>", "bool operator< <int>"},
	    {"S::operator->() const", "S::operator->", "S::operator->"},
	    {"std::map<int, std::vector<char> >::at(int)", "std::map<int, std::vector<char> >::at",
	     "std::map<...>::at"},
	    {"<T as core::fmt::Display>::fmt", "<T as core::fmt::Display>::fmt",
	     "<T as core::fmt::Display>::fmt"},
	    {"core::ptr::drop_in_place::<Vec<u8>>", "core::ptr::drop_in_place::<Vec<u8>>",
	     "core::ptr::drop_in_place::<...>"},
	    {"main.(*Server).Serve", "main.(*Server).Serve", "main.(*Server).Serve"},
	    {"LazyCompile:~f (file.js:1)", "LazyCompile:~f (file.js:1)",
	     "LazyCompile:~f (file.js:1)"},
	    {"f<x", "f<x", "f<x"},
	    {"g(h", "g(h", "g(h"},
	    {")", ")", ")"},
	    {"()", "()", "()"},
	    {"", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *const wanted[] = {names[i].full, names[i].plain, names[i].folded};

		for (int level = 0; level < 3; level++) {
			struct buf out;

			buf_init(&out, BUF_UNLIMITED);
			query_name_shorten(str_of(names[i].full), (enum query_names_level)level,
					   &out);
			assert_string_equal(buf_cstr(&out), wanted[level]);
			buf_release(&out);
		}
	}
}

static void folded_names_come_back(void **state)
{
	static const char *const names[] = {"a;b", "tab\there", "back\\slash", "\\x41 stays",
					    "plain"};
	struct buf stack, name;

	(void)state;
	buf_init(&stack, BUF_UNLIMITED);
	buf_init(&name, BUF_UNLIMITED);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)buf_add_str(&stack, i ? ";" : "");
		folded_name(&stack, str_of(names[i]));
	}
	struct str rest = {stack.data, stack.len};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_true(folded_next(&rest, &name));
		assert_string_equal(buf_cstr(&name), names[i]);
	}
	assert_false(folded_next(&rest, &name));
	buf_release(&stack);
	buf_release(&name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ranges_of_numbers),
	    cmocka_unit_test(patterns_of_texts),
	    cmocka_unit_test(what_is_no_pattern_is_refused),
	    cmocka_unit_test(a_costly_pattern_ends),
	    cmocka_unit_test(names_are_cut_where_they_can_be),
	    cmocka_unit_test(folded_names_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
