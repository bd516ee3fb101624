/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose functions the compiler inlines into each other, with library calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline __attribute__((always_inline)) unsigned innermost(unsigned x)
{
	for (unsigned i = 0; i < x % 7; i++)
		x = x * 31 + (x >> 3);
	return x;
}

static inline __attribute__((always_inline)) unsigned middle(unsigned x)
{
	unsigned sum = innermost(x);

	if (sum & 1)
		sum += innermost(sum ^ 0x55);
	return sum;
}

__attribute__((noinline)) static unsigned outer(unsigned x)
{
	unsigned sum = middle(x);

	for (unsigned i = 0; i < x % 5; i++)
		sum += middle(sum + i);
	return sum;
}

__attribute__((noinline)) unsigned hot(const char *text)
{
	unsigned sum = 0;

	for (size_t i = 0; i < strlen(text); i++)
		sum += outer((unsigned)text[i]);
	return sum;
}

int main(int argc, char **argv)
{
	unsigned sum = 0;

	for (int i = 0; i < argc; i++)
		sum += hot(argv[i]);
	char *copy = strdup(argv[0]);

	printf("%s %u\n", copy, sum + middle((unsigned)argc));
	free(copy);
	return 0;
}
