/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/db: the store's files.  GET /api/v1/db/file?name=: one of them as it is now, of any
 * size.  POST /api/v1/db?action=check|compact|import&name=: look at one, write it anew, or take one
 * in (the body, which goes to the store's disk as it comes).  Over http.sock alone, for root and
 * the agent's own user: nobody but the agent opens a live store.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "server/route.h"

static int may_maintain(const struct route_call *call, struct err *err)
{
	uint32_t uid = call->request->caller.uid;

	return uid == 0 || uid == geteuid()
		   ? 0
		   : err_set(err, -EPERM, "db: root and the agent's user may, uid %u may not", uid);
}

static int part_write(void *arg, const struct storage_part *part)
{
	struct json *json = arg;

	json_open(json, '{');
	json_key_text(json, "name", part->name);
	json_key_int(json, "level", part->level);
	json_key_uint(json, "bytes", part->bytes);
	json_key_uint(json, "records", part->records);
	json_key_int(json, "first", part->first_ns);
	json_key_int(json, "last", part->last_ns);
	json_close(json, '}');
	return 0;
}

void route_db(struct route_call *call)
{
	struct storage_reader *reader = NULL;
	struct err err = {0};
	struct json json;
	int rc = may_maintain(call, &err);

	if (!rc)
		rc = readers_borrow(call->agent->readers, &reader, &err);
	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "schema", "hearth.db/1");
	json_key(&json, "files");
	json_open(&json, '[');
	if (!rc)
		rc = storage_parts(reader, part_write, &json, &err);
	json_close(&json, ']');
	json_close(&json, '}');
	readers_return(call->agent->readers, reader);
	if (rc)
		route_fail(call, rc, &err);
}

struct named {
	const char *name;
	uint64_t bytes;
};

static int part_find(void *arg, const struct storage_part *part)
{
	struct named *named = arg;

	if (!strcmp(part->name, named->name))
		named->bytes = part->bytes;
	return 0;
}

/* To make the copy and to send it each have the time that its size asks for. */
static int copy(struct route_call *call, struct storage_reader *reader, const char *name,
		struct err *err)
{
	struct http_answer *answer = call->answer;
	struct named named = {.name = name};
	int rc = storage_parts(reader, part_find, &named, err);

	if (rc)
		return rc;
	http_expect(call->request, named.bytes);
	rc = storage_copy(reader, name, &answer->file, &answer->file_bytes, err);
	if (rc)
		return rc;
	answer->is_file = true;
	http_expect(call->request, answer->file_bytes);
	return 0;
}

void route_db_file(struct route_call *call)
{
	const char *name = http_query(call->request, "name");
	struct storage_reader *reader = NULL;
	struct err err = {0};
	int rc = may_maintain(call, &err);

	if (!rc)
		rc = readers_borrow(call->agent->readers, &reader, &err);
	if (!rc)
		rc = copy(call, reader, name ? name : "", &err);
	readers_return(call->agent->readers, reader);
	call->answer->content_type = "application/vnd.sqlite3";
	if (rc)
		route_fail(call, rc, &err);
}

/* ---- what comes in ---- */

struct import {
	struct http_sink sink;
	struct agent *agent;
	struct storage_incoming *incoming;
	uint64_t bytes;
};

static bool import_add(struct http_sink *sink, const struct http_request *request,
		       const char *bytes, size_t len, struct http_answer *answer)
{
	struct import *import = (struct import *)sink;
	struct route_call call = {.agent = import->agent, .request = request, .answer = answer};
	struct err err = {0};
	int rc = storage_incoming_add(import->incoming, bytes, len, &err);

	import->bytes += len;
	if (rc)
		route_fail(&call, rc, &err);
	return !rc;
}

static void import_release(struct http_sink *sink)
{
	struct import *import = (struct import *)sink;

	storage_incoming_close(import->incoming);
	free(import);
}

static int import_open(struct route_call *call, struct import *import, struct err *err)
{
	const char *name = http_query(call->request, "name");
	const char *length = http_header(call->request, "Content-Length");
	struct storage_reader *reader = NULL;
	int rc = may_maintain(call, err);

	if (!rc)
		rc = readers_borrow(call->agent->readers, &reader, err);
	if (!rc)
		rc = storage_incoming_open(reader, name ? name : "",
					   length ? strtoull(length, NULL, 10) : 0,
					   &import->incoming, err);
	readers_return(call->agent->readers, reader);
	return rc;
}

bool route_db_sink(struct route_call *call, struct http_sink **ret_sink)
{
	const char *action = http_query(call->request, "action");
	struct err err = {0};

	if (!action || strcmp(action, "import"))
		return true;
	struct import *import = calloc(1, sizeof(*import));
	int rc = import ? 0 : err_set(&err, -ENOMEM, "db: out of memory");

	if (!rc)
		rc = import_open(call, import, &err);
	if (rc) {
		free(import);
		route_fail(call, rc, &err);
		return false;
	}
	import->sink = (struct http_sink){import_add, import_release};
	import->agent = call->agent;
	*ret_sink = &import->sink;
	return true;
}

/* Something that the writer thread does while this one waits. */
struct errand {
	const char *name;                  /* to compact it */
	struct storage_incoming *incoming; /* NULL, or to adopt it */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool ready;
	int rc;
	struct err err;
};

static void errand_run(struct storage *store, void *arg)
{
	struct errand *e = arg;
	int rc = e->incoming ? storage_adopt(store, e->incoming, &e->err)
			     : storage_compact(store, e->name, &e->err);

	(void)pthread_mutex_lock(&e->lock);
	e->rc = rc;
	e->ready = true;
	(void)pthread_cond_signal(&e->wake);
	(void)pthread_mutex_unlock(&e->lock);
}

static int send_errand(struct route_call *call, const char *name, struct storage_incoming *incoming,
		       struct err *err)
{
	struct errand e = {.name = name,
			   .incoming = incoming,
			   .lock = PTHREAD_MUTEX_INITIALIZER,
			   .wake = PTHREAD_COND_INITIALIZER};
	int rc = writer_task(call->agent->writer, errand_run, &e);

	if (rc)
		return err_set(err, rc, "the queue to the store is full; try again");
	(void)pthread_mutex_lock(&e.lock);
	while (!e.ready)
		(void)pthread_cond_wait(&e.wake, &e.lock);
	(void)pthread_mutex_unlock(&e.lock);
	if (e.rc)
		*err = e.err;
	return e.rc;
}

static int check(struct route_call *call, const char *name, struct err *err)
{
	struct storage_reader *reader = NULL;
	int rc = readers_borrow(call->agent->readers, &reader, err);

	if (!rc)
		rc = storage_check_part(reader, name, err);
	readers_return(call->agent->readers, reader);
	return rc;
}

/* All of it is there.  To look at it takes its time, and the writer does not wait for that. */
static int import_end(struct route_call *call, const char *name, struct err *err)
{
	struct import *import = (struct import *)call->request->sink;

	http_expect(call->request, import->bytes);
	int rc = storage_incoming_check(import->incoming, err);

	return rc ? rc : send_errand(call, name, import->incoming, err);
}

void route_db_action(struct route_call *call)
{
	const char *action = http_query(call->request, "action");
	const char *name = http_query(call->request, "name");
	struct err err = {0};
	struct json json;
	int rc = may_maintain(call, &err);
	bool damaged = false;

	action = action ? action : "";
	name = name ? name : "";
	if (!rc && !strcmp(action, "check")) {
		rc = check(call, name, &err);
		damaged = rc == -EBADMSG;
	} else if (!rc && !strcmp(action, "compact")) {
		rc = send_errand(call, name, NULL, &err);
	} else if (!rc && !strcmp(action, "import")) {
		rc = import_end(call, name, &err);
	} else if (!rc) {
		rc = err_set(&err, -EINVAL, "action: check, compact or import");
	}
	if (rc && !damaged) {
		route_fail(call, rc, &err);
		return;
	}
	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "schema", "hearth.db.action/1");
	json_key(&json, "ok");
	json_bool(&json, !damaged);
	if (damaged)
		json_key_text(&json, "finding", err.message);
	json_close(&json, '}');
}
