/* SPDX-License-Identifier: Apache-2.0 */
/* client/preload_thread.c - compiled with sibling calls, in every build: see preload.h. */
#include "client/preload.h"
#include "client/thread.h"

void *preload_thread(void *thread)
{
	struct thread *t = thread;
	void *(*start)(void *) = t->start;
	void *argument = t->argument;

	thread_begin(t);
	return start(argument);
}
