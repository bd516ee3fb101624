/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/refused_malloc.h - an allocator that says no when it is told to.
 *
 * For programs that are linked with --wrap=malloc,--wrap=calloc,--wrap=realloc; included once in
 * each, which defines `malloc_is_refused` above it: asked for each allocation, true refuses it.
 */
#ifndef TESTS_SUPPORT_REFUSED_MALLOC_H
#define TESTS_SUPPORT_REFUSED_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

static bool malloc_is_refused(void);

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return malloc_is_refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return malloc_is_refused() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return malloc_is_refused() ? NULL : __real_realloc(old, bytes);
}

#endif
