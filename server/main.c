/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/main.c - hearthd: puts the parts together, runs the loop, takes them apart.
 *
 * Order matters twice.  Starting: the store's lock comes first, so that two agents never share a
 * directory, and hearthd.json last, so that its presence means ready.  Stopping: no new work, rings
 * drained, requests ended, symbols stopped, readers closed, and the writer commits what it took.
 */
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <microhttpd.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "query/html.h"
#include "server/agent.h"
#include "server/page.h"
#include "server/rpc.h"
#include "server/vdso.h"

static const char *const default_listen[] = {"127.0.0.1:4040", "127.0.0.1:8126", "127.0.0.1:4318"};

/* With this mode whatever the umask is: others reach the sockets through it. */
static int directory_add(const char *path, mode_t mode)
{
	if (mkdir(path, mode) == 0)
		return chmod(path, mode);
	return errno == EEXIST ? 0 : -1;
}

/* Our own directory: nobody else may put a socket where ours is expected. */
static int directory_make(const char *path, mode_t mode, struct err *err)
{
	struct stat st;
	char parent[512];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		if (directory_add(parent, 0755))
			return err_set(err, -errno, "%s: %s", parent, strerror(errno));
	}
	if (directory_add(path, mode))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, -EPERM,
			       "%s: not a directory that user %u owns and nobody else may write",
			       path, geteuid());
	return 0;
}

/* While <run>/disable exists no program of this host is sampled. */
static int control_start(struct agent *agent, struct err *err)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/disable", agent->config.run);
	agent->control = control_new(path);
	agent->quota = quota_new(&agent->config.quota);
	return agent->control && agent->quota ? 0 : err_set(err, -ENOMEM, "control: out of memory");
}

static int listen_all(struct agent *agent, struct err *err)
{
	char path[300], bound[128];
	bool by_default = !agent->config.listen_count;
	size_t count = by_default ? ARRAY_LEN(default_listen) : agent->config.listen_count;

	(void)snprintf(path, sizeof(path), "unix:%s/http.sock", agent->config.run);
	int rc = http_listen(agent->http, path, bound, sizeof(bound), err);

	for (size_t i = 0; !rc && i < count; i++) {
		const char *address = by_default ? default_listen[i] : agent->config.listen[i];

		rc = http_listen(agent->http, address, agent->bound[agent->bound_count],
				 sizeof(agent->bound[0]), err);
		/* Datadog's and OTLP's ports may be another agent's; ours must not be. */
		if (rc && by_default && i) {
			log_warn("http", "%s; going on without it", err->message);
			rc = 0;
			continue;
		}
		agent->bound_count += !rc && strncmp(address, "unix:", 5);
	}
	if (rc)
		return rc;
	(void)snprintf(path, sizeof(path), "unix:%s/apm.socket", agent->config.run);
	return by_default ? http_listen(agent->http, path, bound, sizeof(bound), err) : 0;
}

static int ready_write(struct agent *agent, struct err *err)
{
	char path[300], socket_path[300];
	struct buf out;
	struct json json;

	(void)snprintf(path, sizeof(path), "%s/hearthd.json", agent->config.run);
	(void)snprintf(socket_path, sizeof(socket_path), "%s/agent.sock", agent->config.run);
	buf_init(&out, 65536);
	json_init(&json, &out);
	json_open(&json, '{');
	json_key_int(&json, "pid", getpid());
	json_key(&json, "http");
	json_open(&json, '[');
	for (size_t i = 0; i < agent->bound_count; i++)
		json_cstring(&json, agent->bound[i]);
	json_close(&json, ']');
	json_key(&json, "grpc");
	json_open(&json, '[');
	if (agent->rpc)
		json_cstring(&json, agent->rpc_bound);
	json_close(&json, ']');
	json_key_text(&json, "socket", socket_path);
	json_key_text(&json, "version", HEARTH_VERSION);
	json_close(&json, '}');
	(void)buf_add_byte(&out, '\n');
	int rc = out.failed ? out.failed : fd_replace_file(path, out.data, out.len, 0644, err);

	buf_release(&out);
	return rc;
}

static int agent_start(struct agent *agent, struct err *err)
{
	char path[300], in_tmp[32];

	/* Everybody may connect, and the kernel says who they are; but the last resort in /tmp,
	 * where anybody could have come first, is its owner's alone. */
	(void)snprintf(in_tmp, sizeof(in_tmp), "/tmp/hearth-%u", geteuid());
	int rc =
	    directory_make(agent->config.run, strcmp(agent->config.run, in_tmp) ? 0755 : 0700, err);

	if (!rc && !strncmp(agent->config.store, "sqlite:", 7))
		rc = directory_make(agent->config.store + 7, 0700, err);
	if (!rc)
		rc = writer_start(agent->config.store, &agent->config.storage, &agent->writer, err);
	if (!rc)
		rc = mailbox_new(agent->base, &agent->mailbox, err);
	if (!rc)
		rc = readers_new(writer_store(agent->writer), &agent->readers);
	if (!rc)
		rc = builders_new(&agent->config.limits.profile, &agent->builders);
	if (!rc)
		rc = symbols_start(agent->writer, agent->readers, &agent->symbols, err);
	(void)snprintf(path, sizeof(path), "%s/token", agent->config.run);
	if (!rc)
		rc = auth_new(path, agent->config.auth_open, &agent->auth, err);
	static const char *const questions[] = {"GET ", "HEAD ", "POST /querier.v1.", NULL};
	const struct http_options options = {.rules = &agent->rules,
					     .auth = agent->auth,
					     .serve = agent_serve,
					     .limited = agent_limited,
					     .refuse = agent_refuse,
					     .sink = agent_sink,
					     .body_max = agent_body_max,
					     .too_large = agent_too_large,
					     .arg = agent,
					     .connections = agent->config.connections,
					     .request_ns = agent->config.request_seconds * NS_PER_S,
					     .questions = questions};

	if (!rc)
		rc = http_start(agent->base, &options, &agent->http, err);
	(void)snprintf(path, sizeof(path), "%s/agent.sock", agent->config.run);
	if (!rc)
		rc = control_start(agent, err);
	const struct processes_options native = {
	    .socket_path = path, .host = agent->host, .control = agent->control};

	if (!rc)
		rc = processes_start(agent->base, agent->mailbox, agent->writer, agent->symbols,
				     &native, &agent->processes, err);
	if (!rc)
		rc = listen_all(agent, err);
	if (!rc)
		rc = rpc_start(agent, err);
	if (!rc)
		rc = scrape_start(agent, &agent->scraper, err);
	if (!rc)
		rc = ready_write(agent, err);
	return rc;
}

static void agent_stop(struct agent *agent)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/hearthd.json", agent->config.run);
	if (agent->ready)
		(void)unlink(path);
	processes_stop(agent->processes);
	http_stop(agent->http);
	scrape_stop(agent->scraper);
	http2_stop(agent->rpc);
	symbols_stop(agent->symbols);
	readers_free(agent->readers);
	builders_free(agent->builders);
	writer_stop(agent->writer);
	mailbox_free(agent->mailbox);
	processes_free(agent->processes);
	control_free(agent->control);
	quota_free(agent->quota);
	auth_free(agent->auth);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct agent *agent = arg;

	(void)what;
	log_info("agent", "%s: draining", strsignal(number));
	(void)event_base_loopbreak(agent->base);
}

static int signals_watch(struct agent *agent, struct event *events[2])
{
	static const int numbers[2] = {SIGTERM, SIGINT};

	for (int i = 0; i < 2; i++) {
		events[i] = evsignal_new(agent->base, numbers[i], on_signal, agent);
		if (!events[i] || event_add(events[i], NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Other people's addresses and names pass through here: no core file, no ptrace by peers. */
static void harden(void)
{
	const struct rlimit no_core = {0, 0};
	struct rlimit files;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)prctl(PR_SET_DUMPABLE, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = MIN(files.rlim_max, (rlim_t)65536);
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit on files is a full disk, not an end */
	(void)umask(0077);
}

/*
 * What a request needs is the next one's: given back after each, it came back page by page.  A
 * question's large tables are the kernel's again when it ends, whichever thread had them: left to
 * itself malloc keeps each thread's for good once a few were freed.
 */
static void memory_bound(void)
{
	enum { MMAP_BYTES = 1 << 20, TRIM_BYTES = 4 << 20, PAD_BYTES = 1 << 20 };

	(void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
	(void)mallopt(M_TOP_PAD, PAD_BYTES);
}

static void announce(const struct agent *agent)
{
	struct storage_stats stats = {0};
	struct storage_reader *reader = NULL;

	if (!readers_borrow(agent->readers, &reader, NULL) && !storage_stats(reader, &stats, NULL))
		log_info("storage", "%s%s%s", stats.version, stats.note[0] ? ": " : "", stats.note);
	readers_return(agent->readers, reader);
	log_info("agent", "hearthd %s, store %s, sockets in %s%s%s", HEARTH_VERSION,
		 agent->config.store, agent->config.run,
		 agent->bound_count ? ", page at http://" : "",
		 agent->bound_count ? agent->bound[0] : "");
}

static int run(struct agent *agent, struct err *err)
{
	struct event *events[2] = {NULL, NULL};
	int rc = signals_watch(agent, events);

	if (!rc)
		rc = agent_start(agent, err);
	if (!rc) {
		vdso_add(agent->symbols);
		announce(agent);
		__atomic_store_n(&agent->ready, true, __ATOMIC_RELEASE);
		(void)event_base_dispatch(agent->base);
	}
	agent_stop(agent);
	for (int i = 0; i < 2; i++)
		if (events[i])
			event_free(events[i]);
	return rc;
}

int main(int argc, char **argv)
{
	static struct agent agent;
	struct err err = {0};

	log_init(NULL);
	int rc = config_load(argc, argv, &agent.config, &err);

	if (rc < 0) {
		(void)fprintf(stderr, "hearthd: %s\n", err.message);
		return 2;
	}
	if (rc || agent.config.check_only) {
		if (agent.config.check_only)
			(void)printf("hearthd: the settings are right\n");
		return 0;
	}
	query_html_use(&page_html);
	memory_bound();
	harden();
	for (size_t i = 0; i < agent.config.hosts_count; i++)
		agent.host_names[i] = agent.config.hosts[i];
	agent.rules = (struct head_rules){.hosts = agent.host_names};
	(void)gethostname(agent.host, sizeof(agent.host) - 1);
	agent.started_ns = clock_real_ns();
	agent.base = event_base_new();
	if (!agent.base)
		rc = err_set(&err, -ENOMEM, "out of memory");
	else
		rc = run(&agent, &err);
	if (rc)
		log_error("agent", "%s", err.message);
	if (agent.base)
		event_base_free(agent.base);
	libevent_global_shutdown();
	return rc ? 1 : 0;
}
