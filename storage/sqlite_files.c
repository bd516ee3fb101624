/* SPDX-License-Identifier: Apache-2.0 */
/* The names of period files, and the catalogue of those that are there. */
#include "storage/sqlite_store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"

void extent_add_record(struct extent *e, int64_t time_ns)
{
	extent_add(e, time_ns);
	e->first_ns = MIN(e->first_ns, time_ns);
	e->last_ns = MAX(e->last_ns, time_ns);
	e->records++;
}

void extent_join(struct extent *e, const struct extent *other)
{
	e->min_ns = MIN(e->min_ns, other->min_ns);
	e->max_ns = MAX(e->max_ns, other->max_ns);
	e->first_ns = MIN(e->first_ns, other->first_ns);
	e->last_ns = MAX(e->last_ns, other->last_ns);
	e->records += other->records;
}

/* ---- names ---- */

static const struct {
	const char *folder, *format; /* of strptime, within the folder */
	int64_t period_ns;           /* 0: a month */
	int64_t window_ns;
} levels[SQLITE_LEVELS] = {
    {"l0", "%Y%m%dT%H.db", STORAGE_L0_FILE_NS, 0},
    {"l1", "%Y%m%d.db", STORAGE_L1_FILE_NS, STORAGE_L1_WINDOW_NS},
    {"l2", "%Y%m.db", 0, STORAGE_L2_WINDOW_NS},
};

const char *files_level(int level)
{
	return levels[level].folder;
}

int64_t files_window_ns(int level)
{
	return levels[level].window_ns;
}

/* The first of the month that is `months` after that of `time_ns`. */
static int64_t month_start(int64_t time_ns, int months)
{
	time_t seconds = (time_t)(clock_window_ns(time_ns, NS_PER_S) / NS_PER_S);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + months, .tm_mday = 1};
	return (int64_t)timegm(&tm) * NS_PER_S;
}

int64_t files_period_start(int level, int64_t time_ns)
{
	return levels[level].period_ns ? clock_window_ns(time_ns, levels[level].period_ns)
				       : month_start(time_ns, 0);
}

static int64_t period_end(int level, int64_t start_ns)
{
	return levels[level].period_ns ? start_ns + levels[level].period_ns
				       : month_start(start_ns, 1);
}

static void name_of(int level, int64_t start_ns, char *to, size_t size)
{
	time_t seconds = (time_t)(start_ns / NS_PER_S);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(to, size,
		       level == 0   ? "l0/%Y%m%dT%H.db"
		       : level == 1 ? "l1/%Y%m%d.db"
				    : "l2/%Y%m.db",
		       &tm);
}

/* Whether `name` (within the level's folder) is a period file, and which. */
bool files_parse_name(int level, const char *name, int64_t *ret_start_ns)
{
	struct tm tm = {.tm_mday = 1};
	char again[40];
	const char *end = strptime(name, levels[level].format, &tm);

	if (!end || *end)
		return false;
	*ret_start_ns = (int64_t)timegm(&tm) * NS_PER_S;
	name_of(level, *ret_start_ns, again, sizeof(again));
	return !strcmp(again + 3, name);
}

bool files_parse(const char *name, int *ret_level, int64_t *ret_start_ns)
{
	for (int level = 0; level < SQLITE_LEVELS; level++) {
		size_t len = strlen(levels[level].folder);

		*ret_level = level;
		if (!strncmp(name, levels[level].folder, len) && name[len] == '/')
			return files_parse_name(level, name + len + 1, ret_start_ns);
	}
	return false;
}

void files_path(const struct sqlite_store *s, const char *name, const char *suffix, char *to)
{
	(void)snprintf(to, SQLITE_PATH_MAX, "%s/%s%s", s->dir, name, suffix);
}

uint64_t files_bytes(const struct sqlite_store *s, const char *name)
{
	char path[SQLITE_PATH_MAX];
	uint64_t bytes = 0;
	struct stat st;

	/* stat alone: opening and closing a file of SQLite's would drop its locks. */
	files_path(s, name, "", path);
	if (!stat(path, &st))
		bytes += (uint64_t)st.st_size;
	files_path(s, name, "-wal", path);
	if (!stat(path, &st))
		bytes += (uint64_t)st.st_size;
	return bytes;
}

bool files_has_wal(const struct sqlite_store *s, const char *name)
{
	char path[SQLITE_PATH_MAX];
	struct stat st;

	files_path(s, name, "-wal", path);
	return !stat(path, &st) && st.st_size > 0;
}

/* ---- the catalogue ---- */

struct period_file *files_ref(struct sqlite_store *s, struct period_file *file)
{
	(void)s;
	file->refs++;
	return file;
}

static void unref_locked(struct sqlite_store *s, struct period_file *file)
{
	if (--file->refs)
		return;
	for (struct period_file **at = &s->gone; *at; at = &(*at)->also_gone)
		if (*at == file) {
			*at = file->also_gone;
			break;
		}
	recent_release(&file->recent);
	free(file->held.files);
	free(file);
}

void files_unref(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	unref_locked(s, file);
	pthread_mutex_unlock(&s->lock);
}

void files_damaged(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	file->damaged = true;
	pthread_mutex_unlock(&s->lock);
}

static int compare(const struct period_file *a, const struct period_file *b)
{
	if (a->level != b->level)
		return a->level - b->level;
	return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

/* The catalogue's reference is the one that `file` comes with. */
int files_add(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	int rc = array_grow(&s->files, sizeof(*s->files), &s->files_capacity, s->files_count + 1);
	size_t at = s->files_count;

	if (!rc) {
		for (; at && compare(s->files[at - 1], file) > 0; at--)
			s->files[at] = s->files[at - 1];
		s->files[at] = file;
		s->files_count++;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void files_remove(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->files_count; i++) {
		if (s->files[i] != file)
			continue;
		memmove(s->files + i, s->files + i + 1, (--s->files_count - i) * sizeof(*s->files));
		file->gone = true;
		file->also_gone = s->gone;
		s->gone = file;
		unref_locked(s, file);
		break;
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t files_pending_bytes(struct sqlite_store *s, int64_t now_ns)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&s->lock);
	for (const struct period_file *f = s->gone; f; f = f->also_gone) {
		int64_t waited_ns = now_ns - f->gone_ns; /* below 0: the clock was set back */

		if (waited_ns >= 0 && waited_ns < FILES_PENDING_NS)
			bytes += f->gone_bytes;
	}
	pthread_mutex_unlock(&s->lock);
	return bytes;
}

void files_widen(struct sqlite_store *s, struct period_file *file, const struct extent *extent)
{
	pthread_mutex_lock(&s->lock);
	extent_join(&file->extent, extent);
	pthread_mutex_unlock(&s->lock);
}

struct period_file *files_find(struct sqlite_store *s, int level, int64_t start_ns)
{
	for (size_t i = 0; i < s->files_count; i++)
		if (s->files[i]->level == level && s->files[i]->start_ns == start_ns)
			return s->files[i];
	return NULL;
}

struct period_file *files_named(struct sqlite_store *s, const char *name)
{
	for (size_t i = 0; i < s->files_count; i++)
		if (!strcmp(s->files[i]->name, name))
			return s->files[i];
	return NULL;
}

struct period_file *files_new(int level, int64_t start_ns)
{
	static const struct extent empty = EXTENT_EMPTY;
	struct period_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->level = level;
	file->start_ns = start_ns;
	file->end_ns = period_end(level, start_ns);
	file->extent = empty;
	file->refs = 1;
	file->derived = file->rolled = file->floor = -1;
	file->unknown = level ? 0 : KNOWN_ALL;
	name_of(level, start_ns, file->name, sizeof(file->name));
	return file;
}
