/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/builders.h - a pool of what uploads are read and built in, so that each finds the memory
 * of the last one, which is there and warm.
 *
 * Any thread borrows one, uses it alone, and gives it back with the profile that it made, when that
 * is stored.
 */
#ifndef SERVER_BUILDERS_H
#define SERVER_BUILDERS_H

#include "base/clock.h"
#include "profile/builder.h"
#include "wire/pprof.h"

struct builders;

struct builders_loan {
	struct profile_builder *builder; /* empty */
	struct pprof_room room;
};

MUST_CHECK int builders_new(const struct profile_limits *limits, struct builders **ret_builders);
/* Every loan must have been given back. */
void builders_free(struct builders *builders);

/* Returns 0 or -ENOMEM. */
MUST_CHECK int builders_borrow(struct builders *builders, struct builders_loan *ret_loan);
/* `profile`: what was taken from the builder, or NULL.  Of the others, those that nobody wanted for
 * BUILDERS_KEPT_NS go: after a rush one stays for an upload a minute. */
#define BUILDERS_KEPT_NS (INT64_C(300) * NS_PER_S)
void builders_return(struct builders *builders, struct builders_loan *loan, struct profile *profile,
		     int64_t now_ns);
size_t builders_idle(struct builders *builders);

#endif
