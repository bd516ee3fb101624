/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/verify.h - `hearth verify`: what its files share.
 *
 * Private to cli/verify*.c.  An agent, the user's or a private one; loads that know what they did
 * (cli/known/) under the preload; and a list of checks: what was true, what was shown, how far that
 * may be off by chance, and the verdict.
 */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

#include <limits.h>
#include <sys/types.h>

#include "cli/own_agent.h"

#define VERIFY_SERVICE "hearth-verify"
/* Beyond this many standard errors a right profiler is seen less than once in a million checks. */
#define VERIFY_ERRORS 5.0
#define VERIFY_LINES_MAX 512

struct verify {
	struct place place;
	struct own_agent own; /* zeroed: the user's is asked */
	char library[PATH_MAX], known[PATH_MAX];
	double seconds; /* of each load */
	bool progress;
	json_t *checks;  /* array */
	json_t *process; /* status of the last load, as it was at its end */
	int failures;
};

/* ---- verify_agent.c ---- */

/* Find the agent, or start one in a temporary directory.  Returns 0 or an exit code, having
 * complained. */
int verify_agent_find(struct verify *v, const char *server);

/* End it, if it is ours, and remove its directory. */
void verify_agent_release(struct verify *v);

/* GET a JSON answer; NULL on failure, said. */
json_t *verify_ask(const struct verify *v, const char *path, const struct parameter *parameters,
		   size_t count);

/* ---- verify_load.c ---- */

struct line {
	char what[16], name[48];
	double number[3];
};

struct load {
	pid_t pid;
	int in, out;
	char version[64]; /* its label, by which it is asked for */
	char from[24];    /* the begin of what is asked for */
	struct line lines[VERIFY_LINES_MAX];
	size_t lines_count;
	struct buf text;
	bool ended; /* it said "end" */
};

/* Start a load under the preload.  Returns 0 or an exit code, having complained. */
int verify_load_start(const struct verify *v, const char *name, double seconds,
		      struct load *ret_load);

/* Read what it says until its end, or for `timeout_ms`. */
void verify_load_read(struct load *load, int timeout_ms);
/* Likewise, with the patience that a load of `seconds` wants on a busy machine. */
void verify_load_wait(struct load *load, double seconds);

/* Take its status (v->process), let it go, wait until all of it is stored.  Returns 0 or an exit
 * code. */
int verify_load_finish(struct verify *v, struct load *load);
void verify_load_release(struct load *load);

/* Start, read, finish. */
int verify_load_run(struct verify *v, const char *name, double seconds, struct load *ret_load);

/* What the profile of a load says of a function, or of everything (NULL); *ret_samples may be
 * NULL. */
double verify_shown(const struct verify *v, const struct load *load, const char *type,
		    const char *function, double *ret_samples);

/* ---- verify.c ---- */

/* Add a check.  It holds when |shown - truth| <= VERIFY_ERRORS * se + tolerance. */
void verify_check(struct verify *v, const char *dimension, const char *what, const char *unit,
		  double truth, double shown, double se, double tolerance);

/* A dimension that is not measured, and why. */
void verify_off(struct verify *v, const char *dimension, const char *why);

/* NULL when the last load had this dimension, else why not. */
const char *verify_why_off(const struct verify *v, const char *dimension);

/* ---- verify_truth.c, verify_cost.c: each adds its checks; an exit code when it could not ---- */

int verify_cpu(struct verify *v);
int verify_block(struct verify *v);
int verify_eintr(struct verify *v);
int verify_alloc(struct verify *v);
int verify_heap(struct verify *v);
int verify_lock(struct verify *v);
int verify_exception(struct verify *v);
int verify_cost(struct verify *v);

#endif
