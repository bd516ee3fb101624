/* SPDX-License-Identifier: Apache-2.0 */
#include "client/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/session.h"
#include "client/syscalls.h"

#define TARGETS 256 /* a power of two: descriptors that are this far apart share a place */
#define EPHEMERAL_PORT 32768

/* `sequence` is odd while the rest changes; a forget adds two, so that a look-up that was under way
 * stores nothing. */
static struct target {
	uint32_t sequence;
	int32_t fd_plus_1;
	char name[TARGET_NAME_MAX];
} targets[TARGETS];

uint8_t target_sockets[TARGET_SOCKETS];

/* Look-ups that are under way; one that was left by a jump counts for ever, which costs a close
 * little. */
static uint32_t looking;

struct text {
	char *at, *end;
};

static void put(struct text *t, const char *s)
{
	while (*s && t->at < t->end)
		*t->at++ = *s++;
}

static void put_number(struct text *t, unsigned v, unsigned base)
{
	char digits[12];
	int n = sizeof(digits) - 1;

	digits[n] = 0;
	do
		digits[--n] = "0123456789abcdef"[v % base];
	while (v /= base);
	put(t, digits + n);
}

static void put_ipv6(struct text *t, const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a)) {
		for (int i = 12; i < 16; i++) {
			put(t, i > 12 ? "." : "");
			put_number(t, a->s6_addr[i], 10);
		}
		return;
	}
	put(t, "[");
	for (int i = 0; i < 16; i += 2) {
		put(t, i ? ":" : "");
		put_number(t, (unsigned)a->s6_addr[i] << 8 | a->s6_addr[i + 1], 16);
	}
	put(t, "]");
}

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage room;
};

static unsigned port_of(const union address *a)
{
	return ntohs(a->any.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

static void put_host(struct text *t, const union address *a)
{
	uint32_t v4 = ntohl(a->in.sin_addr.s_addr);

	if (a->any.sa_family == AF_INET6) {
		put_ipv6(t, &a->in6.sin6_addr);
		return;
	}
	for (int shift = 24; shift >= 0; shift -= 8) {
		put(t, shift < 24 ? "." : "");
		put_number(t, v4 >> shift & 255, 10);
	}
}

static void put_address(struct text *t, const union address *a)
{
	put_host(t, a);
	put(t, ":");
	put_number(t, port_of(a), 10);
}

static void put_unix(struct text *t, const union address *name, const union address *peer)
{
	const char *path = peer->un.sun_path[0] ? peer->un.sun_path : name->un.sun_path;

	put(t, "unix ");
	put(t, path[0] ? path : "(unnamed)");
}

/* The port of a client is made up and would be a label of its own for each connection. */
static void put_inet(struct text *t, bool stream, const union address *name,
		     const union address *peer, bool connected)
{
	if (!connected) {
		put(t, stream ? "listen " : "udp ");
		put_address(t, name);
		return;
	}
	put(t, stream ? "tcp " : "udp ");
	if (port_of(peer) >= EPHEMERAL_PORT && port_of(name) < EPHEMERAL_PORT) {
		put(t, ":");
		put_number(t, port_of(name), 10);
		put(t, " from ");
		put_host(t, peer);
	} else {
		put_address(t, peer);
	}
}

static bool put_socket(struct text *t, int fd)
{
	union address name = {0}, peer = {0};
	socklen_t name_bytes = sizeof(name.room) - 1, peer_bytes = name_bytes, bytes = sizeof(int);
	int type = 0;
	bool connected;

	if (getsockname(fd, &name.any, &name_bytes) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes))
		return false;
	connected = !getpeername(fd, &peer.any, &peer_bytes);
	if (name.any.sa_family == AF_UNIX)
		put_unix(t, &name, &peer);
	else if (name.any.sa_family == AF_INET || name.any.sa_family == AF_INET6)
		put_inet(t, type == SOCK_STREAM, &name, &peer, connected);
	else
		return false;
	return true;
}

/* Into name, which is cleared. */
static void look_up(int fd, char name[TARGET_NAME_MAX])
{
	struct text t = {name, name + TARGET_NAME_MAX - 1};
	char path[32] = {0}, link[256];
	struct text p = {path, path + sizeof(path) - 1};
	long n;

	put(&p, "/proc/self/fd/");
	put_number(&p, (unsigned)fd, 10);
	n = syscall(SYS_readlinkat, -100 /* AT_FDCWD */, path, link, sizeof(link) - 1);
	if (n <= 0)
		return;
	link[n] = 0;
	if (!strncmp(link, "socket:", 7) && put_socket(&t, fd))
		return;
	if (n >= TARGET_NAME_MAX) {
		put(&t, "...");
		put(&t, link + n - (TARGET_NAME_MAX - 4));
	} else {
		put(&t, link);
	}
}

static struct target *place_of(int fd)
{
	return &targets[(unsigned)fd % TARGETS];
}

static bool recall(const struct target *place, int fd, char name[TARGET_NAME_MAX])
{
	uint32_t before = load_acquire(&place->sequence);

	if (before & 1 || load(&place->fd_plus_1) != fd + 1)
		return false;
	memcpy(name, place->name, TARGET_NAME_MAX);
	load_fence();
	return load(&place->sequence) == before;
}

static void remember(struct target *place, uint32_t before, int fd, const char *name)
{
	if (before & 1 || !replace(&place->sequence, &before, before | 1))
		return;
	store_fence();
	store(&place->fd_plus_1, fd + 1);
	memcpy(place->name, name, TARGET_NAME_MAX);
	before |= 1;
	if (replace(&place->sequence, &before, before + 1))
		return;
	/* Forgotten meanwhile: the look-up may have been of the older file. */
	store(&place->fd_plus_1, 0);
	add(&place->sequence, 1);
}

uint16_t target_label(int fd, char to[TARGET_TEXT_MAX])
{
	static const char key[] = "target";
	char *name = to + sizeof(key);
	struct target *place = place_of(fd);
	uint32_t before = load_acquire(&place->sequence);
	int saved = errno;

	if (fd < 0)
		return 0;
	if (!recall(place, fd, name)) {
		if (load(&session.seccomp_set))
			return 0;
		memset(name, 0, TARGET_NAME_MAX);
		/* Said before the kernel is asked, in an order that all threads see. */
		__atomic_fetch_add(&looking, 1, __ATOMIC_SEQ_CST);
		look_up(fd, name);
		remember(place, before, fd, name);
		__atomic_fetch_sub(&looking, 1, __ATOMIC_RELEASE);
	}
	errno = saved;
	memcpy(to, key, sizeof(key));
	name[TARGET_NAME_MAX - 1] = 0;
	return name[0] ? (uint16_t)(sizeof(key) + strlen(name) + 1) : 0;
}

void target_closing_range(unsigned first, unsigned last)
{
	for (unsigned fd = first; fd <= last && fd < TARGET_SOCKETS; fd++)
		target_closing((int)fd);
}

void target_forget(int fd)
{
	struct target *place = place_of(fd);

	/* What nobody is finding out, and nobody has found out, need not be forgotten.  In this
	 * order: who finds out counts down when the place is filled. */
	if (fd < 0 ||
	    (!__atomic_load_n(&looking, __ATOMIC_SEQ_CST) && load(&place->fd_plus_1) != fd + 1))
		return;
	add(&place->sequence, 2);
	if (load(&place->fd_plus_1) == fd + 1)
		store(&place->fd_plus_1, 0);
}

void target_forget_range(unsigned first, unsigned last)
{
	for (unsigned i = 0; i < TARGETS; i++) {
		int32_t fd = load(&targets[i].fd_plus_1) - 1;

		if (fd >= 0 && (unsigned)fd >= first && (unsigned)fd <= last)
			target_forget(fd);
	}
}
