// SPDX-License-Identifier: Apache-2.0
// throws.cc - a program whose stacks are interesting: exceptions, recursion, a realigned frame, a
// callback out of libc, alloca, signal handlers on both stacks.  Runs until it is killed.
#include <alloca.h>

#include <csignal>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

static volatile double sink;

__attribute__((noinline)) static void realigned(int depth)
{
	alignas(64) volatile double v[16];

	for (int i = 0; i < 16; i++)
		v[i] = depth * i;
	sink = sink + v[depth & 15];
}

__attribute__((noinline)) static void varying(int depth)
{
	volatile char *p =
	    static_cast<volatile char *>(alloca(static_cast<size_t>(depth) * 16 + 16));

	std::memset(const_cast<char *>(p), depth, static_cast<size_t>(depth) * 16 + 16);
	realigned(depth);
	sink = sink + p[depth];
}

__attribute__((noinline)) static int thrower(int depth)
{
	varying(depth);
	if (depth == 0)
		throw std::runtime_error(std::string(40, 'x'));
	return thrower(depth - 1) + 1;
}

static int compare(const void *a, const void *b)
{
	realigned(3);
	return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

__attribute__((noinline)) static void sort_both(std::vector<int> v)
{
	std::qsort(v.data(), v.size(), sizeof(int), compare);
	std::sort(v.begin(), v.end(), [](int a, int b) {
		realigned(a);
		return a > b;
	});
}

/* On the alternate stack for SIGUSR1, on the normal one for SIGUSR2. */
static void on_signal(int)
{
	varying(20);
}

static void install()
{
	static char stack[1 << 16];
	stack_t alternate{};
	struct sigaction action {
	};

	alternate.ss_sp = stack;
	alternate.ss_size = sizeof(stack);
	sigaltstack(&alternate, nullptr);
	action.sa_handler = on_signal;
	sigaction(SIGUSR2, &action, nullptr);
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &action, nullptr);
}

__attribute__((noinline)) static void interrupt(int round)
{
	for (int i = 0; i < 200; i++)
		std::raise(round & 1 ? SIGUSR1 : SIGUSR2);
}

int main()
{
	std::map<std::string, int> seen;

	install();

	for (int round = 0;; round++) {
		try {
			(void)thrower(round % 30);
		} catch (const std::exception &e) {
			seen[e.what() + std::to_string(round % 100)]++;
		}
		std::vector<int> v(200);
		for (int &x : v)
			x = std::rand();
		sort_both(v);
		interrupt(round);
	}
}
