/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/builders.h - a pool of profile builders, so that an upload is built where the last one
 * was: the memory is there and warm.
 *
 * Any thread borrows one, uses it alone, and gives it back with the profile that it made, when that
 * is stored.
 */
#ifndef SERVER_BUILDERS_H
#define SERVER_BUILDERS_H

#include "profile/builder.h"

struct builders;

MUST_CHECK int builders_new(const struct profile_limits *limits, struct builders **ret_builders);
/* Every builder must have been given back. */
void builders_free(struct builders *builders);

/* One that is empty.  Returns 0 or -ENOMEM. */
MUST_CHECK int builders_borrow(struct builders *builders, struct profile_builder **ret_builder);
/* `profile`: what was taken from it, or NULL. */
void builders_return(struct builders *builders, struct profile_builder *builder,
		     struct profile *profile);

#endif
