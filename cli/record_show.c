/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/export.h"
#include "cli/record.h"
#include "cli/rows.h"
#include "cli/value.h"

#define SETTLE_NS (INT64_C(30) * NS_PER_S)
/* A living process is drained every second, or every other where there are many. */
#define TURN_NS (INT64_C(2500) * NS_PER_MS)

static bool is_stored(json_t *status, bool ended)
{
	return (!ended || !json_array_size(json_object_get(status, "processes"))) &&
	       answer_number(json_object_get(status, "symbols"), "queued") == 0 &&
	       answer_number(json_object_get(status, "storage"), "queued") == 0;
}

void record_settle(const struct place *place, bool ended)
{
	int64_t begun = clock_monotonic_ns();
	bool settled = false;

	while (!settled && clock_monotonic_ns() - begun < SETTLE_NS) {
		bool early = !ended && clock_monotonic_ns() - begun < TURN_NS;
		struct buf body = {0};

		if (ask(place, "/api/v1/status", NULL, 0, NULL, 0, &body)) {
			buf_release(&body);
			return;
		}
		json_t *status = json_loadb(body.data ? body.data : "", body.len, 0, NULL);

		settled = !early && is_stored(status, ended);
		json_decref(status);
		buf_release(&body);
		if (!settled)
			(void)usleep(50000);
	}
	if (!settled)
		(void)complain(0,
			       "record: the agent has not stored all after %lld s: the end is "
			       "missing",
			       (long long)(SETTLE_NS / NS_PER_S));
}

static int table_show(const struct options *o)
{
	const struct parameter extra[] = {{"type", o->type ? o->type : "cpu"},
					  {"limit", o->limit ? o->limit : "20"}};
	json_t *answer = NULL;
	int code = ask_json(o, "/api/v1/top", extra, ARRAY_LEN(extra), &answer);

	if (!code && (!o->quiet || o->service_of_agent)) /* there it is the data */
		code = rows_print(answer);
	(void)fflush(stdout);
	json_decref(answer);
	return code;
}

static int one_show(const struct options *o, const struct query_format *format)
{
	return format ? export_write(o, format, o->max_nodes ? o->max_nodes : "0") : table_show(o);
}

/* "out.pb.gz" is "out.heap.pb.gz" for the heap.  Whether there is room. */
static bool path_of(const char *path, const struct query_format *format, const char *kind, char *to,
		    size_t max)
{
	size_t len = strlen(path), suffix = strlen(format->suffix) + 1;

	if (len <= suffix || path[len - suffix] != '.' ||
	    strcmp(path + len - suffix + 1, format->suffix) != 0)
		suffix = 0;
	int n =
	    snprintf(to, max, "%.*s.%s%s", (int)(len - suffix), path, kind, path + len - suffix);

	return n > 0 && (size_t)n < max;
}

static int kind_show(const struct options *o, const struct query_format *format, const char *kind,
		     const char *type)
{
	struct options own = *o;
	char path[PATH_MAX];

	own.type = type;
	if (o->output && format) {
		if (!path_of(o->output, format, kind, path, sizeof(path)))
			return complain(EXIT_USAGE, "record: %s: the name is too long", o->output);
		own.output = path;
	}
	return one_show(&own, format);
}

int record_show(const struct options *o, const struct query_format *format,
		const struct record_range *range)
{
	struct options own = *o;
	char from[32], until[32];

	(void)snprintf(from, sizeof(from), "%lld", (long long)range->from_ns);
	(void)snprintf(until, sizeof(until), "%lld", (long long)range->until_ns);
	own.from = from;
	own.until = range->until_ns ? until : "now";
	int code = one_show(&own, format);

	if (o->heap) {
		int heap = kind_show(&own, format, "heap", "alloc_space");

		code = code ? code : heap;
	}
	if (o->lock) {
		int lock = kind_show(&own, format, "lock", "lock_delay");

		code = code ? code : lock;
	}
	return code;
}
