/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/alloc_hooks.h - the malloc family, defined under the names HOOK(malloc) and so on.
 *
 * Included once each by preload_alloc.c and wrap_alloc.c, which say what HOOK and EXPORT are and
 * define alloc_next.  Each hook counts and jumps on; see source_alloc.h.
 */

EXPORT void *HOOK(malloc)(size_t n);
EXPORT void *HOOK(calloc)(size_t count, size_t n);
EXPORT void *HOOK(realloc)(void *p, size_t n);
EXPORT void *HOOK(reallocarray)(void *p, size_t count, size_t n);
EXPORT void HOOK(free)(void *p);
EXPORT int HOOK(posix_memalign)(void **ret, size_t alignment, size_t n);
EXPORT void *HOOK(aligned_alloc)(size_t alignment, size_t n);
EXPORT void *HOOK(memalign)(size_t alignment, size_t n);
EXPORT void *HOOK(valloc)(size_t n);
EXPORT void *HOOK(pvalloc)(size_t n);

void *HOOK(malloc)(size_t n)
{
	return __builtin_expect(alloc_count(n), 1) ? alloc_next.malloc(n) : source_alloc_malloc(n);
}

void *HOOK(calloc)(size_t count, size_t n)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, n, &bytes))
		return alloc_next.calloc(count, n); /* which says ENOMEM */
	return __builtin_expect(alloc_count(bytes), 1) ? alloc_next.calloc(count, n)
						       : source_alloc_calloc(count, n);
}

static inline __attribute__((always_inline)) void *resize(void *p, size_t n)
{
	if (!n || alloc_may_be_sampled(p) || !__builtin_expect(alloc_count(n), 1))
		return source_alloc_realloc(p, n);
	return alloc_next.realloc(p, n);
}

void *HOOK(realloc)(void *p, size_t n)
{
	return resize(p, n);
}

/* As glibc's does it, which would call realloc by its name and be counted twice. */
void *HOOK(reallocarray)(void *p, size_t count, size_t n)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, n, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return resize(p, bytes);
}

void HOOK(free)(void *p)
{
	if (alloc_may_be_sampled(p))
		source_alloc_free(p);
	else
		alloc_next.free(p);
}

int HOOK(posix_memalign)(void **ret, size_t alignment, size_t n)
{
	return __builtin_expect(alloc_count(n), 1) ? alloc_next.posix_memalign(ret, alignment, n)
						   : source_alloc_posix_memalign(ret, alignment, n);
}

void *HOOK(aligned_alloc)(size_t alignment, size_t n)
{
	return __builtin_expect(alloc_count(n), 1) ? alloc_next.aligned_alloc(alignment, n)
						   : source_alloc_aligned_alloc(alignment, n);
}

void *HOOK(memalign)(size_t alignment, size_t n)
{
	return __builtin_expect(alloc_count(n), 1) ? alloc_next.memalign(alignment, n)
						   : source_alloc_memalign(alignment, n);
}

void *HOOK(valloc)(size_t n)
{
	return __builtin_expect(alloc_count(n), 1) ? alloc_next.valloc(n) : source_alloc_valloc(n);
}

void *HOOK(pvalloc)(size_t n)
{
	return __builtin_expect(alloc_count(n), 1) ? alloc_next.pvalloc(n)
						   : source_alloc_pvalloc(n);
}
