// SPDX-License-Identifier: Apache-2.0
#include "known.h"

#include <stdexcept>

extern "C" SITE void known_throws();

extern "C" SITE void known_throws()
{
	throw std::runtime_error("known");
}

extern "C" long known_throw_all(long count)
{
	long caught = 0;

	for (long i = 0; i < count; i++) {
		try {
			known_throws();
		} catch (const std::runtime_error &) {
			caught++;
		}
	}
	return caught;
}
