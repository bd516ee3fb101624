// SPDX-License-Identifier: Apache-2.0
// Opened at run time, by a program that knows no C++: throws and catches.
struct Own {
	long value;
};

static __attribute__((noinline)) void throw_own(long value)
{
	throw Own{value};
}

extern "C" __attribute__((visibility("default"))) long throw_and_catch(long times)
{
	long caught = 0;

	for (long i = 0; i < times; i++) {
		try {
			throw_own(i);
		} catch (const Own &own) {
			caught += own.value == i;
		}
	}
	return caught;
}
