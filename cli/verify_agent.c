/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cli/verify.h"

#define READY_NS (INT64_C(20) * NS_PER_S)

json_t *verify_ask(const struct verify *v, const char *path, const struct parameter *parameters,
		   size_t count)
{
	struct buf body = { 0 };
	json_t *answer = NULL;

	if (!ask(&v->place, path, parameters, count, NULL, 0, &body)) {
		answer = json_loadb(body.data ? body.data : "", body.len, 0, NULL);
		if (!answer)
			(void)complain(0, "verify: the agent's answer is not JSON");
	}
	buf_release(&body);
	return answer;
}

/* A socket may be left of an agent that is gone. */
static bool listens(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int CLOSING fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, path, strlen(path) + 1);
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool running_find(struct verify *v)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *server = getenv("HEARTH_SERVER");
	char own[64], theirs[220], socket_path[256];
	const char *const directories[] = { "/run/hearth", runtime ? theirs : NULL, own };

	if (server && *server)
		return place_find(NULL, &v->place) == 0;
	(void)snprintf(own, sizeof(own), "/tmp/hearth-%u", geteuid());
	(void)snprintf(theirs, sizeof(theirs), "%.190s/hearth", runtime ? runtime : "");
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		if (!directories[i])
			continue;
		(void)snprintf(socket_path, sizeof(socket_path), "%s/http.sock", directories[i]);
		if (listens(socket_path))
			return place_find(directories[i], &v->place) == 0;
	}
	return false;
}

static void agent_exec(const struct verify *v)
{
	char program[PATH_MAX], run[96], data[96];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 16);

	(void)snprintf(run, sizeof(run), "%s/run", v->temporary);
	(void)snprintf(data, sizeof(data), "%s/data", v->temporary);
	if (n > 0) {
		program[n] = '\0';
		char *name = strrchr(program, '/') + 1;

		memcpy(name, "hearthd", sizeof("hearthd"));
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)execl(program, "hearthd", "--run", run, "--data", data, "--listen", "127.0.0.1:0",
			    (char *)NULL);
	}
	_exit(127);
}

static int agent_start(struct verify *v)
{
	int64_t until = clock_monotonic_ns() + READY_NS;
	char ready[96];

	(void)snprintf(v->temporary, sizeof(v->temporary), "/tmp/hearth-verify.XXXXXX");
	if (!mkdtemp(v->temporary)) {
		v->temporary[0] = '\0';
		return complain(EXIT_RUNTIME, "verify: /tmp: %s", strerror(errno));
	}
	v->agent = fork();
	if (v->agent == 0)
		agent_exec(v);
	(void)snprintf(ready, sizeof(ready), "%s/run/hearthd.json", v->temporary);
	while (v->agent > 0 && access(ready, F_OK) != 0) {
		if (waitpid(v->agent, NULL, WNOHANG) == v->agent || clock_monotonic_ns() > until)
			return complain(EXIT_NO_AGENT,
					"verify: no agent runs here, and hearthd did not start");
		(void)usleep(20000);
	}
	(void)snprintf(ready, sizeof(ready), "%s/run", v->temporary);
	return v->agent < 0 ? complain(EXIT_RUNTIME, "verify: fork: %s", strerror(errno)) :
			      place_find(ready, &v->place);
}

int verify_agent_find(struct verify *v, const char *server)
{
	int code = 0;

	if (server)
		code = place_find(server, &v->place);
	else if (!running_find(v))
		code = agent_start(v);
	if (!code && !v->place.directory[0])
		return complain(EXIT_USAGE, "verify: a ring cannot cross TCP; name the agent with --server "
					    "unix:DIRECTORY");
	return code;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	(void)remove(path);
	return 0;
}

void verify_agent_release(struct verify *v)
{
	if (v->agent > 0) {
		(void)kill(v->agent, SIGTERM);
		(void)waitpid(v->agent, NULL, 0);
	}
	if (v->temporary[0])
		(void)nftw(v->temporary, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	v->agent = 0;
	v->temporary[0] = '\0';
}
