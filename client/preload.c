/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload.c - what libhearth-preload.so adds at start: the profiler itself, and pthread_create.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#include "client/preload.h"
#include "client/profiler.h"
#include "client/session.h"
#include "client/thread.h"

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static create_fn next_create;

void *preload_next(const char *name, const char *version)
{
	return version ? dlvsym(RTLD_NEXT, name, version) : dlsym(RTLD_NEXT, name);
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *ret,
							   const pthread_attr_t *attr,
							   void *(*start)(void *), void *argument);

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

/* Among the first constructors: threads that later ones create are seen from their beginning. */
__attribute__((constructor(101))) static void begin(void)
{
	next_create = (create_fn)preload_next("pthread_create", NULL);
	preload_calls_start();
	profiler_start_from_environment();
}
