/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: the sampled ones, scaled to what was counted. */
#include <errno.h>

#include "ingest/native_emit.h"

static double count_of(const struct native_pending *pending)
{
	return pending->type == RING_SAMPLE_EXCEPTION
		   ? (double)MIN(pending->exception.count, (uint64_t)UINT32_MAX)
		   : 0;
}

static void record(struct emitter *e, const struct native_pending *pending, double factor)
{
	struct native_process *p = e->process;
	struct native_thread *thread = native_thread_get(p, pending->tid);
	int64_t value = account_take(&p->exceptions, count_of(pending) * factor);

	if (!thread) {
		e->rc = -ENOMEM;
		return;
	}
	uint32_t node = emit_stack(e, pending->frames, pending->frames_count, false, NULL);
	uint32_t context = emit_context(e, thread, pending, NULL);

	if (!e->rc && value > 0)
		emit_values(e, SERIES_EXCEPTION, node, context, emit_real_time(e, pending->time_ns),
			    &value, 1);
}

void native_exception_emit(struct emitter *e, const struct ring_counters *counters, bool ended)
{
	struct native_process *p = e->process;
	double sum = 0;
	size_t count = 0;

	account_count(&p->exceptions, p->counters.exceptions, counters->exceptions);
	for (size_t i = 0; i < p->pending_count; i++) {
		sum += count_of(&p->pending[i]);
		count += p->pending[i].type == RING_SAMPLE_EXCEPTION;
	}

	double factor = account_factor(&p->exceptions, sum, count);

	for (size_t i = 0; !e->rc && i < p->pending_count; i++)
		if (p->pending[i].type == RING_SAMPLE_EXCEPTION)
			record(e, &p->pending[i], factor);
	if (!ended || e->rc)
		return;
	int64_t rest = account_close(&p->exceptions);
	uint32_t node = emit_stack(e, NULL, 0, false, "[not sampled]");

	if (!e->rc && rest > 0)
		emit_values(e, SERIES_EXCEPTION, node, 0, e->clock->real_ns, &rest, 1);
}
