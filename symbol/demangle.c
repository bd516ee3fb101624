/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#include "symbol/symbol.h"

#define NAME_MAX_BYTES                                                                             \
	((size_t)64 << 10) /* in and out; the demangler itself stops at 2048 levels */

static int add(const char *name, char *plain, struct buf *to)
{
	int rc = plain && *plain && strnlen(plain, NAME_MAX_BYTES) < NAME_MAX_BYTES
		     ? buf_add_str(to, plain)
		     : buf_add_str(to, name);

	free(plain);
	return rc;
}

int symbol_demangle_type(const char *name, struct buf *to)
{
	bool fits = strnlen(name, NAME_MAX_BYTES) < NAME_MAX_BYTES;

	/* With DMGL_PARAMS all of the name must be a type: the "n" of "not a type" is one. */
	return add(name, fits ? cplus_demangle_v3(name, DMGL_TYPES | DMGL_PARAMS) : NULL, to);
}

/* Without DMGL_PARAMS a name comes without parameters and return type, templates kept. */
int symbol_demangle(const char *name, struct buf *to)
{
	char *plain = NULL;

	if (strnlen(name, NAME_MAX_BYTES) < NAME_MAX_BYTES &&
	    (!strncmp(name, "_Z", 2) || !strncmp(name, "__Z", 3) || !strncmp(name, "_R", 2)))
		plain = cplus_demangle(name, DMGL_AUTO);
	return add(name, plain, to);
}
