/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Burns CPU in three functions, 60, 30 and 10 % of the time, in bursts of random length, and says
 * by its own clocks how much each got.  Built -O2 -fomit-frame-pointer, as the program itself and
 * as a library that it opens at run time.
 *
 *	shares SECONDS SEED [LIBRARY]
 *
 * Prints "name cpu_ns" for each function, and "total cpu_ns" for the process.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <time.h>

static int64_t cpu_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

volatile uint64_t shares_sink;

/* Each is the same work under another name; the compiler may not fold them into one. */
#define BURNER(name, salt)                                                                         \
	__attribute__((noinline)) void name(int64_t until_ns);                                     \
	__attribute__((noinline)) void name(int64_t until_ns)                                      \
	{                                                                                          \
		uint64_t x = salt;                                                                 \
                                                                                                   \
		do {                                                                               \
			for (int i = 0; i < 40000; i++)                                            \
				x = x * UINT64_C(6364136223846793005) + salt;                      \
			shares_sink = x;                                                           \
		} while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < until_ns);                              \
	}

BURNER(burn_sixty, 1)
BURNER(burn_thirty, 3)
BURNER(burn_ten, 5)

#ifndef SHARES_LIBRARY
typedef void (*burn_fn)(int64_t until_ns);

static struct {
	const char *name;
	double share;
	burn_fn burn;
	int64_t got_ns;
} parts[] = {{"burn_sixty", 0.6, burn_sixty, 0},
	     {"burn_thirty", 0.3, burn_thirty, 0},
	     {"burn_ten", 0.1, burn_ten, 0}};

static int library_open(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);

	for (int i = 0; library && i < 3; i++) {
		void *symbol = dlsym(library, parts[i].name);

		if (!symbol)
			return -1;
		*(void **)&parts[i].burn = symbol;
	}
	return library ? 0 : -1;
}

int main(int argc, char **argv)
{
	int64_t until_ns = argc > 1 ? (int64_t)(atof(argv[1]) * 1e9) : 1000000000;

	srand48(argc > 2 ? atol(argv[2]) : 1);
	if (argc > 3 && library_open(argv[3])) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < until_ns) {
		for (int i = 0; i < 3; i++) {
			int64_t start = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
			double length = -log(1 - drand48()) * 0.02 * parts[i].share * 1e9;

			parts[i].burn(start + (int64_t)length);
			parts[i].got_ns += cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		}
	}
	for (int i = 0; i < 3; i++)
		printf("%s %lld\n", parts[i].name, (long long)parts[i].got_ns);
	printf("total %lld\n", (long long)cpu_ns(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
#endif
