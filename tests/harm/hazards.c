/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harm/hazards.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "hazards: %s\n", what);
	exit(99);
}

static volatile uint64_t sink;

void burn(long ms)
{
	struct timespec t;
	int64_t until;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	until = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + ms * 1000000;
	do {
		for (int i = 0; i < 20000; i++)
			sink = sink * 3 + 1;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	} while ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec < until);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
#define HAZARD(name) {#name, hazard_##name},
	    HAZARDS(HAZARD)
#undef HAZARD
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (argc > 1 && !strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
		if (argc == 1)
			puts(all[i].name);
	}
	return argc > 1 ? 98 : 0;
}
