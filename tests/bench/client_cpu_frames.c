/* SPDX-License-Identifier: Apache-2.0 */
/* client_cpu_frames.c - a stack of known depth, compiled without frame pointers. */
#include "client_cpu.h"

static volatile unsigned sink;

/* Frames of three sizes, so that not one rule serves all. */
#define FRAME(name, next, size)                                                                    \
	__attribute__((noinline)) static void name(unsigned depth, void (*work)(void *),           \
						   void *arg)                                      \
	{                                                                                          \
		volatile char room[size];                                                          \
                                                                                                   \
		room[depth % (size)] = 1;                                                          \
		next(depth, work, arg);                                                            \
		sink += room[0];                                                                   \
	}

static void descend(unsigned depth, void (*work)(void *), void *arg);

FRAME(small, descend, 16)
FRAME(middle, descend, 80)
FRAME(large, descend, 400)

__attribute__((noinline)) static void descend(unsigned depth, void (*work)(void *), void *arg)
{
	if (depth == 0)
		work(arg);
	else if (depth % 3 == 0)
		small(depth - 1, work, arg);
	else if (depth % 3 == 1)
		middle(depth - 1, work, arg);
	else
		large(depth - 1, work, arg);
	sink++;
}

void with_frames(unsigned frames, void (*work)(void *), void *arg)
{
	descend(frames / 2, work, arg);
}
