/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_alloc.c - the malloc family of the preload library.
 *
 * Compiled with sibling calls and without a frame pointer: a hook ends in a jump, to the next
 * allocator or to the slow path, so that no frame of ours stands on the stack and dlsym's idea of
 * who asks does not matter here (preload.c asks).  operator new is left alone: it calls malloc.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "client/hearth.h"
#include "client/preload.h"
#include "client/source_alloc.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- before the next allocator is known ---- */

/* dlsym may allocate on its way: what it asks for then comes from a little memory of our own. */
static __thread bool looking;

static void find_all(void)
{
	struct alloc_next found;

	looking = true;
	found.malloc = (void *(*)(size_t))preload_next("malloc", NULL);
	found.calloc = (void *(*)(size_t, size_t))preload_next("calloc", NULL);
	found.realloc = (void *(*)(void *, size_t))preload_next("realloc", NULL);
	found.free = (void (*)(void *))preload_next("free", NULL);
	found.posix_memalign =
	    (int (*)(void **, size_t, size_t))preload_next("posix_memalign", NULL);
	found.aligned_alloc = (void *(*)(size_t, size_t))preload_next("aligned_alloc", NULL);
	found.memalign = (void *(*)(size_t, size_t))preload_next("memalign", NULL);
	found.valloc = (void *(*)(size_t))preload_next("valloc", NULL);
	found.pvalloc = (void *(*)(size_t))preload_next("pvalloc", NULL);
	looking = false;
	/* Word by word: another thread may be using it, and either word will do. */
	store(&alloc_next.malloc, found.malloc);
	store(&alloc_next.calloc, found.calloc);
	store(&alloc_next.realloc, found.realloc);
	store(&alloc_next.free, found.free);
	store(&alloc_next.posix_memalign, found.posix_memalign);
	store(&alloc_next.aligned_alloc, found.aligned_alloc);
	store(&alloc_next.memalign, found.memalign);
	store(&alloc_next.valloc, found.valloc);
	store(&alloc_next.pvalloc, found.pvalloc);
}

static bool found_now(void)
{
	if (!looking)
		find_all();
	return !looking;
}

static void *first_malloc(size_t n)
{
	return found_now() ? alloc_next.malloc(n) : source_alloc_early(n, 16);
}

static void *first_calloc(size_t count, size_t n)
{
	size_t bytes;

	if (found_now())
		return alloc_next.calloc(count, n);
	if (__builtin_mul_overflow(count, n, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return source_alloc_early(bytes, 16); /* never used before: zero */
}

static void *first_realloc(void *p, size_t n)
{
	if (found_now())
		return alloc_next.realloc(p, n);
	return p ? NULL : source_alloc_early(n, 16); /* early blocks do not come here */
}

static void first_free(void *p)
{
	if (p && found_now())
		alloc_next.free(p);
}

static int first_posix_memalign(void **ret, size_t alignment, size_t n)
{
	if (found_now())
		return alloc_next.posix_memalign(ret, alignment, n);
	*ret = source_alloc_early(n, alignment);
	return *ret ? 0 : ENOMEM;
}

static void *first_aligned_alloc(size_t alignment, size_t n)
{
	return found_now() ? alloc_next.aligned_alloc(alignment, n)
			   : source_alloc_early(n, alignment);
}

static void *first_memalign(size_t alignment, size_t n)
{
	return found_now() ? alloc_next.memalign(alignment, n) : source_alloc_early(n, alignment);
}

static void *first_valloc(size_t n)
{
	return found_now() ? alloc_next.valloc(n) : NULL;
}

static void *first_pvalloc(size_t n)
{
	return found_now() ? alloc_next.pvalloc(n) : NULL;
}

struct alloc_next alloc_next = {
    .malloc = first_malloc,
    .calloc = first_calloc,
    .realloc = first_realloc,
    .free = first_free,
    .posix_memalign = first_posix_memalign,
    .aligned_alloc = first_aligned_alloc,
    .memalign = first_memalign,
    .valloc = first_valloc,
    .pvalloc = first_pvalloc,
};

/* ---- the hooks ---- */

#define HOOK(name) name
#include "client/alloc_hooks.h"

/* ---- whether they see anything ---- */

/* Ours, whoever else has one. */
extern __typeof(malloc) own_malloc
    __attribute__((alias("malloc"), copy(malloc), visibility("hidden")));

static int hooks_code(void)
{
	if (dlsym(RTLD_DEFAULT, "__asan_init") || dlsym(RTLD_DEFAULT, "__tsan_init") ||
	    dlsym(RTLD_DEFAULT, "__msan_init"))
		return HEARTH_E_SANITIZER;
	return dlsym(RTLD_DEFAULT, "malloc") == (void *)own_malloc ? HEARTH_OK : HEARTH_E_SHADOWED;
}

void preload_alloc_start(void)
{
	find_all();
	source_alloc_hooked(hooks_code());
	(void)dlerror(); /* what we did not find is no business of the program's */
}
