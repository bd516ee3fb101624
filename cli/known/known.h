/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/known/known.h - programs that know what they did: `hearth verify` and scripts/bench.sh run
 * them under the preload and compare what is shown with what they say.
 *
 * Private to cli/known/.  libc alone, so that nothing but the load is in the profile.  Each load
 * prints lines of "WHAT NAME NUMBER [NUMBER...]".  The functions that are to be found in a profile
 * have default visibility, so that their names survive strip(1).
 */
#ifndef CLI_KNOWN_KNOWN_H
#define CLI_KNOWN_KNOWN_H

#include <stdint.h>

/* What a profile is to name: never inlined, cloned or folded. */
#define SITE __attribute__((noinline, noclone, visibility("default")))
/* At the end of one, so that its last call is no jump. */
#define STAY __asm__ volatile("")

int64_t known_ns(void);     /* CLOCK_MONOTONIC */
int64_t known_cpu_ns(void); /* of the calling thread */

/* Exponentially distributed with this mean, from a generator that the seed fixes. */
double known_draw(double mean);
uint64_t known_random(void);

/* The loads.  Each returns an exit status; `seconds` and `seed` are from the command line. */
int known_cpu(double seconds);
int known_block(double seconds);
int known_eintr(double seconds);
int known_alloc(double seconds);
int known_heap(double seconds);
int known_lock(double seconds);
int known_throw(double seconds);
int known_loop_cpu(double seconds);
int known_loop_mix(double seconds);
int known_mix(double seconds);
int known_loop_malloc(double seconds);
int known_loop_lock(double seconds);
int known_idle(double seconds);
int known_poll(double seconds);
int known_memory(double seconds);

/* Throw `count` exceptions and catch them; returns how many were caught. */
#ifdef __cplusplus
extern "C"
#endif
    long
    known_throw_all(long count);

#endif
