/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live-heap table: the input is a region as a client may leave it, but for eight bytes in
 * front: how many entries it is said to have, and where the second copy differs from the first.
 */
#include <string.h>

#include "ingest/native.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/ingest/native_ring.h"

#define REGION_MAX ((size_t)1 << 16)

static void process_feed(const uint8_t *first, size_t len, const uint8_t *second, size_t second_len)
{
	const struct ring_head head = ring_head_make();
	const struct native_options options = {.executable = "fuzz"};
	const struct native_clock clock = {NS_PER_S, NS_PER_S};
	const struct ring_counters counters = {0};
	const struct native_sums sums = {0};
	const struct native_vitals vitals = {0};
	struct native_process *process = NULL;
	struct profile_builder *builder = NULL;
	struct err err;

	if (native_process_new(&head, &options, &process))
		return;
	if (!native_process_heap(process, first, len, second, second_len) &&
	    !profile_builder_new(NULL, &builder)) {
		if (native_process_emit(process, &counters, &sums, &vitals, NULL, 0, &clock, false, builder, &err))
			profile_builder_free(builder);
		else
			profile_free(profile_builder_finish(builder));
	}
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
	process_feed(first, len, second, bytes[4] & 1 ? head : MIN(head, (size_t)at));
	return 0;
}
