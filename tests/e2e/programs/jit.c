/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a function at run time, names it in /tmp/perf-PID.map, and runs it until a line comes on
 * stdin.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
/* push rbp; mov rbp, rsp; 1: dec rdi; jnz 1b; pop rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xff,
				     0xcf, 0x75, 0xfb, 0x5d, 0xc3};
#else
/* stp x29, x30, [sp, -16]!; mov x29, sp; 1: subs x0, x0, 1; b.ne 1b; ldp x29, x30, [sp], 16; ret */
static const uint32_t code[] = {0xa9bf7bfd, 0x910003fd, 0xf1000400,
				0x54ffffe1, 0xa8c17bfd, 0xd65f03c0};
#endif

int main(void)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	char path[64];
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void (*made)(uint64_t) = (void (*)(uint64_t))page;
	FILE *map;

	if (page == MAP_FAILED)
		return 1;
	memcpy(page, code, sizeof(code));
	__builtin___clear_cache(page, (char *)page + sizeof(code));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map = fopen(path, "w");
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC) || !map)
		return 1;
	fprintf(map, "%lx %zx JS:~compiled_loop shop.js:7\n", (unsigned long)page, sizeof(code));
	fclose(map);
	do
		made(20000000);
	while (poll(&in, 1, 0) == 0);
	unlink(path);
	return 0;
}
