/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "profile/mapping.h"

#define COLUMNS 8

struct mapping_case {
	const char *foreign; /* type/unit, blanks between; then "|" and the period's */
	const char *name;
	const char *ours; /* type ids, blanks between */
	size_t groups;
};

static const struct mapping_case cases[] = {
    {"samples/count cpu/nanoseconds|cpu/nanoseconds", "",
     "process_cpu:samples:count:cpu:nanoseconds process_cpu:cpu:nanoseconds:cpu:nanoseconds", 1},
    {"cpu/nanoseconds|", "", "process_cpu:cpu:nanoseconds:cpu:nanoseconds", 1},
    {"samples/count|cpu/nanoseconds", "", "process_cpu:samples:count:cpu:nanoseconds", 1},
    {"samples/count wall/nanoseconds|wall/nanoseconds", "",
     "wall:samples:count:wall:nanoseconds wall:wall:nanoseconds:wall:nanoseconds", 1},
    {"alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes|space/bytes", "",
     "memory:alloc_objects:count:space:bytes memory:alloc_space:bytes:space:bytes "
     "memory:inuse_objects:count:space:bytes memory:inuse_space:bytes:space:bytes",
     1},
    {"contentions/count delay/nanoseconds|contentions/count", "",
     "mutex:contentions:count:contentions:count mutex:delay:nanoseconds:contentions:count", 1},
    {"contentions/count delay/nanoseconds|contentions/count", "block",
     "block:contentions:count:contentions:count block:delay:nanoseconds:contentions:count", 1},
    {"cpu-samples/count cpu-time/nanoseconds wall-time/nanoseconds alloc-samples/count|", "",
     "process_cpu:samples:count:cpu:nanoseconds process_cpu:cpu:nanoseconds:cpu:nanoseconds "
     "wall:wall:nanoseconds:wall:nanoseconds memory:alloc_objects:count:space:bytes",
     3},
    {"lock-acquire/count lock-acquire-wait/nanoseconds lock-release-hold/nanoseconds|", "",
     "mutex:contentions:count:contentions:count mutex:delay:nanoseconds:contentions:count "
     "mutex:hold:nanoseconds:contentions:count",
     1},
    {"exception-samples/count heap-space/bytes|", "",
     "exception:exception:count:cpu:nanoseconds memory:inuse_space:bytes:space:bytes", 2},
    /* units are never converted: microseconds are not our wall */
    {"sample/count wall/microseconds|wall/microseconds", "",
     "wall:sample:count:wall:microseconds wall:wall:microseconds:wall:microseconds", 1},
    {"space/bytes|space/bytes", "", "memory:inuse_space:bytes:space:bytes", 1},
    {"goroutine/count|goroutine/count", "", "goroutines:goroutine:count:goroutine:count", 1},
    {"tasks/count file-io-read-time/nanoseconds|", "",
     "other:tasks:count:: other:file-io-read-time:nanoseconds::", 1},
    /* a second column that would be ours keeps its own name: nothing is counted twice */
    {"alloc-space/bytes alloc-size/bytes|", "",
     "memory:alloc_space:bytes:space:bytes other:alloc-size:bytes::", 2},
};

static struct profile_foreign foreign_of(const char *text, size_t len)
{
	const char *slash = memchr(text, '/', len);

	if (!slash)
		return (struct profile_foreign){STR(""), STR("")};
	return (struct profile_foreign){{text, (size_t)(slash - text)},
					{slash + 1, len - (size_t)(slash - text) - 1}};
}

static size_t split(const char *text, struct profile_foreign *columns,
		    struct profile_foreign *period)
{
	const char *bar = strchr(text, '|');
	size_t count = 0;

	*period = foreign_of(bar + 1, strlen(bar + 1));
	while (text < bar) {
		size_t len = strcspn(text, " |");

		columns[count++] = foreign_of(text, len);
		text += len + (text[len] == ' ');
	}
	return count;
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct profile_foreign columns[COLUMNS], period;
		struct profile_mapped mapped[COLUMNS];
		size_t count = split(cases[i].foreign, columns, &period);
		struct str name = {cases[i].name, strlen(cases[i].name)};
		char line[COLUMNS * PROFILE_TYPE_ID_MAX] = "";

		assert_int_equal(profile_map_columns(columns, count, period, name, mapped),
				 cases[i].groups);
		for (size_t k = 0; k < count; k++) {
			char id[PROFILE_TYPE_ID_MAX];

			assert_int_equal(profile_type_format(&mapped[k].type, id), 0);
			strcat(strcat(line, k ? " " : ""), id);
		}
		assert_string_equal(line, cases[i].ours);
	}
}

static void test_properties(void **state)
{
	(void)state;
	struct profile_foreign columns[COLUMNS], period;
	struct profile_mapped m[COLUMNS];
	size_t count =
	    split("cpu-samples/count inuse_space/bytes cpu/nanoseconds|", columns, &period);

	(void)profile_map_columns(columns, count, period, STR(""), m);
	assert_true(m[0].counts_samples && m[0].renamed && !m[0].gauge);
	assert_true(!m[1].counts_samples && !m[1].renamed && m[1].gauge);
	assert_true(!m[2].counts_samples && !m[2].renamed && !m[2].gauge);
	assert_int_equal(m[0].group, 0);
	assert_int_equal(m[1].group, 1);
	assert_int_equal(m[2].group, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table),
					   cmocka_unit_test(test_properties)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
