/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/verify.h"

json_t *verify_ask(const struct verify *v, const char *path, const struct parameter *parameters,
		   size_t count)
{
	struct buf body = {0};
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
	struct sockaddr_un address = {.sun_family = AF_UNIX};
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
	const char *const directories[] = {"/run/hearth", runtime ? theirs : NULL, own};

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

int verify_agent_find(struct verify *v, const char *server)
{
	int code = 0;

	if (server) {
		code = place_find(server, &v->place);
	} else if (!running_find(v)) {
		code = own_agent_start("verify", &v->own);
		v->place = v->own.place;
	}
	if (!code && !v->place.directory[0])
		return complain(EXIT_USAGE,
				"verify: a ring cannot cross TCP; name the agent with --server "
				"unix:DIRECTORY");
	return code;
}

void verify_agent_release(struct verify *v)
{
	own_agent_stop(&v->own);
}
