/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/store.h"

#include "tests/cmocka.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOR_EVER (SECONDS(86400) * 36500)

void fixture_init(struct fixture *f, const struct storage_backend *backend)
{
	memset(f, 0, sizeof(*f));
	f->backend = backend;
	/* Memory, where there is one to write to: fsync is not what most tests are about. */
	const char *parent = getenv("HEARTH_TEST_DIR");

	if (!parent)
		parent = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
	(void)snprintf(f->dir, sizeof(f->dir), "%.40s/hearth-store-XXXXXX", parent);
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->location, sizeof(f->location), "%s:%s", backend->name,
		       backend->durable ? f->dir : "");
	f->options = (struct storage_options){.l0_age_ns = FOR_EVER,
					      .l1_age_ns = FOR_EVER,
					      .l2_age_ns = FOR_EVER,
					      .l0_bytes_max = UINT64_MAX / 2,
					      .bytes_max = UINT64_MAX / 2,
					      .free_permille = STORAGE_NO_FLOOR};
	fixture_open(f);
}

void fixture_open(struct fixture *f)
{
	struct err err = {0};

	if (storage_open(f->location, &f->options, &f->store, &err))
		fail_msg("open: %s", err.message);
	if (storage_reader_open(f->store, &f->reader, &err))
		fail_msg("reader: %s", err.message);
}

void fixture_close(struct fixture *f)
{
	storage_reader_close(TAKE(f->reader));
	storage_close(TAKE(f->store));
}

void fixture_reopen(struct fixture *f)
{
	if (!f->backend->durable)
		return;
	fixture_close(f);
	fixture_open(f);
}

void copy_file(const char *from, const char *to)
{
	char block[65536];
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");

	assert_true(in && out);
	for (size_t n; (n = fread(block, 1, sizeof(block), in)) > 0;)
		assert_int_equal(fwrite(block, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
	(void)fclose(in);
}

/* Not the -shm, which the first to open makes anew. */
static void copy_tree(const char *from, const char *to)
{
	DIR *dir = opendir(from);

	assert_non_null(dir);
	assert_int_equal(mkdir(to, 0700), 0);
	for (struct dirent *e; (e = readdir(dir));) {
		char a[512], b[512];
		size_t len = strlen(e->d_name);

		if (e->d_name[0] == '.' || (len > 4 && !strcmp(e->d_name + len - 4, "-shm")))
			continue;
		(void)snprintf(a, sizeof(a), "%.200s/%.255s", from, e->d_name);
		(void)snprintf(b, sizeof(b), "%.200s/%.255s", to, e->d_name);
		if (e->d_type == DT_DIR)
			copy_tree(a, b);
		else
			copy_file(a, b);
	}
	(void)closedir(dir);
}

void fixture_kill(struct fixture *f)
{
	char aside[96];

	if (!f->backend->durable)
		return;
	(void)snprintf(aside, sizeof(aside), "%s-killed", f->dir);
	copy_tree(f->dir, aside);
	fixture_close(f);
	remove_tree(f->dir);
	assert_int_equal(rename(aside, f->dir), 0);
	fixture_open(f);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void remove_tree(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_lose(struct fixture *f, const char *folder)
{
	char path[160];

	if (!f->backend->durable)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, folder);
	fixture_close(f);
	remove_tree(path);
	fixture_open(f);
}

void fixture_release(struct fixture *f)
{
	fixture_close(f);
	remove_tree(f->dir);
}

void fixture_put(struct fixture *f, struct profile *profile)
{
	const struct profile *list[] = {profile};
	struct err err = {0};
	int result;

	if (storage_put(f->store, list, 1, &result, &err))
		fail_msg("put: %s", err.message);
	assert_int_equal(result, STORAGE_STORED);
	profile_free(profile);
}

void fixture_maintain(struct fixture *f, int64_t now_ns)
{
	struct err err = {0};

	if (storage_maintain(f->store, now_ns, &err))
		fail_msg("maintain: %s", err.message);
}

void expect_scan(struct fixture *f, const struct storage_scan *scan, const char *expected)
{
	struct answer got CLEANUP(answer_release) = {0};

	assert_int_equal(store_scan(f->reader, scan, &got), 0);
	char *text CLEANUP(cleanup_free) = answer_text(&got);

	assert_string_equal(text, expected);
}

static void same(const char *what, struct answer *model, struct answer *store)
{
	const char *differs = answer_differs(model, store);

	if (differs)
		fail_msg("%s: model and store differ at %s", what, differs);
}

static void compare(struct fixture *f, const struct model *m, const struct storage_scan *scan,
		    int64_t step_ns, bool records)
{
	struct {
		struct answer model, store;
	} a[6] = {0};
	struct storage_scan timeless = *scan;

	model_scan(m, scan, &a[0].model);
	assert_int_equal(store_scan(f->reader, scan, &a[0].store), 0);
	model_timeline(m, scan, step_ns, &a[1].model);
	assert_int_equal(store_timeline(f->reader, scan, step_ns, &a[1].store), 0);
	if (records) {
		model_records(m, scan, &a[2].model);
		assert_int_equal(store_records(f->reader, scan, &a[2].store), 0);
		timeless.timeless = true;
		model_records(m, &timeless, &a[5].model);
		assert_int_equal(store_records(f->reader, &timeless, &a[5].store), 0);
	}
	model_losses(m, scan, &a[3].model);
	assert_int_equal(store_losses(f->reader, scan, &a[3].store), 0);
	model_series(m, scan->from_ns, scan->until_ns, &a[4].model);
	assert_int_equal(store_series(f->reader, scan->from_ns, scan->until_ns, &a[4].store), 0);
	static const char *const names[] = {"scan",   "timeline", "records",
					    "losses", "series",   "timeless records"};

	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		same(names[i], &a[i].model, &a[i].store);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		answer_release(&a[i].model);
		answer_release(&a[i].store);
	}
}

void expect_as_model(struct fixture *f, const struct model *m, const struct storage_scan *scan,
		     int64_t step_ns)
{
	compare(f, m, scan, step_ns, true);
}

void expect_totals_as_model(struct fixture *f, const struct model *m,
			    const struct storage_scan *scan, int64_t step_ns)
{
	compare(f, m, scan, step_ns, false);
}
