/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/ingest_target.h"
#include "wire/pprof.h"

/* In a room where half of it was read before: as it is alone. */
static void in_a_room(const uint8_t *bytes, size_t len)
{
	const struct pprof_limits limits = {(size_t)16 << 20, "limit"};
	struct pprof_room room = {0};
	struct pprof first, again, alone;
	struct err err = {0};

	(void)!pprof_decode_in(&room, bytes, len / 2, &limits, &first, &err);
	int rc = pprof_decode_in(&room, bytes, len, &limits, &again, &err);

	FUZZ_CHECK(rc == pprof_decode(bytes, len, &limits, &alone, &err));
	if (!rc) {
		FUZZ_CHECK(again.stacks_count == alone.stacks_count &&
			   !memcmp(again.stacks, alone.stacks,
				   alone.stacks_count * sizeof(*alone.stacks)));
		pprof_release(&alone);
	}
	pprof_room_release(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	in_a_room(bytes, len);
	return ingest_one(ingest_find(STR("pprof")), bytes, len);
}
