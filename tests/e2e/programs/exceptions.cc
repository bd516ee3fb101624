// SPDX-License-Identifier: Apache-2.0
// exceptions COUNT [LIBRARY] - throws COUNT of one type and a third of that of another, and catches
// all.
// With LIBRARY, a C++ library, what is thrown comes from there.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace shop
{
template <typename T> struct Missing {
	T what;
};
struct Order {
};
} // namespace shop

#define PART __attribute__((noinline))

PART static void throw_often()
{
	throw std::runtime_error("often");
}

PART static void throw_seldom()
{
	throw shop::Missing<std::vector<shop::Order>>{};
}

// A destructor on the way, so that unwinding has work to do in between.
struct Counted {
	long *n;
	~Counted()
	{
		++*n;
	}
};

PART static void between(void (*thrower)(), long *unwound)
{
	Counted counted{unwound};

	thrower();
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? std::atol(argv[1]) : 1000, caught = 0, unwound = 0, rethrown = 0;

	for (long i = 0; i < count; i++) {
		try {
			between(throw_often, &unwound);
		} catch (const std::exception &) {
			caught++;
		}
		if (i % 3 != 0)
			continue;
		try {
			try {
				between(throw_seldom, &unwound);
			} catch (...) {
				rethrown++;
				throw;
			}
		} catch (const shop::Missing<std::vector<shop::Order>> &) {
			caught++;
		}
	}
	std::printf("caught %ld\nunwound %ld\nrethrown %ld\n", caught, unwound, rethrown);
	return 0;
}
