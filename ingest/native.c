/* SPDX-License-Identifier: Apache-2.0 */
/* The checks: hello, head, module table, ring records. */
#include "ingest/native_process.h"

#include <errno.h>
#include <string.h>

static int label_text(const char **at, const char *end, struct str *ret_text)
{
	const char *nul = memchr(*at, '\0', (size_t)(end - *at));

	if (!nul)
		return -EINVAL;
	*ret_text = (struct str){*at, (size_t)(nul - *at)};
	*at = nul + 1;
	return 0;
}

int native_hello_parse(const void *bytes, size_t len, struct native_hello *ret_hello,
		       struct err *err)
{
	struct ring_hello hello;
	struct native_hello parsed = {0};

	if (len < sizeof(hello) || len > RING_HELLO_MAX)
		return err_set(err, -EINVAL, "hello: %zu bytes, expected %zu to %d", len,
			       sizeof(hello), RING_HELLO_MAX);
	memcpy(&hello, bytes, sizeof(hello));
	if (hello.magic != RING_HELLO_MAGIC)
		return err_set(err, -EINVAL, "hello: this is not a hearth client (magic %08x)",
			       hello.magic);
	if (hello.version != RING_VERSION)
		return err_set(err, -EINVAL, "hello: version %u, this agent speaks %d",
			       hello.version, RING_VERSION);
	if (hello.text_bytes != len - sizeof(hello))
		return err_set(err, -EINVAL, "hello: %u bytes of text announced, %zu came",
			       hello.text_bytes, len - sizeof(hello));
	if (hello.modules_count > RING_HELLO_MODULES_MAX || hello.modules_from > RING_MODULES_MAX)
		return err_set(err, -EINVAL, "hello: modules %u..+%u are out of range",
			       hello.modules_from, hello.modules_count);
	memcpy(parsed.runtime_id, hello.runtime_id, sizeof(parsed.runtime_id));
	memcpy(parsed.no_file, hello.no_file, sizeof(parsed.no_file));
	parsed.flags = hello.flags;
	parsed.modules_from = hello.modules_from;
	parsed.modules_count = hello.modules_count;

	const char *at = (const char *)bytes + sizeof(hello), *end = (const char *)bytes + len;

	while (at < end) {
		struct ingest_label label;

		if (label_text(&at, end, &label.key) || label_text(&at, end, &label.value))
			return err_set(err, -EINVAL, "hello: the text does not end in pairs");
		if (!label.key.len)
			continue;
		if (label.key.ptr[0] == RING_HELLO_NOTE) {
			if (parsed.notes_count < NATIVE_NOTES_MAX)
				parsed.notes[parsed.notes_count++] = label;
			continue;
		}
		if (parsed.labels_count == NATIVE_LABELS_MAX)
			return err_set(err, -EINVAL, "hello: more than %d labels",
				       NATIVE_LABELS_MAX);
		parsed.labels[parsed.labels_count++] = label;
	}
	*ret_hello = parsed;
	return 0;
}

static bool inside(uint64_t at, uint64_t bytes, uint64_t file_bytes)
{
	return at >= 3 * RING_PAGE && at <= file_bytes && bytes <= file_bytes - at && at % 8 == 0;
}

int native_head_check(const struct ring_head *head, uint64_t file_bytes, struct err *err)
{
	const char *wrong = NULL;

	if (head->magic != RING_MAGIC)
		wrong = "the magic is wrong";
	else if (head->version != RING_VERSION || head->head_bytes != sizeof(*head))
		wrong = "the version is not this agent's";
	else if (head->total_bytes != file_bytes || file_bytes > RING_BYTES_MAX)
		wrong = "the size is not the file's, or above 64 MiB";
	else if (!head->modules_max || head->modules_max > RING_MODULES_MAX ||
		 !inside(head->modules_at, (uint64_t)head->modules_max * sizeof(struct ring_module),
			 file_bytes))
		wrong = "the module table does not fit";
	else if (!head->threads_max || head->threads_max > RING_THREADS_MAX ||
		 !inside(head->threads_at, (uint64_t)head->threads_max * sizeof(struct ring_thread),
			 file_bytes))
		wrong = "the thread table does not fit";
	else if (head->heap_bytes && (head->heap_bytes > RING_HEAP_BYTES_MAX ||
				      !inside(head->heap_at, head->heap_bytes, file_bytes)))
		wrong = "the heap table does not fit";
	else if (!head->rings_count || head->rings_count > RING_RINGS_MAX ||
		 head->ring_bytes < 4096 || (head->ring_bytes & (head->ring_bytes - 1)) ||
		 !inside(head->rings_at,
			 (uint64_t)head->rings_count *
			     (RING_HEAD_BYTES + (uint64_t)head->ring_bytes),
			 file_bytes))
		wrong = "the rings do not fit";
	else if (!head->hz || head->hz > 10000)
		wrong = "the tick rate is out of range";
	return wrong ? err_set(err, -EINVAL, "ring: %s", wrong) : 0;
}

int native_process_module(struct native_process *process, const struct ring_module *module)
{
	int rc = array_grow(&process->modules, sizeof(*process->modules),
			    &process->modules_capacity, process->modules_count + 1);

	if (rc)
		return rc;
	struct native_module *m = &process->modules[process->modules_count++];
	const char *nul = memchr(module->path, '\0', sizeof(module->path));
	size_t len = nul ? (size_t)(nul - module->path) : sizeof(module->path) - 1;

	*m = (struct native_module){.is_hash = module->flags & RING_MODULE_BUILD_ID_HASH};
	m->build_id_len = (uint8_t)MIN(module->build_id_len, (uint32_t)RING_BUILD_ID_MAX);
	memcpy(m->build_id, module->build_id, m->build_id_len);
	memcpy(m->path, module->path, len);
	return 0;
}

bool native_process_build_id(const struct native_process *process, uint32_t number,
			     struct native_build_id *ret_id)
{
	if (number >= process->modules_count || !process->modules[number].build_id_len)
		return false;
	const struct native_module *m = &process->modules[number];

	memcpy(ret_id->bytes, m->build_id, sizeof(ret_id->bytes));
	ret_id->len = m->build_id_len;
	ret_id->is_hash = m->is_hash;
	return true;
}

const char *native_process_module_path(const struct native_process *process, uint32_t number)
{
	return number < process->modules_count ? process->modules[number].path : "";
}

static bool record_is_sane(const struct ring_record *record, size_t left, uint32_t ring_bytes)
{
	uint64_t needed = sizeof(*record) + ring_payload_bytes(record->type) +
			  (uint64_t)record->frames * sizeof(uint64_t) + record->text_bytes;

	/* A pad may be shorter than a record's header: only commit, bytes and type count. */
	if (record->bytes < RING_UNIT || record->bytes % RING_UNIT || record->bytes > left)
		return false;
	if (record->type == RING_PAD)
		return record->bytes <= ring_bytes;
	return record->type < RING_TYPES && record->bytes <= ring_bytes / 4 &&
	       record->frames <= RING_FRAMES_MAX && record->text_bytes <= RING_TEXT_MAX &&
	       needed <= record->bytes;
}

/* Text that is not pairs of strings is left out. */
static int text_add(struct native_process *process, const char *from, uint16_t bytes,
		    struct native_pending *pending)
{
	size_t strings = 0;

	for (uint16_t i = 0; i < bytes; i++)
		strings += !from[i];
	if (!bytes || from[bytes - 1] || strings % 2)
		return 0;
	int rc =
	    array_grow(&process->text, 1, &process->text_capacity, process->text_count + bytes);

	if (rc)
		return rc;
	memcpy(process->text + process->text_count, from, bytes);
	pending->text_at = process->text_count;
	pending->text_bytes = bytes;
	process->text_count += bytes;
	return 0;
}

/* Room for one more; for the first as much as the last batch had. */
static int pending_reserve(struct native_process *process)
{
	size_t want = process->pending_count + 1;

	if (!process->pending)
		want += process->sizes.records + process->sizes.records / 8;
	return array_grow(&process->pending, sizeof(*process->pending), &process->pending_capacity,
			  want);
}

static void record_count(struct native_process *process, const struct ring_record *record)
{
	if (record->type == RING_SAMPLE_CPU) {
		process->stats.samples++;
		process->stats.ends[record->end < RING_ENDS ? record->end : RING_END_BAD_CFI]++;
	} else if (record->type == RING_BLOCK) {
		process->stats.blocks++;
	} else if (record->type >= RING_SAMPLE_ALLOC) {
		process->stats.others++;
	}
}

static int record_take(struct native_process *process, const struct ring_record *record,
		       const uint8_t *bytes)
{
	const uint8_t *payload = bytes + sizeof(*record);

	if (record->type == RING_SPAN) {
		process->stats.spans++;
		return 0;
	}

	const size_t payload_len = ring_payload_bytes(record->type);
	const uint8_t *frames = payload + payload_len;
	int rc = pending_reserve(process);

	if (rc)
		return rc;
	struct native_pending *pending = &process->pending[process->pending_count];

	*pending = (struct native_pending){
	    .type = record->type,
	    .tid = record->tid,
	    .time_ns = record->time_ns,
	    .span_id = record->span_id,
	    .root_span_id = record->root_span_id,
	    .trace_id = {record->trace_id[0], record->trace_id[1]},
	    .frames_count = record->frames,
	    .in_kernel = record->flags & RING_IN_KERNEL,
	    .holder_seen = record->flags & RING_HOLDER_SEEN,
	};
	/* Records and what stands before their frames come in multiples of eight bytes. */
	if (record->frames)
		pending->frames = (const uint64_t *)(const void *)frames;
	_Static_assert(sizeof(struct ring_lock) <= sizeof(pending->payload),
		       "see ring_payload_bytes");
	memcpy(pending->payload, payload, payload_len);
	rc = text_add(process, (const char *)frames + record->frames * sizeof(uint64_t),
		      record->text_bytes, pending);
	if (rc)
		return rc;
	process->pending_count++;
	process->heard[record->tid % NATIVE_HEARD_BITS / 64] |= UINT64_C(1) << record->tid % 64;
	record_count(process, record);
	return 0;
}

int native_process_keep(struct native_process *process)
{
	size_t count = 0;

	for (size_t i = 0; i < process->pending_count; i++)
		count += process->pending[i].frames_count;
	uint64_t *kept = malloc(count * sizeof(*kept) + 1), *at = kept;

	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < process->pending_count; i++) {
		struct native_pending *pending = &process->pending[i];

		if (!pending->frames_count)
			continue;
		memcpy(at, pending->frames, pending->frames_count * sizeof(*at));
		pending->frames = at;
		at += pending->frames_count;
	}
	free(process->kept);
	process->kept = kept;
	return 0;
}

int native_process_records(struct native_process *process, uint32_t ring, uint64_t position,
			   const uint8_t *bytes, size_t len, bool expired, size_t *ret_consumed)
{
	size_t at = 0;
	int rc = 0;

	while (!rc && at + RING_UNIT <= len) {
		const struct ring_record *record =
		    (const struct ring_record *)(const void *)(bytes + at);
		struct ring_record cut = {0};

		if (len - at < sizeof(cut)) { /* a pad has no more than its first words */
			memcpy(&cut, bytes + at, len - at);
			record = &cut;
		}
		if (record->commit == position + at + 1 &&
		    record_is_sane(record, len - at, process->head.ring_bytes)) {
			if (record->type != RING_PAD)
				rc = record_take(process, record, bytes + at);
			at += record->bytes;
			continue;
		}
		if (record->commit == position + at + 1) {
			process->stats.bad_records++; /* committed, and nonsense */
		} else if (!expired) {
			break; /* still being written */
		}
		process->stats.abandoned_bytes += RING_UNIT;
		at += RING_UNIT;
	}
	if (ring < RING_RINGS_MAX)
		process->cursors[ring] = position + at;
	*ret_consumed = at;
	return rc;
}
