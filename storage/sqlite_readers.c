/* SPDX-License-Identifier: Apache-2.0 */
/* Readers, and the period files that each has open. */
#include "storage/sqlite_read.h"

#include <errno.h>

int sqlite_reader_open(struct storage *store, struct storage_reader **ret_reader, struct err *err)
{
	struct sqlite_reader *r = calloc(1, sizeof(*r));

	if (!r || codec_new(&r->codec) || codec_new(&r->symbols_codec)) {
		codec_free(r ? r->codec : NULL);
		free(r);
		return err_set(err, -ENOMEM, "storage: out of memory");
	}
	(void)pthread_mutex_init(&r->symbols_lock, NULL);
	r->s = sqlite_of(store);
	pthread_mutex_lock(&r->s->lock);
	r->next = r->s->readers;
	r->s->readers = r;
	pthread_mutex_unlock(&r->s->lock);
	*ret_reader = &r->base;
	return 0;
}

void sqlite_reader_close(struct storage_reader *reader)
{
	struct sqlite_reader *r = reader_of(reader);
	struct sqlite_reader **at = &r->s->readers;

	pthread_mutex_lock(&r->s->lock);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	pthread_mutex_unlock(&r->s->lock);
	for (size_t i = 0; i < r->files_count; i++)
		open_file_free(r->s, r->files[i]);
	free(r->files);
	open_file_free(r->s, r->symbols);
	codec_columns_release(&r->columns);
	node_sums_release(&r->spare);
	codec_free(r->codec);
	codec_free(r->symbols_codec);
	(void)pthread_mutex_destroy(&r->symbols_lock);
	free(r);
}

/* ---- the reader's files ---- */

/* With the lock: take what is gone out of the reader's files, and put it before `taken`.  It is
 * closed without the lock: the last descriptor of a large file takes the disk a while. */
static struct open_file *take_gone(struct sqlite_reader *r, struct open_file *taken)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->files_count; i++) {
		struct open_file *file = r->files[i];

		if (file->entry->gone) {
			file->next = taken;
			taken = file;
		} else {
			r->files[kept++] = file;
		}
	}
	r->files_count = kept;
	return taken;
}

static void close_taken(struct sqlite_store *s, struct open_file *taken)
{
	while (taken) {
		struct open_file *file = taken;

		taken = file->next;
		open_file_free(s, file);
	}
}

void readers_let_go(struct sqlite_store *s)
{
	struct open_file *taken = NULL;

	pthread_mutex_lock(&s->lock);
	for (struct sqlite_reader *r = s->gone ? s->readers : NULL; r; r = r->next)
		if (!r->questions)
			taken = take_gone(r, taken);
	pthread_mutex_unlock(&s->lock);
	close_taken(s, taken);
}

void reader_begin(struct sqlite_reader *r)
{
	struct open_file *taken = NULL;
	size_t kept = 0;

	pthread_mutex_lock(&r->s->lock);
	if (!r->questions++)
		taken = take_gone(r, taken);
	pthread_mutex_unlock(&r->s->lock);
	close_taken(r->s, taken);
	r->used++;
	for (size_t i = 0; i < r->files_count; i++)
		if (open_file_is_torn(r->files[i]) ||
		    (r->files_count > READER_FILES_MAX && r->files[i]->used + 2 < r->used))
			open_file_free(r->s, r->files[i]);
		else
			r->files[kept++] = r->files[i];
	r->files_count = kept;
}

void reader_end(struct sqlite_reader *r)
{
	pthread_mutex_lock(&r->s->lock);
	r->questions--;
	pthread_mutex_unlock(&r->s->lock);
}

/* The writer waits for whoever began to read before the WAL was full. */
static int must_end(void *arg)
{
	const struct open_file *file = arg;

	return file->entry->hurries != file->hurries_seen;
}

static int open_entry(struct sqlite_reader *r, struct period_file *entry,
		      struct open_file **ret_file, struct err *err)
{
	struct open_file *file = calloc(1, sizeof(*file));
	int rc = file ? dict_init(&file->catalogue.dict, false) : -ENOMEM;

	if (rc) {
		free(file);
		return err_set(err, rc, "storage: out of memory");
	}
	pthread_mutex_lock(&r->s->lock);
	file->entry = files_ref(r->s, entry);
	pthread_mutex_unlock(&r->s->lock);
	file->hurries_seen = entry->hurries;
	file->reading = true;
	rc = open_file_read(r->s, file, err);
	if (!rc)
		sqlite3_progress_handler(file->db.handle, 1000, must_end, file);
	if (!rc && array_grow(&r->files, sizeof(struct open_file *), &r->files_capacity,
			      r->files_count + 1))
		rc = err_set(err, -ENOMEM, "storage: out of memory");
	if (rc) {
		open_file_free(r->s, file);
		return rc;
	}
	*ret_file = r->files[r->files_count++] = file;
	return 0;
}

int reader_file(struct sqlite_reader *r, struct period_file *entry, struct open_file **ret_file,
		struct err *err)
{
	int rc = 0;

	*ret_file = NULL;
	for (size_t i = 0; !*ret_file && i < r->files_count; i++)
		if (r->files[i]->entry == entry)
			*ret_file = r->files[i];
	if (!*ret_file)
		rc = open_entry(r, entry, ret_file, err);
	if (rc == -EBADMSG)
		files_damaged(r->s, entry);
	pthread_mutex_lock(&r->s->lock);
	if (entry->gone)
		rc = -ESTALE;
	pthread_mutex_unlock(&r->s->lock);
	if (!rc)
		(*ret_file)->used = r->used;
	return rc;
}

void reader_drop(struct sqlite_reader *r, struct open_file *file)
{
	for (size_t i = 0; i < r->files_count; i++) {
		if (r->files[i] != file)
			continue;
		r->files[i] = r->files[--r->files_count];
		open_file_free(r->s, file);
		break;
	}
}
