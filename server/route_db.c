/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/db: the store's files.  GET /api/v1/db/file?name=: one of them as it is now.
 * POST /api/v1/db?action=check|compact|import&name=: look at one, write it anew, or take one in
 * (the body).  Over http.sock alone, for root and the agent's own user: nobody but the agent opens
 * a live store.
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

void route_db_file(struct route_call *call)
{
	const char *name = http_query(call->request, "name");
	struct storage_reader *reader = NULL;
	struct err err = {0};
	void *bytes = NULL;
	size_t len = 0;
	int rc = may_maintain(call, &err);

	if (!rc)
		rc = readers_borrow(call->agent->readers, &reader, &err);
	if (!rc)
		rc = storage_copy(reader, name ? name : "", &bytes, &len, &err);
	readers_return(call->agent->readers, reader);
	if (!rc && buf_add(&call->answer->body, bytes, len))
		rc = err_set(&err, -ENOMEM, "db: the file does not fit an answer");
	free(bytes);
	call->answer->content_type = "application/vnd.sqlite3";
	if (rc)
		route_fail(call, rc, &err);
}

/* Something that the writer thread does while this one waits. */
struct errand {
	const char *action, *name;
	struct str body;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool ready;
	int rc;
	struct err err;
};

static void errand_run(struct storage *store, void *arg)
{
	struct errand *e = arg;
	int rc = *e->action == 'c'
		     ? storage_compact(store, e->name, &e->err)
		     : storage_adopt(store, e->name, e->body.ptr, e->body.len, &e->err);

	(void)pthread_mutex_lock(&e->lock);
	e->rc = rc;
	e->ready = true;
	(void)pthread_cond_signal(&e->wake);
	(void)pthread_mutex_unlock(&e->lock);
}

static int send_errand(struct route_call *call, const char *action, const char *name,
		       struct err *err)
{
	struct errand e = {.action = action,
			   .name = name,
			   .body = call->request->body,
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
	} else if (!rc && (!strcmp(action, "compact") || !strcmp(action, "import"))) {
		rc = send_errand(call, action, name, &err);
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
