/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ingest/cgroup.h"
#include "server/processes_private.h"

#define DRAIN_BYTES_MAX ((size_t)1 << 20) /* of one ring in one turn */
#define TURN_BYTES_MAX ((size_t)4 << 20)  /* of all of them: as much as a client of ours has */

#define ROOM_BYTES ((uint64_t)128 << 10) /* three hundred stacks of forty frames */
#define ROOM_TICKS 4

#define TICK_NS (PROCESSES_TICK_MS * NS_PER_MS)
#define DRAIN_NS NS_PER_S
#define MANY 64 /* processes: above, each is drained every other second */
#define UNWATCHED_NS (INT64_C(10) * NS_PER_S)
/* the client's budget wants its CPU time before it is three seconds old */
#define LOOK_NS (INT64_C(2) * NS_PER_S)
#define YOUNG_NS (INT64_C(20) * NS_PER_S)

#define HEAP_PERIOD_NS (INT64_C(10) * NS_PER_S)

#define AT_AGENT RING_PAGE
#define AT_COUNTERS (2 * RING_PAGE)

static int read_at(const struct process *p, void *to, size_t len, uint64_t at)
{
	ssize_t n = pread(p->memfd, to, len, (off_t)at);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static void write_at(const struct process *p, const void *from, size_t len, uint64_t at)
{
	ssize_t n = pwrite(p->memfd, from, len, (off_t)at);

	(void)n; /* A client that cannot be told reads a stale heartbeat and comes back. */
}

static uint64_t ring_at(const struct process *p, uint32_t ring)
{
	return p->head.rings_at + (uint64_t)ring * (RING_HEAD_BYTES + p->head.ring_bytes);
}

static int memfd_check(int memfd, uint64_t *ret_bytes, struct err *err)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat st;

	if (fstat(memfd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "ring: not a memory file");
	int have = fcntl(memfd, F_GET_SEALS);

	if (have < 0 || (have & seals) != seals)
		return err_set(err, -EINVAL,
			       "ring: the memory file is not sealed against resizing");
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/*
 * A directory of /proc and nothing else, for files are opened below it: in any other a client could
 * plant a FIFO that hangs the agent, or a link to what only the agent may read.
 */
static int proc_check(struct process *p, struct err *err)
{
	struct statfs fs;
	char stat[PROCESS_STAT_MAX];

	if (fstatfs(p->proc, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return err_set(err, -EINVAL,
			       "hello: the second descriptor is not a directory of /proc");
	ssize_t n = fd_read_file(p->proc, "stat", stat, sizeof(stat) - 1);

	if (n <= 0)
		return 0; /* it has ended already; what it left is read */
	stat[n] = '\0';
	p->foreign_tids = strtol(stat, NULL, 10) != p->head.pid;
	if (fd_read_file(p->proc, "comm", p->comm, sizeof(p->comm) - 1) < 0)
		p->comm[0] = '\0';
	p->comm[strcspn(p->comm, "\n")] = '\0';
	return 0;
}

static void label_keep(const struct native_hello *hello, const char *key, char *to, size_t max)
{
	for (size_t i = 0; i < hello->labels_count; i++)
		if (hello->labels[i].key.len == strlen(key) &&
		    !memcmp(hello->labels[i].key.ptr, key, hello->labels[i].key.len))
			(void)snprintf(to, max, "%s", hello->labels[i].value.ptr);
}

void process_notes(struct process *p, const struct native_hello *hello)
{
	p->settings[0] = '\0';
	p->refused_bytes = 0;
	for (size_t i = 0; i < hello->notes_count; i++) {
		const struct str key = hello->notes[i].key, value = hello->notes[i].value;

		if (!strcmp(key.ptr, RING_HELLO_SETTINGS))
			(void)snprintf(p->settings, sizeof(p->settings), "%s", value.ptr);
		if (strcmp(key.ptr, RING_HELLO_REFUSED) ||
		    value.len >= sizeof(p->refused) - p->refused_bytes)
			continue;
		memcpy(p->refused + p->refused_bytes, value.ptr, value.len + 1);
		p->refused_bytes += value.len + 1;
	}
}

static void cgroup_read(const struct process *p, struct cgroup *ret)
{
	char text[4096];
	ssize_t n = fd_read_file(p->proc, "cgroup", text, sizeof(text));

	cgroup_parse((struct str){text, n > 0 ? (size_t)n : 0}, ret);
}

/* Unless the client set it itself. */
static void label_add(struct ingest_label *labels, size_t *count, const char *key,
		      const char *value)
{
	for (size_t i = 0; i < *count; i++)
		if (labels[i].key.len == strlen(key) &&
		    !memcmp(labels[i].key.ptr, key, strlen(key)))
			return;
	if (*value)
		labels[(*count)++] =
		    (struct ingest_label){{key, strlen(key)}, {value, strlen(value)}};
}

int process_new(int memfd, int proc, uint32_t owner, int64_t pid, const struct native_hello *hello,
		const char *host, struct process **ret_process, struct err *err)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, -ENOMEM, "ring: out of memory");
	*p = (struct process){
	    .memfd = memfd, .proc = proc, .perf_map = -1, .owner = owner, .pid = pid};
	int rc = memfd_check(memfd, &p->file_bytes, err);

	if (!rc && read_at(p, &p->head, sizeof(p->head), 0))
		rc = err_set(err, -EINVAL, "ring: the head cannot be read");
	if (!rc)
		rc = native_head_check(&p->head, p->file_bytes, err);
	if (!rc && memcmp(p->head.runtime_id, hello->runtime_id, 16))
		rc = err_set(err, -EINVAL, "ring: the hello names another process");
	if (!rc)
		rc = proc_check(p, err);
	label_keep(hello, "service", p->service, sizeof(p->service));
	process_notes(p, hello);

	struct ingest_label labels[NATIVE_LABELS_MAX];
	size_t count = hello->labels_count;

	struct cgroup cgroup;

	count = MIN(count, (size_t)NATIVE_LABELS_MAX - 3);
	memcpy(labels, hello->labels, count * sizeof(*labels));
	cgroup_read(p, &cgroup);
	label_add(labels, &count, "container_id", cgroup.container);
	label_add(labels, &count, "cgroup", cgroup.path);
	labels[count++] = (struct ingest_label){STR("host"), {host, strlen(host)}};
	const struct native_options options = {.owner = owner,
					       .pid = pid,
					       .executable = p->comm,
					       .labels = labels,
					       .labels_count = count};

	if (!rc)
		rc = native_process_new(&p->head, &options, &p->native);
	if (rc) {
		p->memfd = p->proc = -1; /* still the caller's */
		process_free(p);
		return rc;
	}
	if (getrandom(&p->generation, sizeof(p->generation), 0) < 0)
		p->generation = (uint64_t)clock_real_ns();
	p->attached_ns = clock_monotonic_ns();
	*ret_process = p;
	return 0;
}

void process_free(struct process *p)
{
	if (!p)
		return;
	fd_close(&p->memfd);
	fd_close(&p->proc);
	fd_close(&p->perf_map);
	quiet_release(&p->quiet);
	native_process_free(p->native);
	profile_free(p->waiting);
	free(p);
}

static void tail_write(struct process *p, uint32_t ring, uint64_t position)
{
	uint64_t at = AT_AGENT + offsetof(struct ring_agent, tail) + ring * 2 * sizeof(uint64_t);

	/* Two writes, a before b: see struct ring_agent. */
	write_at(p, &position, sizeof(position), at);
	write_at(p, &position, sizeof(position), at + sizeof(position));
	p->tails[ring] = position;
}

int process_resume(struct process *p, const uint64_t *positions, struct err *err)
{
	bool resumed = false;

	for (uint32_t i = 0; i < p->head.rings_count; i++) {
		struct ring_control control;

		if (read_at(p, &control, sizeof(control), ring_at(p, i)))
			return err_set(err, -EIO, "ring: cannot be read");
		/* A store that is ahead of the ring belongs to another history: start where it
		 * is. */
		p->positions[i] = MIN(positions[i], control.head);
		if (control.head - p->positions[i] > p->head.ring_bytes)
			p->positions[i] = control.head - p->head.ring_bytes;
		resumed = resumed || positions[i];
		tail_write(p, i, p->positions[i]);
	}
	memcpy(p->batch_positions, p->positions, sizeof(p->batch_positions));
	native_process_resume(p->native, resumed);
	p->ready = true;
	process_heartbeat(p);
	return 0;
}

void process_heartbeat(struct process *p)
{
	struct {
		int64_t heartbeat_ns;
		uint64_t generation;
	} beat = {clock_monotonic_ns(), p->generation};

	_Static_assert(offsetof(struct ring_agent, generation) == 8, "the two stand together");
	write_at(p, &beat, sizeof(beat), AT_AGENT);
	p->beaten_ns = beat.heartbeat_ns;
}

void process_obey(struct process *p, struct control_state state)
{
	const uint32_t page[2] = {state.paused, state.cpu_interval_us};

	_Static_assert(offsetof(struct ring_agent, cpu_interval_us) ==
			   offsetof(struct ring_agent, kill) + sizeof(uint32_t),
		       "the two stand together");
	if (p->obeyed_known && p->obeyed.paused == state.paused &&
	    p->obeyed.cpu_interval_us == state.cpu_interval_us)
		return;
	write_at(p, page, sizeof(page), AT_AGENT + offsetof(struct ring_agent, kill));
	p->obeyed = state;
	p->obeyed_known = true;
}

void process_farewell(struct process *p)
{
	const int64_t stopped = 0;

	write_at(p, &stopped, sizeof(stopped), AT_AGENT);
}

/*
 * What has no room in a ring goes into the next, so that the two are judged as one; a ring alone is
 * its own next. A quarter of them may wait for its turn, and three eighths of large ones: as long
 * as twice ROOM_BYTES are free, and ROOM_TICKS times what came since the last look.  Clients write
 * no spans where half of a ring waits, and of its next.
 */
static bool is_pressing(uint64_t bytes, uint64_t waiting, uint64_t came)
{
	uint64_t room = bytes - waiting;

	return waiting >= bytes / 4 &&
	       (waiting >= bytes / 8 * 3 || room < 2 * ROOM_BYTES || room / ROOM_TICKS < came);
}

/* By ring, what stands there since `from`.  A head may lie; no ring holds more than its size. */
static int rings_look(const struct process *p, const uint64_t *from, uint64_t *heads,
		      uint64_t *waiting)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < p->head.rings_count; i++) {
		rc = read_at(p, &heads[i], sizeof(heads[i]),
			     ring_at(p, i) + offsetof(struct ring_control, head));
		if (!rc)
			waiting[i] = MIN(heads[i] - from[i], (uint64_t)p->head.ring_bytes);
	}
	return rc;
}

bool process_is_pressing(struct process *p)
{
	uint64_t heads[RING_RINGS_MAX], waiting[RING_RINGS_MAX], came[RING_RINGS_MAX];
	uint32_t count = p->head.rings_count;
	bool pressing = false;

	if (rings_look(p, p->positions, heads, waiting))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		came[i] = MIN(heads[i] - p->heads_seen[i], (uint64_t)p->head.ring_bytes);
		p->heads_seen[i] = heads[i];
	}
	for (uint32_t i = 0; !pressing && i < count; i++) {
		uint32_t next = (i + 1) % count;

		pressing = is_pressing(2 * (uint64_t)p->head.ring_bytes, waiting[i] + waiting[next],
				       came[i] + came[next]);
	}
	return pressing;
}

/*
 * A drain costs the same whatever there is to drain, a stack that comes again in it next to
 * nothing, and a batch some ten pages of disk whatever is in it.  So it waits in its ring while
 * there is room and nobody asks (processes_watch).
 */
static int64_t drain_period(const struct process *p, bool watched, size_t count, int64_t now_ns)
{
	if (!watched && now_ns - p->attached_ns >= YOUNG_NS)
		return UNWATCHED_NS;
	return count > MANY ? 2 * DRAIN_NS : DRAIN_NS;
}

/* Processes have their turns in the same ticks, some MANY in each, and so their batches one
 * transaction. */
static bool drain_is_due(const struct process *p, int64_t period_ns, size_t count, int64_t now_ns)
{
	int64_t phase_ns = p->pid % (int64_t)(count / MANY + 1) * TICK_NS;

	return (now_ns + phase_ns) / period_ns > (p->drained_ns + phase_ns) / period_ns;
}

/* For the client's own budget, which then needs no system call: client/budget.c. */
static void cpu_tell(const struct process *p)
{
	const struct {
		uint64_t cpu_ns;
		int64_t at_ns;
	} cpu = {p->looked.cpu_ns, p->looked_ns};

	_Static_assert(offsetof(struct ring_agent, cpu_at_ns) ==
			   offsetof(struct ring_agent, cpu_ns) + 8,
		       "the two stand together");
	if (p->looked.known)
		write_at(p, &cpu, sizeof(cpu), AT_AGENT + offsetof(struct ring_agent, cpu_ns));
}

static void look(struct process *p, int64_t now_ns)
{
	p->looked_ns = now_ns;
	if (!process_is_gone(p))
		cpu_tell(p);
}

/* Between drains: it has ended, or has other threads, which are to be found while they run. */
static bool has_changed(struct process *p, int64_t now_ns)
{
	look(p, now_ns);
	return p->gone || p->looked.threads != p->drained_threads;
}

bool process_has_turn(struct process *p, bool watched, size_t count, int64_t now_ns)
{
	bool young = now_ns - p->attached_ns < YOUNG_NS;

	/* A drain asks whether it lives; of what is over soon it is asked at every tick. */
	return p->gone || drain_is_due(p, drain_period(p, watched, count, now_ns), count, now_ns) ||
	       process_is_pressing(p) || (young && process_is_gone(p)) ||
	       (now_ns - p->looked_ns >= LOOK_NS && has_changed(p, now_ns));
}

bool process_is_half_full(struct process *p)
{
	uint64_t heads[RING_RINGS_MAX], waiting[RING_RINGS_MAX];
	bool full = rings_look(p, p->batch_positions, heads, waiting);

	for (uint32_t i = 0; !full && i < p->head.rings_count; i++)
		full = waiting[i] + waiting[(i + 1) % p->head.rings_count] > p->head.ring_bytes;
	return full;
}

int process_refresh(struct process *p)
{
	int rc = read_at(p, &p->counters, sizeof(p->counters), AT_COUNTERS);
	uint64_t modules = MIN(p->counters.modules, (uint64_t)p->head.modules_max);

	while (!rc && p->modules_read < modules) {
		struct ring_module module;

		rc = read_at(p, &module, sizeof(module),
			     p->head.modules_at + p->modules_read * sizeof(module));
		if (!rc)
			rc = native_process_module(p->native, &module);
		p->modules_read += !rc;
	}
	return rc;
}

/* Copy `len` bytes of a ring from `position`, the wrap undone. */
static int ring_copy(struct process *p, uint32_t ring, uint64_t position, uint8_t *to, size_t len)
{
	uint64_t mask = p->head.ring_bytes - 1, data = ring_at(p, ring) + RING_HEAD_BYTES;
	size_t first = MIN(len, (size_t)(p->head.ring_bytes - (position & mask)));
	int rc = read_at(p, to, first, data + (position & mask));

	return rc || first == len ? rc : read_at(p, to + first, len - first, data);
}

static bool claim_expired(struct process *p, uint32_t ring, size_t len, int64_t now_ns)
{
	if (!len) {
		p->stalled_ns[ring] = 0;
		return false;
	}
	if (!p->stalled_ns[ring])
		p->stalled_ns[ring] = now_ns;
	return p->gone || now_ns - p->stalled_ns[ring] > RING_CLAIM_EXPIRES_NS;
}

/*
 * Take up to `*room` bytes of a ring, which become less. `*ret_left`: whether more stands there.
 * What is taken stays in the common copy, one ring's behind another's, until the batch is made.
 */
static int ring_drain(struct process *p, uint32_t ring, int64_t now_ns, size_t *room,
		      bool *ret_left)
{
	struct ring_control control;
	uint8_t *bytes = p->all->taken + (TURN_BYTES_MAX - *room);
	int rc = read_at(p, &control, sizeof(control), ring_at(p, ring));
	size_t consumed = 0;

	if (rc)
		return rc;
	uint64_t waiting = control.head - p->positions[ring];

	/* More than a lap, or not in units: the head is a lie. Go where it points, and go on. */
	if (waiting > p->head.ring_bytes || control.head % RING_UNIT) {
		p->positions[ring] = control.head & ~(uint64_t)(RING_UNIT - 1);
		return 0;
	}
	size_t len = MIN(MIN((size_t)waiting, DRAIN_BYTES_MAX), *room);

	if (len)
		rc = ring_copy(p, ring, p->positions[ring], bytes, len);
#if !defined(__x86_64__)
	/* A commit and what it covers may be copied out of order: look again, now that the commits
	 * that are believed have been seen. */
	if (len && !rc)
		rc = ring_copy(p, ring, p->positions[ring], bytes, len);
#endif
	if (!rc)
		rc = native_process_records(p->native, ring, p->positions[ring], bytes, len,
					    claim_expired(p, ring, len, now_ns), &consumed);
	if (consumed)
		p->stalled_ns[ring] = 0;
	p->positions[ring] += consumed;
	*room -= consumed;
	*ret_left = *ret_left || waiting - consumed >= RING_UNIT;
	return rc;
}

static int rings_drain(struct process *p, int64_t now_ns, bool *ret_left)
{
	size_t room = TURN_BYTES_MAX;
	int rc = 0;

	*ret_left = false;
	if (!p->all->taken)
		p->all->taken = malloc(TURN_BYTES_MAX); /* what is never used takes no memory */
	if (!p->all->taken)
		return -ENOMEM;
	for (uint32_t i = 0; !rc && i < p->head.rings_count; i++)
		rc = ring_drain(p, (p->first_ring + i) % p->head.rings_count, now_ns, &room,
				ret_left);
	p->first_ring = (p->first_ring + 1) % p->head.rings_count;
	return rc;
}

/* Every ten seconds, oftener while the process is young, when a flush is asked for, and at the
 * end. */
static int heap_when_due(struct process *p, const struct native_clock *clock, bool last)
{
	bool young = clock->monotonic_ns - p->attached_ns < YOUNG_NS;

	if (!last && clock->monotonic_ns < p->heap_due_ns &&
	    p->counters.flush_wanted == p->flush_sent)
		return 0;
	p->heap_due_ns = clock->monotonic_ns + (young ? NS_PER_S : HEAP_PERIOD_NS);
	return process_heap(p);
}

static struct profile *batch_make(struct process *p, const struct native_clock *clock, bool force,
				  bool last, struct err *err)
{
	struct profile_builder **builder = &p->all->builder;
	struct native_reading *CLEANUP(cleanup_free) readings = NULL;
	struct native_sums sums;
	struct native_vitals vitals;
	size_t count = 0;
	int rc = process_readings(p, clock, force, &readings, &count, &sums, &vitals);

	if (!rc)
		rc = heap_when_due(p, clock, last);
	if (!rc)
		rc =
		    *builder ? profile_builder_again(*builder) : profile_builder_new(NULL, builder);
	if (rc) {
		err_set(err, rc, "drain: %s", strerror(-rc));
		return NULL;
	}
	rc = native_process_emit(p->native, &p->counters, &sums, &vitals, readings, count, clock,
				 last, *builder, err);
	native_process_stats(p->native, &p->stats);
	return rc ? NULL : profile_builder_take(*builder);
}

/* Whether there is something to say, and it can be said. */
static bool is_due(struct process *p, const struct native_clock *clock, bool force)
{
	if (!force && !p->gone && clock->monotonic_ns < p->heap_due_ns &&
	    !native_process_due(p->native, clock))
		return false;
	return process_names_ready(p);
}

struct profile *process_drain(struct process *p, bool force, struct err *err)
{
	const struct native_clock clock = {clock_real_ns(), clock_monotonic_ns()};
	bool left = false, due = false;
	int rc = process_refresh(p);

	look(p, clock.monotonic_ns); /* before the rings: then what they hold is all */
	if (!rc)
		rc = rings_drain(p, clock.monotonic_ns, &left);
	if (!rc)
		rc = process_jit_read(p); /* after: code has its name before it runs */
	p->drained_ns = clock.monotonic_ns;
	p->drained_threads = p->looked.threads;
	if (!rc)
		due = is_due(p, &clock, force);
	if (!rc && !due)
		rc = native_process_keep(p->native);
	if (rc) {
		err_set(err, rc, "drain: %s", strerror(-rc));
		p->failed = true;
		return NULL;
	}
	if (!due)
		return NULL;
	bool last = p->gone && !left;
	struct profile *profile = batch_make(p, &clock, force, last, err);

	if (!profile) {
		p->failed = true;
		return NULL;
	}
	memcpy(p->batch_positions, p->positions, sizeof(p->batch_positions));
	p->flush_sent = p->counters.flush_wanted;
	p->ending = last;
	return profile;
}

void process_commit(struct process *p)
{
	for (uint32_t i = 0; i < p->head.rings_count; i++)
		if (p->tails[i] != p->batch_positions[i])
			tail_write(p, i, p->batch_positions[i]);
	if (p->flush_answered == p->flush_sent)
		return;
	write_at(p, &p->flush_sent, sizeof(p->flush_sent),
		 AT_AGENT + offsetof(struct ring_agent, flushed));
	p->flush_answered = p->flush_sent;
}
