/* SPDX-License-Identifier: Apache-2.0 */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

/* Split "host:port" or "[v6]:port"; both parts are written into `host`. */
static int address_split(const char *text, char *host, size_t max, const char **ret_port,
			 struct err *err)
{
	(void)snprintf(host, max, "%s", text);
	char *colon = strrchr(host, ':');

	if (!colon || !colon[1])
		return err_set(err, -EINVAL, "listen \"%s\": write address:port or unix:/path",
			       text);
	*colon = '\0';
	*ret_port = colon + 1;
	if (host[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		memmove(host, host + 1, strlen(host));
	}
	return 0;
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(
			   ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >>
			   24 ==
		       127;
	return address->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(
		   &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static int bind_found(const struct addrinfo *found, const char *text, int *ret_fd, struct err *err)
{
	const int on = 1;

	if (!is_loopback(found->ai_addr))
		return err_set(
		    err, -EPERM,
		    "listen \"%s\": only loopback addresses are served, for there is no TLS; "
		    "put a TLS proxy in front",
		    text);
	int CLOSING fd =
	    socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return err_set(err, -errno, "%s: %s", text, strerror(errno));
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int listen_tcp(const char *text, int *ret_fd, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *found = NULL;
	char host[256];
	const char *port = "";
	int rc = address_split(text, host, sizeof(host), &port, err);

	if (rc)
		return rc;
	int gai =
	    getaddrinfo(!strcmp(host, "localhost") ? "127.0.0.1" : host, port, &hints, &found);

	if (gai)
		return err_set(err, -EINVAL, "listen \"%s\": %s", text, gai_strerror(gai));
	rc = bind_found(found, text, ret_fd, err);
	freeaddrinfo(found);
	return rc;
}

void listen_name(int fd, char *bound, size_t max)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";

	(void)getsockname(fd, (struct sockaddr *)&address, &len);
	(void)getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
			  NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(bound, max, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
