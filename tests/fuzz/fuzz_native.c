/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native side: the input's first bytes are a hello, the next a head, then the thread slots of
 * one reading, a module, and the rest a ring; each commit that is the letter C in place is made
 * right, so that mutation reaches what stands behind it.
 */
#include <string.h>

#include "ingest/native.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/ingest/native_ring.h"

struct input {
	struct ring_counters counters;
	struct native_reading reading;
	struct ring_module module;
	uint8_t hello[256];
};

static void ring_repair(uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at + RING_UNIT <= len; at += RING_UNIT) {
		uint64_t commit = at + 1;

		if (bytes[at] == 'C')
			memcpy(bytes + at, &commit, sizeof(commit));
	}
}

static void process_feed(const struct ring_head *head, const struct input *in, const uint8_t *ring,
			 size_t len)
{
	const struct native_options options = { .executable = "fuzz" };
	const struct native_clock clock = { NS_PER_S, NS_PER_S };
	struct native_process *process = NULL;
	struct profile_builder *builder = NULL;
	struct err err;
	size_t consumed;

	if (native_process_new(head, &options, &process))
		return;
	native_process_resume(process, in->hello[0] & 1);
	if (!native_process_module(process, &in->module) &&
	    !native_process_records(process, 0, 0, ring, len, in->hello[1] & 1, &consumed) &&
	    !profile_builder_new(NULL, &builder)) {
		struct native_reading reading = in->reading;

		reading.comm[NATIVE_COMM_MAX - 1] = '\0';
		reading.slot.name[sizeof(reading.slot.name) - 1] = '\0';
		reading.has_schedstat = in->hello[2] & 1;
		reading.has_switches = in->hello[5] & 1;
		reading.cpu_ns >>= 8; /* the kernel's own sums: years at most */
		reading.wait_ns >>= 8;
		const struct native_vitals vitals = { in->hello[4] & 1, reading.cpu_ns, reading.wait_ns,
						      reading.cpu_ns };
		const struct native_sums sums = { reading.slot.blocked_ns, reading.slot.blocked_calls };

		if (native_process_emit(process, &in->counters, &sums, &vitals, &reading, 1,
					&clock, in->hello[3] & 1, builder, &err))
			profile_builder_free(builder);
		else
			profile_free(profile_builder_finish(builder));
	}
	native_process_free(process);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static uint8_t ring[1 << 16];
	struct ring_head head = ring_head_make();
	struct native_hello hello;
	struct input in;
	struct err err;

	if (len < sizeof(in))
		return 0;
	memcpy(&in, bytes, sizeof(in));
	bytes += sizeof(in);
	len -= sizeof(in);
	if (native_hello_parse(in.hello, sizeof(in.hello), &hello, &err) == 0)
		FUZZ_CHECK(hello.labels_count <= NATIVE_LABELS_MAX);
	if (len >= sizeof(head)) {
		struct ring_head other;

		memcpy(&other, bytes, sizeof(other));
		if (native_head_check(&other, other.total_bytes, &err) == 0)
			head = other;
	}
	len = MIN(len, sizeof(ring)) / RING_UNIT * RING_UNIT;
	memcpy(ring, bytes, len);
	ring_repair(ring, len);
	process_feed(&head, &in, ring, len);
	return 0;
}
