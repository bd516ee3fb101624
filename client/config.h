/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/config.h - settings: options of the program, then HEARTH_*, then DD_*, then defaults.
 *
 * Private to client/.  The environment is read once, outside signal handlers, and copied.  A value
 * that makes no sense counts as not set.
 */
#ifndef CLIENT_CONFIG_H
#define CLIENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hearth_options;

#define CONFIG_TEXT_BYTES 4096 /* of service, env, version and tags, as the hello carries them */
#define CONFIG_PATH_BYTES 108  /* sockaddr_un */

enum config_switch { CONFIG_UNSET, CONFIG_YES, CONFIG_NO };

struct config {
	enum config_switch enabled; /* HEARTH_ENABLED: unset means on for the API, off for a preload */
	bool cpu, wall, lock, exception;
	uint32_t lock_capture_ppm;   /* of acquisitions: whose hold is followed */
	uint32_t exception_interval; /* one stack for so many on average */
	uint32_t cpu_interval_us;
	uint32_t max_frames;
	uint32_t max_overhead_ppm;
	char agent[CONFIG_PATH_BYTES];	 /* "": look in the three run directories */
	char runtime[CONFIG_PATH_BYTES]; /* $XDG_RUNTIME_DIR, "" */
	char text[CONFIG_TEXT_BYTES];	 /* "key\0value\0", by turns */
	uint32_t text_bytes;
};

/* Look a name up, as getenv does; the tests pass their own. */
typedef const char *(*config_env_fn)(const char *name);

/* Fill `ret` from `options` (may be NULL), `env` and, as service, the last part of `executable`. */
void config_read(struct config *ret, const struct hearth_options *options, config_env_fn env,
		 const char *executable);

#endif
