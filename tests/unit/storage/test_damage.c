/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged files: pages of zeroes, of noise, exchanged or missing, files cut short, empty, or not
 * files at all.  Whatever it is, the store opens, puts aside what it cannot read and deletes
 * nothing, answers from the rest, and takes what comes.  HEARTH_DAMAGES says how many.
 */
#include "tests/cmocka.h"

#include <errno.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/support/store.h"

#define HOURS 6
#define PROFILES 30
#define RECORDS 40
#define PAGE 4096
#define LATER (T0 + SECONDS(3600) * (HOURS + 3))

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % below;
}

static struct profile *some(int n)
{
	struct maker m;
	int64_t at = T0 + SECONDS(3600) * HOURS / PROFILES * n;

	maker_init(&m, 1000, 1);
	maker_span(&m, at, at + SECONDS(20), at + SECONDS(20));
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	for (int i = 0; i < RECORDS; i++) {
		char stack[64];

		(void)snprintf(stack, sizeof(stack), "main;f%d;g%d", n, i * i % 37);
		maker_record(&m, stack, at + i * NS_PER_MS * 400, 1, 10000000, 1);
	}
	return maker_finish(&m);
}

static int count_segment(void *arg, const struct storage_segment *s)
{
	for (size_t i = 0; i < s->leaves_count; i++)
		*(uint64_t *)arg += s->counts[i];
	return 0;
}

static int count_records(void *arg, const struct storage_records *r)
{
	*(uint64_t *)arg += r->count;
	return 0;
}

/* ---- damage ---- */

static const char *const kinds[] = {"zeroes", "noise",   "exchanged", "cut",
				    "empty",  "no file", "head",      "wal"};

static void write_at(int fd, off_t at, const void *bytes, size_t len)
{
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
}

static void damage(const char *path, unsigned kind)
{
	int fd CLOSING = open(path, O_RDWR | O_CLOEXEC);
	uint8_t a[PAGE], b[PAGE];
	char wal[300];
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	uint32_t pages = (uint32_t)(st.st_size / PAGE), page = draw(pages), other = draw(pages);

	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = kind == 1 ? (uint8_t)draw(256) : 0;
	switch (kind) {
	case 0:
	case 1:
		write_at(fd, (off_t)page * PAGE, a, PAGE);
		break;
	case 2:
		assert_int_equal(pread(fd, a, PAGE, (off_t)page * PAGE), PAGE);
		assert_int_equal(pread(fd, b, PAGE, (off_t)other * PAGE), PAGE);
		write_at(fd, (off_t)other * PAGE, a, PAGE);
		write_at(fd, (off_t)page * PAGE, b, PAGE);
		break;
	case 3:
		assert_int_equal(ftruncate(fd, (off_t)draw((uint32_t)st.st_size)), 0);
		break;
	case 4:
		assert_int_equal(ftruncate(fd, 0), 0);
		break;
	case 5:
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		break;
	case 6:
		write_at(fd, draw(100), a, 16 + draw(80));
		break;
	default: {
		(void)snprintf(wal, sizeof(wal), "%s-wal", path);
		int to CLOSING = open(wal, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		for (size_t i = 0; i < sizeof(b); i++)
			b[i] = (uint8_t)draw(256);
		write_at(to, 0, b, sizeof(b));
	}
	}
}

/* A file of the store, by level. */
static void choose(const struct fixture *f, char *to, size_t size)
{
	const char *const folders[] = {"l0", "l0", "l1", "l2"};
	char names[16][40], folder[128];
	uint32_t count = 0;
	const char *level = folders[draw(4)];

	(void)snprintf(folder, sizeof(folder), "%s/%s", f->dir, level);
	DIR *dir = opendir(folder);

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) && count < ARRAY_LEN(names);)
		if (e->d_name[0] != '.')
			(void)snprintf(names[count++], sizeof(names[0]), "%.39s", e->d_name);
	(void)closedir(dir);
	assert_true(count > 0);
	qsort(names, count, sizeof(names[0]), (int (*)(const void *, const void *))strcmp);
	(void)snprintf(to, size, "%s/%s/%s", f->dir, level, names[draw(count)]);
}

/* ---- one round ---- */

static int ask(struct fixture *f, uint64_t *ret_total, uint64_t *ret_records)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = LATER};
	int rc;

	*ret_total = *ret_records = 0;
	rc = storage_scan(f->reader, &scan, count_segment, ret_total, NULL);
	if (!rc)
		rc = storage_records(f->reader, &scan, count_records, ret_records, NULL);
	return rc;
}

static bool exists(const char *path, const char *suffix)
{
	char name[400];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	return !stat(name, &st);
}

static void one(uint64_t seed)
{
	struct fixture f;
	uint64_t total = 0, records = 0;
	unsigned kind = draw(ARRAY_LEN(kinds));
	char path[256];
	int rc = -EIO, ignored = 0;

	fixture_init(&f, &storage_sqlite);
	for (int n = 0; n < PROFILES; n++)
		fixture_put(&f, some(n));
	for (int i = 0; i < 12; i++)
		fixture_maintain(&f, LATER);
	fixture_close(&f);
	choose(&f, path, sizeof(path));
	damage(path, kind);
	struct err err = {0};

	if (storage_open(f.location, &f.options, &f.store, &err))
		fail_msg("seed %llu, %s in %s: opening says %s", (unsigned long long)seed,
			 kinds[kind], path, err.message);
	assert_int_equal(storage_reader_open(f.store, &f.reader, NULL), 0);
	for (int i = 0; i < 8 && rc; i++) {
		rc = ask(&f, &total, &records);
		ignored = storage_maintain(f.store, LATER + i, NULL);
	}

	if (rc)
		fail_msg("seed %llu, %s in %s: the rest does not serve (%d)",
			 (unsigned long long)seed, kinds[kind], path, rc);
	/* The other levels have the same sums: all is there, from one or the other. */
	for (int i = 0; i < 12; i++)
		ignored = storage_maintain(f.store, LATER + SECONDS(10) * i, NULL);
	(void)ignored; /* damage may show there first; what counts is what comes after */

	bool aside = exists(path, ".damaged-1"), l0 = strstr(path, "/l0/") != NULL;
	/* An empty file cannot be told from one that was made right before the power went. */
	bool lost = aside || kind == 4;

	if (!aside && !exists(path, ""))
		fail_msg("seed %llu, %s: %s is gone", (unsigned long long)seed, kinds[kind], path);
	assert_int_equal(ask(&f, &total, &records), 0);
	if (total != PROFILES * RECORDS)
		fail_msg("seed %llu, %s in %s (%s): %llu samples, not %d", (unsigned long long)seed,
			 kinds[kind], path, aside ? "put aside" : "in place",
			 (unsigned long long)total, PROFILES * RECORDS);
	if (!l0 || !lost ? records != PROFILES * RECORDS : records >= PROFILES * RECORDS)
		fail_msg("seed %llu, %s in %s: %llu records", (unsigned long long)seed, kinds[kind],
			 path, (unsigned long long)records);
	fixture_put(&f, some(1));
	assert_int_equal(ask(&f, &total, &records), 0);
	assert_int_equal(total, (PROFILES + 1) * RECORDS);
	fixture_release(&f);
}

static void the_rest_serves(void **state)
{
	const char *count = getenv("HEARTH_DAMAGES"), *first = getenv("HEARTH_SEED");
	uint64_t seed = first ? strtoull(first, NULL, 10) : 1;
	uint64_t until = seed + (count ? strtoull(count, NULL, 10) : 60);

	(void)state;
	for (; seed < until; seed++) {
		random_state = seed * UINT64_C(0x9E3779B97F4A7C15);
		one(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_rest_serves)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
