/* SPDX-License-Identifier: Apache-2.0 */
/* Every n-th allocation fails, once or from then on: an error each time, nothing lost or broken. */
#include "tests/cmocka.h"

#include <errno.h>

#include "ingest/ingest.h"
#include "tests/corpus.h"
#include "tests/support/refused_malloc.h"
#include "wire/compress.h"
#include "wire/pprof_write.h"

static struct {
	bool armed, sticky, fired;
	long left;
} plan;

static bool malloc_is_refused(void)
{
	if (!plan.armed || (plan.fired && !plan.sticky))
		return false;
	if (plan.fired || --plan.left == 0)
		return plan.fired = true;
	return false;
}

static int write_profile(struct buf *to)
{
	const struct pprof_write_label label = {.key = STR("thread"), .text = STR("main")};
	const struct pprof_write_line line = {.function = STR("f"), .file = STR("f.c"), .line = 1};
	const struct pprof_write_mapping m = {
	    .start = 1, .limit = 99999, .filename = STR("/bin/x"), .build_id = STR("00112233")};
	struct pprof_writer *w;
	int rc = pprof_writer_new((size_t)1 << 20, &w);

	if (rc)
		return rc;
	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	for (uint64_t i = 0; i < 200; i++) {
		const uint64_t stack[] = {pprof_write_location(w, pprof_write_mapping(w, &m), i,
							       i % 2 ? &line : NULL, i % 2),
					  1};

		pprof_write_sample(w, stack, 1, (const int64_t[]){1}, &label, 1);
	}
	rc = pprof_writer_finish(w, to, NULL);
	pprof_writer_free(w);
	return rc;
}

/* Bytes of an upload -> profile, as the server does it. Returns the first failure. */
static int run(const struct buf *body, const char *protocol)
{
	const struct ingest_label labels[] = {{STR("service"), STR("shop")}};
	struct ingest_request request = {.labels = labels, .labels_count = 1, .now_ns = 1};
	struct profile_builder *out;
	struct buf plain;
	struct err err;
	int rc = ingest_decompress(body->data, body->len, &ingest_limits_default, &plain, &err);

	if (rc)
		return rc;
	request.body = (struct str){plain.data, plain.len};
	rc = profile_builder_new(NULL, &out);
	if (!rc) {
		rc = ingest_find((struct str){protocol, strlen(protocol)})
			 ->decode(&request, out, &(struct ingest_findings){0}, &err);
		struct profile *p = rc ? NULL : profile_builder_finish(out);

		if (rc)
			profile_builder_free(out);
		profile_free(p);
	}
	buf_release(&plain);
	return rc;
}

static size_t loop(const struct buf *body, const char *protocol, bool sticky)
{
	for (long n = 1;; n++) {
		memset(&plan, 0, sizeof(plan));
		plan.armed = true;
		plan.sticky = sticky;
		plan.left = n;
		int rc = run(body, protocol);

		plan.armed = false;
		if (!plan.fired) {
			assert_int_equal(rc, 0);
			return (size_t)n - 1;
		}
		if (rc != -ENOMEM)
			fail_msg("%s: allocation %ld failed, result %d", protocol, n, rc);
	}
}

static void both(const struct buf *body, const char *protocol)
{
	size_t once = loop(body, protocol, false), always = loop(body, protocol, true);

	printf("%s: %zu allocations\n", protocol, once);
	assert_true(once > 10);
	assert_int_equal(once, always);
}

static void test_pprof(void **state)
{
	(void)state;
	struct buf plain, packed;

	buf_init(&plain, BUF_UNLIMITED);
	assert_int_equal(write_profile(&plain), 0);
	both(&plain, "pprof");
	buf_init(&packed, BUF_UNLIMITED);
	assert_int_equal(wire_compress_gzip(plain.data, plain.len, &packed), 0);
	both(&packed, "pprof");
	buf_clear(&packed);
	assert_int_equal(wire_compress_zstd(plain.data, plain.len, &packed), 0);
	both(&packed, "pprof");
	buf_release(&packed);
	buf_release(&plain);
}

static void test_folded(void **state)
{
	(void)state;
	struct buf text;

	buf_init(&text, BUF_UNLIMITED);
	for (int i = 0; i < 200; i++)
		(void)buf_printf(&text, "a;b;f%d 1\n", i);
	both(&text, "folded");
	buf_release(&text);
}

static void test_jfr(void **state)
{
	static const char *const names[] = {"known", "datadog", "two"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t len;
		char *bytes =
		    corpus_read(HEARTH_SOURCE_DIR "/tests/fuzz/corpus/jfr", names[i], &len);
		const struct buf body = {.data = bytes, .len = len};

		assert_non_null(bytes);
		both(&body, "jfr");
		free(bytes);
	}
}

static void test_writer(void **state)
{
	(void)state;
	for (int sticky = 0; sticky < 2; sticky++) {
		for (long n = 1;; n++) {
			struct buf out;

			buf_init(&out, BUF_UNLIMITED);
			memset(&plan, 0, sizeof(plan));
			plan.armed = true;
			plan.sticky = sticky;
			plan.left = n;
			int rc = write_profile(&out);

			plan.armed = false;
			buf_release(&out);
			assert_int_equal(rc, plan.fired ? -ENOMEM : 0);
			if (!plan.fired)
				break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pprof), cmocka_unit_test(test_folded), cmocka_unit_test(test_jfr),
	    cmocka_unit_test(test_writer)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
