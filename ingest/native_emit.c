/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From pending records and readings of /proc to records of a profile: frames, contexts, the batch.
 * The sums stand in native_cpu.c and native_wall.c.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ingest/native_emit.h"

#define YOUNG_NS (INT64_C(20) * NS_PER_S)  /* wall is accounted at every drain until then */
#define FORGET_NS (INT64_C(10) * NS_PER_S) /* an end record may stand behind an open claim */
#define CONTEXT_LABELS_MAX 24
#define KEEP_BYTES ((size_t)256 << 10) /* of buffers between drains */

static const char *const drop_names[RING_DROPS] = RING_DROP_NAMES;
static const char *const dimension_names[RING_DIMENSIONS] = RING_DIMENSION_NAMES;

int64_t emit_real_time(const struct emitter *e, int64_t monotonic_ns)
{
	int64_t now = e->clock->monotonic_ns;
	/* A client's clock cannot be ahead of ours, nor older than its start. */
	bool sane = monotonic_ns >= e->process->head.start_monotonic_ns && monotonic_ns <= now;
	int64_t ago = sane ? now - monotonic_ns : 0;

	return e->clock->real_ns - ago;
}

/* ---- frames ---- */

static uint32_t module_number(struct emitter *e, uint32_t number)
{
	const struct native_module *from = &e->process->modules[number];
	struct profile_module module = {.build_id_len = from->build_id_len,
					.is_hash = from->is_hash};

	if (e->modules[number])
		return e->modules[number];
	memcpy(module.build_id, from->build_id, sizeof(from->build_id));
	e->rc = profile_builder_string(e->out, (struct str){from->path, strlen(from->path)},
				       &module.path);
	if (!e->rc)
		e->rc = profile_builder_module(e->out, &module, &e->modules[number]);
	return e->modules[number];
}

static uint32_t frame_text(struct emitter *e, struct str name, uint32_t flags)
{
	struct profile_frame frame = {.flags = flags};
	uint32_t id = 0;

	if (!e->rc)
		e->rc = profile_builder_string(e->out, name, &frame.function);
	if (!e->rc)
		e->rc = profile_builder_frame(e->out, &frame, &id);
	return id;
}

static uint32_t frame_make(struct emitter *e, uint64_t word)
{
	uint32_t number = (uint32_t)(word >> RING_FRAME_ADDRESS_BITS), id = 0;
	struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS,
				      .address = word & RING_FRAME_ADDRESS};

	struct str made = number ? (struct str){0} : native_jit_name(e->process, frame.address);

	if (made.len)
		return frame_text(e, made, 0);
	if (number && number <= e->process->modules_count)
		frame.module = module_number(e, number - 1);
	if (!e->rc)
		e->rc = profile_builder_frame(e->out, &frame, &id);
	return id;
}

/* Stacks share their roots. */
static uint32_t frame_address(struct emitter *e, uint64_t word)
{
	struct emit_frame *kept =
	    &e->kept->frames[word * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (EMIT_FRAMES - 1)];

	if (kept->frame && kept->word == word)
		return kept->frame - 1;
	uint32_t frame = frame_make(e, word);

	if (!e->rc)
		*kept = (struct emit_frame){word, frame + 1};
	return frame;
}

static uint32_t stack_make(struct emitter *e, const uint64_t *words, size_t count, bool in_kernel,
			   const char *leaf, bool is_new)
{
	uint32_t frames[RING_FRAMES_MAX + 2], node = 0;
	size_t used = 0;

	if (leaf)
		frames[used++] = frame_text(e, (struct str){leaf, strlen(leaf)}, 0);
	if (in_kernel)
		frames[used++] = frame_text(e, STR(NATIVE_KERNEL), PROFILE_FRAME_KERNEL);
	for (size_t i = 0; !e->rc && i < count && i < RING_FRAMES_MAX; i++)
		frames[used++] = frame_address(e, words[i]);
	if (!e->rc)
		e->rc = is_new ? profile_builder_new_stack(e->out, frames, used, &node)
			       : profile_builder_stack(e->out, frames, used, &node);
	return node;
}

/* A batch has few stacks and many samples of them: one that was there costs one hash of its
 * words. */
uint32_t emit_stack(struct emitter *e, const uint64_t *words, size_t count, bool in_kernel,
		    const char *leaf)
{
	if (leaf || !count)
		return stack_make(e, words, count, in_kernel, leaf, false);
	struct hash128 key = hash128(words, count * sizeof(*words));

	key.lo += in_kernel;
	uint32_t node = index_find(&e->stacks, key);

	if (node != INDEX_NONE)
		return node;
	node = stack_make(e, words, count, in_kernel, NULL, true);
	if (!e->rc)
		e->rc = index_put(&e->stacks, key, node);
	return node;
}

/* The same of a sample: to compare words is less than to hash them, and most are of few stacks. */
uint32_t emit_sample_stack(struct emitter *e, const struct native_pending *pending)
{
	const uint64_t *words = pending->frames;
	size_t count = pending->frames_count;

	if (!count)
		return emit_stack(e, NULL, 0, pending->in_kernel, NULL);
	uint64_t mixed = (words[0] ^ words[count / 4] << 16 ^ words[count / 2] << 32) *
			 UINT64_C(0x9e3779b97f4a7c15);
	struct emit_sample *kept = &e->kept->samples[mixed >> 32 & (EMIT_SAMPLES - 1)];

	if (kept->of && kept->of->frames_count == count &&
	    kept->of->in_kernel == pending->in_kernel &&
	    !memcmp(kept->of->frames, words, count * sizeof(*words)))
		return kept->node;
	uint32_t node = emit_stack(e, words, count, pending->in_kernel, NULL);

	if (!e->rc)
		*kept = (struct emit_sample){pending, node};
	return node;
}

/* ---- contexts ---- */

static void label_text(struct emitter *e, struct profile_label *labels, size_t *count,
		       struct str key, struct str value)
{
	if (e->rc || !value.len)
		return;
	e->rc = profile_builder_label(e->out, key, value, &labels[*count]);
	(*count)++;
}

static void label_number(struct emitter *e, struct profile_label *labels, size_t *count,
			 struct str key, uint64_t value)
{
	if (e->rc || !value)
		return;
	labels[*count] = (struct profile_label){.is_number = true, .number = (int64_t)value};
	e->rc = profile_builder_string(e->out, key, &labels[*count].key);
	(*count)++;
}

static void label_target(struct emitter *e, struct profile_label *labels, size_t *count,
			 const struct ring_block *block)
{
	static const char *const kinds[] = {"", "fd ", "0x", "pid ", "timer"};
	char text[40];

	if (block->target_kind == RING_TARGET_NONE || block->target_kind >= ARRAY_LEN(kinds))
		return;
	if (block->target_kind == RING_TARGET_TIMER) {
		label_text(e, labels, count, STR("target"), STR("timer"));
		return;
	}
	int n = snprintf(text, sizeof(text),
			 block->target_kind == RING_TARGET_ADDRESS ? "%s%llx" : "%s%lld",
			 kinds[block->target_kind], (unsigned long long)block->target);

	label_text(e, labels, count, STR("target"), (struct str){text, (size_t)n});
}

/* Whether the record's own labels have this key; without any there may be no text to point into. */
static bool has_label(const struct emitter *e, const struct native_pending *pending,
		      const char *key)
{
	if (!pending || !pending->text_bytes)
		return false;
	const char *at = e->process->text + pending->text_at;

	for (const char *end = at + pending->text_bytes; at < end;) {
		if (!strcmp(at, key))
			return true;
		at += strlen(at) + 1;
		at += strlen(at) + 1;
	}
	return false;
}

/* What the record itself carries: the thread's labels, a lock's name, an exception's type. */
static void labels_text(struct emitter *e, struct profile_label *labels, size_t *count,
			const struct native_pending *pending)
{
	if (!pending->text_bytes)
		return;
	const char *at = e->process->text + pending->text_at, *end = at + pending->text_bytes;

	while (at < end && *count < CONTEXT_LABELS_MAX - 1) {
		struct str key = {at, strlen(at)}, value = {at + key.len + 1, 0};

		value.len = strlen(value.ptr);
		at = value.ptr + value.len + 1;
		if (key.len == strlen("exception type") &&
		    !memcmp(key.ptr, "exception type", key.len))
			value = native_type_name(e->process, value);
		if (key.len)
			label_text(e, labels, count, key, value);
	}
}

static uint32_t context_make(struct emitter *e, const struct native_thread *thread,
			     const struct native_pending *pending, const struct ring_block *block,
			     const struct emit_label *more, size_t more_count)
{
	struct profile_label labels[CONTEXT_LABELS_MAX];
	size_t count = 0;
	uint32_t context = 0;
	char trace[33];

	label_number(e, labels, &count, STR("thread id"), thread->tid);
	label_text(e, labels, &count, STR("thread name"),
		   (struct str){thread->name, strlen(thread->name)});
	if (pending) {
		label_number(e, labels, &count, STR("span id"), pending->span_id);
		label_number(e, labels, &count, STR("local root span id"), pending->root_span_id);
		/* Sixteen bytes, in the order in which they are written. */
		if (pending->trace_id[0] || pending->trace_id[1]) {
			(void)snprintf(trace, sizeof(trace), "%016llx%016llx",
				       (unsigned long long)be64toh(pending->trace_id[0]),
				       (unsigned long long)be64toh(pending->trace_id[1]));
			label_text(e, labels, &count, STR("trace id"), (struct str){trace, 32});
		}
	}
	for (size_t i = 0; i < more_count; i++)
		if (!has_label(e, pending, more[i].key.ptr))
			label_text(e, labels, &count, more[i].key, more[i].value);
	if (pending)
		labels_text(e, labels, &count, pending);
	if (block && !has_label(e, pending, "target"))
		label_target(e, labels, &count, block);
	if (!e->rc)
		e->rc = profile_builder_context(e->out, labels, count, &context);
	return context;
}

uint32_t emit_context(struct emitter *e, const struct native_thread *thread,
		      const struct native_pending *pending, const struct ring_block *block)
{
	bool plain =
	    thread->tid && !block &&
	    (!pending || (!pending->span_id && !pending->root_span_id && !pending->trace_id[0] &&
			  !pending->trace_id[1] && !pending->text_bytes));

	if (plain && e->plain_known && e->plain_tid == thread->tid)
		return e->plain_context;
	uint32_t context = context_make(e, thread, pending, block, NULL, 0);

	if (plain && !e->rc) {
		e->plain_known = true;
		e->plain_tid = thread->tid;
		e->plain_context = context;
	}
	return context;
}

uint32_t emit_context_with(struct emitter *e, const struct native_thread *thread,
			   const struct native_pending *pending, const struct emit_label *more,
			   size_t more_count)
{
	return context_make(e, thread, pending, NULL, more, more_count);
}

static uint32_t series_number(struct emitter *e, enum native_series series)
{
	static const enum profile_kind_id kinds[SERIES_COUNT] = {
#define SERIES(kind) PROFILE_KIND_##kind,
	    NATIVE_SERIES(SERIES)
#undef SERIES
	};
	uint32_t kind, number = 0;

	if (e->series[series])
		return e->series[series] - 1;
	if (!e->rc)
		e->rc = profile_builder_known_kind(
		    e->out, kinds[series], series == SERIES_CPU ? e->interval_ns : 0, &kind);
	if (!e->rc)
		e->rc = profile_builder_series(e->out, kind, e->labels, e->process->labels_count,
					       &number);
	e->series[series] = number + 1;
	return number;
}

void emit_values(struct emitter *e, enum native_series series, uint32_t node, uint32_t context,
		 int64_t time_ns, const int64_t *values, uint64_t count)
{
	const struct profile_record record = {
	    .series = series_number(e, series),
	    .node = node,
	    .context = context,
	    .count = (uint32_t)MIN(MAX(count, (uint64_t)1), (uint64_t)UINT32_MAX),
	    .time_ns = time_ns,
	};

	if (!e->rc)
		e->rc = profile_builder_record(e->out, &record, values);
}

void emit_record(struct emitter *e, enum native_series series, uint32_t node, uint32_t context,
		 int64_t time_ns, int64_t value, uint64_t count)
{
	const int64_t values[2] = {value, (int64_t)count};

	if (!e->rc && value > 0)
		emit_values(e, series, node, context, time_ns, values, count);
}

/* ---- the batch ---- */

static void threads_update(struct emitter *e, const struct native_reading *readings, size_t count)
{
	struct native_process *p = e->process;

	for (size_t i = 0; i < p->threads_count; i++)
		p->threads[i].live = false;
	for (size_t i = 0; i < count; i++) {
		struct native_thread *thread = native_thread_get(p, readings[i].tid);
		const char *name =
		    readings[i].slot.name[0] ? readings[i].slot.name : readings[i].comm;

		if (!thread) {
			e->rc = -ENOMEM;
			return;
		}
		thread->live = true;
		thread->seen_ns = e->clock->monotonic_ns;
		if (name[0]) {
			size_t len = strnlen(name, NATIVE_COMM_MAX - 1);

			memcpy(thread->name, name, len);
			thread->name[len] = '\0';
		}
	}
}

/*
 * A thread that /proc does not list any more is kept for a while: its last record may come with a
 * later drain, and what was written of it until then must be known.  Where /proc lists nothing, all
 * are kept as long as there is room.
 */
static void threads_forget(struct native_process *p, int64_t now_ns, bool listed)
{
	for (size_t i = 0; i < p->pending_count; i++) {
		struct native_thread *thread = native_thread_get(p, p->pending[i].tid);

		if (thread)
			thread->seen_ns = now_ns;
	}
	bool roomy = p->threads_count < NATIVE_THREADS_MAX / 2;

	for (size_t i = 0; i < p->threads_count; i++) {
		struct native_thread *thread = &p->threads[i];

		/* A leader that has ended stays in the list until its process does. */
		bool over =
		    thread->ended || ((listed || !roomy) && now_ns - thread->seen_ns > FORGET_NS);

		thread->forget = !thread->tid || (over && !thread->live);
	}
	native_threads_sweep(p);
}

/* One large drain does not make a process large for ever. */
static void buffers_empty(struct native_process *p)
{
	p->pending_count = 0;
	p->text_count = 0;
	memset(p->heard, 0, sizeof(p->heard));
	free(TAKE(p->pending)); /* the next process to be drained takes it, while it is at hand */
	p->pending_capacity = 0;
	if (p->text_capacity > KEEP_BYTES) {
		free(p->text);
		p->text = NULL;
		p->text_capacity = 0;
	}
	free(p->kept);
	p->kept = NULL;
}

/* Batches of a process are much alike. */
static int sizes_expect(struct emitter *e)
{
	const struct profile_counts *was = &e->process->sizes;
	const struct profile_counts counts = {
	    .strings = was->strings + was->strings / 8,
	    .frames = was->frames + was->frames / 8,
	    .nodes = was->nodes + was->nodes / 8,
	    .records = 2 * e->process->pending_count + 16, /* CPU time is wall time, too */
	    .columns = 2,
	    .stacks = 16, /* not those of words */
	};
	int rc = profile_builder_expect(e->out, &counts);

	return rc ? rc : index_reserve(&e->stacks, MIN(was->stacks, e->process->pending_count));
}

static void sizes_keep(struct emitter *e)
{
	const struct profile *made = profile_builder_profile(e->out);

	e->process->sizes = (struct profile_counts){.strings = made->strings.count,
						    .frames = made->frames_count,
						    .nodes = made->nodes_count,
						    .records = e->process->pending_count,
						    .stacks = e->stacks.slots.count};
}

static void labels_make(struct emitter *e)
{
	struct native_process *p = e->process;

	for (size_t i = 0; !e->rc && i < p->labels_count; i++)
		e->rc = profile_builder_label(e->out, p->labels[i].key, p->labels[i].value,
					      &e->labels[i]);
}

/* The series that stands for a dimension's losses. */
static const enum native_series series_of[RING_DIMENSIONS] = {
    [RING_CPU] = SERIES_CPU,    [RING_WALL] = SERIES_WALL, [RING_ALLOC] = SERIES_ALLOC,
    [RING_HEAP] = SERIES_INUSE, [RING_LOCK] = SERIES_LOCK, [RING_EXCEPTION] = SERIES_EXCEPTION,
};

static void loss_add(struct emitter *e, enum native_series series, struct str reason, uint64_t lost)
{
	uint32_t number = series_number(e, series); /* may fail, which must not be forgotten */

	if (!e->rc)
		e->rc = profile_builder_loss(e->out, number, reason, lost, e->clock->real_ns);
}

static void losses_add(struct emitter *e, const struct ring_counters *now)
{
	struct native_process *p = e->process;
	const struct ring_counters *was = &p->counters;

	for (size_t d = 0; d < RING_DIMENSIONS; d++) {
		for (size_t r = 0; !e->rc && r < RING_DROPS; r++) {
			/* No client loses more between two batches, whatever it says. */
			uint64_t lost =
			    MIN(now->drops[d][r] - was->drops[d][r], (uint64_t)UINT32_MAX);
			char reason[48];

			if (!lost || now->drops[d][r] < was->drops[d][r])
				continue;
			int n = snprintf(reason, sizeof(reason), "%s.%s", dimension_names[d],
					 drop_names[r]);

			loss_add(e, series_of[d], (struct str){reason, (size_t)n}, lost);
		}
	}
}

/* Not lost, but an answer that counts them says so. */
static void doubts_add(struct emitter *e, const struct ring_counters *counters, bool due)
{
	static const char reason[] = "cpu.in_step_with_tick";
	uint64_t doubted = native_cpu_doubted(e->process, counters, due);

	if (!e->rc && doubted)
		loss_add(e, SERIES_CPU, (struct str){reason, sizeof(reason) - 1}, doubted);
}

static void instance_set(struct emitter *e, bool ended)
{
	struct profile *profile = profile_builder_profile(e->out);
	struct native_process *p = e->process;

	memcpy(profile->instance.runtime_id, p->head.runtime_id, 16);
	profile->instance.pid = p->pid;
	profile->instance.start_ns = p->head.start_real_ns;
	profile->instance.owner = p->owner;
	profile->instance.ended = ended;
	e->rc = profile_builder_string(e->out, (struct str){p->executable, strlen(p->executable)},
				       &profile->instance.executable);
	profile->arrived_ns = e->clock->real_ns;
	profile->until_ns = e->clock->real_ns;
	profile->from_ns = e->clock->real_ns;
	for (size_t i = 0; i < p->pending_count; i++)
		profile->from_ns = MIN(profile->from_ns, emit_real_time(e, p->pending[i].time_ns));
}

static void cursors_add(struct emitter *e)
{
	for (uint32_t i = 0; !e->rc && i < e->process->head.rings_count; i++) {
		struct profile_cursor cursor = {.ring = i, .position = e->process->cursors[i]};

		memcpy(cursor.runtime_id, e->process->head.runtime_id, 16);
		e->rc = profile_builder_cursor(e->out, &cursor);
	}
}

bool native_process_due(const struct native_process *p, const struct native_clock *clock)
{
	return p->pending_count || native_process_accounts(p, clock);
}

int native_process_emit(struct native_process *p, const struct ring_counters *counters,
			const struct native_sums *sums, const struct native_vitals *vitals,
			const struct native_reading *readings, size_t readings_count,
			const struct native_clock *clock, bool ended, struct profile_builder *out,
			struct err *err)
{
	uint32_t *CLEANUP(cleanup_free) modules = calloc(p->modules_count + 1, sizeof(*modules));
	struct emit_kept *CLEANUP(cleanup_free) kept = calloc(1, sizeof(*kept));
	struct emitter e = {
	    .process = p,
	    .out = out,
	    .clock = clock,
	    .sums = sums,
	    .vitals = vitals,
	    .ended = ended,
	    .interval_ns =
		(int64_t)MIN(MAX(counters->interval_us, (uint64_t)100), (uint64_t)1000000) *
		NS_PER_US,
	    .stopped = counters->state == RING_STOPPED,
	    .modules = modules,
	    .kept = kept,
	    .rc = modules && kept ? 0 : -ENOMEM,
	};
	bool due = ended || native_process_accounts(p, clock);

	/* The client's word, and the root of differences below. */
	if (p->head.start_monotonic_ns < 0 || p->head.start_monotonic_ns > clock->monotonic_ns)
		p->head.start_monotonic_ns = clock->monotonic_ns;
	if (!p->counters_known && p->resumed)
		p->counters = *counters; /* what was lost before was written before */
	p->counters_known = true;
	if (!e.rc)
		e.rc = sizes_expect(&e);
	if (!e.rc)
		instance_set(&e, ended);
	if (!e.rc)
		labels_make(&e);
	if (!e.rc)
		threads_update(&e, readings, readings_count);
	if (!e.rc)
		native_cpu_emit(&e, readings, readings_count);
	if (!e.rc)
		native_wall_emit(&e, readings, readings_count, due);
	if (!e.rc)
		native_alloc_emit(&e, counters, ended);
	if (!e.rc)
		native_heap_emit(&e, ended);
	/* A table that is not filled says nothing of live heap. */
	if (counters->off[RING_HEAP] || counters->budget_off >> RING_HEAP & 1)
		p->live_known = false;
	if (!e.rc) /* after it: fragmentation is what live heap leaves */
		native_vitals_emit(&e, readings, readings_count, due);
	if (!e.rc)
		native_lock_emit(&e, counters, ended);
	if (!e.rc)
		native_exception_emit(&e, counters, ended);
	losses_add(&e, counters);
	doubts_add(&e, counters, due);
	cursors_add(&e);
	sizes_keep(&e);
	index_release(&e.stacks);
	if (e.rc)
		return err_set(err, e.rc, "native: %s",
			       e.rc == -E2BIG ? profile_builder_error(out) : "out of memory");
	p->counters = *counters;
	threads_forget(p, clock->monotonic_ns, readings_count > 0);
	buffers_empty(p);
	if (!p->first_ns)
		p->first_ns = clock->monotonic_ns;
	if (due) {
		bool young = clock->monotonic_ns - p->first_ns < YOUNG_NS;

		p->wall_due_ns = clock->monotonic_ns + (young ? NS_PER_S : NATIVE_WALL_PERIOD_NS);
	}
	return 0;
}
