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
#include <unistd.h>

#include "base/fd.h"
#include "server/process.h"

/* A consistent copy of every used slot; one that keeps changing is taken as running. */
static int slots_read(struct process *p, struct ring_thread **ret_slots, size_t *ret_count,
		      struct native_sums *ret_sums)
{
	size_t count = (size_t)MIN(p->counters.threads_high, (uint64_t)p->head.threads_max);
	size_t bytes = count * sizeof(struct ring_thread);
	struct ring_thread *first = malloc(bytes + 1), *second = malloc(bytes + 1);
	ssize_t n = -1, m = -1;

	if (first && second) {
		n = pread(p->memfd, first, bytes, p->head.threads_at);
		m = pread(p->memfd, second, bytes, p->head.threads_at);
	}
	if (n != (ssize_t)bytes || m != n) {
		free(first);
		free(second);
		return -EIO;
	}
	*ret_sums = (struct native_sums){ 0 };
	for (size_t i = 0; i < count; i++) {
		if (first[i].call != second[i].call || first[i].since_ns != second[i].since_ns ||
		    first[i].site != second[i].site || first[i].target != second[i].target)
			second[i].call = 0;
		ret_sums->blocked_ns += second[i].blocked_ns;
		ret_sums->blocked_calls += second[i].blocked_calls;
		second[i].name[sizeof(second[i].name) - 1] = '\0';
	}
	free(first);
	*ret_slots = second;
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

/* proc(5): fields 10, 12, 14 and 15 of stat, the second number of statm. */
static void vitals_read(struct process *p, struct native_vitals *vitals)
{
	char text[1024];
	unsigned long long minor, major, user, kernel, pages;
	ssize_t n = fd_read_file(p->proc, "stat", text, sizeof(text) - 1);

	*vitals = (struct native_vitals){ 0 };
	if (n <= 0)
		return;
	text[n] = '\0';
	const char *after = strrchr(text, ')');

	if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %llu %*u %llu %*u %llu %llu", &minor,
			      &major, &user, &kernel) != 4)
		return;
	n = fd_read_file(p->proc, "statm", text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%*u %llu", &pages) != 1)
		return;
	*vitals = (struct native_vitals){ true, pages * (uint64_t)sysconf(_SC_PAGESIZE), minor, major,
					  (user + kernel) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)) };
}

static int reading_add(struct native_reading **readings, size_t *count, size_t *capacity,
		       uint32_t tid)
{
	int rc = array_grow(readings, sizeof(**readings), capacity, *count + 1);

	if (!rc)
		(*readings)[(*count)++] = (struct native_reading){ .tid = tid };
	return rc;
}

/* Every task that the kernel lists. */
static int tasks_list(struct process *p, struct native_reading **readings, size_t *count)
{
	size_t capacity = 0;
	int fd = p->foreign_tids ? -1 : openat(p->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (!dir) {
		fd_close(&fd);
		return 0; /* gone, or numbers that do not meet: samples keep their own weights */
	}
	for (struct dirent *entry; !rc && (entry = readdir(dir)) && *count < RING_THREADS_MAX;)
		if (isdigit((unsigned char)entry->d_name[0]))
			rc = reading_add(readings, count, &capacity,
					 (uint32_t)strtoul(entry->d_name, NULL, 10));
	(void)closedir(dir);
	return rc;
}

static int by_tid(const void *a, const void *b)
{
	uint32_t left = ((const struct native_reading *)a)->tid;
	uint32_t right = ((const struct native_reading *)b)->tid;

	return (left > right) - (left < right);
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

	if (count)
		qsort(readings, count, sizeof(*readings), by_tid);
	for (size_t s = 0; count && s < slots_count; s++) {
		const struct native_reading wanted = { .tid = slots[s].tid };
		struct native_reading *reading =
			wanted.tid ? bsearch(&wanted, readings, count, sizeof(*readings), by_tid) : NULL;

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
	struct native_totals totals = { p->counters.alloc_calls, p->counters.alloc_bytes };

	for (size_t i = 0; i < count; i++) {
		totals.alloc_calls += slots[i].alloc_calls;
		totals.alloc_bytes += slots[i].alloc_bytes;
	}
	native_process_totals(p->native, &totals);
}

int process_readings(struct process *p, const struct native_clock *clock,
		     struct native_reading **ret_readings, size_t *ret_count,
		     struct native_sums *ret_sums, struct native_vitals *ret_vitals)
{
	struct ring_thread *CLEANUP(cleanup_free) slots = NULL;
	size_t slots_count = 0;
	int rc = slots_read(p, &slots, &slots_count, ret_sums);

	*ret_readings = NULL;
	*ret_count = 0;
	if (!rc)
		totals_take(p, slots, slots_count);
	if (!rc && p->gone)
		native_process_last_slots(p->native, slots, slots_count);
	else if (!rc)
		rc = tasks_list(p, ret_readings, ret_count);
	if (rc)
		return rc;
	for (size_t i = 0; i < *ret_count; i++) {
		struct native_reading *reading = &(*ret_readings)[i];

		schedstat_read(p, reading);
		if (!native_process_wants(p->native, reading->tid, clock))
			continue;
		comm_read(p, reading);
		switches_read(p, reading);
	}
	vitals_read(p, ret_vitals);
	slots_match(p, *ret_readings, *ret_count, slots, slots_count);
	return 0;
}
