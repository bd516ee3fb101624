/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <pthread.h>
#include <string.h>

#include "base/err.h"
#include "server/writer.h"
#include "tests/support/profiles.h"

static struct profile *one(int n)
{
	struct maker m;

	maker_init(&m, 1000, n);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, "main;a", T0, 1, 1, 1);
	return maker_finish(&m);
}

static void *put_expected(void *arg)
{
	struct err err = {0};

	writer_expect(arg);
	return writer_put_wait(arg, one(1), &err) < 0 ? arg : NULL;
}

/* A commit waits for what comes, but not for what never does. */
static void what_does_not_come_holds_nobody_up(void **state)
{
	struct writer *writer;
	struct writer_stats stats;
	pthread_t threads[4];
	struct err err = {0};
	void *failed;

	(void)state;
	assert_int_equal(writer_start("memory:", NULL, &writer, &err), 0);
	writer_expect(writer); /* and never put */
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(
			    pthread_create(&threads[i], NULL, put_expected, writer), 0);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(pthread_join(threads[i], &failed), 0);
			assert_null(failed);
		}
	}
	writer_stats(writer, &stats);
	assert_int_equal(stats.stored, 80);
	assert_int_equal(stats.queued, 0);
	writer_expect_no_more(writer);
	assert_null(put_expected(writer));
	writer_stop(writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_does_not_come_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
