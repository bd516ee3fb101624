/* SPDX-License-Identifier: Apache-2.0 */
#include "server/steady.h"

int64_t steady_now(struct steady *s, int64_t real_ns, int64_t monotonic_ns)
{
	int64_t expected_ns = s->real_ns + (monotonic_ns - s->monotonic_ns);

	if (s->monotonic_ns && real_ns - expected_ns > STEADY_JUMP_NS) {
		if (!s->doubted_ns)
			s->doubted_ns = monotonic_ns;
		if (monotonic_ns - s->doubted_ns < STEADY_DOUBT_NS)
			return expected_ns;
	}
	*s = (struct steady){.real_ns = real_ns, .monotonic_ns = monotonic_ns};
	return real_ns;
}
