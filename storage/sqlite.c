/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on the host's disk: a directory with one SQLite file for each hour of L0 and each day
 * of L1, and one for symbols.  docs/formats/storage.md describes the files; sqlite_store.h maps the
 * code.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "storage/sqlite_read.h"

#define L0_AGE_DEFAULT_NS (INT64_C(24 * 3600) * NS_PER_S)
#define L1_AGE_DEFAULT_NS (INT64_C(7 * 86400) * NS_PER_S)
#define L2_AGE_DEFAULT_NS (INT64_C(31 * 86400) * NS_PER_S)
#define FREE_PERMILLE_DEFAULT 50
#define L0_BYTES_DEFAULT ((uint64_t)512 << 20)
#define BYTES_DEFAULT ((uint64_t)2 << 30)

static int make_folder(const char *path, struct err *err)
{
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	return err_set(err, errno == ENOSPC ? -ENOSPC : -EIO, "storage: %s: %s", path,
		       strerror(errno));
}

/* One writer for each directory: two would each keep a dictionary that the other does not know. */
static int take_lock(struct sqlite_store *s, struct err *err)
{
	char path[SQLITE_PATH_MAX], text[32] = "";

	files_path(s, "lock", "", path);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_set(err, -EIO, "storage: %s: %s", path, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		ssize_t n = pread(s->lock_fd, text, sizeof(text) - 1, 0);

		text[strcspn(text, "\n")] = '\0';
		return err_set(err, -EBUSY, "storage: %s is in use by process %s", s->dir,
			       n > 0 ? text : "(unknown)");
	}
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* For people only; the lock is the lock. */
	if (ftruncate(s->lock_fd, 0) || pwrite(s->lock_fd, text, (size_t)len, 0) != len)
		return 0;
	return 0;
}

static void sync_dir(const struct sqlite_store *s)
{
	int fd CLOSING = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)fsync(fd);
}

static int load(struct sqlite_store *s, struct err *err)
{
	char path[SQLITE_PATH_MAX];
	int rc = make_folder(s->dir, err);

	if (!rc)
		rc = take_lock(s, err);
	for (int level = 0; !rc && level < SQLITE_LEVELS; level++) {
		files_path(s, files_level(level), "", path);
		rc = make_folder(path, err);
	}
	if (rc)
		return rc;
	sync_dir(s);
	copies_sweep(s);
	rc = files_load(s, err);
	return rc ? rc : symbols_load(s, err);
}

static void sqlite_close(struct storage *store)
{
	struct sqlite_store *s = sqlite_of(store);

	files_release(s);
	symbols_release(s);
	known_release(&s->known);
	imports_release(&s->derived);
	imports_release(&s->putting);
	free(s->putting.lately);
	batch_release(&s->batch);
	codec_free(s->codec);
	fd_close(&s->lock_fd);
	pthread_mutex_destroy(&s->room_lock);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int sqlite_open(const char *rest, const struct storage_options *options,
		       struct storage **ret_store, struct err *err)
{
	struct sqlite_store *s = calloc(1, sizeof(*s));

	if (!s || codec_new(&s->codec)) {
		free(s);
		return err_set(err, -ENOMEM, "storage: out of memory");
	}
	s->lock_fd = -1;
	/* without it, too */
	s->putting.lately = calloc(DICT_LATELY_ALL, sizeof(struct dict_lately));
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->room_lock, NULL);
	s->options = *options;
	if (!s->options.l0_age_ns)
		s->options.l0_age_ns = L0_AGE_DEFAULT_NS;
	if (!s->options.l1_age_ns)
		s->options.l1_age_ns = L1_AGE_DEFAULT_NS;
	if (!s->options.l2_age_ns)
		s->options.l2_age_ns = L2_AGE_DEFAULT_NS;
	if (!s->options.free_permille)
		s->options.free_permille = FREE_PERMILLE_DEFAULT;
	if (!s->options.l0_bytes_max)
		s->options.l0_bytes_max = L0_BYTES_DEFAULT;
	if (!s->options.bytes_max)
		s->options.bytes_max = BYTES_DEFAULT;
	int n = snprintf(s->dir, sizeof(s->dir), "%s", rest);
	int rc = 0;

	if (n <= 0 || (size_t)n >= sizeof(s->dir))
		rc = err_set(err, -EINVAL, "storage: 'sqlite:' needs a directory");
	if (!rc && !sqlite3_threadsafe())
		rc = err_set(err, -EIO, "storage: this SQLite was built without threads");
	if (!rc)
		rc = load(s, err);
	if (rc) {
		sqlite_close(&s->base);
		return rc;
	}
	*ret_store = &s->base;
	return 0;
}

static int sqlite_cursor(struct storage *store, const uint8_t runtime_id[16], uint32_t ring,
			 uint64_t *ret_position, struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	int rc = known_want(s, KNOWN_CURSORS, err);

	*ret_position = rc ? 0 : known_cursor(&s->known, runtime_id, ring);
	return rc;
}

const struct storage_backend storage_sqlite = {
    .name = "sqlite",
    .durable = true,
    .open = sqlite_open,
    .close = sqlite_close,
    .put = sqlite_put,
    .maintain = sqlite_maintain,
    .cursor = sqlite_cursor,
    .symbols_put = sqlite_symbols_put,
    .compact = sqlite_compact,
    .adopt = sqlite_adopt,
    .parts = sqlite_parts,
    .check_part = sqlite_check_part,
    .copy = sqlite_copy,
    .incoming_open = sqlite_incoming_open,
    .incoming_add = sqlite_incoming_add,
    .incoming_check = sqlite_incoming_check,
    .incoming_close = sqlite_incoming_close,
    .reader_open = sqlite_reader_open,
    .reader_close = sqlite_reader_close,
    .stats = sqlite_stats,
    .symbols_get = sqlite_symbols_get,
    .series = sqlite_series,
    .scan = sqlite_scan,
    .timeline = sqlite_timeline,
    .records = sqlite_records,
    .losses = sqlite_losses,
};
