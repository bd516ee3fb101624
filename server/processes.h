/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/processes.h - the native side: who has attached, and the draining of their rings.
 *
 * Listens on <run>/agent.sock, takes hello messages, reads rings with pread and /proc through the
 * descriptors that came along, and hands batches to the writer.  Nothing of a client's memory is
 * mapped, and nothing that a client names is opened.  All functions run on the loop thread, except
 * processes_watch and processes_status, which any thread may call.
 */
#ifndef SERVER_PROCESSES_H
#define SERVER_PROCESSES_H

#include <event2/event.h>

#include "base/json.h"
#include "server/control.h"
#include "server/mailbox.h"
#include "server/symbols.h"
#include "server/writer.h"

#define PROCESSES_MAX 4096
#define PROCESSES_PER_OWNER_MAX 1024

struct processes;

struct processes_options {
	const char *socket_path;
	const char *host;        /* label "host" */
	struct control *control; /* orders to clients; outlives the processes */
};

MUST_CHECK int processes_start(struct event_base *base, struct mailbox *mailbox,
			       struct writer *writer, struct symbols *symbols,
			       const struct processes_options *options,
			       struct processes **ret_processes, struct err *err);

/* Stop listening and drain every ring once more; batches reach the writer's queue before this
 * returns. */
void processes_stop(struct processes *processes);
/* After the writer has stopped. */
void processes_free(struct processes *processes);

/*
 * A question about times up to `until_ns` (UTC) is coming.  Nobody asked for half a minute: rings
 * were drained every ten seconds, and this waits until what they hold now is stored, half a second
 * at most.  Then they are drained each second.
 */
void processes_watch(struct processes *processes, int64_t until_ns);

/* Write "processes":[...] and totals into an open JSON object. */
void processes_status(struct processes *processes, struct json *json);

/* The service names and pids that attached, for metrics and tests. */
size_t processes_count(struct processes *processes);

#endif
