/* SPDX-License-Identifier: Apache-2.0 */
#include "server/quiet.h"

#include <stdlib.h>

#include "base/hash.h"

static int by_tid(const void *key, const void *element)
{
	uint32_t left = *(const uint32_t *)key, right = ((const struct quiet_task *)element)->tid;

	return (left > right) - (left < right);
}

const struct quiet_task *quiet_find(const struct quiet *quiet, uint32_t tid)
{
	if (!quiet->count)
		return NULL;
	return bsearch(&tid, quiet->tasks, quiet->count, sizeof(*quiet->tasks), by_tid);
}

static uint64_t slot_hash(const struct native_reading *reading)
{
	return hash_keyed(&reading->slot, sizeof(reading->slot));
}

bool quiet_take(const struct quiet *quiet, struct native_reading *reading, bool heard)
{
	const struct quiet_task *task = heard ? NULL : quiet_find(quiet, reading->tid);

	/* Without a slot nobody says when another thread has this number. */
	if (!task || !task->stood_still || !task->has_slot || !reading->slot.tid ||
	    task->slot_hash != slot_hash(reading))
		return false;
	reading->is_kept = true;
	reading->has_schedstat = true;
	reading->cpu_ns = task->cpu_ns;
	reading->wait_ns = task->wait_ns;
	return true;
}

static uint64_t beyond(const struct native_reading *readings, size_t count,
		       const struct native_vitals *vitals)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += readings[i].has_schedstat ? readings[i].cpu_ns : 0;
	return vitals->cpu_ns - sum;
}

bool quiet_overrun(const struct quiet *quiet, const struct native_reading *readings, size_t count,
		   const struct native_vitals *vitals)
{
	return !vitals->known || !quiet->beyond_known ||
	       (int64_t)(beyond(readings, count, vitals) - quiet->beyond_ns) > QUIET_SLACK_NS;
}

static struct quiet_task task_of(const struct quiet *quiet, const struct native_reading *reading)
{
	const struct quiet_task *before = quiet_find(quiet, reading->tid);
	struct quiet_task task = {
	    .tid = reading->tid,
	    .has_slot = reading->slot.tid,
	    .has_clocks = reading->has_schedstat,
	    .slot_hash = slot_hash(reading),
	    .cpu_ns = reading->cpu_ns,
	    .wait_ns = reading->wait_ns,
	};

	task.stood_still = before && before->has_clocks && task.has_clocks &&
			   before->cpu_ns == task.cpu_ns && before->wait_ns == task.wait_ns;
	if (reading->has_switches) {
		task.has_switches = true;
		task.voluntary = reading->voluntary;
		task.involuntary = reading->involuntary;
	} else if (task.stood_still) {
		task.has_switches = before->has_switches;
		task.voluntary = before->voluntary;
		task.involuntary = before->involuntary;
	}
	return task;
}

void quiet_keep(struct quiet *quiet, const struct native_reading *readings, size_t count,
		const struct native_vitals *vitals, bool all)
{
	struct quiet_task *tasks = malloc(count * sizeof(*tasks) + 1);

	for (size_t i = 0; tasks && i < count; i++)
		tasks[i] = task_of(quiet, &readings[i]);
	free(quiet->tasks);
	quiet->tasks = tasks;
	quiet->count = tasks ? count : 0;
	if (!all)
		return;
	quiet->beyond_known = vitals->known;
	quiet->beyond_ns = beyond(readings, count, vitals);
}

void quiet_release(struct quiet *quiet)
{
	free(quiet->tasks);
	*quiet = (struct quiet){0};
}
