/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/maps.h - asks /proc/self/maps which mapping an address is in.
 *
 * Private to client/.  Async-signal-safe: system calls and a buffer of the caller's.
 */
#ifndef CLIENT_MAPS_H
#define CLIENT_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping {
	uint64_t lo, hi;
	bool main_stack; /* "[stack]", which grows downwards */
};

/* Find the readable, writable mapping of `address`. */
bool maps_find(uint64_t address, void *buffer, size_t bytes, struct mapping *ret);

/* RLIMIT_STACK, at most `most`. */
uint64_t maps_stack_limit(uint64_t most);

#endif
