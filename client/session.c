/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/heap.h"
#include "client/hello.h"
#include "client/module.h"
#include "client/otel.h"
#include "client/source.h"
#include "client/syscalls.h"
#include "client/thread.h"

#define MIB (UINT64_C(1) << 20)
#define FD_FLOOR 100 /* above what a program closes by number when it becomes a daemon */
/* above this a number beyond the limit would cost the kernel's table more than 64 KB */
#define FD_LIMIT_MAX 4096
#define SETTLE_TRIES 10
#define SETTLE_PAUSE_NS 200000
#define RING_BYTES_MIN (32u << 10)
#define HEAP_SHARE 4 /* of the memory for live heap, at least */

struct session session = {.fd = -1};
const uint64_t session_closed;

int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		return 0;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}

/* Where reading the processor's counter would be a SIGSEGV, the coarse clock has to do. */
int64_t clock_exact_ns(void)
{
	return clock_ns(load(&session.counter_forbidden) ? CLOCK_MONOTONIC_COARSE
							 : CLOCK_MONOTONIC);
}

int64_t clock_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Resident bytes of the process, 0 when /proc does not say. */
static uint64_t resident_bytes(void)
{
	char text[96];
	uint64_t pages = 0;
	int fd = sys_open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	const char *p;

	if (fd < 0)
		return 0;
	n = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	p = strchr(text, ' ');
	for (p = p ? p + 1 : ""; *p >= '0' && *p <= '9'; p++)
		pages = pages * 10 + (uint64_t)(*p - '0');
	return pages * RING_PAGE;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* At most 4 MB, at least 1 MB, otherwise 1 % of what the program has resident.  The pages that no
 * record ever reached cost nothing. */
static void plan(struct ring_head *head, uint32_t processors)
{
	uint64_t total = resident_bytes() / 100, left;
	uint32_t count = processors < 1 ? 1 : processors, bytes;

	total = total < MIB ? MIB : total > 4 * MIB ? 4 * MIB : round_up(total, RING_PAGE);
	head->total_bytes = total;
	head->modules_at = 3 * RING_PAGE;
	head->modules_max = total >= 2 * MIB ? 1023 : 511;
	head->threads_at = (uint32_t)round_up(
	    head->modules_at + head->modules_max * sizeof(struct ring_module), RING_PAGE);
	head->threads_max = total >= 2 * MIB ? RING_THREADS_MAX : RING_THREADS_MAX / 4;
	head->heap_at = (uint32_t)round_up(
	    head->threads_at + head->threads_max * sizeof(struct ring_thread), RING_PAGE);
	left = total - head->heap_at - (session.heap_wanted ? total / HEAP_SHARE : 0);
	if (count > RING_RINGS_MAX)
		count = RING_RINGS_MAX;
	while (count > 1 && left / count < RING_BYTES_MIN + RING_HEAD_BYTES)
		count /= 2;
	bytes = RING_BYTES_MIN;
	while ((uint64_t)count * (bytes * 2 + RING_HEAD_BYTES) <= left)
		bytes *= 2;
	head->rings_count = count;
	head->ring_bytes = bytes;
	/* Rings are powers of two: the table of live blocks has what they leave. */
	head->rings_at = (uint32_t)((total - count * (uint64_t)(bytes + RING_HEAD_BYTES)) /
				    RING_PAGE * RING_PAGE);
	if (session.heap_wanted)
		head->heap_bytes = head->rings_at - head->heap_at;
	else
		head->rings_at = head->heap_at;
}

/* The live-heap table of memory that nobody else sees yet. */
static struct ring_heap *heap_in(unsigned char *base, const struct ring_head *head)
{
	struct ring_heap *heap = (struct ring_heap *)(void *)(base + head->heap_at);

	return head->heap_bytes && heap_format(heap, head->heap_bytes) ? heap : NULL;
}

/*
 * Above the program's own limit for numbers, which is raised for the moment of one system call:
 * there the descriptor is neither counted by that limit, nor found by who tries all numbers below
 * it, nor closed. Only while no other thread can meet the higher limit.  -1: it is not to be had.
 */
static int above_limit(int fd)
{
	struct rlimit limit, raised;
	int above;

	if (!__libc_single_threaded || sys_limit_files(NULL, &limit) ||
	    limit.rlim_cur > FD_LIMIT_MAX || limit.rlim_cur >= limit.rlim_max)
		return -1;
	raised = limit;
	raised.rlim_cur = (limit.rlim_cur > FD_FLOOR ? limit.rlim_cur : FD_FLOOR) + 1;
	if (raised.rlim_cur > limit.rlim_max || sys_limit_files(&raised, NULL))
		return -1;
	above = sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)raised.rlim_cur - 1);
	(void)sys_limit_files(&limit, NULL);
	return above;
}

static int make_memfd(uint64_t bytes, int *ret_fd)
{
	int low = (int)syscall(SYS_memfd_create, "hearth", MFD_CLOEXEC | MFD_ALLOW_SEALING), fd;

	if (low < 0)
		return -errno;
	fd = above_limit(low);
	if (fd < 0)
		fd = fcntl(low, F_DUPFD_CLOEXEC, FD_FLOOR);
	sys_close(low);
	/* RLIMIT_NOFILE is low: a number that we took would be one that the program lacks. */
	if (fd < 0)
		return -EMFILE;
	if (ftruncate(fd, (off_t)bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int failed = -errno;

		sys_close(fd);
		return failed;
	}
	*ret_fd = fd;
	return 0;
}

static void *map_wiped(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, bytes, MADV_WIPEONFORK)) {
		/* Without it a forked child would write into its parent's ring. */
		munmap(p, bytes);
		return NULL;
	}
	(void)madvise(p, bytes, MADV_DONTDUMP);
	return p;
}

/* One wiped mapping holds the cookie page, the thread states and the scratches; a child keeps the
 * (now empty) mapping of its parent and uses it again. */
static int map_private(uint32_t threads_max)
{
	size_t threads = round_up(sizeof(struct thread) * RING_THREADS_MAX, RING_PAGE);
	unsigned char *p;

	(void)threads_max;
	if (session.cookie)
		return 0;
	p = map_wiped(RING_PAGE + threads + sizeof(struct scratch) * SESSION_SCRATCHES);
	if (!p)
		return -ENOMEM;
	session.threads = (struct thread *)(void *)(p + RING_PAGE);
	session.scratch = (struct scratch *)(void *)(p + RING_PAGE + threads);
	store_release(&session.cookie, (uint64_t *)(void *)p);
	return 0;
}

static void set_views(unsigned char *base, const struct ring_head *plan_head)
{
	session.head = (struct ring_head *)(void *)base;
	session.agent = (struct ring_agent *)(void *)(base + RING_PAGE);
	session.counters = (struct ring_counters *)(void *)(base + 2 * RING_PAGE);
	session.modules = (struct ring_module *)(void *)(base + plan_head->modules_at);
	session.slots = (struct ring_thread *)(void *)(base + plan_head->threads_at);
	session.rings = base + plan_head->rings_at;
	session.rings_count = plan_head->rings_count;
	session.ring_bytes = plan_head->ring_bytes;
	session.ring_stride = RING_HEAD_BYTES + plan_head->ring_bytes;
	session.modules_max = plan_head->modules_max;
	session.threads_max = plan_head->threads_max;
}

static void fill_head(struct ring_head *head)
{
	struct timespec t = {0, 4000000};

	if (syscall(SYS_getrandom, head->runtime_id, sizeof(head->runtime_id), GRND_NONBLOCK) !=
	    (long)sizeof(head->runtime_id)) {
		int64_t seed[2] = {clock_exact_ns(), (int64_t)getpid() << 32};

		memcpy(head->runtime_id, seed, sizeof(seed));
	}
	head->version = RING_VERSION;
	head->head_bytes = sizeof(*head);
	head->start_real_ns = clock_ns(CLOCK_REALTIME);
	head->start_monotonic_ns = clock_exact_ns();
	head->pid = getpid();
	head->tid = (int32_t)syscall(SYS_gettid);
	(void)clock_getres(CLOCK_MONOTONIC_COARSE, &t);
	head->hz = t.tv_nsec > 0 ? (uint32_t)(1000000000 / t.tv_nsec) : 250;
}

/* Drop the descriptor of an earlier session or of the parent, if it still is that. */
static void close_inherited(void)
{
	struct stat st;

	if (session.fd >= 0 && !fstat(session.fd, &st) && st.st_dev == session.fd_dev &&
	    st.st_ino == session.fd_ino)
		sys_close(session.fd);
	session.fd = -1;
}

int session_open(void)
{
	struct ring_head head = {0};
	struct stat st;
	unsigned char *base;
	int fd = -1, r;

	if (session_live())
		return 0;
	close_inherited();
	otel_forget_process(); /* the parent's, if this is a forked child */
	plan(&head, session.processors);
	fill_head(&head);
	r = make_memfd(head.total_bytes, &fd);
	if (r < 0)
		return r;
	base = mmap(NULL, head.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED || fstat(fd, &st) || map_private(head.threads_max) < 0 ||
	    madvise(base, head.total_bytes, MADV_DONTFORK)) {
		r = base == MAP_FAILED ? -errno : -ENOMEM;
		if (base != MAP_FAILED)
			munmap(base, head.total_bytes);
		sys_close(fd);
		return r;
	}
	(void)madvise(base, head.total_bytes, MADV_DONTDUMP);
	session.fd = fd;
	session.fd_dev = st.st_dev;
	session.fd_ino = st.st_ino;
	set_views(base, &head);
	session.heap = heap_in(base, &head);
	*session.head = head;
	store_release(&session.head->magic, RING_MAGIC);
	session.start_ns = head.start_monotonic_ns;
	session.scratch_used = 0;
	session.counters->preloaded = session.preloaded;
	session.epoch++;
	session.threads_epoch++;
	module_table_open();
	source_new_session();
	hello_reset();
	store(&session.counters->state, (uint64_t)RING_RUNNING);
	store_release(session.cookie, SESSION_COOKIE);
	return 0;
}

/* Let those who are in the middle of a record finish it: all but never any work. */
static void settle(void)
{
	for (int i = 0; i < SETTLE_TRIES; i++) {
		if (!load(&session.scratch_used) && !load(&session.counters->claims_open))
			return;
		sys_pause_ns(SETTLE_PAUSE_NS);
	}
}

/* Nobody will read the old memory: its samples are lost, and what it says of others that are. */
static void inherit_losses(struct ring_counters *to)
{
	const struct ring_counters *from = session.counters;

	for (int d = 0; d < RING_DIMENSIONS; d++) {
		for (int why = 0; why < RING_DROPS; why++)
			to->drops[d][why] = load(&from->drops[d][why]);
		to->drops[d][RING_DROP_RING_FULL] += load(&from->samples[d]);
	}
}

/* The memory of a new session with the layout of the live one, ready but not in its place yet. */
static unsigned char *prepare_memory(int fd, struct ring_head *head)
{
	unsigned char *base;
	struct ring_counters *counters;

	base = mmap(NULL, head->total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return NULL;
	fill_head(head);
	head->magic = RING_MAGIC;
	memcpy(base, head, sizeof(*head));
	counters = (struct ring_counters *)(void *)(base + 2 * RING_PAGE);
	(void)heap_in(base, head); /* blocks of the old session are not of this one */
	counters->preloaded = session.preloaded;
	counters->threads_high =
	    thread_carry_over((struct ring_thread *)(void *)(base + head->threads_at));
	if (!load(&session.counters->attaches))
		inherit_losses(counters);
	return base;
}

int session_renew(void)
{
	struct ring_head head = *session.head;
	unsigned char *base = (unsigned char *)session.head, *fresh;
	struct stat st;
	int fd = -1, r;

	settle();
	r = make_memfd(head.total_bytes, &fd);
	if (r < 0)
		return r;
	fresh = fstat(fd, &st) ? NULL : prepare_memory(fd, &head);
	if (!fresh) {
		sys_close(fd);
		return -ENOMEM;
	}
	source_cpu_close();
	store_release(&session.counters->state, (uint64_t)RING_CLOSED);
	if (mmap(base, head.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	    MAP_FAILED) {
		r = -errno;
		store(&session.counters->state, (uint64_t)RING_STOPPED);
		munmap(fresh, head.total_bytes);
		sys_close(fd);
		return r;
	}
	(void)madvise(base, head.total_bytes, MADV_DONTFORK);
	(void)madvise(base, head.total_bytes, MADV_DONTDUMP);
	munmap(fresh, head.total_bytes);
	close_inherited();
	session.fd = fd;
	session.fd_dev = st.st_dev;
	session.fd_ino = st.st_ino;
	session.start_ns = head.start_monotonic_ns;
	session.epoch++;
	module_table_open();
	source_new_session();
	(void)thread_carry_over(session.slots); /* those that came meanwhile */
	return 0;
}

bool session_adopt_child(void)
{
	if (!load(&session.follow_forks) || !load(&session.running) || load(&session.seccomp_set)) {
		store(&session.running, 0);
		return false;
	}
	if (!try_take(&session.opening))
		return false; /* another thread of the child is at it */
	if (!session_live() && session_open() < 0) {
		store(&session.running, 0);
	} else {
		thread_child_started();
		otel_publish_process();
	}
	give_back(&session.opening);
	return session_live();
}

struct scratch *scratch_take(void)
{
	uint64_t used = load(&session.scratch_used);

	while (~used) {
		int bit = __builtin_ctzll(~used);

		if (replace(&session.scratch_used, &used, used | UINT64_C(1) << bit))
			return &session.scratch[bit];
	}
	return NULL;
}

void scratch_give(struct scratch *s)
{
	uint64_t bit = UINT64_C(1) << (s - session.scratch);

	__atomic_fetch_and(&session.scratch_used, ~bit, __ATOMIC_RELEASE);
}
