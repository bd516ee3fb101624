/* SPDX-License-Identifier: Apache-2.0 */
/* Making, freeing and finding: the plain half of a native process. */
#include "ingest/native_process.h"

#include <errno.h>
#include <string.h>

int native_process_new(const struct ring_head *head, const struct native_options *options,
		       struct native_process **ret_process)
{
	struct native_process *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	arena_init(&p->arena, 1 << 20);
	p->head = *head;
	p->owner = options->owner;
	p->pid = options->pid;
	p->executable = arena_copy(&p->arena, options->executable, strlen(options->executable));
	for (size_t i = 0; i < options->labels_count && p->labels_count < NATIVE_LABELS_MAX; i++) {
		const struct ingest_label *from = &options->labels[i];
		struct ingest_label *to = &p->labels[p->labels_count++];

		to->key = (struct str){ arena_copy(&p->arena, from->key.ptr, from->key.len),
					from->key.len };
		to->value = (struct str){ arena_copy(&p->arena, from->value.ptr, from->value.len),
					  from->value.len };
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
		free(process->threads[i].site_frames);
	free(process->threads);
	free(process->modules);
	free(process->pending);
	free(process->frames);
	arena_release(&process->arena);
	free(process);
}

void native_process_resume(struct native_process *process, bool resumed)
{
	process->resumed = resumed;
}

struct native_thread *native_thread_get(struct native_process *process, uint32_t tid)
{
	for (size_t i = 0; i < process->threads_count; i++)
		if (process->threads[i].tid == tid)
			return &process->threads[i];
	/* Bounded by what one process can have live, for a client may name any number of threads. */
	if (process->threads_count >= 4 * RING_THREADS_MAX)
		return NULL;
	if (array_grow(&process->threads, sizeof(*process->threads), &process->threads_capacity,
		       process->threads_count + 1))
		return NULL;
	struct native_thread *thread = &process->threads[process->threads_count++];

	*thread = (struct native_thread){ .tid = tid };
	return thread;
}

void native_process_stats(const struct native_process *process, struct native_stats *ret_stats)
{
	*ret_stats = process->stats;
	ret_stats->threads = 0;
	ret_stats->threads_departing = 0;
	ret_stats->threads_unsampled = 0;
	for (size_t i = 0; i < process->threads_count; i++) {
		const struct native_thread *t = &process->threads[i];

		ret_stats->threads += t->live;
		ret_stats->threads_departing += t->live && t->departing && t->raw_samples;
		ret_stats->threads_unsampled += t->live && t->departing && !t->raw_samples;
	}
}
