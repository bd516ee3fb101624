/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/preload.h"
#include "cli/value.h"

static const char usage[] = "usage: hearth doctor [--json] [--server unix:PATH|URL]\n"
			    "\n"
			    "Looks at this host, the agent and what is attached to it, and says "
			    "what stands in the way of good\n"
			    "profiles and what would help.  Ends with 1 when something does not "
			    "work, and with 4 when no agent\n"
			    "answers.\n"
			    "\n"
			    "  --json   "
			    "{\"schema\":\"hearth.doctor/"
			    "1\",\"checks\":[{\"name\",\"state\":ok|note|bad,\"text\",\"fix\"}]}\n";

enum state { OK, NOTE, BAD };

struct doctor {
	json_t *checks;
	bool as_json, bad;
};

PRINTF(5, 6)
static void say(struct doctor *d, const char *name, enum state state, const char *fix,
		const char *fmt, ...)
{
	static const char *const words[] = {"ok", "note", "bad"};
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	d->bad = d->bad || state == BAD;
	if (d->as_json) {
		json_t *check = json_pack("{s:s, s:s, s:s+}", "name", name, "state", words[state],
					  "text", text, "");

		if (check && fix)
			(void)json_object_set_new(check, "fix", json_string(fix));
		(void)json_array_append_new(d->checks, check);
		return;
	}
	(void)printf("%-5s %-10s ", words[state], name);
	name_print(text);
	if (fix && state != OK)
		(void)printf("\n%17s%s", "", fix);
	(void)putchar('\n');
}

/* ---- the host ---- */

static long number_of(const char *path)
{
	FILE *file = fopen(path, "re");
	char text[64] = "";
	bool read = file && fgets(text, sizeof(text), file);

	if (file)
		(void)fclose(file);
	return read ? strtol(text, NULL, 10) : LONG_MIN;
}

static void host_check(struct doctor *d)
{
	struct utsname name = {0};
	long paranoid = number_of("/proc/sys/kernel/perf_event_paranoid");
	char path[PATH_MAX];

	(void)uname(&name);
	say(d, "kernel", OK, NULL, "%s %s", name.release, name.machine);
	if (paranoid == LONG_MIN)
		say(d, "perf", NOTE, "CPU time is sampled by timers, which need no privilege",
		    "the kernel has no perf events");
	else if (paranoid > 1)
		say(d, "perf", NOTE,
		    "sysctl kernel.perf_event_paranoid=1 lets programs take kernel time by the "
		    "perf engine",
		    "perf_event_paranoid is %ld: CPU time is sampled by timers, which need no "
		    "privilege",
		    paranoid);
	else
		say(d, "perf", OK, NULL, "perf_event_paranoid is %ld: the perf engine may be used",
		    paranoid);
	if (preload_find("libhearth-preload.so", path, sizeof(path)))
		say(d, "preload", OK, NULL, "%s", path);
	else
		say(d, "preload", BAD, "install the component `client`: cmake --install BUILD",
		    "libhearth-preload.so is not beside this program: `hearth run` starts commands "
		    "without it");
}

/* ---- the agent ---- */

static void directory_check(struct doctor *d, const struct place *place)
{
	struct stat st;
	char path[300];

	if (!place->directory[0])
		return;
	if (stat(place->directory, &st) < 0)
		say(d, "directory", BAD, "start hearthd", "%s: %s", place->directory,
		    strerror(errno));
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		say(d, "directory", BAD, "chmod go-w it: others could put a socket in its place",
		    "%s: others may write to it", place->directory);
	else
		say(d, "directory", OK, NULL, "%s, of uid %u", place->directory, st.st_uid);
	(void)snprintf(path, sizeof(path), "%s/agent.sock", place->directory);
	if (access(path, W_OK))
		say(d, "socket", BAD,
		    "programs of this user cannot attach: look at the modes up to it", "%s: %s",
		    path, strerror(errno));
	else
		say(d, "socket", OK, NULL, "%s", path);
	(void)snprintf(path, sizeof(path), "%s/disable", place->directory);
	if (access(path, F_OK) == 0)
		say(d, "disable", NOTE, "remove the file to go on",
		    "everything is paused while %s exists", path);
}

static void store_check(struct doctor *d, json_t *status)
{
	json_t *store = json_object_get(status, "storage");
	const char *location = answer_text(store, "location"), *directory = strchr(location, ':');
	struct statvfs fs;
	char bytes[32];

	if (answer_text(store, "trouble")[0])
		say(d, "store", BAD,
		    "profiles wait in the programs' rings meanwhile; see hearthd's log", "%s",
		    answer_text(store, "trouble"));
	else if (answer_text(store, "note")[0])
		say(d, "store", NOTE, NULL, "%s", answer_text(store, "note"));
	else
		say(d, "store", OK, NULL, "%s", location);
	if (!directory || directory[1] != '/' || statvfs(directory + 1, &fs))
		return;
	value_format((double)fs.f_bavail * (double)fs.f_frsize, "bytes", bytes, sizeof(bytes));
	say(d, "disk", fs.f_bavail < fs.f_blocks / 20 ? NOTE : OK,
	    "below free_percent (5) the oldest profiles go", "%s free", bytes);
}

static void symbols_check(struct doctor *d, json_t *status)
{
	json_t *symbols = json_object_get(status, "symbols");
	double failed = answer_number(symbols, "failed");

	if (answer_text(symbols, "trouble")[0])
		say(d, "symbols", BAD, "frames keep their addresses, and get names later", "%s",
		    answer_text(symbols, "trouble"));
	else
		say(d, "symbols", failed > 0 ? NOTE : OK,
		    "hearth symbols add FILE gives a debug file", "%.0f binaries read, %.0f not",
		    answer_number(symbols, "read"), failed);
}

/* ---- what is attached ---- */

static void process_check(struct doctor *d, json_t *p)
{
	const char *service = answer_text(p, "service");
	double pid = answer_number(p, "pid"), departing = answer_number(p, "threads_departing") +
							  answer_number(p, "threads_unsampled");
	json_t *refused, *count;
	const char *reason;
	size_t i;

	if (departing > 0)
		say(d, "threads", NOTE,
		    "they block signals: CPU totals are right, stacks of these threads are missing",
		    "%s, pid %.0f: %.0f threads whose samples do not follow their clock", service,
		    pid, departing);
	json_object_foreach(json_object_get(p, "lost"), reason,
			    count) if (json_integer_value(count))
	    say(d, "lost", NOTE, "docs/formats/http.md says what each reason means",
		"%s, pid %.0f: %lld samples (%s)", service, pid,
		(long long)json_integer_value(count), reason);
	json_array_foreach(json_object_get(p, "settings_refused"), i, refused)
	    say(d, "setting", NOTE, "libhearth(3) has the settings", "%s, pid %.0f: %s", service,
		pid, json_string_value(refused));
}

static void agent_check(struct doctor *d, json_t *status)
{
	json_t *processes = json_object_get(status, "processes"), *p;
	size_t i;

	if (strcmp(answer_text(status, "version"), HEARTH_VERSION) != 0)
		say(d, "version", NOTE, "restart hearthd after an update",
		    "the agent is %s, this is %s", answer_text(status, "version"), HEARTH_VERSION);
	store_check(d, status);
	symbols_check(d, status);
	if (!json_array_size(processes))
		say(d, "attached", NOTE, "hearth run -- COMMAND", "no program is attached now");
	else
		say(d, "attached", OK, NULL, "%zu programs", json_array_size(processes));
	json_array_foreach(processes, i, p) process_check(d, p);
}

static int run(int argc, char **argv)
{
	extern const struct verb verb_doctor;
	struct doctor d = {0};
	struct buf body = {0};
	struct place place;
	struct options o;
	int rest, code = options_parse(&verb_doctor, argc, argv, &o, &rest);

	if (code >= 0)
		return code;
	if (rest < argc)
		return complain(EXIT_USAGE, "doctor: \"%s\" is not understood", argv[rest]);
	d.as_json = o.json;
	d.checks = json_array();
	host_check(&d);
	code = place_find(o.server, &place);
	if (!code) {
		directory_check(&d, &place);
		code = ask(&place, "/api/v1/status", NULL, 0, NULL, 0, &body);
	}
	json_t *status = code ? NULL : json_loadb(body.data ? body.data : "", body.len, 0, NULL);

	if (code)
		say(&d, "agent", BAD, "start it: hearthd, or systemctl start hearthd",
		    "no agent answers");
	else
		say(&d, "agent", OK, NULL, "hearthd %s, pid %.0f", answer_text(status, "version"),
		    answer_number(status, "pid"));
	if (status)
		agent_check(&d, status);
	if (o.json) {
		json_t *all =
		    json_pack("{s:s, s:O}", "schema", "hearth.doctor/1", "checks", d.checks);

		(void)json_dumpf(all, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(all);
	}
	json_decref(d.checks);
	json_decref(status);
	buf_release(&body);
	return code ? code : d.bad ? EXIT_RUNTIME : EXIT_OK;
}

const struct verb verb_doctor = {.name = "doctor", .usage = usage, .run = run};
