/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/util.h - attributes and the three macros that every file wants.
 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/* Hand an owned pointer out of a scope that would free it. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) take_ = (p);                                                         \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

/* a + b, or the end of the range that it passes: what is uploaded may say anything. */
static inline int64_t sum_add(int64_t a, int64_t b)
{
	int64_t sum;

	return !__builtin_add_overflow(a, b, &sum) ? sum : b > 0 ? INT64_MAX : INT64_MIN;
}

static inline int64_t sum_sub(int64_t a, int64_t b)
{
	int64_t difference;

	return !__builtin_sub_overflow(a, b, &difference) ? difference
	       : b > 0                                    ? INT64_MIN
							  : INT64_MAX;
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* A borrowed run of bytes: text from the wire is rarely NUL-terminated. */
struct str {
	const char *ptr;
	size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

/* A NUL-terminated string; NULL is empty. */
static inline struct str str_of(const char *text)
{
	return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_is(struct str a, const char *text)
{
	return a.len == strlen(text) && (!a.len || !memcmp(a.ptr, text, a.len));
}

/* Without blanks at its ends, and without a carriage return behind. */
static inline struct str str_trim(struct str s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = (struct str){s.ptr + 1, s.len - 1};
	while (s.len &&
	       (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

/* Cut `*s` behind the first `c`, which is in neither part. Returns the first part, all when there
 * is none. */
static inline struct str str_cut(struct str *s, char c)
{
	const char *at = s->len ? (const char *)memchr(s->ptr, c, s->len) : NULL;
	struct str first = {s->ptr, at ? (size_t)(at - s->ptr) : s->len};

	s->ptr += at ? first.len + 1 : first.len;
	s->len -= at ? first.len + 1 : first.len;
	return first;
}

/* Grow `*array` of `item_bytes` items to hold `want` of them, at least doubling.
 * Returns 0, or -ENOMEM with the array untouched. */
MUST_CHECK int array_grow_now(void *array, size_t item_bytes, size_t *capacity, size_t want);

MUST_CHECK static inline int array_grow(void *array, size_t item_bytes, size_t *capacity,
					size_t want)
{
	return want <= *capacity ? 0 : array_grow_now(array, item_bytes, capacity, want);
}

#endif
