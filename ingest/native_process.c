/* SPDX-License-Identifier: Apache-2.0 */
/* Making, freeing and finding: the plain half of a native process. */
#include "ingest/native_process.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/slots.h"

int native_process_new(const struct ring_head *head, const struct native_options *options,
		       struct native_process **ret_process)
{
	struct native_process *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	arena_init(&p->arena, 1 << 20);
	hash_secret(p->secret);
	p->head = *head;
	p->owner = options->owner;
	p->pid = options->pid;
	p->executable = arena_copy(&p->arena, options->executable, strlen(options->executable));
	for (size_t i = 0; i < options->labels_count && p->labels_count < NATIVE_LABELS_MAX; i++) {
		const struct ingest_label *from = &options->labels[i];
		struct ingest_label *to = &p->labels[p->labels_count++];

		to->key = (struct str){arena_copy(&p->arena, from->key.ptr, from->key.len),
				       from->key.len};
		to->value = (struct str){arena_copy(&p->arena, from->value.ptr, from->value.len),
					 from->value.len};
		if (!to->key.ptr || !to->value.ptr) {
			native_process_free(p);
			return -ENOMEM;
		}
	}
	if (!p->executable) {
		native_process_free(p);
		return -ENOMEM;
	}
	*ret_process = p;
	return 0;
}

void native_process_free(struct native_process *process)
{
	if (!process)
		return;
	for (size_t i = 0; i < process->threads_count; i++)
		free(process->threads[i].sites);
	free(process->threads);
	free(process->threads_index);
	free(process->modules);
	free(process->pending);
	free(process->kept);
	free(process->text);
	native_heap_release(&process->heap);
	for (size_t i = 0; process->alloc.recent && i < NATIVE_RECENT_MAX; i++) {
		free(process->alloc.recent[i].frames);
		free(process->alloc.recent[i].text);
	}
	free(process->alloc.recent);
	native_names_free(process);
	free(process->jit.codes);
	free(process->jit.names);
	arena_release(&process->arena);
	free(process);
}

void native_process_resume(struct native_process *process, bool resumed)
{
	process->resumed = resumed;
}

static size_t index_place(const struct native_process *p, uint32_t tid)
{
	size_t mask = p->threads_index_size - 1, at = slots_mix(tid, 0, p->secret) & mask;

	while (p->threads_index[at] && p->threads[p->threads_index[at] - 1].tid != tid)
		at = (at + 1) & mask;
	return at;
}

static void index_fill(struct native_process *p)
{
	memset(p->threads_index, 0, p->threads_index_size * sizeof(*p->threads_index));
	for (size_t i = 0; i < p->threads_count; i++)
		p->threads_index[index_place(p, p->threads[i].tid)] = (uint32_t)i + 1;
}

/* Room for one more, at most half full. */
static int index_grow(struct native_process *p)
{
	size_t size = MAX(p->threads_index_size, (size_t)64);

	while (size < 2 * (p->threads_count + 1))
		size *= 2;
	if (size == p->threads_index_size)
		return 0;
	uint32_t *index = calloc(size, sizeof(*index));

	if (!index)
		return -ENOMEM;
	free(p->threads_index);
	p->threads_index = index;
	p->threads_index_size = size;
	index_fill(p);
	return 0;
}

const struct native_thread *native_thread_find(const struct native_process *p, uint32_t tid)
{
	if (p->threads_last < p->threads_count && p->threads[p->threads_last].tid == tid)
		return &p->threads[p->threads_last];
	size_t at = p->threads_index_size ? index_place(p, tid) : 0;

	return p->threads_index_size && p->threads_index[at] ? &p->threads[p->threads_index[at] - 1]
							     : NULL;
}

void native_process_totals(struct native_process *process, const struct native_totals *totals)
{
	process->totals = *totals;
}

struct native_thread *native_thread_get(struct native_process *p, uint32_t tid)
{
	if (p->threads_last < p->threads_count && p->threads[p->threads_last].tid == tid)
		return &p->threads[p->threads_last]; /* records come many from one */
	size_t at = p->threads_index_size ? index_place(p, tid) : 0;

	if (p->threads_index_size && p->threads_index[at]) {
		p->threads_last = p->threads_index[at] - 1;
		return &p->threads[p->threads_last];
	}
	if (p->threads_count >= NATIVE_THREADS_MAX && tid)
		return native_thread_get(p, 0);
	if (index_grow(p) || array_grow(&p->threads, sizeof(*p->threads), &p->threads_capacity,
					p->threads_count + 1))
		return NULL;
	struct native_thread *thread = &p->threads[p->threads_count++];

	*thread = (struct native_thread){.tid = tid};
	p->threads_index[index_place(p, tid)] = (uint32_t)p->threads_count;
	return thread;
}

void native_threads_sweep(struct native_process *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->threads_count; i++) {
		if (p->threads[i].forget)
			free(p->threads[i].sites);
		else
			p->threads[kept++] = p->threads[i];
	}
	p->threads_count = kept;
	if (p->threads_index_size)
		index_fill(p);
}

bool native_process_accounts(const struct native_process *p, const struct native_clock *clock)
{
	return clock->monotonic_ns >= p->wall_due_ns;
}

bool native_process_wants(const struct native_process *p, uint32_t tid,
			  const struct native_clock *clock)
{
	if (native_process_accounts(p, clock) || !p->threads_index_size)
		return true;
	uint32_t number = p->threads_index[index_place(p, tid)];

	return !number || !p->threads[number - 1].name[0];
}

bool native_process_heard(const struct native_process *p, uint32_t tid)
{
	uint32_t bit = tid % NATIVE_HEARD_BITS;

	return p->heard[bit / 64] >> bit % 64 & 1;
}

void native_process_stats(const struct native_process *process, struct native_stats *ret_stats)
{
	*ret_stats = process->stats;
	ret_stats->threads = 0;
	ret_stats->threads_departing = 0;
	ret_stats->threads_in_step = 0;
	ret_stats->threads_unsampled = 0;
	for (size_t i = 0; i < process->threads_count; i++) {
		const struct native_thread *t = &process->threads[i];

		ret_stats->threads += t->live;
		ret_stats->threads_departing +=
		    t->live && ((t->departing && t->raw_samples) || t->in_step);
		ret_stats->threads_in_step += t->live && t->in_step;
		ret_stats->threads_unsampled += t->live && t->departing && !t->raw_samples;
	}
}

void native_stats_add(struct native_stats *sum, const struct native_stats *stats)
{
	for (size_t i = 0; i < RING_ENDS; i++)
		sum->ends[i] += stats->ends[i];
	sum->samples += stats->samples;
	sum->blocks += stats->blocks;
	sum->spans += stats->spans;
	sum->bad_records += stats->bad_records;
	sum->abandoned_bytes += stats->abandoned_bytes;
	sum->cpu_ns += stats->cpu_ns;
	sum->cpu_in_kernel_ns += stats->cpu_in_kernel_ns;
	sum->cpu_sampled_ns += stats->cpu_sampled_ns;
	sum->not_sampled_ns += stats->not_sampled_ns;
}
