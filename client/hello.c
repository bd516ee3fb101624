/* SPDX-License-Identifier: Apache-2.0 */
#include "client/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/budget.h"
#include "client/profiler.h"
#include "client/session.h"
#include "client/syscalls.h"
#include "client/write.h"

#define SECOND INT64_C(1000000000)
#define ATTACH_CPU_NS INT64_C(50000000)
#define ATTACH_LIFE_NS SECOND
#define BACKOFF_MAX_NS (60 * SECOND)
#define BACKOFF_KNOWN_NS (2 * SECOND) /* in the first minute after an agent went away */
#define RETRY_NS (SECOND / 10)        /* in the first seconds after it said goodbye */
#define RETRIES 30
#define LAST_TRIES 10 /* at exit, while another thread is sending */
#define LAST_PAUSE_NS 200000
#define MAP_LOOK_NS (10 * SECOND)
#define MODULES_A_HELLO 64 /* descriptors that are open at once */

static struct {
	uint32_t sending;  /* taken by the one that sends */
	uint32_t disabled; /* the memfd is no longer ours, or a filter forbids */
	int64_t next_ns, backoff_ns;
	int64_t lost_ns;  /* since when a known agent is silent; 0: it is not */
	uint32_t retries; /* since an agent said goodbye */
	uint64_t offered; /* how far the rings were filled at the last hello_offer */
	uint32_t modules_sent;
	uint32_t map_sent; /* the perf map of a JIT's code */
	int64_t map_ns;    /* when it is looked for again */
} hello;

void hello_reset(void)
{
	hello.sending = 0;
	store(&hello.disabled, 0);
	store(&hello.next_ns, 0);
	hello.backoff_ns = SECOND;
	hello.lost_ns = 0;
	hello.retries = 0;
	hello.offered = 0;
	store(&hello.modules_sent, 0);
	store(&hello.map_sent, 0);
	store(&hello.map_ns, 0);
}

void hello_note_seccomp(void)
{
	session.seccomp_at_start = prctl(PR_GET_SECCOMP);
}

/*
 * A filter that the program set itself may kill it for our system calls.  One that it was started
 * under, as in a container, allows what programs usually do; later ones are then told by the
 * preload's hook on prctl.
 */
static bool filtered(void)
{
	if (load(&session.seccomp_set))
		return true;
	if (session.seccomp_at_start == 0 && prctl(PR_GET_SECCOMP) != 0) {
		store(&session.seccomp_set, 1);
		return true;
	}
	return false;
}

bool hello_attached(int64_t now_ns)
{
	int64_t beat = load(&session.agent->heartbeat_ns);

	return beat && now_ns - beat < RING_HEARTBEAT_STALE_NS;
}

/* The program may have closed our descriptor and opened a file of its own under its number. */
static bool memfd_ours(void)
{
	struct stat st;

	return !fstat(session.fd, &st) && st.st_dev == session.fd_dev &&
	       st.st_ino == session.fd_ino;
}

static bool trusted(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISSOCK(st.st_mode) &&
	       (st.st_uid == 0 || st.st_uid == geteuid());
}

static char *append(char *to, const char *end, const char *text)
{
	while (*text && to < end)
		*to++ = *text++;
	*to = 0;
	return to;
}

static char *append_number(char *to, const char *end, unsigned v)
{
	char digits[12];
	int n = sizeof(digits) - 1;

	digits[n] = 0;
	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	return append(to, end, digits + n);
}

/* The agent's socket: the one that was named, else the first of the run directories that belongs
 * to somebody who may see this program. */
static bool find_socket(char path[CONFIG_PATH_BYTES])
{
	static const char name[] = "/agent.sock";
	const struct config *c = profiler_config();
	const char *end = path + CONFIG_PATH_BYTES - 1;
	char *at;

	if (c->agent[0]) {
		(void)append(path, end, c->agent);
		return true;
	}
	(void)append(path, end, c->agent_hint);
	if (c->agent_hint[0] && trusted(path))
		return true;
	(void)append(append(path, end, "/run/hearth"), end, name);
	if (trusted(path))
		return true;
	if (c->runtime[0]) {
		at = append(append(path, end, c->runtime), end, "/hearth");
		(void)append(at, end, name);
		if (trusted(path))
			return true;
	}
	at = append_number(append(path, end, "/tmp/hearth-"), end, geteuid());
	(void)append(at, end, name);
	return trusted(path);
}

static int connect_agent(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (!find_socket(a.sun_path))
		return -ENOENT;
	fd = sys_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (sys_connect(fd, &a, sizeof(a))) {
		int failed = -errno;

		sys_close(fd);
		return failed;
	}
	return fd;
}

/* The message's descriptors, and the space that carries them. */
struct parcel {
	int fd[3 + MODULES_A_HELLO];
	unsigned count;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * (3 + MODULES_A_HELLO))];
	} control;
};

/* Open the files of modules [from, from + count).  A path may lead to another file by now: the
 * agent compares build ids. */
static void pack_modules(struct parcel *p, struct ring_hello *h)
{
	for (uint32_t i = 0; i < h->modules_count; i++) {
		const struct ring_module *m = &session.modules[h->modules_from + i];
		int fd = m->path[0] == '/'
			     ? sys_open(m->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
			     : -1;

		if (fd < 0)
			h->no_file[i / 64] |= UINT64_C(1) << i % 64;
		else
			p->fd[p->count++] = fd;
	}
}

/* The file in which runtimes that make code write down its names for perf. */
static int open_map(void)
{
	char path[40];
	const char *end = path + sizeof(path) - 1;

	(void)append(
	    append_number(append(path, end, "/tmp/perf-"), end, (unsigned)session.head->pid), end,
	    ".map");
	return sys_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
}

static void pack_map(struct parcel *p, struct ring_hello *h)
{
	int fd = load(&session.unknown_code) ? open_map() : -1;

	if (fd < 0)
		return;
	p->fd[p->count++] = fd;
	h->flags |= RING_HELLO_PERF_MAP;
}

static bool deliver(int to, struct parcel *p, const struct ring_hello *h)
{
	const struct config *c = profiler_config();
	struct iovec part[3] = {
	    {(void *)(uintptr_t)h, sizeof(*h)},
	    {(void *)(uintptr_t)c->text, c->text_bytes},
	    {(void *)(uintptr_t)c->notes, c->notes_bytes},
	};
	struct msghdr m = {.msg_iov = part,
			   .msg_iovlen = 3,
			   .msg_control = &p->control,
			   .msg_controllen = CMSG_SPACE(sizeof(int) * p->count)};

	p->control.header.cmsg_level = SOL_SOCKET;
	p->control.header.cmsg_type = SCM_RIGHTS;
	p->control.header.cmsg_len = CMSG_LEN(sizeof(int) * p->count);
	memcpy(CMSG_DATA(&p->control.header), p->fd, sizeof(int) * p->count);
	return sys_sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

static void fill(struct ring_hello *h, uint32_t flags, uint32_t modules_from)
{
	uint32_t modules = (uint32_t)load_acquire(&session.counters->modules);

	memset(h, 0, sizeof(*h));
	h->magic = RING_HELLO_MAGIC;
	h->version = RING_VERSION;
	h->flags = flags;
	h->text_bytes = profiler_config()->text_bytes + profiler_config()->notes_bytes;
	memcpy(h->runtime_id, session.head->runtime_id, sizeof(h->runtime_id));
	h->modules_from = modules_from < modules ? modules_from : modules;
	h->modules_count = modules - h->modules_from;
	if (h->modules_count > MODULES_A_HELLO)
		h->modules_count = MODULES_A_HELLO;
}

static bool send_taken(uint32_t flags, uint32_t modules_from)
{
	struct scratch *s;
	struct parcel *p;
	struct ring_hello h;
	bool sent;
	int to = connect_agent();

	if (to < 0)
		return false;
	s = scratch_take();
	if (!s) {
		sys_close(to);
		return false;
	}
	p = (struct parcel *)(void *)s->work;
	p->count = 0;
	p->fd[p->count++] = session.fd;
	fill(&h, flags, modules_from);
	p->fd[1] = sys_open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->fd[1] >= 0) {
		p->count++;
		pack_modules(p, &h);
		pack_map(p, &h);
	}
	sent = p->count > 1 && deliver(to, p, &h);
	for (unsigned i = 1; i < p->count; i++)
		sys_close(p->fd[i]);
	sys_close(to);
	scratch_give(s);
	if (sent) {
		store(&hello.modules_sent, h.modules_from + h.modules_count);
		store(&hello.map_sent, (h.flags & RING_HELLO_PERF_MAP) != 0);
		add(&session.counters->attaches, 1);
	}
	return sent;
}

static bool attempt(uint32_t flags, uint32_t modules_from)
{
	bool sent = false;

	if (load(&hello.disabled) || !try_take(&hello.sending))
		return false;
	if (filtered() || !memfd_ours()) {
		store(&hello.disabled, 1);
	} else {
		int64_t began = budget_begin_rare();

		sent = send_taken(flags, modules_from);
		budget_end_rare(began, BUDGET_CHORES);
	}
	give_back(&hello.sending);
	return sent;
}

bool hello_send(uint32_t flags)
{
	return attempt(flags, 0);
}

/* How far the rings are filled, and in *ret_waiting how much of that the agent has not stored. */
static uint64_t filled(uint64_t *ret_waiting)
{
	uint64_t sum = 0;

	*ret_waiting = 0;
	for (uint32_t i = 0; i < session.rings_count; i++) {
		struct ring_writer w = ring_writer_at(i);
		uint64_t head = load(&w.control->head), a = load(w.tail_a), b = load(w.tail_b);

		sum += head;
		*ret_waiting += head - (a < b ? a : b);
	}
	return sum;
}

void hello_hold(void)
{
	for (int i = 0; i < LAST_TRIES && !try_take(&hello.sending); i++)
		sys_pause_ns(LAST_PAUSE_NS);
}

void hello_offer(bool last)
{
	uint64_t waiting, sum = filled(&waiting);

	if (!waiting || (!last && sum == hello.offered))
		return;
	hello.offered = sum;
	/* A thread that is sending may have begun before our last record, or be stopped midway. */
	for (int i = 0; i < LAST_TRIES && load(&hello.sending); i++)
		sys_pause_ns(LAST_PAUSE_NS);
	(void)attempt(RING_HELLO_EXIT, 0);
}

/* Not before the program has lived a little: a child that ends at once should not pay. */
static bool early(int64_t now_ns)
{
	return load(&hello.next_ns) == 0 && now_ns - session.start_ns < ATTACH_LIFE_NS &&
	       (int64_t)load(&session.counters->samples[RING_CPU]) *
		       profiler_config()->cpu_interval_us * 1000 <
		   ATTACH_CPU_NS;
}

static int64_t next_backoff(int64_t now_ns)
{
	bool known = load(&session.agent->generation) != 0;
	int64_t most = BACKOFF_MAX_NS;

	/* It stopped in good order, so that another is likely to come at once. */
	if (known && !load(&session.agent->heartbeat_ns) && hello.retries < RETRIES) {
		hello.retries++;
		hello.backoff_ns = SECOND / 2; /* doubled by the caller */
		return RETRY_NS;
	}
	if (known && !hello.lost_ns)
		hello.lost_ns = now_ns;
	if (known && now_ns - hello.lost_ns < 60 * SECOND)
		most = BACKOFF_KNOWN_NS;
	hello.backoff_ns = hello.backoff_ns < SECOND ? SECOND : hello.backoff_ns;
	if (hello.backoff_ns > most)
		hello.backoff_ns = most;
	return hello.backoff_ns;
}

/* A JIT's code was seen, and its map not sent yet: look whether there is one. */
static bool map_is_due(int64_t now_ns)
{
	if (!load(&session.unknown_code) || load(&hello.map_sent) || now_ns < load(&hello.map_ns))
		return false;
	int fd = open_map();

	store(&hello.map_ns, now_ns + MAP_LOOK_NS);
	if (fd >= 0)
		sys_close(fd);
	return fd >= 0;
}

void hello_poll(int64_t now_ns)
{
	int64_t next = load(&hello.next_ns);
	uint64_t modules = load(&session.counters->modules);

	if (now_ns < next || early(now_ns))
		return;
	if (hello_attached(now_ns)) {
		hello.lost_ns = 0;
		hello.retries = 0;
		hello.backoff_ns = SECOND;
		if ((modules > load(&hello.modules_sent) || map_is_due(now_ns)) &&
		    replace(&hello.next_ns, &next, now_ns + SECOND))
			(void)attempt(0, load(&hello.modules_sent));
		return;
	}
	if (!replace(&hello.next_ns, &next, now_ns + next_backoff(now_ns)))
		return; /* another thread does it */
	hello.backoff_ns *= 2;
	(void)attempt(0, 0);
}
