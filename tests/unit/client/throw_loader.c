/* SPDX-License-Identifier: Apache-2.0 */
/* throw_loader LIBRARY TIMES - prints how many exceptions the library threw and caught. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	void *library = argc > 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	long (*fn)(long) = NULL;

	if (library)
		*(void **)&fn = dlsym(library, "throw_and_catch");
	if (!fn)
		return 1;
	printf("%ld\n", fn(atol(argv[2])));
	return 0;
}
