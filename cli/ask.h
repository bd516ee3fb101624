/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/ask.h - asks the agent over its Unix socket, or over HTTP with a token.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "cli/verb.h"

/* Where the agent is: --server, HEARTH_SERVER, else the first run directory with an http.sock. */
struct place {
	char socket[256];    /* "": ask `url` */
	char url[256];       /* scheme and authority, no slash at the end */
	char directory[256]; /* the run directory, "" for a URL */
};

/* Returns 0 or an exit code, having complained. */
int place_find(const char *server, struct place *ret_place);

/* One parameter of a query string; a NULL value is left out. */
struct parameter {
	const char *name, *value;
};

/* GET (body NULL) or POST. The answer of a 2xx goes into `ret_body`; anything else is complained
 * about with the problem's detail. Returns 0 or an exit code. */
int ask(const struct place *place, const char *path, const struct parameter *parameters,
	size_t count, const void *body, size_t body_len, struct buf *ret_body);

/* GET into a file: the bytes of a 2xx go to `fd` as they come, however many.  *ret_bytes: how many
 * did.  What is not there (404) is not complained about: *ret_there is false then, and 0 is
 * returned. */
int ask_to_file(const struct place *place, const char *path, const struct parameter *parameters,
		size_t count, int fd, uint64_t *ret_bytes, bool *ret_there);

/* POST `len` bytes of a file from `at` on. Otherwise as ask. */
int ask_from_file(const struct place *place, const char *path, const struct parameter *parameters,
		  size_t count, int fd, uint64_t at, uint64_t len, struct buf *ret_body);

/* {service="name"}, where --service gave one, joined with the matchers of `select`. Returns 0 or
 * not. */
int selector_make(const struct options *options, const char *select, struct buf *selector);

/* Ask with what `options` select, and read the JSON. *ret_json is the caller's. */
int ask_json(const struct options *options, const char *path, const struct parameter *extra,
	     size_t extra_count, json_t **ret_json);

/* The same, whatever the format. */
int ask_selected(const struct options *options, const char *path, const struct parameter *extra,
		 size_t extra_count, struct buf *ret_body);

#endif
