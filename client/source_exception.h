/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/source_exception.h - C++ exceptions: each counted where it is thrown, some with a stack.
 *
 * Private to client/.
 */
#ifndef CLIENT_SOURCE_EXCEPTION_H
#define CLIENT_SOURCE_EXCEPTION_H

struct call_site;

/* An exception is thrown at `from`.  `type` is its std::type_info, which no C can name: a pointer
 * to a table of functions, then the mangled name.  Keeps errno. */
void source_exception_thrown(const void *type, const struct call_site *from);

/* Another definition of __cxa_throw stands before ours: the hook will not see anything. */
void source_exception_shadowed(void);

#endif
