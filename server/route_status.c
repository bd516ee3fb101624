/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent says of itself: status, probes, metrics. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "server/route.h"

static void storage_json(struct agent *agent, struct json *json)
{
	struct storage_reader *reader = NULL;
	struct storage_stats stats = {0};
	struct writer_stats writer;
	struct err err = {0};
	int rc = readers_borrow(agent->readers, &reader, &err);

	if (!rc)
		rc = storage_stats(reader, &stats, &err);
	readers_return(agent->readers, reader);
	writer_stats(agent->writer, &writer);
	json_key(json, "storage");
	json_open(json, '{');
	json_key_text(json, "location", agent->config.store);
	json_key_text(json, "version", stats.version);
	json_key_text(json, "note", rc ? err.message : stats.note);
	json_key_uint(json, "bytes", stats.bytes);
	json_key_uint(json, "raw_bytes", stats.l0_bytes);
	json_key_uint(json, "window_bytes", stats.l1_bytes);
	json_key_uint(json, "hour_bytes", stats.l2_bytes);
	json_key_uint(json, "symbol_bytes", stats.symbols_bytes);
	json_key_uint(json, "files", stats.files);
	json_key_int(json, "oldest", stats.oldest_ns);
	json_key_int(json, "newest", stats.newest_ns);
	json_key_uint(json, "profiles", writer.stored);
	json_key_uint(json, "records", writer.records);
	json_key_uint(json, "duplicates", writer.duplicates);
	json_key_uint(json, "failed", writer.failed);
	json_key_uint(json, "refused", writer.refused);
	json_key_uint(json, "queued", writer.queued);
	json_key_uint(json, "commits", writer.commits);
	json_key_uint(json, "last_commit_ns", (uint64_t)writer.last_commit_ns);
	json_key_text(json, "trouble", writer.trouble);
	json_close(json, '}');
}

static void symbols_json(struct agent *agent, struct json *json)
{
	struct symbols_stats stats;

	symbols_stats(agent->symbols, &stats);
	json_key(json, "symbols");
	json_open(json, '{');
	json_key_uint(json, "read", stats.read);
	json_key_uint(json, "failed", stats.failed);
	json_key_uint(json, "queued", stats.queued);
	json_key_uint(json, "child_deaths", stats.child_deaths);
	json_key_uint(json, "cached_tables", stats.cached_tables);
	json_key_uint(json, "cached_bytes", stats.cached_bytes);
	json_key_text(json, "trouble", stats.trouble);
	json_close(json, '}');
}

static void http_json(struct agent *agent, struct json *json)
{
	struct http_stats stats;

	http_stats(agent->http, &stats);
	json_key(json, "http");
	json_open(json, '{');
	json_key(json, "listen");
	json_open(json, '[');
	for (size_t i = 0; i < agent->bound_count; i++)
		json_cstring(json, agent->bound[i]);
	json_close(json, ']');
	json_key_uint(json, "accepted", stats.accepted);
	json_key_uint(json, "refused_head", stats.refused_head);
	json_key_uint(json, "timed_out", stats.timed_out);
	json_key_uint(json, "served", stats.served);
	json_key_uint(json, "open", stats.open);
	json_close(json, '}');
}

static void grpc_json(struct agent *agent, struct json *json)
{
	struct http2_stats stats;

	if (!agent->rpc)
		return;
	http2_stats(agent->rpc, &stats);
	json_key(json, "grpc");
	json_open(json, '{');
	json_key_text(json, "listen", agent->rpc_bound);
	json_key_uint(json, "accepted", stats.accepted);
	json_key_uint(json, "served", stats.served);
	json_key_uint(json, "refused", stats.refused);
	json_key_uint(json, "timed_out", stats.timed_out);
	json_key_uint(json, "resets", stats.resets);
	json_key_uint(json, "cut", stats.cut);
	json_key_uint(json, "open", stats.open);
	json_close(json, '}');
}

static uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Of a place in the agent's uploads; NULL behind the last. */
static const char *protocol_name(size_t i)
{
	if (ingest_at(i))
		return ingest_at(i)->name;
	return !i || ingest_at(i - 1) ? "unknown" : NULL;
}

static void uploads_json(const struct agent *agent, struct json *json)
{
	json_key(json, "uploads");
	json_open(json, '{');
	for (size_t i = 0; protocol_name(i); i++) {
		const struct agent_uploads *u = &agent->uploads[i];

		if (!counted(&u->requests))
			continue;
		json_key(json, protocol_name(i));
		json_open(json, '{');
		json_key_uint(json, "requests", counted(&u->requests));
		json_key_uint(json, "failed", counted(&u->failed));
		json_key_uint(json, "duplicates", counted(&u->duplicates));
		json_key_uint(json, "profiles", counted(&u->profiles));
		json_key_uint(json, "samples", counted(&u->samples));
		json_key_uint(json, "rejected", counted(&u->rejected));
		json_close(json, '}');
	}
	json_close(json, '}');
	json_key_uint(json, "trace_payloads_not_kept", counted(&agent->trace_payloads));
}

void route_status(struct route_call *call)
{
	struct agent *agent = call->agent;
	struct json json;

	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "schema", "hearth.status/1");
	json_key_text(&json, "version", HEARTH_VERSION);
	json_key_text(&json, "host", agent->host);
	json_key_int(&json, "pid", getpid());
	json_key_int(&json, "started", agent->started_ns);
	json_key_int(&json, "now", call->now_ns);
	/* Whose processes run here is for those who may see their profiles. */
	if (call->request->caller.sees_all)
		processes_status(agent->processes, &json);
	if (call->request->caller.sees_all)
		scrape_status(agent->scraper, &json);
	storage_json(agent, &json);
	symbols_json(agent, &json);
	http_json(agent, &json);
	grpc_json(agent, &json);
	uploads_json(agent, &json);
	limits_status(&agent->limits, &json);
	json_close(&json, '}');
}

void route_healthz(struct route_call *call)
{
	call->answer->content_type = "text/plain; charset=utf-8";
	(void)buf_add_str(&call->answer->body, "ok\n");
}

void route_readyz(struct route_call *call)
{
	struct writer_stats writer;

	writer_stats(call->agent->writer, &writer);
	if (!__atomic_load_n(&call->agent->ready, __ATOMIC_ACQUIRE)) {
		http_problem(call->answer, 503, "starting");
	} else if (writer.trouble[0]) {
		http_problem(call->answer, 503, "the store does not take profiles: %s",
			     writer.trouble);
	} else {
		call->answer->content_type = "text/plain; charset=utf-8";
		(void)buf_add_str(&call->answer->body, "ready\n");
	}
}

static void metric(struct buf *out, const char *name, const char *type, const char *help,
		   uint64_t value)
{
	(void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name,
			 type, name, value);
}

static void upload_metric(const struct agent *agent, struct buf *out, const char *name,
			  const char *help, size_t offset)
{
	(void)buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
	for (size_t i = 0; protocol_name(i); i++)
		(void)buf_printf(
		    out, "%s{protocol=\"%s\"} %" PRIu64 "\n", name, protocol_name(i),
		    counted((const uint64_t *)(const void *)((const char *)&agent->uploads[i] +
							     offset)));
}

void route_metrics(struct route_call *call)
{
	struct agent *agent = call->agent;
	struct buf *out = &call->answer->body;
	struct writer_stats writer;
	struct symbols_stats symbols;
	struct http_stats http;

	writer_stats(agent->writer, &writer);
	symbols_stats(agent->symbols, &symbols);
	http_stats(agent->http, &http);
	call->answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
	(void)buf_printf(out,
			 "# HELP hearth_build_info The running version.\n"
			 "# TYPE hearth_build_info gauge\nhearth_build_info{version=\"%s\"} 1\n",
			 HEARTH_VERSION);
	metric(out, "hearth_profiles_stored_total", "counter", "Profiles on disk.", writer.stored);
	metric(out, "hearth_records_stored_total", "counter", "Records on disk.", writer.records);
	metric(out, "hearth_profiles_duplicate_total", "counter", "Retries that counted once.",
	       writer.duplicates);
	metric(out, "hearth_profiles_failed_total", "counter", "Profiles that the store refused.",
	       writer.failed);
	metric(out, "hearth_queue_refused_total", "counter", "Profiles refused by a full queue.",
	       writer.refused);
	metric(out, "hearth_commits_total", "counter", "Transactions.", writer.commits);
	metric(out, "hearth_queue_profiles", "gauge", "Profiles that wait for the store.",
	       writer.queued);
	metric(out, "hearth_processes", "gauge", "Attached processes.",
	       processes_count(agent->processes));
	metric(out, "hearth_symbol_tables_read_total", "counter", "Binaries read.", symbols.read);
	metric(out, "hearth_symbol_tables_failed_total", "counter",
	       "Binaries that could not be read.", symbols.failed);
	upload_metric(agent, out, "hearth_uploads_total", "Requests with profiles, by protocol.",
		      offsetof(struct agent_uploads, requests));
	upload_metric(agent, out, "hearth_uploads_failed_total", "Of those, refused.",
		      offsetof(struct agent_uploads, failed));
	upload_metric(agent, out, "hearth_uploads_rejected_profiles_total",
		      "Profiles left out of requests that were kept.",
		      offsetof(struct agent_uploads, rejected));
	limits_metrics(&agent->limits, out);
	metric(out, "hearth_http_requests_total", "counter", "Requests served.", http.served);
	if (agent->rpc) {
		struct http2_stats grpc;

		http2_stats(agent->rpc, &grpc);
		metric(out, "hearth_grpc_calls_total", "counter", "gRPC calls served.",
		       grpc.served);
		metric(out, "hearth_grpc_refused_total", "counter", "gRPC calls refused unread.",
		       grpc.refused);
		metric(out, "hearth_grpc_cut_total", "counter",
		       "gRPC connections ended for breaking a rule.", grpc.cut);
	}
	metric(out, "hearth_http_refused_total", "counter", "Connections refused by their head.",
	       http.refused_head);
}
