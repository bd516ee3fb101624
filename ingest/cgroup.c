/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/cgroup.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ID_DIGITS 64

static size_t hex_digits(const char *at, const char *end)
{
	size_t n = 0;

	while (at + n < end && isxdigit((unsigned char)at[n]))
		n++;
	return n;
}

/* A run of 64 digits, or 32 digits, a dash and a number, that ends where the segment or its
 * ".scope" does. */
static size_t container_id(const char *at, const char *end)
{
	size_t n = hex_digits(at, end), total = n;

	if (n == ID_DIGITS / 2 && at + n < end && at[n] == '-') {
		total = n + 1;
		while (at + total < end && isdigit((unsigned char)at[total]))
			total++;
		if (total == n + 1)
			return 0;
	} else if (n != ID_DIGITS) {
		return 0;
	}
	return at + total == end || at[total] == '.' ? total : 0;
}

static void container_find(const char *at, const char *end, struct cgroup *ret)
{
	for (const char *p = at; p < end; p++) {
		size_t n = p == at || !isxdigit((unsigned char)p[-1]) ? container_id(p, end) : 0;

		if (n && n < sizeof(ret->container)) {
			(void)snprintf(ret->container, sizeof(ret->container), "%.*s", (int)n, p);
			return;
		}
	}
}

static bool ends_with(const char *at, const char *end, const char *suffix)
{
	size_t n = strlen(suffix);

	return (size_t)(end - at) >= n && !memcmp(end - n, suffix, n);
}

/* The path up to the last segment that stays the same when the program is started again. */
static void path_keep(const char *at, const char *end, const struct cgroup *found, char *to,
		      size_t max)
{
	while (end > at) {
		const char *slash = end;

		while (slash > at && slash[-1] != '/')
			slash--;
		bool passing =
		    slash == end || ends_with(slash, end, ".scope") ||
		    (found->container[0] && memmem(slash, (size_t)(end - slash), found->container,
						   strlen(found->container)));

		if (!passing)
			break;
		end = slash > at ? slash - 1 : at;
	}
	size_t len = (size_t)(end - at);

	if (len >= max) {
		at += len - (max - 1);
		len = max - 1;
	}
	(void)snprintf(to, max, "%.*s", (int)len, at);
}

void cgroup_parse(struct str text, struct cgroup *ret)
{
	const char *at = text.ptr, *end = at + text.len;

	*ret = (struct cgroup){0};
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)),
			   *line_end = newline ? newline : end;
		const char *colon = memchr(at, ':', (size_t)(line_end - at));
		const char *path =
		    colon ? memchr(colon + 1, ':', (size_t)(line_end - colon - 1)) : NULL;

		if (path) {
			if (!ret->container[0])
				container_find(path + 1, line_end, ret);
			/* Version 2 and systemd's own hierarchy have units; others may have
			 * anything. */
			struct str name = {colon + 1, (size_t)(path - colon - 1)};
			bool units = !name.len || str_is(name, "name=systemd");

			if (units && !ret->path[0])
				path_keep(path + 1, line_end, ret, ret->path, sizeof(ret->path));
		}
		at = newline ? newline + 1 : end;
	}
}
