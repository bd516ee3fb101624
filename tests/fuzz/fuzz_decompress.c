/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "wire/decompress.h"

/* Whatever the bytes are: no more comes out than the limits allow. */
static void one(const uint8_t *bytes, size_t len, const struct decompress_limits *limits)
{
	struct err err = {0};
	struct buf plain;
	int rc = wire_decompress(bytes, len, limits, &plain, &err);

	FUZZ_CHECK(rc == 0 || rc == -EINVAL || rc == -E2BIG || rc == -ENOMEM);
	FUZZ_CHECK(rc == 0 || err.message[0]);
	if (rc)
		return;
	FUZZ_CHECK(plain.len <= limits->plain_bytes);
	FUZZ_CHECK(!limits->ratio || plain.len <= len * limits->ratio ||
		   plain.len <= DECOMPRESS_RATIO_FREE);
	buf_release(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct decompress_limits usual = {(size_t)1 << 20, (size_t)4 << 20, 100,
						"compressed",    "plain",         "ratio"};
	/* So that small inputs stand at the limits. */
	const struct decompress_limits tight = {256, 64, 2, "compressed", "plain", "ratio"};
	const struct decompress_limits open = {0,       (size_t)3 << 20, 0, "compressed",
					       "plain", "ratio"};

	one(bytes, len, &usual);
	one(bytes, len, &tight);
	one(bytes, len, &open);
	return 0;
}
