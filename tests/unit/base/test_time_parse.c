/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "base/time_parse.h"

#define NOW (INT64_C(1767225600) * NS_PER_S)

static void times_in_every_spelling(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} right[] = {
	    {"now", NOW},
	    {"now-1h", NOW - 3600 * NS_PER_S},
	    {"now+1m30s", NOW + 90 * NS_PER_S},
	    {"-15m", NOW - 900 * NS_PER_S},
	    {"1767225600", NOW},
	    {"1767225600.25", NOW + NS_PER_S / 4},
	    {"1767225600123", NOW + 123 * NS_PER_MS},
	    {"1767225600123456", NOW + 123456 * NS_PER_US},
	    {"1767225600123456789", NOW + 123456789},
	    {"2026-01-01T00:00:00Z", NOW},
	    {"2026-01-01t00:00:00.5z", NOW + NS_PER_S / 2},
	    {"2026-01-01T01:30:00+01:30", NOW},
	    {"2025-12-31T23:00:00-01:00", NOW},
	    {"0", 0},
	};
	struct err err;
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		struct str text = {right[i].text, strlen(right[i].text)};

		if (time_parse(text, NOW, &ns, &err) || ns != right[i].ns)
			fail_msg("%s: %lld", right[i].text, (long long)ns);
	}
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const wrong[] = {"",
					    "now-",
					    "now1h",
					    "nowish",
					    "1h",
					    "12x",
					    "2026-01-01",
					    "2026-13-01T00:00:00Z",
					    "2026-01-01T00:00:00",
					    "2026-01-01T00:00:00Zx",
					    "99999999999999999999",
					    "123456789012.5",
					    "now-99999999999w",
					    "2026-01-01T00:00:00+1"};
	struct err err;
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (time_parse((struct str){wrong[i], strlen(wrong[i])}, NOW, &ns, &err) != -EINVAL)
			fail_msg("%s is taken as %lld", wrong[i], (long long)ns);
}

static void durations(void **state)
{
	struct err err;
	int64_t ns;

	(void)state;
	assert_int_equal(duration_parse(STR("90"), &ns, &err), 0);
	assert_int_equal(ns, 90 * NS_PER_S);
	assert_int_equal(duration_parse(STR("1w2d3h4m5s6ms7us8ns"), &ns, &err), 0);
	assert_int_equal(ns, (7 + 2) * 86400 * NS_PER_S + (3 * 3600 + 4 * 60 + 5) * NS_PER_S +
				 6 * NS_PER_MS + 7 * NS_PER_US + 8);
	assert_int_equal(duration_parse(STR(""), &ns, &err), -EINVAL);
	assert_int_equal(duration_parse(STR("5 m"), &ns, &err), -EINVAL);
	assert_int_equal(duration_parse(STR("m"), &ns, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(times_in_every_spelling),
	    cmocka_unit_test(what_is_no_time_is_refused),
	    cmocka_unit_test(durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
