/* SPDX-License-Identifier: Apache-2.0 */
#include "client/perf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/session.h"
#include "client/syscalls.h"
#include "client/thread.h"

#define FD_FLOOR 100  /* as that of the shared memory */
#define FILES_SHARE 4 /* of RLIMIT_NOFILE, which the program needs itself */
#define FIRST_SHARE 8 /* a first period is no shorter than this part of the interval */

/* Not with the threads' state: that is wiped in a forked child, which has to close what it
 * inherited. */
static struct {
	struct {
		int fd;      /* 0: none */
		uint64_t id; /* the kernel's number of the event */
	} held[RING_THREADS_MAX];
	uint32_t high; /* slots that ever had one */
	uint32_t count, max;
	uint32_t used;
	dev_t dev; /* of anonymous inodes, which all events, epolls and the like share */
	ino_t ino;
} perf;

static int event_open(int32_t tid, uint64_t period_ns)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
				       .size = sizeof(attr),
				       .config = PERF_COUNT_SW_TASK_CLOCK,
				       .sample_period = period_ns,
				       .exclude_kernel = 1,
				       .exclude_hv = 1,
				       .wakeup_events = 1};
	int low = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC), fd;

	if (low < 0)
		return -errno;
	fd = sys_fcntl(low, F_DUPFD_CLOEXEC, FD_FLOOR);
	sys_close(low);
	return fd < 0 ? -EMFILE : fd;
}

static void why(enum ring_engine_why reason)
{
	store(&session.counters->engine_why, (uint64_t)reason);
}

bool perf_start(void)
{
	struct rlimit limit;
	struct stat st;
	int fd;

	/* A filter may end the program for a call that is as rare as this. */
	if (session.seccomp_at_start != 0) {
		why(RING_ENGINE_FILTERED);
		return false;
	}
	perf.max = getrlimit(RLIMIT_NOFILE, &limit) ? 0 : RING_THREADS_MAX;
	if (perf.max && limit.rlim_cur / FILES_SHARE < perf.max)
		perf.max = (uint32_t)(limit.rlim_cur / FILES_SHARE);
	fd = event_open(0, UINT64_C(1) << 40);
	if (fd < 0 || fstat(fd, &st)) {
		why(fd == -EMFILE ? RING_ENGINE_FILES : RING_ENGINE_REFUSED);
		return false;
	}
	sys_close(fd);
	perf.dev = st.st_dev;
	perf.ino = st.st_ino;
	why(RING_ENGINE_AS_ASKED);
	return true;
}

static bool is_event(int fd, uint64_t id)
{
	struct stat st;
	uint64_t now = 0;

	return fd > 0 && !fstat(fd, &st) && st.st_dev == perf.dev && st.st_ino == perf.ino &&
	       !sys_ioctl(fd, PERF_EVENT_IOC_ID, &now) && now == id;
}

/* Its signals go to the thread alone, and have the descriptor in them. */
static bool direct(int fd, int32_t tid, uint64_t *ret_id)
{
	struct f_owner_ex owner = {F_OWNER_TID, tid};

	return !sys_ioctl(fd, PERF_EVENT_IOC_ID, ret_id) && !sys_fcntl(fd, F_SETSIG, SIGPROF) &&
	       !sys_fcntl(fd, F_SETOWN_EX, (long)(intptr_t)&owner) &&
	       !sys_fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
}

/* Uniform in (0, interval], as a timer's first: but where a thread is in the kernel for long no
 * signal comes to draw the next, and a period that is too short would be an interrupt's storm. */
static uint64_t first_ns(uint32_t interval_us, uint64_t draw)
{
	uint64_t interval = (uint64_t)interval_us * 1000, first = draw % interval + 1;

	return first < interval / FIRST_SHARE ? interval / FIRST_SHARE : first;
}

bool perf_open(const struct thread *t, uint32_t interval_us, uint64_t draw)
{
	uint32_t slot = thread_slot(t), high = load(&perf.high);
	uint64_t id;
	int fd;

	fd = add(&perf.count, 1) < perf.max ? event_open(t->tid, first_ns(interval_us, draw))
					    : -EMFILE;
	if (fd >= 0 && !direct(fd, t->tid, &id)) {
		sys_close(fd);
		fd = -EINVAL;
	}
	if (fd < 0) {
		add(&perf.count, -1u);
		why(fd == -EMFILE ? RING_ENGINE_FILES : RING_ENGINE_REFUSED);
		return false;
	}
	store(&perf.used, 1);
	store(&perf.held[slot].id, id);
	store_release(&perf.held[slot].fd, fd);
	while (high < slot + 1 && !replace(&perf.high, &high, slot + 1))
		;
	return true;
}

static void drop_slot(uint32_t slot)
{
	int fd = swap(&perf.held[slot].fd, 0);

	if (!fd)
		return;
	add(&perf.count, -1u);
	if (is_event(fd, load(&perf.held[slot].id)))
		sys_close(fd);
}

void perf_close(const struct thread *t)
{
	drop_slot(thread_slot(t));
}

bool perf_works(const struct thread *t)
{
	uint32_t slot = thread_slot(t);
	int fd = load_acquire(&perf.held[slot].fd);

	if (!fd)
		return false;
	if (load(&session.seccomp_set) || is_event(fd, load(&perf.held[slot].id)))
		return true;
	/* The program closed it: the number is not ours any more. */
	if (swap(&perf.held[slot].fd, 0))
		add(&perf.count, -1u);
	why(RING_ENGINE_CLOSED);
	return false;
}

void perf_next(const struct thread *t, uint32_t interval_us, uint64_t draw)
{
	uint64_t interval = (uint64_t)interval_us * 1000, period = interval / 2 + draw % interval;

	if (perf_works(t))
		(void)sys_ioctl(load(&perf.held[thread_slot(t)].fd), PERF_EVENT_IOC_PERIOD,
				&period);
}

bool perf_owns(const struct thread *t, int fd)
{
	return fd > 0 && load_acquire(&perf.held[thread_slot(t)].fd) == fd;
}

bool perf_used(void)
{
	return load(&perf.used);
}

void perf_forked(void)
{
	for (uint32_t i = 0; i < perf.high; i++)
		drop_slot(i);
	perf.high = 0;
	perf.count = 0;
}
