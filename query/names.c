/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shorter names of functions.  Demanglers write C++ and Rust; what does not look like theirs stays.
 *
 *	plain    ns::f<int>(int, char) const            ns::f<int>
 *		 (anonymous namespace)::f(int)::{lambda()#1}::operator()() const
 *		        (anonymous namespace)::f(int)::{lambda()#1}::operator()
 *	folded   ns::f<std::vector<int> >               ns::f<...>
 *		 <T as core::fmt::Display>::fmt         <T as core::fmt::Display>::fmt
 *		 operator<, operator<<, operator->      themselves
 */
#include <string.h>

#include "base/buf.h"
#include "query/reshape.h"

static bool ends_with(struct str s, const char *tail)
{
	size_t len = strlen(tail);

	return s.len >= len && !memcmp(s.ptr + s.len - len, tail, len);
}

/* Without what may stand behind the parameters. */
static struct str without_qualifiers(struct str s)
{
	static const char *const tails[] = {" const", " volatile", " &", " &&", " noexcept"};

	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < ARRAY_LEN(tails); i++)
			if (ends_with(s, tails[i])) {
				s.len -= strlen(tails[i]);
				again = true;
			}
		/* "f(int) [clone .isra.0]" */
		if (ends_with(s, "]")) {
			const char *open = memrchr(s.ptr, '[', s.len);

			if (open && open > s.ptr && open[-1] == ' ') {
				s.len = (size_t)(open - s.ptr) - 1;
				again = true;
			}
		}
	}
	return s;
}

/* Where the parenthesis that closes at the end of `s` opens; s.len when none does. */
static size_t matching_open(struct str s)
{
	size_t depth = 0;

	for (size_t i = s.len; i-- > 0;) {
		if (s.ptr[i] == ')')
			depth++;
		else if (s.ptr[i] == '(' && --depth == 0)
			return i;
	}
	return s.len;
}

static struct str without_parameters(struct str name)
{
	struct str s = without_qualifiers(name);

	if (!ends_with(s, ")"))
		return name;
	size_t open = matching_open(s);
	struct str before = {s.ptr, open};

	/* "(anonymous namespace)" and "operator()" are names, "f (file.js:1)" is not C++. */
	if (!open || open == s.len || ends_with(before, "operator") || ends_with(before, "::") ||
	    ends_with(before, " "))
		return name;
	return before;
}

static bool is_word(char c)
{
	return c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/* Whether "<" at `at` opens template arguments: it follows a name, which is not "operator". */
static bool opens_arguments(struct str s, size_t at)
{
	struct str before = {s.ptr, at};

	/* Rust writes f::<T>. */
	if (ends_with(before, "::") && at > 2)
		before.len -= 2;
	if (!before.len || !is_word(before.ptr[before.len - 1]))
		return false;
	return !ends_with(before, "operator");
}

/* Behind the ">" that closes "<" at `at`; 0 when none does.  "->" closes nothing. */
static size_t arguments_end(struct str s, size_t at)
{
	size_t depth = 0;

	for (size_t i = at; i < s.len; i++) {
		if (s.ptr[i] == '<')
			depth++;
		else if (s.ptr[i] == '>' && s.ptr[i - 1] != '-' && --depth == 0)
			return i + 1;
	}
	return 0;
}

static void without_arguments(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len;) {
		size_t end = s.ptr[i] == '<' && opens_arguments(s, i) ? arguments_end(s, i) : 0;

		if (end) {
			(void)buf_add_str(out, "<...>");
			i = end;
		} else {
			(void)buf_add_byte(out, (uint8_t)s.ptr[i++]);
		}
	}
}

void query_name_shorten(struct str name, enum query_names_level level, struct buf *out)
{
	if (level == QUERY_NAMES_FULL)
		(void)buf_add(out, name.ptr, name.len);
	else if (level == QUERY_NAMES_PLAIN)
		(void)buf_add(out, without_parameters(name).ptr, without_parameters(name).len);
	else
		without_arguments(without_parameters(name), out);
}
