/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload.c - what libhearth-preload.so adds at start: the profiler itself, pthread_create
 * and dlclose.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#include "client/module.h"
#include "client/preload.h"
#include "client/profiler.h"
#include "client/session.h"
#include "client/source.h"
#include "client/thread.h"
#include "client/wall_pass.h"

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

typedef int (*close_fn)(void *);

static create_fn next_create;
static close_fn next_close;

void *preload_next(const char *name, const char *version)
{
	return version ? dlvsym(RTLD_NEXT, name, version) : dlsym(RTLD_NEXT, name);
}

void preload_look_up(const struct preload_symbol *symbol)
{
	__atomic_store_n(symbol->next, preload_next(symbol->name, symbol->version),
			 __ATOMIC_RELAXED);
}

extern const struct preload_symbol *const __start_hearth_next[], *const __stop_hearth_next[];

void preload_look_up_all(void)
{
	for (const struct preload_symbol *const *s = __start_hearth_next; s < __stop_hearth_next;
	     s++)
		preload_look_up(*s);
}

__attribute__((visibility("default"))) int
pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*start)(void *), void *argument);

int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*start)(void *),
		   void *argument)
{
	create_fn create = load(&next_create);
	struct thread *t;
	int r;

	if (!create) {
		create = (create_fn)preload_next("pthread_create", NULL);
		store(&next_create, create);
	}
	if (session_orphan())
		(void)session_adopt_child();
	t = session_running() && !load(&session.seccomp_set) ? thread_reserve() : NULL;
	if (!t)
		return create(ret, attr, start, argument);
	t->start = start;
	t->argument = argument;
	r = create(ret, attr, preload_thread, t);
	if (r)
		thread_cancel(t);
	return r;
}

/*
 * Another library may be mapped to the same place at once, with other rules.  dlclose does not look
 * at who called it, so that a plain call will do; dlopen does, and is left alone.
 */
__attribute__((visibility("default"))) int dlclose(void *handle);

int dlclose(void *handle)
{
	close_fn next = load(&next_close);
	int r;

	if (!next) {
		next = (close_fn)preload_next("dlclose", NULL);
		store(&next_close, next);
	}
	r = next(handle);
	if (session_live())
		module_check_unloaded(source_rules());
	return r;
}

/* The kernel's function is what libc's calls, behind ten instructions of its own, twice in every
 * hook. */
static void find_clock(void)
{
#ifdef __x86_64__
	static const char name[] = "__vdso_clock_gettime";
#else
	static const char name[] = "__kernel_clock_gettime";
#endif
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	wall_clock_fn clock = vdso ? (wall_clock_fn)dlsym(vdso, name) : NULL;
	struct timespec t;

	if (clock && !clock(CLOCK_MONOTONIC_COARSE, &t))
		store(&wall_clock, clock);
}

/* Among the first constructors: threads that later ones create are seen from their beginning. */
__attribute__((constructor(101))) static void begin(void)
{
	next_create = (create_fn)preload_next("pthread_create", NULL);
	preload_alloc_start();
	preload_look_up_all();
	find_clock();
	preload_locks_start();
	preload_throw_start();
	profiler_start_from_environment();
}
