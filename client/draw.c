/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw.h"

#define LN2 0.693147180559945309417

uint64_t draw_seed(uint64_t a, uint64_t b)
{
	uint64_t x = a ^ b * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	x ^= x >> 33;
	return x ? x : 1;
}

/*
 * u = m * 2^-e with m in [1, 2): ln u = ln m - e ln 2, and ln m = 2 artanh((m - 1) / (m + 1)) by
 * its series, whose argument is at most 1/3: eight terms leave less than 1e-8.
 */
uint64_t draw_exponential(uint64_t *state, uint64_t mean)
{
	uint64_t x = draw_next(state) | 1; /* never 0 */
	int zeros = __builtin_clzll(x);
	double m = (double)(x << zeros) * 0x1p-63, z = (m - 1) / (m + 1), z2 = z * z, sum = 0;

	for (int k = 15; k >= 1; k -= 2)
		sum = sum * z2 + 1.0 / k;
	return (uint64_t)(((zeros + 1) * LN2 - 2 * z * sum) * (double)mean + 0.5);
}
