/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/profiler.h - starting and stopping, for the public API and for the preload.
 *
 * Private to client/.
 */
#ifndef CLIENT_PROFILER_H
#define CLIENT_PROFILER_H

#include <stdbool.h>

#include "client/config.h"

/* The settings in force; those of a zeroed configuration before the first start. */
const struct config *profiler_config(void);

/* Odd while the settings change; the same before and after means that they did not. */
uint32_t profiler_config_sequence(void);

/* The preload's constructor: start when the environment says so. */
void profiler_start_from_environment(void);

/* The process ends: the calling thread's CPU time, and a last chance for an agent to be told. */
void profiler_exit(void);

#endif
