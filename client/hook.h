/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/hook.h - how the preload stands in front of a function of libc and times it.
 *
 * Private to client/preload_*.c.  A hook gives the call's own result and errno.  It holds nothing
 * while it waits, so that the call stays a cancellation point and may be left by longjmp.  Files
 * that include this are compiled without sibling calls: dlsym with RTLD_NEXT asks who its caller
 * is, and the hook's frame is where source_wall.c starts from.
 */
#ifndef CLIENT_HOOK_H
#define CLIENT_HOOK_H

#include "client/atomics.h"
#include "client/preload.h"
#include "client/source.h"
#include "client/wall_pass.h"

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
	static const struct preload_symbol symbol_##name = {#name, version_,                       \
							    (void **)(void *)&next_##name};        \
	static const struct preload_symbol *const listed_##name                                    \
	    __attribute__((section("hearth_next"), used)) = &symbol_##name;                        \
	static inline result(*find_##name(void)) parameters                                        \
	{                                                                                          \
		result(*next_) parameters = load(&next_##name);                                    \
                                                                                                   \
		if (__builtin_expect(next_ != NULL, 1))                                            \
			return next_;                                                              \
		preload_look_up(&symbol_##name);                                                   \
		return load(&next_##name);                                                         \
	}

/* Say in `b` that this is a call from here; the rest of it is not set. */
#define HERE(b, call_, target_)                                                                    \
	do {                                                                                       \
		(b).call = RING_CALL_##call_;                                                      \
		(b).target_kind = (uint32_t)TARGET_##call_;                                        \
		(b).target = (uint64_t)(target_);                                                  \
		(b).from = (struct call_site)CALL_SITE;                                            \
	} while (0)

/* Do `statement`, which waits for `target_` perhaps, and charge its time to `charged`.  What a call
 * that does not block has no need of is set only where it turns out to. */
#define WAITS(charged, target_, statement)                                                         \
	do {                                                                                       \
		struct wall_pass pass_ = wall_pass_begin(RING_CALL_##charged, (uint64_t)(target_), \
							 &(struct call_site)CALL_SITE);            \
		struct blocked blocked_;                                                           \
                                                                                                   \
		if (__builtin_expect(!pass_.thread, 0)) {                                          \
			HERE(blocked_, charged, target_);                                          \
			source_wall_begin(&blocked_);                                              \
		}                                                                                  \
		statement;                                                                         \
		if (__builtin_expect(wall_pass_end(&pass_), 1))                                    \
			break;                                                                     \
		if (pass_.thread) {                                                                \
			HERE(blocked_, charged, target_);                                          \
			wall_pass_blocked(&pass_, &blocked_);                                      \
		}                                                                                  \
		source_wall_end(&blocked_);                                                        \
	} while (0)

/* Define `name`, which calls `call` and charges the time to `charged`; `after` is done at the
 * end. */
#define HOOK_CALL(result, name, parameters, call, charged, target_, after)                         \
	EXPORT result name parameters;                                                             \
	result name parameters                                                                     \
	{                                                                                          \
		result result_;                                                                    \
                                                                                                   \
		WAITS(charged, target_, result_ = call);                                           \
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
