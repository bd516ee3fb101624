/* SPDX-License-Identifier: Apache-2.0 */
/* client_reads N: N reads of one byte, for callgrind to count what the hook adds. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	char byte;

	for (long i = 0; i < n; i++)
		if (read(fd, &byte, 1) != 1)
			return 1;
	return 0;
}
