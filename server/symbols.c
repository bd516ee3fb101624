/* SPDX-License-Identifier: Apache-2.0 */
#include "server/symbols.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/table_cache.h"

#define QUEUE_MAX 4096

struct job {
	int fd;
	uint64_t scope;
	struct symbols_id id;
	struct read_now *waiter; /* somebody waits; replace what there is. NULL: nobody does */
	symbols_task_fn task;    /* not NULL: no file, but this */
	void *arg;
};

struct read_now {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool ready;
	int rc;
	struct err err;
};

struct symbols {
	struct writer *writer;
	struct readers *readers;
	struct symbolizer *symbolizer;
	struct table_cache *cache;
	atomic_uint_fast64_t epoch; /* of names: what was found before may be another now */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	struct job queue[QUEUE_MAX];
	size_t first, count;
	bool busy, stopping;
	struct symbols_stats stats;
};

static uint64_t scope_of(int fd, const struct symbols_id *id)
{
	struct stat st;
	bool everybodys = !id->is_hash && fstat(fd, &st) == 0 && st.st_uid == 0 &&
			  !(st.st_mode & (S_IWGRP | S_IWOTH));

	return everybodys ? 0 : (uint64_t)id->owner + 1;
}

static bool is_stored(struct symbols *s, const struct job *job)
{
	struct storage_reader *reader;

	if (readers_borrow(s->readers, &reader, NULL))
		return false;
	bool stored =
	    table_cache_is_stored(s->cache, reader, job->scope, job->id.build_id, job->id.len);

	readers_return(s->readers, reader);
	return stored;
}

struct put_call {
	const struct job *job;
	const struct buf *table;
	int rc;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool ready;
};

static void put_run(struct storage *store, void *arg)
{
	struct put_call *call = arg;
	uint64_t epoch;
	int rc =
	    storage_symbols_put(store, call->job->scope, call->job->id.build_id, call->job->id.len,
				call->table->data, call->table->len, &epoch, &call->err);

	(void)pthread_mutex_lock(&call->lock);
	call->rc = rc;
	call->ready = true;
	(void)pthread_cond_signal(&call->wake);
	(void)pthread_mutex_unlock(&call->lock);
}

static int table_put(struct symbols *s, const struct job *job, const struct buf *table,
		     struct err *err)
{
	struct put_call call = {.job = job,
				.table = table,
				.lock = PTHREAD_MUTEX_INITIALIZER,
				.wake = PTHREAD_COND_INITIALIZER};
	int rc = writer_task(s->writer, put_run, &call);

	if (rc)
		return err_set(err, rc, "the queue to the store is full");
	(void)pthread_mutex_lock(&call.lock);
	while (!call.ready)
		(void)pthread_cond_wait(&call.wake, &call.lock);
	(void)pthread_mutex_unlock(&call.lock);
	if (call.rc)
		*err = call.err;
	return call.rc;
}

static void waiter_wake(struct read_now *waiter, int rc, const struct err *err)
{
	if (!waiter)
		return;
	(void)pthread_mutex_lock(&waiter->lock);
	waiter->rc = rc;
	waiter->err = *err;
	waiter->ready = true;
	(void)pthread_cond_signal(&waiter->wake);
	(void)pthread_mutex_unlock(&waiter->lock);
}

static void job_run(struct symbols *s, const struct job *job)
{
	struct err err = {0};
	struct buf table;

	if (!job->waiter && is_stored(s, job))
		return;
	buf_init(&table, SYMBOL_TABLE_MAX);
	int rc = symbolizer_read(s->symbolizer, job->fd, job->id.build_id,
				 job->id.is_hash ? 0 : job->id.len, &table, &err);

	if (!rc)
		rc = table_put(s, job, &table, &err);
	buf_release(&table);
	(void)pthread_mutex_lock(&s->lock);
	s->stats.child_deaths += rc == -EPIPE;
	if (rc) {
		s->stats.failed++;
		(void)snprintf(s->stats.trouble, sizeof(s->stats.trouble), "%s", err.message);
	} else {
		s->stats.read++;
	}
	s->stats.child_pid = symbolizer_pid(s->symbolizer);
	(void)pthread_mutex_unlock(&s->lock);
	if (rc)
		log_debug("symbol", "%s", err.message);
	table_cache_forget(s->cache, job->scope, job->id.build_id, job->id.len);
	atomic_fetch_add(&s->epoch, 1);
	waiter_wake(job->waiter, rc, &err);
}

static bool job_take(struct symbols *s, struct job *job)
{
	(void)pthread_mutex_lock(&s->lock);
	s->busy = false;
	if (!s->count)
		(void)pthread_cond_broadcast(&s->idle);
	while (!s->count && !s->stopping)
		(void)pthread_cond_wait(&s->wake, &s->lock);
	bool going = !s->stopping;

	if (going) {
		*job = s->queue[s->first];
		s->first = (s->first + 1) % QUEUE_MAX;
		s->count--;
		s->busy = true;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return going;
}

static void *symbols_main(void *arg)
{
	struct symbols *s = arg;
	struct job job;

	while (job_take(s, &job)) {
		if (job.task)
			job.task(s, job.arg);
		else
			job_run(s, &job);
		fd_close(&job.fd);
	}
	return NULL;
}

int symbols_start(struct writer *writer, struct readers *readers, struct symbols **ret_symbols,
		  struct err *err)
{
	static const struct symbolizer_options defaults;
	struct symbols *s = calloc(1, sizeof(*s));
	pthread_condattr_t attributes;

	if (!s)
		return err_set(err, -ENOMEM, "symbols: out of memory");
	s->writer = writer;
	s->readers = readers;
	s->epoch = 1;
	int rc = table_cache_new(&s->cache);

	if (!rc)
		rc = symbolizer_new(&defaults, &s->symbolizer, err);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->wake, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->idle, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (!rc)
		rc = -pthread_create(&s->thread, NULL, symbols_main, s);
	if (rc) {
		symbolizer_free(s->symbolizer);
		table_cache_free(s->cache);
		free(s);
		return err_set(err, rc, "symbols: %s", strerror(-rc));
	}
	(void)pthread_setname_np(s->thread, "symbols");
	*ret_symbols = s;
	return 0;
}

void symbols_stop(struct symbols *s)
{
	if (!s)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stopping = true;
	(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	for (; s->count; s->count--, s->first = (s->first + 1) % QUEUE_MAX) {
		const struct err err = {.code = -EAGAIN, .message = "the agent is stopping"};
		const struct job *job = &s->queue[s->first];

		if (job->task)
			job->task(NULL, job->arg);
		fd_close(&s->queue[s->first].fd);
		waiter_wake(s->queue[s->first].waiter, -EAGAIN, &err);
	}
	symbolizer_free(s->symbolizer);
	table_cache_free(s->cache);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

static int job_add(struct symbols *s, struct job job, bool first)
{
	bool full;

	(void)pthread_mutex_lock(&s->lock);
	full = s->count == QUEUE_MAX || s->stopping;
	if (!full) {
		s->first = (s->first + (first ? QUEUE_MAX - 1 : 0)) % QUEUE_MAX;
		s->queue[(s->first + (first ? 0 : s->count)) % QUEUE_MAX] = job;
		s->count++;
		(void)pthread_cond_signal(&s->wake);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (full)
		fd_close(&job.fd);
	return full ? -EAGAIN : 0;
}

int symbols_add(struct symbols *s, int fd, const struct symbols_id *id)
{
	return job_add(s, (struct job){.fd = fd, .id = *id, .scope = scope_of(fd, id)}, false);
}

int symbols_add_own(struct symbols *s, int fd, const struct symbols_id *id)
{
	return job_add(s, (struct job){.fd = fd, .id = *id, .scope = 0}, false);
}

int symbols_read_now(struct symbols *s, int fd, const struct symbols_id *id, bool everybodys,
		     struct err *err)
{
	struct read_now waiter = {.lock = PTHREAD_MUTEX_INITIALIZER,
				  .wake = PTHREAD_COND_INITIALIZER};
	const struct job job = {.fd = fd,
				.id = *id,
				.scope = everybodys ? 0 : (uint64_t)id->owner + 1,
				.waiter = &waiter};

	if (job_add(s, job, false))
		return err_set(err, -EAGAIN, "the queue of binaries is full; try again");
	(void)pthread_mutex_lock(&waiter.lock);
	while (!waiter.ready)
		(void)pthread_cond_wait(&waiter.wake, &waiter.lock);
	(void)pthread_mutex_unlock(&waiter.lock);
	if (waiter.rc)
		*err = waiter.err;
	return waiter.rc;
}

int symbols_task(struct symbols *s, symbols_task_fn fn, void *arg, bool first)
{
	return job_add(s, (struct job){.fd = -1, .task = fn, .arg = arg}, first);
}

bool symbols_wait(struct symbols *s, int64_t timeout_ns)
{
	int64_t until_ns = clock_monotonic_ns() + timeout_ns;
	const struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};
	int rc = 0;

	(void)pthread_mutex_lock(&s->lock);
	while ((s->count || s->busy) && !rc)
		rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
	bool empty = !s->count && !s->busy;

	(void)pthread_mutex_unlock(&s->lock);
	return empty;
}

void symbols_stats(struct symbols *s, struct symbols_stats *ret_stats)
{
	(void)pthread_mutex_lock(&s->lock);
	*ret_stats = s->stats;
	ret_stats->queued = s->count + s->busy;
	(void)pthread_mutex_unlock(&s->lock);
	table_cache_stats(s->cache, &ret_stats->cached_tables, &ret_stats->cached_bytes);
}

/* ---- names for a query ---- */

#define VIEW_TABLES 512

/* The tables of one build id: its owner's own, who knows best what was built, and everybody's for
 * what that does not name.  Either may be NULL. */
struct view_tables {
	uint32_t owner;
	uint8_t build_id[PROFILE_BUILD_ID_MAX];
	size_t len;
	struct table_ref *refs[2];
};

struct symbols_view {
	struct symbols *symbols;
	struct storage_reader *reader;
	uint64_t epoch; /* from before the first table was looked for */
	size_t count;
	struct view_tables tables[VIEW_TABLES];
};

int symbols_view_new(struct symbols *symbols, struct storage_reader *reader,
		     struct symbols_view **ret_view)
{
	struct symbols_view *view = calloc(1, sizeof(*view));

	if (!view)
		return -ENOMEM;
	view->symbols = symbols;
	view->epoch = atomic_load(&symbols->epoch);
	view->reader = reader;
	*ret_view = view;
	return 0;
}

void symbols_view_free(struct symbols_view *view)
{
	if (!view)
		return;
	for (size_t i = 0; i < view->count; i++)
		for (size_t k = 0; k < ARRAY_LEN(view->tables[i].refs); k++)
			table_cache_release(view->symbols->cache, view->tables[i].refs[k]);
	free(view);
}

static const struct view_tables *tables_find(struct symbols_view *view,
					     const struct profile_module *module, uint32_t owner)
{
	struct table_cache *cache = view->symbols->cache;

	for (size_t i = 0; i < view->count; i++)
		if (view->tables[i].owner == owner && view->tables[i].len == module->build_id_len &&
		    !memcmp(view->tables[i].build_id, module->build_id, module->build_id_len))
			return &view->tables[i];
	if (view->count == VIEW_TABLES) {
		/* Another question may have room for this one. */
		atomic_fetch_add(&view->symbols->epoch, 1);
		return NULL;
	}
	struct view_tables *tables = &view->tables[view->count++];

	tables->owner = owner;
	tables->len = module->build_id_len;
	memcpy(tables->build_id, module->build_id, module->build_id_len);
	tables->refs[0] = table_cache_get(cache, view->reader, (uint64_t)owner + 1,
					  module->build_id, module->build_id_len);
	tables->refs[1] = module->is_hash ? NULL
					  : table_cache_get(cache, view->reader, 0,
							    module->build_id, module->build_id_len);
	return tables;
}

static size_t table_names(const struct symbol_table *table, uint64_t address, bool is_file_offset,
			  struct query_name names[QUERY_INLINES_MAX])
{
	struct symbol_frame frames[SYMBOL_INLINES_MAX];

	_Static_assert(QUERY_INLINES_MAX >= SYMBOL_INLINES_MAX, "a lookup fits an answer");
	if (is_file_offset && !symbol_table_address(table, address, &address))
		return 0;
	size_t count = symbol_table_find(table, address, frames);

	for (size_t i = 0; i < count; i++)
		names[i] = (struct query_name){frames[i].function, frames[i].file, frames[i].line,
					       frames[i].start_line, frames[i].inside};
	return count;
}

static size_t names_find(void *arg, const struct profile_module *module, uint32_t owner,
			 uint64_t address, bool is_file_offset,
			 struct query_name names[QUERY_INLINES_MAX])
{
	const struct view_tables *tables = tables_find(arg, module, owner);
	size_t count = 0;

	for (size_t i = 0; tables && !count && i < ARRAY_LEN(tables->refs); i++)
		if (tables->refs[i])
			count = table_names(table_ref_table(tables->refs[i]), address,
					    is_file_offset, names);
	return count;
}

struct query_names symbols_view_names(struct symbols_view *view)
{
	return (struct query_names){.arg = view, .epoch = view->epoch, .find = names_find};
}

/* ---- names for records ---- */

static bool object_at(const struct symbol_table *table, uint64_t address, char *to, size_t size)
{
	uint64_t offset;
	const char *name = symbol_table_object(table, address, &offset);

	if (!name)
		return false;
	if (offset)
		(void)snprintf(to, size, "%s+0x%llx", name, (unsigned long long)offset);
	else
		(void)snprintf(to, size, "%s", name);
	return true;
}

static bool function_at(const struct symbol_table *table, uint64_t address, char *to, size_t size)
{
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	size_t count = symbol_table_find(table, address, frames);

	if (!count || !frames[0].function)
		return false;
	(void)snprintf(to, size, "%s", frames[0].function);
	return true;
}

typedef bool (*name_at_fn)(const struct symbol_table *table, uint64_t address, char *to,
			   size_t size);

static bool name_at(struct symbols *s, const struct symbols_id *id, uint64_t address, char *to,
		    size_t size, bool *ret_files, name_at_fn find)
{
	struct profile_module module = {.build_id_len = (uint8_t)id->len, .is_hash = id->is_hash};
	struct storage_reader *reader;
	struct symbols_view *view;
	bool found = false, any = false;

	memcpy(module.build_id, id->build_id, sizeof(module.build_id));
	if (readers_borrow(s->readers, &reader, NULL))
		return false;
	if (!symbols_view_new(s, reader, &view)) {
		const struct view_tables *tables = tables_find(view, &module, id->owner);

		for (size_t i = 0; tables && !found && i < ARRAY_LEN(tables->refs); i++) {
			if (!tables->refs[i])
				continue;
			any = true;
			found = find(table_ref_table(tables->refs[i]), address, to, size);
		}
		symbols_view_free(view);
	}
	readers_return(s->readers, reader);
	*ret_files = *ret_files && any;
	return found;
}

bool symbols_name_object(struct symbols *s, const struct symbols_id *id, uint64_t address, char *to,
			 size_t size, bool *ret_files)
{
	return name_at(s, id, address, to, size, ret_files, object_at);
}

bool symbols_name_function(struct symbols *s, const struct symbols_id *id, uint64_t address,
			   char *to, size_t size, bool *ret_files)
{
	return name_at(s, id, address, to, size, ret_files, function_at);
}

bool symbols_name_type(struct symbols *s, const char *mangled, char *to, size_t size)
{
	struct err err;

	if (!symbolizer_type(s->symbolizer, mangled, to, size, &err))
		return true;
	(void)pthread_mutex_lock(&s->lock);
	s->stats.child_deaths += err.code == -EPIPE;
	(void)pthread_mutex_unlock(&s->lock);
	return false;
}
