/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/wrap_alloc.c - the malloc family for programs that are linked with --wrap, where nothing
 * can be preloaded: in libhearth-wrap.a, to be linked with the options of libhearth-wrap.opt.
 *
 * Sees the calls of the objects that are linked with it; those of shared libraries, libc's own
 * among them, go past.  A block that such a library frees comes back as a missed free.
 */
#include <errno.h>
#include <stddef.h>

#include "client/hearth.h"
#include "client/source_alloc.h"

#define EXPORT
#define HOOK(name) __wrap_##name

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
int __real_posix_memalign(void **ret, size_t alignment, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__real_memalign(size_t alignment, size_t n);
void *__real_valloc(size_t n);
void *__real_pvalloc(size_t n);

struct alloc_next alloc_next = {
    .malloc = __real_malloc,
    .calloc = __real_calloc,
    .realloc = __real_realloc,
    .free = __real_free,
    .posix_memalign = __real_posix_memalign,
    .aligned_alloc = __real_aligned_alloc,
    .memalign = __real_memalign,
    .valloc = __real_valloc,
    .pvalloc = __real_pvalloc,
};

#include "client/alloc_hooks.h"

/* Before the program can start a profiler. */
__attribute__((constructor(101))) static void begin(void)
{
	source_alloc_hooked(HEARTH_OK);
}
