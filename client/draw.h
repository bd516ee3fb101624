/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/draw.h - random draws for sampling: uniform and exponential.
 *
 * Private to client/.  xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled", 2016), a state for each thread.  Async-signal-safe; calls nothing.
 */
#ifndef CLIENT_DRAW_H
#define CLIENT_DRAW_H

#include <stdint.h>

static inline uint64_t draw_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* A state that is not 0, from what tells threads and processes apart. */
uint64_t draw_seed(uint64_t a, uint64_t b);

/* -ln(u) * mean for a uniform u in (0, 1], rounded to the nearest, at most 64 x mean; `mean` up to
 * 2^56.  Relative error of the logarithm below 1e-7. */
uint64_t draw_exponential(uint64_t *state, uint64_t mean);

/* Whether an event of the chance 1 / n happened. */
static inline int draw_one_in(uint64_t *state, uint32_t n)
{
	return n <= 1 || (draw_next(state) >> 32) * n >> 32 == 0;
}

#endif
