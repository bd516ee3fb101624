/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <pthread.h>

#include "profile/builder.h"
#include "server/writer.h"

#define TOGETHER 10
#define ROUNDS 100

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static unsigned done_count;

static void done(void *arg, struct profile *profile, int result, const char *message)
{
	(void)arg;
	(void)message;
	assert_int_equal(result, 0);
	profile_free(profile);
	(void)pthread_mutex_lock(&lock);
	done_count++;
	(void)pthread_cond_signal(&wake);
	(void)pthread_mutex_unlock(&lock);
}

static void done_wait(unsigned count)
{
	(void)pthread_mutex_lock(&lock);
	while (done_count < count)
		(void)pthread_cond_wait(&wake, &lock);
	done_count -= count;
	(void)pthread_mutex_unlock(&lock);
}

static struct profile *profile_make(void)
{
	struct profile_builder *builder;

	assert_int_equal(profile_builder_new(NULL, &builder), 0);
	struct profile *profile = profile_builder_finish(builder);

	assert_non_null(profile);
	return profile;
}

static void put(struct writer *writer, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(writer_put(writer, profile_make(), done, NULL), 0);
}

static uint64_t commits(struct writer *writer)
{
	struct writer_stats stats;

	writer_stats(writer, &stats);
	return stats.commits;
}

static struct writer *writer_make(void)
{
	const struct storage_options options = {0};
	struct err err = {0};
	struct writer *writer = NULL;

	assert_int_equal(writer_start("memory:", &options, &writer, &err), 0);
	return writer;
}

static void what_is_held_goes_together(void **state)
{
	struct writer *writer = writer_make();

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		writer_hold(writer);
		put(writer, TOGETHER);
		writer_release(writer);
		done_wait(TOGETHER);
	}
	assert_int_equal(commits(writer), ROUNDS);
	writer_stop(writer);
}

static void a_hold_keeps_nobody_waiting(void **state)
{
	struct writer *writer = writer_make();
	struct err err = {0};

	(void)state;
	writer_hold(writer);
	put(writer, WRITER_BATCH_MAX); /* a transaction is full */
	done_wait(WRITER_BATCH_MAX);

	put(writer, 1);
	writer_expect(writer);
	struct profile *profile = profile_make();

	assert_int_equal(writer_put_wait(writer, profile, &err), 0);
	profile_free(profile);
	done_wait(1);

	writer_hold(writer);
	put(writer, 1); /* is written when the writer stops */
	writer_stop(writer);
	done_wait(1);
}

static void *put_expected(void *arg)
{
	struct profile *profile = profile_make();
	struct err err = {0};

	writer_expect(arg);
	int rc = writer_put_wait(arg, profile, &err);

	profile_free(profile);
	return rc < 0 ? arg : NULL;
}

/* A commit waits for what comes, but not for what never does. */
static void what_does_not_come_holds_nobody_up(void **state)
{
	struct writer *writer = writer_make();
	struct writer_stats stats;
	pthread_t threads[4];
	void *failed;

	(void)state;
	writer_expect(writer); /* and never put */
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, put_expected, writer),
					 0);
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
	    cmocka_unit_test(what_is_held_goes_together),
	    cmocka_unit_test(a_hold_keeps_nobody_waiting),
	    cmocka_unit_test(what_does_not_come_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
