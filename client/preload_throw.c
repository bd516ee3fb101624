/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_throw.c - sees C++ exceptions being thrown.
 *
 * The hook leaves by a jump (compiled with sibling calls), so that no frame of ours is on the stack
 * that is unwound.  A rethrow (`throw;`, std::rethrow_exception) is the same exception on its way,
 * and not counted again.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

#include "client/atomics.h"
#include "client/preload.h"
#include "client/source.h"
#include "client/source_exception.h"

#define EXPORT __attribute__((visibility("default")))

typedef void (*throw_fn)(void *object, void *type, void (*destructor)(void *));

static throw_fn next_throw;

/* In a library that is already there. */
static throw_fn find_in(const char *path)
{
	void *handle = path ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD) : NULL;
	throw_fn found = handle ? (throw_fn)dlsym(handle, "__cxa_throw") : NULL;

	if (handle)
		(void)dlclose(handle); /* one reference less; the caller has its own */
	return found;
}

/*
 * Usually the next one in order.  A program that opened a C++ library with RTLD_LOCAL has none in
 * that order: then it is what the thrower depends on.
 */
static __attribute__((noinline)) throw_fn find_for(const void *thrower)
{
	throw_fn found = (throw_fn)preload_next("__cxa_throw", NULL);
	struct link_map *map = NULL;
	Dl_info info;

	if (found) {
		store(&next_throw, found);
		return found;
	}
	if (dladdr1(thrower, &info, (void **)&map, RTLD_DL_LINKMAP) && map)
		found = find_in(map->l_name);
	if (!found)
		found = find_in("libstdc++.so.6");
	if (!found)
		found = find_in("libc++abi.so.1");
	if (!found)
		abort(); /* thrown without anything that could throw */
	return found;
}

/* By value: the address of a local would keep the hook's frame alive. */
static __attribute__((noinline)) void see(const void *type, uint64_t pc, uint64_t sp, uint64_t fp)
{
	const struct call_site from = {pc, sp, fp};

	source_exception_thrown(type, &from);
}

/* Without "noreturn", which would make the jump a call. */
EXPORT void __cxa_throw(void *object, void *type, void (*destructor)(void *));
void __cxa_throw(void *object, void *type, void (*destructor)(void *))
{
	throw_fn next = load(&next_throw);

	if (!next)
		next = find_for(__builtin_return_address(0));
	see(type, (uint64_t)(uintptr_t)__builtin_return_address(0),
	    (uint64_t)(uintptr_t)__builtin_dwarf_cfa(),
	    *(const uint64_t *)__builtin_frame_address(0));
	next(object, type, destructor);
}

void preload_throw_start(void)
{
	throw_fn found = (throw_fn)dlsym(RTLD_DEFAULT, "__cxa_throw");

	if (found && found != __cxa_throw)
		source_exception_shadowed();
	store(&next_throw, (throw_fn)preload_next("__cxa_throw", NULL));
}
