/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native side, as a play: each step is a byte that says what comes and what it needs behind it.
 *  A process attaches, writes records, is read, is asked for batches, and goes.  Numbers are mostly
 * small, of milliseconds or of seconds (`number`), so that mutation changes what is meant and not
 * only what is well formed; heads, hellos and records also come as bytes that nobody repaired.
 */
#include <string.h>

#include "ingest/native.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refuse.h"
#include "tests/unit/ingest/native_ring.h"

#define READINGS_MAX 8

struct play {
	const uint8_t *at, *end;
	struct native_process *process;
	struct ring_writer ring;
	struct ring_counters counters;
	struct ring_thread slot; /* as the last reading showed it: counters grow from there */
	struct native_reading readings[READINGS_MAX];
	size_t readings_count;
	struct native_vitals vitals;
	struct native_sums sums;
	struct native_totals totals;
	int64_t now_ns;
	bool over; /* the process is gone, or must be dropped */
};

/* Nothing fails but for want of memory, after which the agent drops the process. */
static bool did(struct play *play, int rc)
{
	FUZZ_CHECK(!rc || refusing);
	play->over = play->over || rc;
	return !rc;
}

static uint8_t byte(struct play *play)
{
	return play->at < play->end ? *play->at++ : 0;
}

static void bytes_take(struct play *play, void *to, size_t len)
{
	size_t n = MIN(len, (size_t)(play->end - play->at));

	memset(to, 0, len);
	if (n)
		memcpy(to, play->at, n);
	play->at += n;
}

static uint64_t number(struct play *play)
{
	uint8_t first = byte(play);
	uint64_t any;

	switch (first >> 6) {
	case 0:
		return first;
	case 1:
		return (uint64_t)(first & 63) << 20;
	case 2:
		return (uint64_t)(first & 63) << 30;
	default:
		break;
	}
	bytes_take(play, &any, sizeof(any));
	return any;
}

static void hello(struct play *play)
{
	static uint8_t message[RING_HELLO_MAX + 64];
	struct ring_hello head = {.magic = RING_HELLO_MAGIC, .version = RING_VERSION};
	struct native_hello parsed;
	struct err err;
	uint8_t how = byte(play);
	size_t text =
	    how & 1 ? byte(play) : MIN((size_t)number(play), sizeof(message) - sizeof(head));

	text = MIN(text, (size_t)(play->end - play->at));
	if (how & 2) {
		bytes_take(play, &head, sizeof(head));
		text = MIN(text, (size_t)(play->end - play->at));
	} else {
		head.modules_count = byte(play);
		text = MIN(text, (size_t)(play->end - play->at));
		head.text_bytes = (uint32_t)text;
	}
	memcpy(message, &head, sizeof(head));
	bytes_take(play, message + sizeof(head), text);
	if (!native_hello_parse(message, sizeof(head) + text, &parsed, &err))
		FUZZ_CHECK(parsed.labels_count <= NATIVE_LABELS_MAX &&
			   parsed.notes_count <= NATIVE_NOTES_MAX);
}

static void attach(struct play *play, const struct ring_head *head)
{
	static const struct ingest_label labels[] = {{STR("service"), STR("fuzz")}};
	const struct native_options options = {
	    .executable = "fuzz", .labels = labels, .labels_count = 1};

	native_process_free(play->process);
	play->process = NULL;
	if (!did(play, native_process_new(head, &options, &play->process)))
		return;
	native_process_resume(play->process, play->at < play->end && *play->at & 1);
	play->ring.start = play->ring.bytes.len = 0;
}

/* One field of a right head is another number, or all of it is bytes. */
static void head(struct play *play)
{
	struct ring_head head = ring_head_make();
	uint8_t how = byte(play);
	struct err err;

	head.heap_at = 12 * RING_PAGE;
	head.heap_bytes = how & 64 ? RING_PAGE : 0;
	if (how & 128) {
		bytes_take(play, &head, sizeof(head));
	} else if (how & 63) {
		uint32_t value = (uint32_t)number(play);

		memcpy((char *)&head + (how & 63) * 4 % sizeof(head), &value, sizeof(value));
	}
	if (!native_head_check(&head, head.total_bytes, &err))
		attach(play, &head);
}

static void module(struct play *play)
{
	struct ring_module module = {.build_id_len = byte(play), .flags = byte(play)};

	bytes_take(play, module.build_id, 4);
	if (module.flags & 16)
		memset(module.path, 'p', sizeof(module.path));
	bytes_take(play, module.path, 16);
	(void)did(play, native_process_module(play->process, &module));
}

static size_t text_take(struct play *play, char to[RING_TEXT_MAX])
{
	static const struct str texts[] = {
	    STR(""),
	    {"exception type\0St5error", 24},
	    {"lock name\0mine", 15},
	    {"task name\0t\0exception type\0i", 29},
	    {"odd", 4},
	    {"open\0end", 8},
	};
	uint8_t which = byte(play);

	if (which >= ARRAY_LEN(texts)) {
		bytes_take(play, to, which);
		return which;
	}
	if (texts[which].len)
		memcpy(to, texts[which].ptr, texts[which].len);
	return texts[which].len;
}

static void payload_take(struct play *play, uint16_t type, uint64_t payload[8])
{
	uint32_t two[2];

	for (size_t i = 0; i < 8; i++)
		payload[i] = number(play);
	/* Where two numbers of 32 bits stand in front, a call and its target or a lock's kinds. */
	two[0] = (uint32_t)payload[0] & 63;
	two[1] = (uint32_t)payload[1] & 7;
	if (type == RING_SAMPLE_LOCK)
		two[0] &= 3;
	if (type == RING_BLOCK || type == RING_SITE || type == RING_SAMPLE_LOCK)
		memcpy(payload, two, sizeof(two));
	/* Sites are few, and a call that returns is often the one that was seen open. */
	if (type == RING_BLOCK || type == RING_SITE) {
		payload[3] = (payload[3] & 3) | 1;
		if (payload[4] % 4 == 1)
			payload[4] = (uint64_t)play->slot.since_ns;
	}
	/* A lock's words name modules more often than chance would. */
	for (size_t i = 1; type == RING_SAMPLE_LOCK && i < 3; i++)
		payload[i] = ring_frame(payload[i] & 3, payload[i] >> 2);
}

static void record(struct play *play)
{
	uint8_t type = byte(play) % RING_TYPES, flags = byte(play);
	size_t payload_bytes = ring_payload_bytes(type);
	uint16_t count = byte(play) % 16;
	char rest[4 * 64 * 8 + RING_TEXT_MAX];
	uint64_t payload[8], frames[16];
	uint32_t tid = byte(play) & 7;

	payload_take(play, (uint16_t)type, payload);
	memcpy(rest, payload, payload_bytes);
	for (uint16_t i = 0; i < count; i++)
		frames[i] = ring_frame(byte(play) & 3, number(play));
	if (count)
		memcpy(rest + payload_bytes, frames, count * sizeof(*frames));
	size_t frames_bytes = count * sizeof(*frames);
	size_t text = flags & 16 ? text_take(play, rest + payload_bytes + frames_bytes) : 0;

	if (flags & 32)
		play->now_ns += (int64_t)(number(play) & 0xffffffffff);
	/* The writer's own memory is not what is refused. */
	unsigned long left = refuse_left;

	refuse_left = 0;
	struct ring_record *to = ring_writer_add(&play->ring, type, tid, play->now_ns, rest,
						 payload_bytes + frames_bytes + text, NULL, 0);

	refuse_left = left;
	to->frames = count;
	to->text_bytes = (uint16_t)text;
	to->flags = flags & 7;
	to->end = flags >> 6;
	if (flags & 8) {
		to->span_id = to->root_span_id = 1 + tid % 2;
		to->trace_id[0] = tid / 2;
	}
}

/* A piece of the ring as a program without our writer may leave it. */
static void raw(struct play *play)
{
	struct ring_record *to;
	uint8_t how = byte(play);
	size_t units = 1 + (how & 3);
	uint64_t commit = play->ring.start + play->ring.bytes.len + 1;

	to = (struct ring_record *)(void *)buf_reserve(&play->ring.bytes, units * RING_UNIT);
	if (!to) {
		play->over = true;
		return;
	}
	bytes_take(play, to, units * RING_UNIT);
	if (how & 4)
		to->commit = commit;
	if (how & 8)
		to->bytes = (uint32_t)(units * RING_UNIT);
	if (how & 16)
		to->type %= RING_TYPES;
	play->ring.bytes.len += units * RING_UNIT;
}

static void drain(struct play *play, bool expired)
{
	size_t consumed;

	if (!play->ring.bytes.len)
		return;
	if (did(play, native_process_records(
			  play->process, play->ring.start % 3 == 2 ? RING_RINGS_MAX : 0,
			  play->ring.start, (const uint8_t *)play->ring.bytes.data,
			  play->ring.bytes.len, expired, &consumed)))
		FUZZ_CHECK(consumed <= play->ring.bytes.len);
	(void)did(play, native_process_keep(play->process));
	play->ring.start += play->ring.bytes.len;
	play->ring.bytes.len = 0;
}

static void reading(struct play *play)
{
	struct native_reading *r = &play->readings[play->readings_count % READINGS_MAX];
	uint8_t has = byte(play);
	struct ring_thread *slot = &play->slot;
	uint64_t *const fields[] = {
	    &slot->cpu_base_ns,     &slot->cpu_stop_ns, &slot->blocked_calls, &slot->blocked_ns,
	    &slot->blocked_base_ns, &slot->site,        &slot->target,        &slot->span_id,
	    &slot->root_span_id,    &slot->trace_id[0], &slot->alloc_bytes,   &slot->alloc_calls,
	    &slot->phases[0]};

	if (has & 64)
		memset(slot, 0, sizeof(*slot));
	*r = (struct native_reading){
	    .tid = byte(play) & 7, .has_schedstat = has & 1, .has_switches = has & 2};
	for (uint8_t changes = byte(play) & 7; changes; changes--)
		*fields[byte(play) % ARRAY_LEN(fields)] = number(play);
	if (has & 4) {
		slot->call = byte(play) & 63;
		slot->since_ns = play->now_ns - (int64_t)(number(play) & 0xffffffffff);
	}
	slot->site &= 3;
	slot->generation += has >> 7;
	memset(slot->phases + 1, byte(play), 16);
	r->slot = *slot;
	r->slot.tid = has & 8 ? r->tid : 0;
	if (has & 16)
		memcpy(r->slot.name, "named", 6);
	if (has & 32)
		bytes_take(play, r->comm, 4);
	/* The kernel's own sums: years at most. */
	r->cpu_ns = number(play) >> 8;
	r->wait_ns = number(play) >> 8;
	r->voluntary = number(play) >> 8;
	r->involuntary = r->voluntary / 3;
	play->readings_count += play->readings_count < READINGS_MAX;
}

static void counters(struct play *play)
{
	struct ring_counters *c = &play->counters;
	uint64_t *const fields[] = {&c->lock_wait_ns,
				    &c->lock_contended,
				    &c->exceptions,
				    &c->engine,
				    &c->engine_why,
				    &c->state,
				    &c->interval_us,
				    &c->off[RING_ALLOC],
				    &play->totals.alloc_bytes,
				    &play->totals.alloc_calls,
				    &play->sums.blocked_ns,
				    &play->sums.blocked_calls,
				    &play->vitals.resident_bytes,
				    &play->vitals.minor_faults,
				    &play->vitals.major_faults};
	uint8_t which = byte(play);

	if (which < ARRAY_LEN(fields))
		*fields[which] = number(play);
	else if (which & 1)
		bytes_take(play, c, sizeof(*c));
	play->vitals.known = which & 64;
	play->vitals.cpu_ns = (uint64_t)play->now_ns / 2;
	native_process_totals(play->process, &play->totals);
}

static void questions(struct play *play)
{
	struct native_question asked[4];
	char name[4] = "";

	drain(play, false);
	if (play->over)
		return;
	size_t count = native_process_questions(play->process, asked, ARRAY_LEN(asked));

	bytes_take(play, name, sizeof(name) - 1);
	for (size_t i = 0; i < count; i++)
		(void)did(play, native_process_answer(play->process, &asked[i], name));
}

static void heap(struct play *play)
{
	static struct {
		struct ring_heap heap;
		uint64_t keys[8];
		struct ring_heap_entry entries[8];
		struct ring_heap_block blocks[2];
	} region;

	memset(&region, 0, sizeof(region));
	region.heap = (struct ring_heap){.entries_max = 8, .blocks_max = 2, .mean_bytes = 512};
	for (size_t i = byte(play) & 7; i < 8; i++) {
		region.keys[i] = 64 * (i + 1);
		region.entries[i] = (struct ring_heap_entry){.tid = 1,
							     .size = number(play),
							     .mean_bytes = 512,
							     .block = byte(play) & 3,
							     .frames = byte(play) & 15};
	}
	const uint8_t *bytes = (const uint8_t *)&region;

	(void)did(play, native_process_heap(play->process, bytes, sizeof(region), bytes,
					    native_heap_head_bytes(bytes, sizeof(region))));
}

static void ask(const struct play *play, const struct native_clock *clock)
{
	const struct native_process *p = play->process;
	struct native_stats stats, sum = {0};
	struct native_build_id id;
	uint64_t address;
	uint32_t number;

	(void)native_process_due(p, clock);
	for (uint32_t i = 0; i < 4; i++) {
		(void)native_process_wants(p, i, clock);
		if (native_process_place(p, ring_frame(i, i), &number, &address))
			FUZZ_CHECK(native_process_module_path(p, number) != NULL);
		if (native_process_build_id(p, i, &id))
			FUZZ_CHECK(id.len <= RING_BUILD_ID_MAX);
	}
	native_process_stats(p, &stats);
	native_stats_add(&sum, &stats);
}

static void emit(struct play *play)
{
	uint8_t how = byte(play);
	bool ended = how & 1;
	struct profile_builder *builder;
	struct err err;

	play->now_ns += (int64_t)(number(play) & 0xffffffffff);
	const struct native_clock clock = {1000 + play->now_ns, play->now_ns};

	drain(play, how & 2);
	if (play->over)
		return;
	ask(play, &clock);
	if (ended)
		native_process_last_slots(play->process, &play->slot, how & 4 ? 1 : 0);
	if (!did(play, profile_builder_new(NULL, &builder)))
		return;
	if (native_process_emit(play->process, &play->counters, &play->sums, &play->vitals,
				play->readings, play->readings_count, &clock, ended, builder,
				&err)) {
		profile_builder_free(builder);
		play->over = true;
		return;
	}
	profile_free(profile_builder_finish(builder));
	if (!(how & 8))
		play->readings_count = 0;
	play->over = ended;
}

static void jit(struct play *play)
{
	char line[32];
	size_t consumed;

	bytes_take(play, line, sizeof(line));
	(void)did(play, native_process_jit(play->process, line, sizeof(line), &consumed));
}

static void play_all(const uint8_t *bytes, size_t len)
{
	const struct ring_head first = ring_head_make();
	struct play play = {.at = bytes, .end = bytes + MIN(len, (size_t)4096), .now_ns = NS_PER_S};

	buf_init(&play.ring.bytes, (size_t)1 << 20);
	attach(&play, &first);
	while (!play.over && play.at < play.end) {
		switch (byte(&play) & 15) {
		case 0:
			hello(&play);
			break;
		case 1:
			head(&play);
			break;
		case 2:
			module(&play);
			break;
		case 3:
			raw(&play);
			break;
		case 4:
			counters(&play);
			break;
		case 5:
			questions(&play);
			break;
		case 6:
			heap(&play);
			break;
		case 7:
			jit(&play);
			break;
		case 8:
			drain(&play, false);
			break;
		case 9:
		case 10:
			reading(&play);
			break;
		case 11:
			emit(&play);
			break;
		default:
			record(&play);
			break;
		}
	}
	if (!play.over)
		emit(&play);
	native_process_free(play.process);
	buf_release(&play.ring.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	play_all(bytes, len);
	refusing = true;
	refuse_left = refuse_draw(bytes, len, 1 + refuse_draw(bytes, len / 2, 100));
	play_all(bytes, len);
	refusing = false;
	refuse_left = 0;
	return 0;
}
