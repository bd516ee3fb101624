/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/preload.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

bool preload_find(const char *name, char *path, size_t max)
{
	static const char *const beside[] = {"../lib", "../lib/hearth",
					     "../lib/x86_64-linux-gnu/hearth",
					     "../lib/aarch64-linux-gnu/hearth", "."};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return false;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
		char candidate[PATH_MAX + 128], whole[PATH_MAX];

		(void)snprintf(candidate, sizeof(candidate), "%s/%s/%.64s", self, beside[i], name);
		if (realpath(candidate, whole) && strlen(whole) < max) {
			(void)snprintf(path, max, "%s", whole);
			return true;
		}
	}
	return false;
}
