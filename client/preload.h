/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload.h - the parts of libhearth-preload.so.
 *
 * Private to client/.
 */
#ifndef CLIENT_PRELOAD_H
#define CLIENT_PRELOAD_H

/* The definition that a hook stands in front of; `version` NULL: the default one. */
void *preload_next(const char *name, const char *version);

/* A function that a hook stands in front of; all of them lie in one section: hook.h. */
struct preload_symbol {
	const char *name, *version;
	void **next;
};

void preload_look_up(const struct preload_symbol *symbol);
void preload_look_up_all(void);

/* First function of a thread: fill in its slot, then go on to the program's function with a jump,
 * so that no frame of ours is in its stacks. */
void *preload_thread(void *thread);

/* Look up the allocator behind ours, and find out whether the program's calls come to us. */
void preload_alloc_start(void);
void preload_locks_start(void);
void preload_throw_start(void);

#endif
