/* SPDX-License-Identifier: Apache-2.0 */
/* pairs N: N times malloc and free, for callgrind to count. */
#include <stdlib.h>

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;

	for (long i = 0; i < n; i++) {
		void *p = malloc(64);

		__asm__ volatile("" : "+r"(p) : : "memory");
		free(p);
	}
	return 0;
}
