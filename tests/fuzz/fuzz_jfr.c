/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/ingest_target.h"

/* A first byte of 'L' says how long the labels behind it are, which stand before the recording. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct ingest_request head = {0};

	if (len > 2 && bytes[0] == 'L') {
		size_t labels = MIN((size_t)bytes[1], len - 2);

		head.jfr_labels = (struct str){(const char *)bytes + 2, labels};
		bytes += 2 + labels;
		len -= 2 + labels;
	}
	return ingest_one_with(ingest_find(STR("jfr")), head, bytes, len);
}
