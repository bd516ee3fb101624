/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/hook.h - how the preload stands in front of a function of libc and times it.
 *
 * Private to client/preload_*.c.  A hook gives the call's own result and errno.  It holds nothing
 * while it waits, so that the call stays a cancellation point and may be left by longjmp.  Files that
 * include this are compiled without sibling calls: dlsym with RTLD_NEXT asks who its caller is, and the
 * hook's frame is where source_wall.c starts from.
 */
#ifndef CLIENT_HOOK_H
#define CLIENT_HOOK_H

#include "client/atomics.h"
#include "client/preload.h"
#include "client/source.h"

#define EXPORT __attribute__((visibility("default")))

/* The kind of target of each call, from calls.def. */
enum {
#define CALL(name, target) TARGET_##name = RING_TARGET_##target,
#include "client/calls.def"
#undef CALL
};

/*
 * NEXT(name, result, parameters, version): find_<name>() is the function behind the hook; `version`
 * NULL: the default one.  The constructor looks all of them up (preload_next_all); a hook that is
 * called before does it itself.
 */
#define NEXT(name, result, parameters, version_)                                                   \
	static result(*next_##name) parameters;                                                    \
	static const struct preload_symbol symbol_##name = { #name, version_,                      \
							     (void **)(void *)&next_##name };      \
	static const struct preload_symbol *const listed_##name                                    \
		__attribute__((section("hearth_next"), used)) = &symbol_##name;                    \
	static inline result(*find_##name(void)) parameters                                        \
	{                                                                                          \
		if (__builtin_expect(!load(&next_##name), 0))                                      \
			preload_look_up(&symbol_##name);                                           \
		return load(&next_##name);                                                         \
	}

/* Declare `b`, a call from here; the rest of it is not set. */
#define HERE(b, call_, target_)                                                                    \
	struct blocked b;                                                                          \
                                                                                                   \
	b.call = RING_CALL_##call_;                                                                \
	b.target_kind = (uint32_t)TARGET_##call_;                                                  \
	b.target = (uint64_t)(target_);                                                            \
	b.from = (struct call_site)CALL_SITE

/* Define `name`, which calls `call` and charges the time to `charged`; `after` is done at the end. */
#define HOOK_CALL(result, name, parameters, call, charged, target_, after)                         \
	EXPORT result name parameters;                                                             \
	result name parameters                                                                     \
	{                                                                                          \
		result result_;                                                                    \
                                                                                                   \
		HERE(blocked_, charged, target_);                                                  \
		source_wall_begin(&blocked_);                                                      \
		result_ = call;                                                                    \
		source_wall_end(&blocked_);                                                        \
		after;                                                                             \
		return result_;                                                                    \
	}

/* The usual ones: the next function of the same name. */
#define HOOK_AS(result, name, parameters, arguments, charged, target_, version)                    \
	NEXT(name, result, parameters, version)                                                    \
	HOOK_CALL(result, name, parameters, find_##name() arguments, charged, target_, (void)0)

#define HOOK(result, name, parameters, arguments, target_)                                         \
	HOOK_AS(result, name, parameters, arguments, name, target_, NULL)

#define ADDRESS(p) ((uintptr_t)(p))
#define FD(n) ((unsigned)(n))

#endif
