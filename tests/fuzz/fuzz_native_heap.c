/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live-heap table: the input is a region as a client may leave it, but for eight bytes in
 * front: how many entries it is said to have, and where the second copy differs from the first.
 */
#include <string.h>

#include "ingest/native.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refuse.h"
#include "tests/unit/ingest/native_ring.h"

#define REGION_MAX ((size_t)1 << 16)

static bool snapshot(struct native_process *process, const struct native_clock *clock, bool ended)
{
	const struct ring_counters counters = {0};
	const struct native_sums sums = {0};
	const struct native_vitals vitals = {0};
	struct profile_builder *builder;
	struct err err;

	if (profile_builder_new(NULL, &builder))
		return false;
	if (native_process_emit(process, &counters, &sums, &vitals, NULL, 0, clock, ended, builder,
				&err)) {
		profile_builder_free(builder);
		return false;
	}
	profile_free(profile_builder_finish(builder));
	return true;
}

static void process_feed(const uint8_t *first, size_t len, const uint8_t *second, size_t second_len)
{
	const struct ring_head head = ring_head_make();
	const struct native_options options = {.executable = "fuzz"};
	/* Up for two days, so that blocks may be of any age. */
	const struct native_clock clock = {NS_PER_S, INT64_C(2) * 86400 * NS_PER_S};
	struct native_process *process = NULL;
	static const struct {
		struct ring_heap heap;
		uint64_t keys[RING_HEAP_BUCKET];
		struct ring_heap_entry entries[RING_HEAP_BUCKET];
	} empty = {.heap.entries_max = RING_HEAP_BUCKET};
	const uint8_t *nothing = (const uint8_t *)&empty;

	if (native_process_new(&head, &options, &process))
		return;
	/* What is shown is taken back when nothing is live any more. */
	if (!native_process_heap(process, first, len, second, second_len) &&
	    snapshot(process, &clock, false) &&
	    !native_process_heap(process, nothing, sizeof(empty), nothing, sizeof(empty)))
		(void)snapshot(process, &clock, true);
	native_process_free(process);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static uint8_t first[REGION_MAX], second[REGION_MAX];
	size_t head;
	uint32_t entries;
	uint16_t at;

	if (len < 8 + sizeof(struct ring_heap))
		return 0;
	len = MIN(len - 8, sizeof(first));
	memcpy(first, bytes + 8, len);
	entries = 1u << bytes[0] % 16; /* else nearly every mutation is refused at once */
	if (bytes[0] < 128)
		memcpy(first, &entries, sizeof(entries));
	memcpy(second, first, len);
	memcpy(&at, bytes + 2, sizeof(at));
	second[at % len] ^= bytes[1];
	head = native_heap_head_bytes(first, len);
	FUZZ_CHECK(head <= len);
	size_t second_len = bytes[4] & 1 ? head : MIN(head, (size_t)at);

	process_feed(first, len, second, second_len);
	refuse_left = refuse_draw(bytes, 8 + len, 16);
	process_feed(first, len, second, second_len);
	refuse_left = 0;
	return 0;
}
