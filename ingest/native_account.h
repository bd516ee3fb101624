/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/native_account.h - an exact counter, and samples that say where it came from.
 *
 * Private to ingest/native*.c.  What a drain's samples stand for is written as far as the counter
 * covers it.  So the total never passes the counter, and what is owed when the process ends stands
 * under a name of its own: the sum is exact.
 */
#ifndef INGEST_NATIVE_ACCOUNT_H
#define INGEST_NATIVE_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

/* What a drain's samples may be stretched by to meet the counter: a hundredth for each, by half at
 * most. Where they are few and of unequal weight, stretching favours the heavy ones (by 2.4 points
 * of a half with two samples a drain and no bound, by 0.3 so); what is left over stands under its
 * own name. */
#define ACCOUNT_STRETCH_EACH 0.01
#define ACCOUNT_STRETCH_MAX 0.5

struct native_account {
	int64_t owed; /* counted, and not written yet */
	double carry; /* what rounding left over, between -1 and 1 */
};

/* The counter went from `was` to `now`; a client that counts back is not followed. */
static inline void account_count(struct native_account *a, uint64_t was, uint64_t now)
{
	uint64_t more = now > was ? now - was : 0, room = (uint64_t)(INT64_MAX / 4 - a->owed);

	a->owed += (int64_t)(more < room ? more : room);
}

/* What `count` samples that stand for `sampled` in all are multiplied by. */
static inline double account_factor(const struct native_account *a, double sampled, size_t count)
{
	double factor = sampled > 0 ? (double)a->owed / sampled : 0;
	double stretch = ACCOUNT_STRETCH_EACH * (double)count;
	double most = 1 + (stretch < ACCOUNT_STRETCH_MAX ? stretch : ACCOUNT_STRETCH_MAX);

	return factor < most ? factor : most;
}

/* The whole number to write for `value`. */
static inline int64_t account_take(struct native_account *a, double value)
{
	double exact = value + a->carry;
	int64_t whole = exact > 0 ? (int64_t)(exact + 0.5) : 0;

	if (!(exact + 0.5 < (double)a->owed))
		whole = a->owed;
	a->carry = exact - (double)whole;
	if (a->carry > 1 || a->carry < -1)
		a->carry = 0; /* cut, not rounded */
	a->owed -= whole;
	return whole;
}

/* All that is owed. */
static inline int64_t account_close(struct native_account *a)
{
	int64_t rest = a->owed;

	a->owed = 0;
	a->carry = 0;
	return rest;
}

#endif
