// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>

extern "C" int throw_and_catch(int times);

static __attribute__((noinline)) void thrower(int i)
{
	if (i % 2)
		throw std::runtime_error("odd");
	throw i;
}

int throw_and_catch(int times)
{
	int caught = 0;

	for (int i = 0; i < times; i++) {
		try {
			thrower(i);
		} catch (const std::exception &) {
			caught++;
		} catch (int) {
			caught++;
		}
	}
	return caught;
}
