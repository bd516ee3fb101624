/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is gone with the process: a list of immutable copies of the profiles that were
 * put, read by walking it.  Slow and obviously right; it proves the contract and serves tests and
 * demos.
 *
 * A copy is never changed.  Readers take the list under the lock, with a reference to each copy,
 * and then read without it.  A scan gives one segment for each profile.
 */
#include <errno.h>
#include <string.h>

#include "storage/memory_store.h"

#define AGE_DEFAULT_NS (INT64_C(7 * 86400) * NS_PER_S)
#define BYTES_DEFAULT ((uint64_t)256 << 20)

static int memory_open(const char *rest, const struct storage_options *options,
		       struct storage **ret_store, struct err *err)
{
	if (*rest)
		return err_set(err, -EINVAL, "storage: 'memory:' takes nothing behind the colon");
	struct memory_store *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "storage: out of memory");
	m->options = *options;
	if (!m->options.l1_age_ns)
		m->options.l1_age_ns = AGE_DEFAULT_NS;
	if (!m->options.bytes_max)
		m->options.bytes_max = BYTES_DEFAULT;
	pthread_mutex_init(&m->lock, NULL);
	*ret_store = &m->base;
	return 0;
}

static void memory_close(struct storage *store)
{
	struct memory_store *m = memory_of(store);

	for (size_t i = 0; i < m->kept_count; i++)
		memory_profile_unref(m->kept[i]);
	for (size_t i = 0; i < m->symbols_count; i++)
		free(m->symbols[i].table);
	free(m->kept);
	free(m->cursors);
	free(m->symbols);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- writing; the caller holds the lock ---- */

static bool is_duplicate(const struct memory_store *m, const struct profile *p)
{
	struct hash128 key = storage_upload_key(p);

	if (!p->upload_id)
		return false;
	for (size_t i = 0; i < m->kept_count; i++) {
		const struct memory_profile *k = m->kept[i];
		int64_t apart = p->arrived_ns - k->profile->arrived_ns;

		if (k->profile->upload_id && hash128_equal(k->upload, key) &&
		    apart < STORAGE_UPLOAD_ID_NS && apart > -STORAGE_UPLOAD_ID_NS)
			return true;
	}
	return false;
}

static struct memory_cursor *cursor_find(const struct memory_store *m, const uint8_t id[16],
					 uint32_t ring)
{
	for (size_t i = 0; i < m->cursors_count; i++)
		if (m->cursors[i].ring == ring && !memcmp(m->cursors[i].runtime_id, id, 16))
			return &m->cursors[i];
	return NULL;
}

static int cursor_set(struct memory_store *m, const struct profile_cursor *from)
{
	struct memory_cursor *c = cursor_find(m, from->runtime_id, from->ring);

	if (!c) {
		int rc =
		    array_grow(&m->cursors, sizeof(*c), &m->cursors_capacity, m->cursors_count + 1);

		if (rc)
			return rc;
		c = &m->cursors[m->cursors_count++];
		*c = (struct memory_cursor){.ring = from->ring};
		memcpy(c->runtime_id, from->runtime_id, sizeof(c->runtime_id));
	}
	c->position = MAX(c->position, from->position);
	return 0;
}

static int put_one(struct memory_store *m, const struct profile *p, int *result, struct err *err)
{
	struct memory_profile *copy;

	*result = storage_check(p, err);
	if (*result)
		return *result;
	if (is_duplicate(m, p)) {
		m->duplicates++;
		*result = STORAGE_DUPLICATE;
		return 0;
	}
	*result = memory_profile_copy(p, &copy);
	if (!*result)
		*result =
		    array_grow(&m->kept, sizeof(*m->kept), &m->kept_capacity, m->kept_count + 1);
	for (size_t i = 0; !*result && i < p->cursors_count; i++)
		*result = cursor_set(m, &p->cursors[i]);
	if (*result)
		return err_set(err, *result, "storage: out of memory");
	m->kept[m->kept_count++] = copy;
	m->bytes += copy->bytes;
	m->records += p->records_count;
	m->profiles++;
	*result = STORAGE_STORED;
	return 0;
}

static int memory_put(struct storage *store, const struct profile *const *profiles, size_t count,
		      int *results, struct err *err)
{
	struct memory_store *m = memory_of(store);
	int first = 0;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < count; i++) {
		int rc = put_one(m, profiles[i], &results[i], first ? NULL : err);

		first = first ? first : rc;
	}
	pthread_mutex_unlock(&m->lock);
	return first;
}

/* Oldest by their own time go first; the newest stays whatever the limits say. */
static int memory_maintain(struct storage *store, int64_t now_ns, struct err *err)
{
	struct memory_store *m = memory_of(store);

	(void)err;
	pthread_mutex_lock(&m->lock);
	while (m->kept_count > 1) {
		size_t oldest = 0;

		for (size_t i = 1; i < m->kept_count; i++)
			if (m->kept[i]->last_ns < m->kept[oldest]->last_ns)
				oldest = i;
		if (m->kept[oldest]->last_ns >= now_ns - m->options.l1_age_ns &&
		    m->bytes + m->symbols_bytes <= m->options.bytes_max)
			break;
		m->bytes -= m->kept[oldest]->bytes;
		memory_profile_unref(m->kept[oldest]);
		memmove(m->kept + oldest, m->kept + oldest + 1,
			(--m->kept_count - oldest) * sizeof(*m->kept));
	}
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int memory_cursor(struct storage *store, const uint8_t runtime_id[16], uint32_t ring,
			 uint64_t *ret_position, struct err *err)
{
	struct memory_store *m = memory_of(store);

	(void)err;
	pthread_mutex_lock(&m->lock);
	const struct memory_cursor *c = cursor_find(m, runtime_id, ring);

	*ret_position = c ? c->position : 0;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/* ---- symbols ---- */

static struct memory_symbols *symbols_find(const struct memory_store *m, uint64_t scope,
					   const uint8_t *build_id, size_t build_id_len)
{
	for (size_t i = 0; i < m->symbols_count; i++)
		if (m->symbols[i].scope == scope && m->symbols[i].build_id_len == build_id_len &&
		    !memcmp(m->symbols[i].build_id, build_id, build_id_len))
			return &m->symbols[i];
	return NULL;
}

static int memory_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
			      size_t build_id_len, const void *table, size_t len,
			      uint64_t *ret_epoch, struct err *err)
{
	struct memory_store *m = memory_of(store);
	void *copy CLEANUP(cleanup_free) = malloc(len + 1);
	int rc = copy ? 0 : -ENOMEM;

	if (build_id_len > PROFILE_BUILD_ID_MAX)
		return err_set(err, -EINVAL, "storage: build id of %zu bytes", build_id_len);
	pthread_mutex_lock(&m->lock);
	struct memory_symbols *s = symbols_find(m, scope, build_id, build_id_len);

	if (!rc && !s) {
		rc =
		    array_grow(&m->symbols, sizeof(*s), &m->symbols_capacity, m->symbols_count + 1);
		s = rc ? NULL : &m->symbols[m->symbols_count++];
		if (s) {
			*s = (struct memory_symbols){.scope = scope, .build_id_len = build_id_len};
			memcpy(s->build_id, build_id, build_id_len);
		}
	}
	if (!rc) {
		memcpy(copy, table, len);
		free(s->table);
		m->symbols_bytes += len - s->len;
		s->table = TAKE(copy);
		s->len = len;
		s->epoch = *ret_epoch = ++m->epoch;
	}
	pthread_mutex_unlock(&m->lock);
	return rc ? err_set(err, rc, "storage: out of memory") : 0;
}

static int memory_symbols_get(struct storage_reader *reader, uint64_t scope,
			      const uint8_t *build_id, size_t build_id_len, void **ret_table,
			      size_t *ret_len, uint64_t *ret_epoch, struct err *err)
{
	struct memory_store *m = memory_of_reader(reader);
	void *copy = NULL;

	pthread_mutex_lock(&m->lock);
	const struct memory_symbols *s = symbols_find(m, scope, build_id, build_id_len);
	bool found = s != NULL;

	if (found)
		copy = malloc(s->len + 1);
	if (copy) {
		memcpy(copy, s->table, s->len);
		*ret_len = s->len;
		*ret_epoch = s->epoch;
		*ret_table = copy;
	}
	pthread_mutex_unlock(&m->lock);
	if (!found)
		return err_set(err, -ENOENT, "storage: no symbols for this build id");
	return copy ? 0 : err_set(err, -ENOMEM, "storage: out of memory");
}

/* ---- there are no parts ---- */

static int no_parts(struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "storage: a store in memory has no files");
}

static int memory_compact(struct storage *store, const char *part, struct err *err)
{
	(void)store;
	(void)part;
	return no_parts(err);
}

static int memory_adopt(struct storage *store, struct storage_incoming *incoming, struct err *err)
{
	(void)store;
	(void)incoming;
	return no_parts(err);
}

static int memory_parts(struct storage_reader *reader, storage_part_fn fn, void *arg,
			struct err *err)
{
	(void)reader;
	(void)fn;
	(void)arg;
	(void)err;
	return 0;
}

static int memory_check_part(struct storage_reader *reader, const char *part, struct err *err)
{
	(void)reader;
	(void)part;
	return no_parts(err);
}

static int memory_copy(struct storage_reader *reader, const char *part, int *ret_fd,
		       uint64_t *ret_bytes, struct err *err)
{
	(void)reader;
	(void)part;
	(void)ret_fd;
	(void)ret_bytes;
	return no_parts(err);
}

static int memory_incoming_open(struct storage_reader *reader, const char *part, uint64_t expected,
				struct storage_incoming **ret_incoming, struct err *err)
{
	(void)reader;
	(void)part;
	(void)expected;
	(void)ret_incoming;
	return no_parts(err);
}

const struct storage_backend storage_memory = {
    .name = "memory",
    .durable = false,
    .open = memory_open,
    .close = memory_close,
    .put = memory_put,
    .maintain = memory_maintain,
    .cursor = memory_cursor,
    .symbols_put = memory_symbols_put,
    .compact = memory_compact,
    .adopt = memory_adopt,
    .parts = memory_parts,
    .check_part = memory_check_part,
    .copy = memory_copy,
    .incoming_open = memory_incoming_open,
    .reader_open = memory_reader_open,
    .reader_close = memory_reader_close,
    .stats = memory_stats,
    .symbols_get = memory_symbols_get,
    .series = memory_series,
    .scan = memory_scan,
    .timeline = memory_timeline,
    .records = memory_records,
    .losses = memory_losses,
};
