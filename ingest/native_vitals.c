/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process as a whole: what its threads waited for a CPU and how often they were switched, page
 * faults, resident memory.  Everything is a difference between two readings of /proc; what a thread
 * did after its last reading is not seen.
 */
#include "ingest/native_emit.h"

static void in_step_judge(struct emitter *e, struct native_thread *thread,
			  const struct native_reading *reading)
{
	const struct ring_thread *slot = &reading->slot;
	double tick_ns = 1e9 / MAX(e->process->head.hz, 1u);

	if (slot->tid)
		in_step_phases(&thread->step, slot->phases,
			       slot->generation == 1 && !e->process->resumed);
	if (reading->has_switches)
		in_step_bursts(&thread->step, e->clock->monotonic_ns, reading->voluntary,
			       reading->cpu_ns, tick_ns);
	thread->in_step = in_step_judged(&thread->step);
}

void native_process_last_slots(struct native_process *p, const struct ring_thread *slots,
			       size_t count)
{
	/* A call that was open at the last reading is so for good, or it has returned since. */
	for (size_t i = 0; i < p->threads_count; i++)
		p->threads[i].open = false;
	for (size_t i = 0; i < count; i++) {
		struct native_thread *thread =
		    slots[i].tid ? native_thread_get(p, slots[i].tid) : NULL;

		if (!thread)
			continue;
		thread->open = slots[i].call && thread->open_since_ns &&
			       slots[i].since_ns == thread->open_since_ns;
		/* One that was gone before its first reading: what it ran in between is not
		 * known. */
		if (!thread->step.known)
			thread->step.brief = slots[i].generation == 1 && !p->resumed;
		in_step_phases(&thread->step, slots[i].phases,
			       slots[i].generation == 1 && !p->resumed);
		thread->in_step = in_step_judged(&thread->step);
	}
}

struct differences {
	int64_t wait_ns, minor, major, voluntary, involuntary;
};

static int64_t difference(uint64_t now, uint64_t *seen)
{
	uint64_t d = now > *seen ? now - *seen : 0;

	*seen = now;
	return (int64_t)MIN(d, (uint64_t)INT64_MAX / 4);
}

static void thread_differences(struct emitter *e, const struct native_reading *reading,
			       struct differences *sum)
{
	struct native_process *p = e->process;
	struct native_thread *thread = native_thread_get(p, reading->tid);

	if (!thread || !reading->has_schedstat)
		return;
	in_step_judge(e, thread, reading);
	/* A thread that is older than its profiler, or than this agent, brings no history along. */
	bool older = !thread->vitals_known && (p->resumed || !p->first_ns);

	thread->vitals_known = true;
	if (older) {
		thread->wait_seen_ns = reading->wait_ns;
		thread->voluntary_seen = reading->voluntary;
		thread->involuntary_seen = reading->involuntary;
		return;
	}
	sum->wait_ns =
	    add_bounded(sum->wait_ns, difference(reading->wait_ns, &thread->wait_seen_ns));
	if (!reading->has_switches)
		return;
	sum->voluntary =
	    add_bounded(sum->voluntary, difference(reading->voluntary, &thread->voluntary_seen));
	sum->involuntary = add_bounded(sum->involuntary,
				       difference(reading->involuntary, &thread->involuntary_seen));
}

void native_vitals_emit(struct emitter *e, const struct native_reading *readings, size_t count,
			bool due)
{
	const struct native_vitals *now = e->vitals;
	struct native_process *p = e->process;
	struct differences d = {0};

	for (size_t i = 0; i < count; i++)
		thread_differences(e, &readings[i], &d);
	if (now->known && p->vitals.known) {
		d.minor = difference(now->minor_faults, &p->vitals.minor_faults);
		d.major = difference(now->major_faults, &p->vitals.major_faults);
	}
	if (now->known)
		p->vitals = *now;

	const int64_t sums[5] = {d.wait_ns, d.minor, d.major, d.voluntary, d.involuntary};
	uint32_t node = emit_stack(e, NULL, 0, false, "[process]");

	if (d.wait_ns || d.minor || d.major || d.voluntary || d.involuntary)
		emit_values(e, SERIES_PROCESS, node, 0, e->clock->real_ns, sums, 1);
	if (due && now->known) {
		int64_t resident = (int64_t)MIN(now->resident_bytes, (uint64_t)INT64_MAX / 4);
		int64_t live = (int64_t)MIN(p->live_bytes, 0x1p60);
		const int64_t bytes[2] = {
		    resident,
		    p->live_known ? MAX(resident - live, (int64_t)0) : 0,
		};

		emit_values(e, SERIES_RESIDENT, node, 0, e->clock->real_ns, bytes, 1);
	}
}
