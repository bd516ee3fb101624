/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc says of a process's threads, read through the directory descriptor that the client
 * passed: no privilege, no pid that may have been reused, ESRCH when the process is gone.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "server/process.h"

static int slots_copy(const struct process *p, struct ring_thread *to, size_t count)
{
	size_t bytes = count * sizeof(*to);

	return pread(p->memfd, to, bytes, p->head.threads_at) == (ssize_t)bytes ? 0 : -EIO;
}

static bool have_calls(const struct ring_thread *slots, size_t count)
{
	size_t i = 0;

	while (i < count && !slots[i].call)
		i++;
	return i < count;
}

/* A call that is not the same twice was none: whether a thread is in one takes a second look. */
static int calls_check(const struct process *p, struct ring_thread *slots, size_t count)
{
	if (!have_calls(slots, count))
		return 0;
	struct ring_thread *CLEANUP(cleanup_free) again = malloc(count * sizeof(*again));
	int rc = again ? slots_copy(p, again, count) : -ENOMEM;

	for (size_t i = 0; !rc && i < count; i++)
		if (slots[i].call != again[i].call || slots[i].since_ns != again[i].since_ns ||
		    slots[i].site != again[i].site || slots[i].target != again[i].target)
			slots[i].call = 0;
	return rc;
}

/* A consistent copy of every used slot; one that keeps changing is taken as running. */
static int slots_read(struct process *p, struct ring_thread **ret_slots, size_t *ret_count,
		      struct native_sums *ret_sums)
{
	size_t count = (size_t)MIN(p->counters.threads_high, (uint64_t)p->head.threads_max);
	struct ring_thread *slots = malloc(count * sizeof(*slots) + 1);
	int rc = slots ? slots_copy(p, slots, count) : -ENOMEM;

	if (!rc)
		rc = calls_check(p, slots, count);
	if (rc) {
		free(slots);
		return rc;
	}
	*ret_sums = (struct native_sums){0};
	for (size_t i = 0; i < count; i++) {
		ret_sums->blocked_ns += slots[i].blocked_ns;
		ret_sums->blocked_calls += slots[i].blocked_calls;
		slots[i].name[sizeof(slots[i].name) - 1] = '\0';
	}
	*ret_slots = slots;
	*ret_count = count;
	return 0;
}

static void schedstat_read(struct process *p, struct native_reading *reading)
{
	char path[48], text[96];
	unsigned long long cpu, wait;

	(void)snprintf(path, sizeof(path), "task/%u/schedstat", reading->tid);
	ssize_t n = fd_read_file(p->proc, path, text, sizeof(text) - 1);

	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &cpu, &wait) != 2)
		return;
	reading->has_schedstat = true;
	reading->cpu_ns = cpu;
	reading->wait_ns = wait;
}

static void comm_read(struct process *p, struct native_reading *reading)
{
	char path[48];

	(void)snprintf(path, sizeof(path), "task/%u/comm", reading->tid);
	ssize_t n = fd_read_file(p->proc, path, reading->comm, sizeof(reading->comm) - 1);

	if (n <= 0) {
		reading->comm[0] = '\0';
		return;
	}
	reading->comm[n] = '\0';
	reading->comm[strcspn(reading->comm, "\n")] = '\0';
}

/* proc(5), /proc/PID/status. */
static void switches_read(struct process *p, struct native_reading *reading)
{
	static const char key[] = "voluntary_ctxt_switches:";
	char path[48], text[4096];
	unsigned long long voluntary, involuntary;

	(void)snprintf(path, sizeof(path), "task/%u/status", reading->tid);
	ssize_t n = fd_read_file(p->proc, path, text, sizeof(text) - 1);

	if (n <= 0)
		return;
	text[n] = '\0';
	const char *first = strstr(text, key), *second = first ? strstr(first + 1, key) : NULL;

	/* "nonvoluntary_ctxt_switches" ends in the same words, and comes second. */
	if (!second || sscanf(first + sizeof(key) - 1, "%llu", &voluntary) != 1 ||
	    sscanf(second + sizeof(key) - 1, "%llu", &involuntary) != 1)
		return;
	reading->has_switches = true;
	reading->voluntary = voluntary;
	reading->involuntary = involuntary;
}

/* proc(5): fields 10, 12, 14, 15 and 20 of stat. */
static struct native_vitals stat_vitals(const char *stat)
{
	const char *after = strrchr(stat, ')');
	unsigned long long minor, major, user, kernel, threads;

	if (!after ||
	    sscanf(after + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %llu %*u %llu %*u %llu %llu %*d %*d %*d %*d %llu",
		   &minor, &major, &user, &kernel, &threads) != 5)
		return (struct native_vitals){0};
	return (struct native_vitals){.known = true,
				      .minor_faults = minor,
				      .major_faults = major,
				      .threads = threads,
				      .cpu_ns = (user + kernel) *
						(NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK))};
}

/* A zombie runs no more; its parent may take its time.  But a leader that ended before its threads
 * looks like one too (proc(5): field 3 is the state, field 20 counts threads). */
static bool stat_is_gone(const char *stat)
{
	const char *field = strrchr(stat, ')');
	char state = field && field[1] == ' ' ? field[2] : '?';

	if (state != 'Z' && state != 'X')
		return false;
	for (int i = 2; field && i < 20; i++)
		field = strchr(field + 1, ' ');
	return !field || strtol(field, NULL, 10) <= 1;
}

bool process_is_gone(struct process *p)
{
	char stat[PROCESS_STAT_MAX];
	ssize_t n = fd_read_file(p->proc, "stat", stat, sizeof(stat) - 1);

	stat[MAX(n, (ssize_t)0)] = '\0';
	p->looked = stat_vitals(stat);
	/* Once gone, always; and a closed session's program goes on in another. */
	p->gone = p->gone || p->counters.state == RING_CLOSED || n == -ESRCH || n == -ENOENT ||
		  !n || (n > 0 && stat_is_gone(stat));
	return p->gone;
}

/* What was seen when the drain began and, when it is asked for, `resident` memory: the second
 * number of statm. */
static struct native_vitals vitals_read(const struct process *p, bool resident)
{
	struct native_vitals vitals = p->looked;
	unsigned long long pages;
	char text[256];
	ssize_t n = resident ? fd_read_file(p->proc, "statm", text, sizeof(text) - 1) : 0;

	if (!resident || !vitals.known)
		return vitals;
	text[MAX(n, (ssize_t)0)] = '\0';
	if (sscanf(text, "%*u %llu", &pages) != 1)
		return (struct native_vitals){0};
	vitals.resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return vitals;
}

static int by_tid(const void *a, const void *b)
{
	uint32_t left = ((const struct native_reading *)a)->tid;
	uint32_t right = ((const struct native_reading *)b)->tid;

	return (left > right) - (left < right);
}

static int reading_add(struct native_reading **readings, size_t *count, size_t *capacity,
		       uint32_t tid)
{
	int rc = array_grow(readings, sizeof(**readings), capacity, *count + 1);

	if (!rc)
		(*readings)[(*count)++] = (struct native_reading){.tid = tid};
	return rc;
}

/* Every task that the kernel lists. */
static int tasks_list(struct process *p, struct native_reading **readings, size_t *count)
{
	size_t capacity = 0;
	int fd = openat(p->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (!dir) {
		fd_close(&fd);
		return 0; /* gone */
	}
	for (struct dirent *entry; !rc && (entry = readdir(dir)) && *count < RING_THREADS_MAX;)
		if (isdigit((unsigned char)entry->d_name[0]))
			rc = reading_add(readings, count, &capacity,
					 (uint32_t)strtoul(entry->d_name, NULL, 10));
	(void)closedir(dir);
	return rc;
}

static int tasks_again(struct process *p, struct native_reading **readings, size_t *count)
{
	size_t capacity = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < p->quiet.count; i++)
		rc = reading_add(readings, count, &capacity, p->quiet.tasks[i].tid);
	return rc;
}

/* Which threads have which slots. */
static uint64_t slots_mark(const struct ring_thread *slots, size_t count)
{
	uint64_t mark = 1;

	for (size_t i = 0; i < count; i++)
		mark = (mark ^ slots[i].tid ^ (uint64_t)slots[i].generation << 32) *
		       UINT64_C(0x9e3779b97f4a7c15);
	return mark;
}

/*
 * The tasks, by tid: those of the last drain when there are as many and the slots are the same
 * threads'. A task that takes the place of one without a slot is missed until the next list, but
 * the one that ended is not: its file is.
 */
static int tasks_find(struct process *p, const struct ring_thread *slots, size_t slots_count,
		      bool all, struct native_reading **readings, size_t *count)
{
	uint64_t mark = slots_mark(slots, slots_count), was = p->task_links;
	struct stat st;

	if (p->foreign_tids)
		return 0; /* numbers that do not meet: samples keep their own weights */
	p->task_links = fstatat(p->proc, "task", &st, 0) < 0 ? 0 : st.st_nlink;
	if (!all && was && was == p->task_links && mark == p->slots_mark)
		return tasks_again(p, readings, count);
	p->slots_mark = mark;
	int rc = tasks_list(p, readings, count);

	if (*count)
		qsort(*readings, *count, sizeof(**readings), by_tid);
	return rc;
}

/*
 * A slot belongs to the task of its tid.  Inside a pid namespace the client's tids are not the
 * kernel's names in our /proc, but /proc/self of the client's own mount shows the client's: the
 * descriptor came from there, so the two agree.  Where they do not (the host's /proc mounted into a
 * container), process_new has seen it, and no task is read.
 */
static void slots_match(struct process *p, struct native_reading *readings, size_t count,
			const struct ring_thread *slots, size_t slots_count)
{
	size_t without = count;

	for (size_t s = 0; count && s < slots_count; s++) {
		const struct native_reading wanted = {.tid = slots[s].tid};
		struct native_reading *reading =
		    wanted.tid ? bsearch(&wanted, readings, count, sizeof(*readings), by_tid)
			       : NULL;

		if (!reading)
			continue;
		without -= !reading->slot.tid;
		reading->slot = slots[s];
	}
	/* Threads that we see and the client does not: ask it to look. */
	if (without && !p->gone) {
		p->rescan++;
		ssize_t n = pwrite(p->memfd, &p->rescan, sizeof(p->rescan),
				   RING_PAGE + offsetof(struct ring_agent, rescan));

		(void)n;
	}
}

/* Slots are reused and never set back: all that were ever used count. */
static void totals_take(struct process *p, const struct ring_thread *slots, size_t count)
{
	struct native_totals totals = {p->counters.alloc_calls, p->counters.alloc_bytes};

	for (size_t i = 0; i < count; i++) {
		totals.alloc_calls += slots[i].alloc_calls;
		totals.alloc_bytes += slots[i].alloc_bytes;
	}
	native_process_totals(p->native, &totals);
}

/* A thread that has not run has the switches that it had. */
static void switches_find(struct process *p, struct native_reading *reading)
{
	const struct quiet_task *task = quiet_find(&p->quiet, reading->tid);

	if (!task || !task->has_switches || !task->has_slot || !task->has_clocks ||
	    !reading->has_schedstat || task->cpu_ns != reading->cpu_ns ||
	    task->wait_ns != reading->wait_ns) {
		switches_read(p, reading);
		return;
	}
	reading->has_switches = true;
	reading->voluntary = task->voluntary;
	reading->involuntary = task->involuntary;
}

static void task_read(struct process *p, const struct native_clock *clock,
		      struct native_reading *reading)
{
	reading->is_kept = false;
	reading->has_schedstat = false;
	schedstat_read(p, reading);
	if (!reading->has_schedstat)
		p->task_links = 0; /* it has ended: make a new list */
	if (!native_process_wants(p->native, reading->tid, clock))
		return;
	comm_read(p, reading);
	switches_find(p, reading);
}

static void tasks_read(struct process *p, const struct native_clock *clock, bool all,
		       struct native_reading *readings, size_t count,
		       struct native_vitals *ret_vitals)
{
	for (size_t i = 0; i < count; i++)
		if (all || !quiet_take(&p->quiet, &readings[i],
				       native_process_heard(p->native, readings[i].tid)))
			task_read(p, clock, &readings[i]);
	/* A last batch says it too: of a program that goes on in another session. */
	*ret_vitals = vitals_read(p, all || p->gone);
	if (!all && quiet_overrun(&p->quiet, readings, count, ret_vitals)) {
		all = true;
		for (size_t i = 0; i < count; i++)
			if (readings[i].is_kept)
				task_read(p, clock, &readings[i]);
	}
	quiet_keep(&p->quiet, readings, count, ret_vitals, all);
}

int process_readings(struct process *p, const struct native_clock *clock, bool all,
		     struct native_reading **ret_readings, size_t *ret_count,
		     struct native_sums *ret_sums, struct native_vitals *ret_vitals)
{
	struct ring_thread *CLEANUP(cleanup_free) slots = NULL;
	size_t slots_count = 0;
	int rc = slots_read(p, &slots, &slots_count, ret_sums);

	*ret_readings = NULL;
	*ret_count = 0;
	all = all || native_process_accounts(p->native, clock);
	if (!rc)
		totals_take(p, slots, slots_count);
	if (!rc && p->gone)
		native_process_last_slots(p->native, slots, slots_count);
	else if (!rc)
		rc = tasks_find(p, slots, slots_count, all, ret_readings, ret_count);
	if (rc)
		return rc;
	slots_match(p, *ret_readings, *ret_count, slots, slots_count);
	tasks_read(p, clock, all, *ret_readings, *ret_count, ret_vitals);
	return 0;
}
