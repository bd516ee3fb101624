/* SPDX-License-Identifier: Apache-2.0 */
/*
 * About half of its CPU time in the kernel, in blocks of random length: reads of /dev/zero, and
 * sums of what was read.
 *
 *	kernel SECONDS SEED
 *
 * Prints "user_ns system_ns" of that half and the other, by getrusage.
 */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static char block[1 << 20];
static volatile uint64_t sink;
static int zero;

__attribute__((noipa)) static void in_kernel(int64_t until_ns)
{
	while (cpu_ns() < until_ns)
		if (read(zero, block, sizeof(block)) < 0)
			exit(1);
}

__attribute__((noipa)) static void in_user(int64_t until_ns)
{
	while (cpu_ns() < until_ns)
		for (size_t i = 0; i < 100000; i++)
			sink += (uint64_t)block[i];
}

static int64_t spent(void (*work)(int64_t))
{
	int64_t began = cpu_ns();

	work(began + (int64_t)(-log(1 - drand48()) * 2e7));
	return cpu_ns() - began;
}

int main(int argc, char **argv)
{
	int64_t until = (int64_t)((argc > 1 ? atof(argv[1]) : 1) * 1e9), user = 0, system = 0;
	struct rusage r;

	srand48(argc > 2 ? atol(argv[2]) : 1);
	zero = open("/dev/zero", O_RDONLY);
	while (cpu_ns() < until) {
		system += spent(in_kernel);
		user += spent(in_user);
	}
	getrusage(RUSAGE_SELF, &r);
	printf("%lld %lld %lld %lld\n", (long long)user, (long long)system,
	       (long long)r.ru_utime.tv_sec * 1000000000 + r.ru_utime.tv_usec * 1000,
	       (long long)r.ru_stime.tv_sec * 1000000000 + r.ru_stime.tv_usec * 1000);
	return zero < 0;
}
