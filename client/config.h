/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/config.h - settings: options of the program, then HEARTH_*, then DD_*, then defaults.
 *
 * Private to client/.  settings.def is the table.  The environment is read once, outside signal
 * handlers, and copied.  A value that makes no sense counts as not set, and a number outside its
 * range becomes the nearest that is inside; either is noted, for the agent's status.
 */
#ifndef CLIENT_CONFIG_H
#define CLIENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hearth_options;

#define CONFIG_TEXT_BYTES 4096  /* of service, env, version and tags, as the hello carries them */
#define CONFIG_LABELS_MAX 24    /* the agent adds some and takes 32 */
#define CONFIG_NOTES_BYTES 2048 /* of the settings in force and those refused */
#define CONFIG_PATH_BYTES 108   /* sockaddr_un */

enum config_switch { CONFIG_UNSET, CONFIG_YES, CONFIG_NO };

struct config {
	enum config_switch enabled; /* unset means on for the API, off for a preload */
	bool cpu, wall, alloc, heap, lock, exception;
	bool endpoints, spans, otel_context;
	bool stop_on_exit, profile_children, debug;
	uint32_t cpu_engine; /* enum hearth_engine, not the default */
	uint32_t cpu_interval_us;
	uint32_t max_frames;
	uint32_t max_overhead_ppm;
	uint32_t alloc_mean_bytes;
	uint32_t lock_capture_ppm;
	uint32_t exception_interval;
	uint32_t stop_timeout_ms;
	char agent[CONFIG_PATH_BYTES];      /* "": look in the three run directories */
	char agent_hint[CONFIG_PATH_BYTES]; /* "": none; looked at before those */
	char runtime[CONFIG_PATH_BYTES];    /* $XDG_RUNTIME_DIR, "" */
	char text[CONFIG_TEXT_BYTES];       /* "key\0value\0", by turns */
	uint32_t text_bytes, labels_count;
	/* The same form: a RING_HELLO_REFUSED for each setting that was not taken as it stood, and
	 * RING_HELLO_SETTINGS with those in force. */
	char notes[CONFIG_NOTES_BYTES];
	uint32_t notes_bytes;
};

/* Look a name up, as getenv does; the tests pass their own. */
typedef const char *(*config_env_fn)(const char *name);

/* Fill `ret` from `options` (may be NULL), `env` and, as service, the last part of `executable`. */
void config_read(struct config *ret, const struct hearth_options *options, config_env_fn env,
		 const char *executable);

/* A truth value as settings write it. */
enum config_switch config_truth(const char *text);

#endif
